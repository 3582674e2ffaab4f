"""The checkers themselves, held to zoos written with h5py: python -m unittest discover -s test/interop

A sound zoo passes; each kind of damage is found.
"""

import copy
import hashlib
import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import h5py
import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / 'fixtures'))

from architecture import LENET5, parameter_table  # noqa: E402

CLASSES = ['tench', 'gas pump', 'church']
METRICS = ['accuracy', 'precision', 'recall', 'f1', 'auc']


def file_name(class_name, index):
    return f'{class_name.replace(" ", "%20")}_{index}'


def make_networks(spec):
    """Two networks of the first and the last class, one of the second with an AUC that is not defined."""
    rng = np.random.default_rng(3)
    size = sum(row['size'] for row in parameter_table(spec))
    return [
        {
            'class': name,
            'index': index,
            'weights': rng.normal(0, 0.05, size).astype('<f4'),
            'metrics': dict(zip(METRICS, [0.9, 0.5, 0.25, 1 / 3, None if name == 'gas pump' else 0.7 + index / 10])),
        }
        for name, index in [('tench', 0), ('tench', 1), ('gas pump', 0), ('church', 0), ('church', 1)]
    ]


def write_zoo(folder, networks, spec, table):
    (folder / 'models').mkdir(parents=True)
    (folder / 'zoo.json').write_text(json.dumps({'recipe': {'architecture': spec}, 'parameters': table}))
    with (folder / 'ledger.jsonl').open('w') as ledger:
        ledger.write(json.dumps({'class': 'church', 'index': 2, 'status': 'failed', 'reason': 'no'}) + '\n')
        for network in networks:
            network['sha256'] = hashlib.sha256(network['weights'].tobytes()).hexdigest()
            record = {key: network[key] for key in ('class', 'index', 'sha256', 'metrics')}
            ledger.write(json.dumps({**record, 'seed': 7, 'status': 'finished'}) + '\n')
    for network in networks:
        name = file_name(network['class'], network['index'])
        with h5py.File(folder / 'models' / f'{name}.weights.h5', 'w') as file:
            file.attrs.update({'class': network['class'], 'index': network['index'], 'seed': 7})
            file.attrs['sha256'] = network['sha256']
            for row in table:
                values = network['weights'][row['offset'] : row['offset'] + row['size']].reshape(row['shape'])
                file[f'layers/{row["layer"]}/vars/{0 if row["part"] == "kernel" else 1}'] = values
    names = [f'{network["class"]}_{network["index"]}' for network in networks]
    with h5py.File(folder / 'modelwise.h5', 'w') as file:
        file.attrs['class_names'] = CLASSES
        file['parameters'] = np.stack([network['weights'] for network in networks])
        file['labels'] = np.array([CLASSES.index(network['class']) for network in networks], '<i4')
        file['names'] = names
        values = [[np.nan if v is None else v for v in network['metrics'].values()] for network in networks]
        file['metrics'] = np.array(values, '<f8')
        file['metrics'].attrs['columns'] = METRICS
        put_table(file['parameters'], table)
    with h5py.File(folder / 'layerwise.h5', 'w') as file:
        for class_name in CLASSES:
            rows = np.stack([network['weights'] for network in networks if network['class'] == class_name])
            for layer in dict.fromkeys(row['layer'] for row in table):
                own = [row for row in table if row['layer'] == layer]
                start, end = own[0]['offset'], own[-1]['offset'] + own[-1]['size']
                dataset = file.create_dataset(f'{class_name.replace(" ", "%20")}/{layer}', data=rows[:, start:end])
                put_table(dataset, [{**row, 'offset': row['offset'] - start} for row in own])
    lines = ['Class,Count,Accuracy,Precision,Recall,F1 Score,AUC']
    for network in networks:
        values = ['' if v is None else repr(v) for v in network['metrics'].values()]
        lines.append(','.join([network['class'], str(network['index']), *values]))
    (folder / 'metrics.csv').write_text('\n'.join(lines) + '\n')


def put_table(dataset, table):
    dataset.attrs['layer'] = [row['layer'] for row in table]
    dataset.attrs['part'] = [row['part'] for row in table]
    dataset.attrs['shape'] = [json.dumps(row['shape'], separators=(',', ':')) for row in table]
    dataset.attrs['offset'] = np.array([row['offset'] for row in table], '<i4')
    dataset.attrs['size'] = np.array([row['size'] for row in table], '<i4')


