"""Reads a zoo directory with h5py and numpy, and nothing of weightzoo: python check_zoo.py <zoo-dir>

Every network is read from its three places (its own model file, its row of modelwise.h5, its row in every layer of
layerwise.h5) and compared with the ledger's hash. What was read goes to standard output as one JSON object, for the
test that called to compare with what it wrote. Where something does not agree: one line on standard error, exit code 1.

The compiled files may be absent (`modelwise` and `layerwise` are null then).
"""

import csv
import hashlib
import json
import re
import sys
from pathlib import Path

import h5py
import numpy as np

METRICS = ['accuracy', 'precision', 'recall', 'f1', 'auc']


class Disagreement(Exception):
    pass


def expect(condition, message):
    if not condition:
        raise Disagreement(message)


def sha256(values):
    return hashlib.sha256(np.ascontiguousarray(values, '<f4').tobytes()).hexdigest()


def plain(value):
    """h5py's values as JSON has them: bytes as text, arrays as lists, not-a-number as null."""
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, (np.ndarray, np.generic)):
        return plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def attributes(thing):
    return {name: plain(value) for name, value in thing.attrs.items()}


def safe_name(name):
    """A class name as files and groups have it."""
    return re.sub(
        r'[^A-Za-z0-9_.-]', lambda match: ''.join(f'%{byte:02X}' for byte in match[0].encode()), name, flags=re.ASCII
    )


def read_ledger(path):
    """The last line of each network counts."""
    records = {}
    for line in path.read_text(encoding='utf-8').splitlines():
        record = json.loads(line)
        records[f'{record["class"]}_{record["index"]}'] = record
    return records


