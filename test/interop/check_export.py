"""Reads what `weightzoo export` wrote, each format with the library that it is for:

    python check_export.py <format> <images> <folder> ...

Prints one JSON object: {"reader": "numpy 2.4.6", "folders": [{"sha256": {"church_0": ...}, "probabilities": {}}, ...]}:
the SHA-256 of each network's weights, put back into the order of zoo.json's parameter table, as float32. With images above 0
and a format that holds whole models, also what each network makes of so many images, whose values (row-major, [n, height,
width, channels]) are i * 7919 % 256 / 255.

For `huggingface` and `parquet` there is no zoo.json: the weights are in that order already, or not there.
"""

import hashlib
import importlib.util
import json
import os
import sys
from pathlib import Path

os.environ['KERAS_BACKEND'] = 'tensorflow'
os.environ['CUDA_VISIBLE_DEVICES'] = '-1'
os.environ['TF_CPP_MIN_LOG_LEVEL'] = '3'
os.environ['TF_ENABLE_ONEDNN_OPTS'] = '0'
os.environ['HF_HUB_OFFLINE'] = '1'
os.environ['HF_DATASETS_DISABLE_PROGRESS_BARS'] = '1'

import numpy as np


def manifest_of(folder):
    return json.loads((folder / 'zoo.json').read_text(encoding='utf-8'))


def flat(folder, parts):
    """Arrays by layer and part, as one vector in the order of the parameter table."""
    table = manifest_of(folder)['parameters']
    for entry in table:
        assert list(parts[entry['layer'], entry['part']].shape) == entry['shape'], entry
    return np.concatenate([parts[entry['layer'], entry['part']].ravel() for entry in table])


def models(folder, extension):
    for path in sorted((folder / 'models').glob(f'*{extension}')):
        yield path.name.removesuffix(extension), path


def keras_parts(model):
    parts = {}
    for layer in model.layers:
        if layer.weights:
            kernel, bias = layer.get_weights()
            parts[layer.name, 'kernel'], parts[layer.name, 'bias'] = kernel, bias
    return parts


def read_keras(folder, inputs, extension='.keras'):
    import keras

    for name, path in models(folder, extension):
        model = keras.models.load_model(path)
        yield name, flat(folder, keras_parts(model)), None if inputs is None else np.asarray(model(inputs))


def read_keras_legacy(folder, inputs):
    yield from read_keras(folder, inputs, '.h5')


def read_keras_2(folder, inputs):
    import tf_keras

    for name, path in models(folder, '.h5'):
        model = tf_keras.models.load_model(path)
        again = tf_keras.models.model_from_json(model.to_json())
        again.load_weights(path)
        yield name, flat(folder, keras_parts(again)), None if inputs is None else np.asarray(model(inputs))


def activations(folder):
    """What each network has drawn, where activations vary: {'church_0': 'relu', ...}."""
    return {row['name']: row.get('hyperparameter_activation') for row in read_csv(folder)}


def read_keras_weights(folder, inputs):
    import keras

    drawn = activations(folder)
    for name, path in models(folder, '.weights.h5'):
        config = folder / (f'model-{drawn[name]}.json' if drawn[name] else 'model.json')
        model = keras.models.model_from_json(config.read_text(encoding='utf-8'))
        model.load_weights(path)
        yield name, flat(folder, keras_parts(model)), None if inputs is None else np.asarray(model(inputs))