def run(script, *arguments):
    command = [sys.executable, str(HERE / script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


class CheckZoo(unittest.TestCase):
    def setUp(self):
        self.temporary = tempfile.TemporaryDirectory()
        self.zoo = Path(self.temporary.name) / 'zoo'
        self.networks = make_networks(LENET5)
        self.table = parameter_table(LENET5)
        write_zoo(self.zoo, self.networks, LENET5, self.table)

    def tearDown(self):
        self.temporary.cleanup()

    def assert_fails(self, words):
        done = run('check_zoo.py', self.zoo)
        self.assertEqual(done.returncode, 1, done.stdout[:300])
        self.assertIn(words, done.stderr)
        self.assertEqual(len(done.stderr.strip().splitlines()), 1, done.stderr)

    def test_sound_zoo(self):
        done = run('check_zoo.py', self.zoo)
        self.assertEqual(done.returncode, 0, done.stderr)
        found = json.loads(done.stdout)
        self.assertEqual(list(found['networks']), ['tench_0', 'tench_1', 'gas pump_0', 'church_0', 'church_1'])
        for network, read in zip(self.networks, found['networks'].values()):
            self.assertEqual(set(read['sha256'].values()), {network['sha256']})
            self.assertEqual(read['count'], 91481)
        self.assertEqual(found['modelwise']['table'], self.table)
        self.assertEqual(found['modelwise']['labels'], [0, 0, 1, 2, 2])
        self.assertEqual(found['layerwise']['shapes']['church']['conv2d_2'], [2, 48120])
        self.assertEqual(found['failed'], ['church_2'])
        self.assertIsNone(found['modelwise']['metrics'][2][4])

    def test_not_compiled(self):
        for name in ('modelwise.h5', 'layerwise.h5', 'metrics.csv'):
            (self.zoo / name).unlink()
        found = json.loads(run('check_zoo.py', self.zoo).stdout)
        self.assertIsNone(found['modelwise'])
        self.assertEqual(set(found['networks']['church_1']['sha256']), {'model', 'ledger'})

    def test_one_bit_in_a_model_file(self):
        with h5py.File(self.zoo / 'models' / 'church_1.weights.h5', 'r+') as file:
            file['layers/conv2d_1/vars/0'][4, 4, 5, 15] += 1e-6
        self.assert_fails('church_1 differs between its places')

    def test_layers_of_two_networks_mixed(self):
        with h5py.File(self.zoo / 'layerwise.h5', 'r+') as file:
            file['tench/dense'][...] = file['tench/dense'][()][::-1]
        self.assert_fails('tench_0 differs between its places')

    def test_rows_in_another_order(self):
        with h5py.File(self.zoo / 'modelwise.h5', 'r+') as file:
            file['parameters'][...] = np.roll(file['parameters'][()], 1, axis=0)
        self.assert_fails('differs between its places')

    def test_networks_of_a_class_in_another_order(self):
        with h5py.File(self.zoo / 'modelwise.h5', 'r+') as file:
            file['index'] = np.array([network['index'] for network in self.networks], '<i4')
        with h5py.File(self.zoo / 'layerwise.h5', 'r+') as file:
            file['tench'].attrs['index'] = np.array([1, 0], '<i4')
        self.assert_fails('/tench has the index [1, 0], modelwise.h5 [0, 1]')

    def test_wrong_label(self):
        with h5py.File(self.zoo / 'modelwise.h5', 'r+') as file:
            file['labels'][0] = 2
        self.assert_fails('layerwise.h5')

    def test_table_with_a_gap(self):
        with h5py.File(self.zoo / 'modelwise.h5', 'r+') as file:
            offsets = file['parameters'].attrs['offset']
            offsets[3] += 1
            file['parameters'].attrs['offset'] = offsets
        self.assert_fails('starts at 473, not 472')

    def test_missing_and_truncated_files(self):
        path = self.zoo / 'models' / 'church_0.weights.h5'
        path.write_bytes(path.read_bytes()[:5000])
        self.assert_fails('OSError')
        path.unlink()
        self.assert_fails('the ledger has church_0 as finished')

    def test_other_metrics(self):
        with h5py.File(self.zoo / 'modelwise.h5', 'r+') as file:
            file['metrics'][1, 0] = 0.8
        self.assert_fails('tench_1: modelwise.h5 has the metrics')


class CheckKeras(unittest.TestCase):
    def test_predictions(self):
        import numpy_network

        spec = copy.deepcopy(LENET5)
        networks, table = make_networks(spec), parameter_table(spec)
        images = np.random.default_rng(1).random((3, 32, 32, 3)).astype('<f4')
        with tempfile.TemporaryDirectory() as temporary:
            zoo = Path(temporary) / 'zoo'
            write_zoo(zoo, networks, spec, table)
            images.tofile(zoo / 'inputs.bin')
            done = run('check_keras.py', zoo, zoo / 'inputs.bin', 3)
            if done.returncode == 77:
                self.skipTest(done.stderr)
            self.assertEqual(done.returncode, 0, done.stderr)
            found = json.loads(done.stdout)['probabilities']
            some = json.loads(run('check_keras.py', zoo, zoo / 'inputs.bin', 3, 'church_1').stdout)['probabilities']
        self.assertEqual(list(some), ['church_1'])
        for network in networks:
            wanted = numpy_network.forward_backward(
                spec, network['weights'].astype(float), images.astype(float), np.zeros(3, int), 'binaryCrossentropy'
            )['probabilities']
            found_here = np.array(found[file_name(network['class'], network['index'])])
            np.testing.assert_allclose(found_here, wanted, atol=1e-6)


if __name__ == '__main__':
    unittest.main()