def table_of(dataset):
    """The parameter table from a dataset's attributes, checked to have no gaps."""
    columns = {name: plain(dataset.attrs[name]) for name in ('layer', 'part', 'shape', 'offset', 'size')}
    rows = [dict(zip(columns, row)) for row in zip(*columns.values(), strict=True)]
    offset = 0
    for row in rows:
        row['shape'] = json.loads(row['shape'])
        where = f'{dataset.name}: {row["layer"]} {row["part"]}'
        expect(row['offset'] == offset, f'{where} starts at {row["offset"]}, not {offset}')
        expect(int(np.prod(row['shape'])) == row['size'], f'{where} has shape {row["shape"]} but size {row["size"]}')
        offset += row['size']
    expect(offset == dataset.shape[1], f'{dataset.name} has {dataset.shape[1]} columns; its table says {offset}')
    expect(
        [row['part'] for row in rows] == ['bias', 'kernel'] * (len(rows) // 2),
        f'{dataset.name}: its table does not go bias, kernel, bias, kernel, ...',
    )
    return rows


def read_model(path, table):
    """One network's flat weights, found the way Keras finds them.

    Keras numbers the groups within each type of layer, whatever the layers are called; a kernel of four dimensions is
    a convolution's, one of two a dense layer's.
    """
    pieces, used = [], {}
    with h5py.File(path) as file:
        for bias, kernel in zip(table[::2], table[1::2]):
            kind = {4: 'conv2d', 2: 'dense'}[len(kernel['shape'])]
            number = used.get(kind, 0)
            used[kind] = number + 1
            group = f'layers/{kind}{f"_{number}" if number else ""}/vars'
            expect(group in file, f'{path.name} has no {group}')
            expect(set(file[group]) == {'0', '1'}, f'{path.name}: {group} holds {sorted(file[group])}, not 0 and 1')
            for row, index in ((bias, '1'), (kernel, '0')):
                dataset = file[group][index]
                expect(dataset.dtype == np.dtype('<f4'), f'{path.name}: {dataset.name} is {dataset.dtype}, not <f4')
                expect(
                    list(dataset.shape) == row['shape'],
                    f'{path.name}: {dataset.name} is {list(dataset.shape)}, not {row["shape"]}',
                )
                pieces.append(dataset[()].ravel())
        return np.concatenate(pieces), attributes(file)


def columns_of(file):
    """What modelwise.h5 says of each network beside weights, label and name; the legends of numbers too."""
    paths = [name for name in ('index', 'metrics', 'split') if name in file]
    paths += [f'hyperparameters/{name}' for name in file.get('hyperparameters', ())]
    columns = {path: plain(file[path][()]) for path in paths}
    return columns, {name: value for path in paths for name, value in attributes(file[path]).items()}


def read_modelwise(path):
    with h5py.File(path) as file:
        parameters = file['parameters']
        expect(parameters.dtype == np.dtype('<f4'), f'{path.name}: parameters is {parameters.dtype}, not <f4')
        expect(file['labels'].dtype == np.dtype('<i4'), f'{path.name}: labels is {file["labels"].dtype}, not <i4')
        expect(file['metrics'].dtype == np.dtype('<f8'), f'{path.name}: metrics is {file["metrics"].dtype}, not <f8')
        names = [plain(name) for name in file['names'][()]]
        found = {
            'shape': list(parameters.shape),
            'chunks': plain(parameters.chunks),
            'names': names,
            'labels': plain(file['labels'][()]),
            'metrics': plain(file['metrics'][()]),
            'columns': plain(file['metrics'].attrs['columns']),
            'table': table_of(parameters),
            'attributes': attributes(file),
            'networks': columns_of(file),
        }
        for name in ('names', 'labels', 'metrics'):
            expect(len(found[name]) == len(parameters), f'{path.name}: {len(parameters)} rows but {len(found[name])} {name}')
        expect(found['columns'] == METRICS, f'{path.name}: metrics has columns {found["columns"]}')
        expect(len(set(names)) == len(names), f'{path.name}: a name occurs twice')
        # Row by row: a zoo may be larger than memory.
        hashes = {name: sha256(parameters[row]) for row, name in enumerate(names)}
    return found, hashes


def read_layerwise(path, modelwise):
    """Checks each layer's table against the modelwise one, and joins a network's layers into one hash again."""
    class_names = modelwise['attributes']['class_names']
    members = {name: [] for name in class_names}
    for name, label in zip(modelwise['names'], modelwise['labels']):
        members[class_names[label]].append(name)
    layers = list(dict.fromkeys(row['layer'] for row in modelwise['table']))
    shapes, networks, hashes = {}, {}, {}
    columns, legends = modelwise['networks']
    with h5py.File(path) as file:
        present = [name for name in class_names if members[name]]
        expect(
            sorted(file) == sorted(safe_name(name) for name in present),
            f'{path.name} has the groups {sorted(file)}; modelwise.h5 has networks of {present}',
        )
        for class_name in present:
            group = file[safe_name(class_name)]
            expect(sorted(group) == sorted(layers), f'{path.name}: {group.name} holds {sorted(group)}, not {sorted(layers)}')
            shapes[class_name] = {}
            for layer in layers:
                rows = [row for row in modelwise['table'] if row['layer'] == layer]
                dataset = group[layer]
                shapes[class_name][layer] = list(dataset.shape)
                wanted = [len(members[class_name]), sum(row['size'] for row in rows)]
                expect(list(dataset.shape) == wanted, f'{path.name}: {dataset.name} is {list(dataset.shape)}, not {wanted}')
                expect(dataset.dtype == np.dtype('<f4'), f'{path.name}: {dataset.name} is {dataset.dtype}, not <f4')
                if 'layer' in dataset.attrs:
                    own = [{**row, 'offset': row['offset'] - rows[0]['offset']} for row in rows]
                    expect(table_of(dataset) == own, f'{path.name}: the table of {dataset.name} differs from modelwise.h5')
            if 'names' in group.attrs:
                names = plain(group.attrs['names'])
                expect(names == members[class_name], f'{path.name}: the names of {group.name} differ from modelwise.h5')
            networks[class_name] = {name: value for name, value in attributes(group).items() if name in columns}
            if 'index' in networks[class_name]:
                rows = [modelwise['names'].index(name) for name in members[class_name]]
                for name, values in columns.items():
                    own = networks[class_name].get(name)
                    wanted = [values[row] for row in rows]
                    expect(own == wanted, f'{path.name}: {group.name} has the {name} {own}, modelwise.h5 {wanted}')
                for name, value in legends.items():
                    expect(plain(group.attrs[name]) == value, f'{path.name}: {group.name} has other {name}')
            for row, name in enumerate(members[class_name]):
                hashes[name] = sha256(np.concatenate([group[layer][row] for layer in layers]))
        found = {'shapes': shapes, 'attributes': attributes(file), 'networks': networks}
    return found, hashes


def check_metrics(zoo, ledger, modelwise):
    """metrics.csv and the metrics of modelwise.h5 against the ledger."""
    rows = {}
    with (zoo / 'metrics.csv').open(newline='', encoding='utf-8') as file:
        reader = csv.reader(file)
        header = next(reader)
        wanted = ['Class', 'Count', 'Accuracy', 'Precision', 'Recall', 'F1 Score', 'AUC']
        expect(header == wanted, f'metrics.csv has the columns {header}')
        for class_name, index, *values in reader:
            rows[f'{class_name}_{index}'] = [float(value) if value else None for value in values]
    expect(set(rows) == set(modelwise['names']), 'metrics.csv and modelwise.h5 hold different networks')
    for name, metrics in zip(modelwise['names'], modelwise['metrics']):
        if 'metrics' not in ledger[name]:
            continue
        wanted = [ledger[name]['metrics'].get(column) for column in METRICS]
        expect(metrics == wanted, f'{name}: modelwise.h5 has the metrics {metrics}, the ledger {wanted}')
        expect(rows[name] == wanted, f'{name}: metrics.csv has the metrics {rows[name]}, the ledger {wanted}')


def check(zoo):
    ledger = read_ledger(zoo / 'ledger.jsonl')
    finished = {name: record for name, record in ledger.items() if record['status'] == 'finished'}
    models = {path.name.removesuffix('.weights.h5'): path for path in (zoo / 'models').glob('*.weights.h5')}
    wanted = {f'{safe_name(record["class"])}_{record["index"]}': name for name, record in finished.items()}
    for file in wanted:
        expect(file in models, f'the ledger has {wanted[file]} as finished, models/ does not have it')
    compiled = (zoo / 'modelwise.h5').exists()
    if compiled:
        modelwise, row_hashes = read_modelwise(zoo / 'modelwise.h5')
        layerwise, joined_hashes = read_layerwise(zoo / 'layerwise.h5', modelwise)
        expect(set(row_hashes) == set(finished), 'modelwise.h5 and the ledger hold different networks')
        check_metrics(zoo, ledger, modelwise)
        table = modelwise['table']
    else:
        modelwise, layerwise = None, None
        table = json.loads((zoo / 'zoo.json').read_text(encoding='utf-8'))['parameters']

    networks = {}
    for file, name in wanted.items():
        weights, file_attributes = read_model(models[file], table)
        record = finished[name]
        for key in ('class', 'index', 'seed', 'sha256'):
            if key in file_attributes and key in record:
                expect(
                    file_attributes[key] == record[key],
                    f'{name}: its model file has {key} {file_attributes[key]}, the ledger {record[key]}',
                )
        hashes = {'model': sha256(weights), 'ledger': record['sha256']}
        if compiled:
            hashes |= {'modelwise': row_hashes[name], 'layerwise': joined_hashes[name]}
        expect(len(set(hashes.values())) == 1, f'{name} differs between its places: {hashes}')
        networks[name] = {'sha256': hashes, 'count': len(weights), 'attributes': file_attributes}
    return {
        'networks': networks,
        'failed': sorted(set(ledger) - set(finished)),
        'unlisted': sorted(set(models) - set(wanted)),
        'modelwise': modelwise,
        'layerwise': layerwise,
        'versions': {'h5py': h5py.__version__, 'hdf5': h5py.version.hdf5_version, 'numpy': np.__version__},
    }


if __name__ == '__main__':
    if len(sys.argv) != 2:
        sys.exit('usage: check_zoo.py <zoo-dir>')
    try:
        print(json.dumps(check(Path(sys.argv[1])), allow_nan=False))
    except (Disagreement, OSError, KeyError, ValueError) as error:
        kind = '' if isinstance(error, Disagreement) else f'{type(error).__name__}: '
        sys.exit(f'check_zoo: {kind}{error}')
