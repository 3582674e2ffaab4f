"""Loads every model file of a zoo into Keras and predicts: python check_keras.py <zoo-dir> <inputs.bin> <n> [name ...]

inputs.bin holds n images as little-endian float32, [n, height, width, channels]. The architecture is that of zoo.json
(LeNet-5 where there is none). With names (`church_3`), only those networks. Prints one JSON object:
{"keras": version, "probabilities": {name: [[p, ...], ...]}}, [n, outputs] for each network.

Exit code 77 and one line where Keras is missing.
"""

import json
import sys
from pathlib import Path

FIXTURES = Path(__file__).resolve().parent.parent / 'fixtures'
sys.path.insert(0, str(FIXTURES))


def main(zoo, inputs, count, names):
    try:
        import keras_network
    except ImportError as error:
        print(f'check_keras: skipped, {error}', file=sys.stderr)
        sys.exit(77)
    import keras
    import numpy as np
    from architecture import LENET5

    manifest = zoo / 'zoo.json'
    spec = json.loads(manifest.read_text(encoding='utf-8'))['recipe']['architecture'] if manifest.exists() else LENET5
    images = np.fromfile(inputs, '<f4').reshape(count, *spec['inputShape'])
    paths = sorted((zoo / 'models').glob('*.weights.h5'))
    if names:
        paths = [zoo / 'models' / f'{name}.weights.h5' for name in names]
    model = keras_network.build(spec, 'float32')
    probabilities = {}
    for path in paths:
        # A first layer that was not loaded would keep the last network's weights: start each from other ones.
        model.set_weights([np.full_like(weights, np.nan) for weights in model.get_weights()])
        model.load_weights(path)
        outputs = model.predict(images, batch_size=64, verbose=0)
        probabilities[path.name.removesuffix('.weights.h5')] = [[float(p) for p in row] for row in outputs]
    print(json.dumps({'keras': keras.__version__, 'probabilities': probabilities}, allow_nan=False))


if __name__ == '__main__':
    if len(sys.argv) < 4:
        sys.exit('usage: check_keras.py <zoo-dir> <inputs.bin> <n> [name ...]')
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
