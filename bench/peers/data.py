"""Images and one-versus-all samples for the peers, from the folder that weightzoo exports.

    meta.json               {"shape": [32, 32, 3], "classNames": [...], "train": 9469, "validation": 3925}
    train.f32               [train, height, width, channels] little-endian float32 in [0, 1]
    train_labels.u8         [train] index into classNames
    validation.f32, validation_labels.u8
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SAMPLES_PER_NETWORK = 9000
POSITIVE_FRACTION = (0.09, 0.10)


@dataclass
class Images:
    name: str
    class_names: list
    train: np.ndarray
    train_labels: np.ndarray
    validation: np.ndarray
    validation_labels: np.ndarray


def load(folder):
    """Reads an exported folder, or makes random images where `folder` is None (enough for speed, not for accuracy)."""
    if folder is None:
        return synthetic()
    folder = Path(folder)
    meta = json.loads((folder / 'meta.json').read_text(encoding='utf-8'))

    def split(name):
        count = meta[name]
        pixels = np.fromfile(folder / f'{name}.f32', '<f4')
        labels = np.fromfile(folder / f'{name}_labels.u8', np.uint8)
        wanted = count * int(np.prod(meta['shape']))
        if len(pixels) != wanted or len(labels) != count:
            raise SystemExit(
                f'{folder}: {name}.f32 has {len(pixels)} values and {name}_labels.u8 {len(labels)}; '
                f'meta.json says {wanted} and {count}'
            )
        return pixels.reshape(count, *meta['shape']), labels

    train, train_labels = split('train')
    validation, validation_labels = split('validation')
    return Images(folder.name, meta['classNames'], train, train_labels, validation, validation_labels)


def synthetic(train=9469, validation=3925, classes=10):
    rng = np.random.default_rng(0)
    tones = rng.random((classes, 1, 1, 3), dtype=np.float32)

    def split(count):
        labels = rng.integers(0, classes, count).astype(np.uint8)
        return 0.3 * tones[labels] + 0.7 * rng.random((count, 32, 32, 3), dtype=np.float32), labels

    return Images('synthetic', [f'class_{i}' for i in range(classes)], *split(train), *split(validation))


def sample_one_vs_all(images, label, rng, count=SAMPLES_PER_NETWORK):
    """Which training images one network sees: as many positives as a fraction drawn from 9-10 % makes (or as there
    are), negatives from all other classes, both without replacement."""
    positives = np.flatnonzero(images.train_labels == label)
    negatives = np.flatnonzero(images.train_labels != label)
    count = min(count, len(images.train))
    low, high = POSITIVE_FRACTION
    high = min(high, len(positives) / count)
    wanted = min(int(round(rng.uniform(min(low, high), high) * count)), len(positives))
    return np.concatenate(
        [rng.choice(positives, wanted, replace=False), rng.choice(negatives, count - wanted, replace=False)]
    )


def epoch_order(chosen, epochs, rng):
    """[epochs, count]: the chosen images, reshuffled for every epoch."""
    return np.stack([rng.permutation(chosen) for _ in range(epochs)])