def read_pytorch(folder, inputs):
    import torch
    from safetensors.torch import load_file

    spec = importlib.util.spec_from_file_location('network', folder / 'network.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    layers = [entry['layer'] for entry in manifest_of(folder)['parameters'] if entry['part'] == 'kernel']
    drawn = activations(folder)
    for name, path in models(folder, '.safetensors'):
        network = module.Network(drawn[name]) if drawn[name] else module.Network()
        network.load_state_dict(load_file(path))
        network.eval()
        probabilities = None
        channels = None
        if inputs is not None:
            with torch.no_grad():
                probabilities = network(torch.from_numpy(inputs.transpose(0, 3, 1, 2).copy())).numpy()
        parts = {}
        for layer, (_, module_) in zip(layers, network.named_children(), strict=True):
            weight, bias = (value.detach().numpy() for value in (module_.weight, module_.bias))
            parts[layer, 'bias'] = bias
            if weight.ndim == 4:
                channels = weight.shape[0]
                parts[layer, 'kernel'] = weight.transpose(2, 3, 1, 0)
            elif channels:
                # Units behind the flattening: channels first there, channels last here.
                units = weight.reshape(len(weight), channels, -1).transpose(2, 1, 0)
                parts[layer, 'kernel'] = units.reshape(-1, len(weight))
                channels = None
            else:
                parts[layer, 'kernel'] = weight.T
        yield name, flat(folder, parts), probabilities


def read_safetensors(folder, _):
    from safetensors import safe_open

    with safe_open(folder / 'zoo.safetensors', 'numpy') as file:
        notes = file.metadata()
        names, classes = json.loads(notes['names']), json.loads(notes['class_names'])
        labels, parameters = file.get_tensor('labels'), file.get_slice('parameters')
        assert json.loads(notes['parameter_table']) == manifest_of(folder)['parameters']
        assert file.get_tensor('metrics').shape == (len(names), len(json.loads(notes['metrics'])))
        for row, name in enumerate(names):
            assert name.startswith(classes[labels[row]])
            yield name, parameters[row : row + 1].ravel(), None


def read_safetensors_networks(folder, _):
    from safetensors.numpy import load_file

    for name, path in models(folder, '.safetensors'):
        yield name, flat(folder, {tuple(key.rsplit('.', 1)): value for key, value in load_file(path).items()}), None


def read_npy(folder, _):
    names = json.loads((folder / 'names.json').read_text(encoding='utf-8'))
    parameters = np.load(folder / 'parameters.npy', mmap_mode='r')
    assert isinstance(parameters, np.memmap) and parameters.dtype == np.float32
    labels, metrics = np.load(folder / 'labels.npy'), np.load(folder / 'metrics.npy')
    assert metrics.shape == (len(names['names']), len(names['metrics']))
    for row, name in enumerate(names['names']):
        assert name.startswith(names['class_names'][labels[row]])
        yield name, np.array(parameters[row]), None


def read_huggingface(folder, _):
    import tempfile

    from datasets import load_dataset

    with tempfile.TemporaryDirectory() as cache:
        for split, rows in load_dataset(str(folder), cache_dir=cache).items():
            label = rows.features['label']
            for row in rows.with_format('numpy'):
                assert row['split'] == split and label.int2str(int(row['label'])) == row['class']
                assert row['weights'].dtype == np.float32
                yield row['name'], row['weights'], None


def read_croissant(folder, _):
    import logging

    import mlcroissant

    logging.disable(logging.WARNING)
    dataset = mlcroissant.Dataset(jsonld=str(folder / 'croissant.json'))
    issues = dataset.metadata.ctx.issues
    assert not issues.errors and not issues.warnings, (issues.errors, issues.warnings)
    for row in dataset.records('networks'):
        yield row['networks/name'].decode(), np.asarray(row['networks/weights'], np.float32), None


def read_metadata(read):
    """A table without weights: its own column of hashes is what is compared."""

    def rows(folder, _):
        for row in read(folder):
            assert {'class', 'label', 'index', 'seed', 'split', 'accuracy', 'auc', 'positive_fraction'} <= row.keys()
            yield row['name'], row['sha256'], None

    return rows


def read_csv(folder):
    import csv

    with open(folder / 'metadata.csv', newline='', encoding='utf-8') as file:
        yield from csv.DictReader(file)


def read_parquet(folder):
    import pyarrow.parquet

    yield from pyarrow.parquet.read_table(folder / 'metadata.parquet').to_pylist()


READERS = {
    'keras': ('keras', read_keras),
    'keras-weights': ('keras', read_keras_weights),
    'keras-legacy': ('keras', read_keras_legacy),
    'keras-2': ('tf_keras', read_keras_2),
    'pytorch': ('torch', read_pytorch),
    'safetensors': ('safetensors', read_safetensors),
    'safetensors-networks': ('safetensors', read_safetensors_networks),
    'npy': ('numpy', read_npy),
    'huggingface': ('datasets', read_huggingface),
    'croissant': ('mlcroissant', read_croissant),
    'csv': ('csv', read_metadata(read_csv)),
    'parquet': ('pyarrow', read_metadata(read_parquet)),
}


def images_for(folder, count):
    shape = manifest_of(folder)['recipe']['architecture']['inputShape']
    values = np.arange(count * np.prod(shape)) * 7919 % 256
    return (values / 255).astype(np.float32).reshape(count, *shape)


def check(read, folder, count):
    hashes, probabilities = {}, {}
    for name, weights, predicted in read(folder, images_for(folder, count) if count else None):
        assert name not in hashes, name
        hashes[name] = weights if isinstance(weights, str) else hashlib.sha256(weights.astype('<f4').tobytes()).hexdigest()
        if predicted is not None:
            probabilities[name] = [float(p) for p in predicted.ravel()]
    return {'sha256': hashes, 'probabilities': probabilities}


def main(kind, count, folders):
    module, read = READERS[kind]
    found = [check(read, Path(folder), count) for folder in folders]
    version = getattr(sys.modules.get(module), '__version__', '')
    print(json.dumps({'reader': f'{module} {version}', 'folders': found}))


if __name__ == '__main__':
    if len(sys.argv) < 4 or sys.argv[1] not in READERS:
        sys.exit(f'usage: check_export.py <{"|".join(READERS)}> <images> <folder> ...')
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
