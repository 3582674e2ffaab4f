"""Reads a zoo's outputs and checkpoints with numpy and h5py, and judges them with scikit-learn: JSON on standard output.

python check_outputs.py <zoo-dir>
"""

import base64
import json
import sys
from pathlib import Path

import h5py
import numpy as np
from sklearn.metrics import roc_auc_score, roc_curve

zoo = Path(sys.argv[1])
manifest = json.loads((zoo / 'zoo.json').read_text(encoding='utf-8'))
labels = np.frombuffer(base64.b64decode(manifest['stores']['outputs']['validationLabels']), 'u1')
outputs = np.fromfile(zoo / 'outputs.f32', '<f4').reshape(-1, len(labels))
records = [json.loads(line) for line in (zoo / 'ledger.jsonl').read_text(encoding='utf-8').splitlines()]
records.sort(key=lambda record: (manifest['classNames'].index(record['class']), record['index']))
rows = np.stack([outputs[record['outputs']['row']] for record in records]).astype('f8')
networks = {}
for record, row in zip(records, rows):
    targets = labels == manifest['classNames'].index(record['class'])
    fpr, tpr, thresholds = roc_curve(targets, row, drop_intermediate=False)
    with h5py.File(zoo / 'checkpoints' / f'{record["class"]}_{record["index"]}.h5') as file:
        checkpoints = {'epochs': file['epochs'][()].tolist(), 'shape': list(file['parameters'].shape)}
    networks[f'{record["class"]}_{record["index"]}'] = {
        'fpr': fpr.tolist(),
        'tpr': tpr.tolist(),
        'thresholds': thresholds[1:].tolist(),
        'auc': roc_auc_score(targets, row),
        **checkpoints,
    }
calls = rows > 0.5
with h5py.File(zoo / 'modelwise.h5') as file:
    parts = file['split'].attrs['parts']
    split = [part.decode() if isinstance(part, bytes) else str(part) for part in np.asarray(parts)[file['split'][()]]]
print(
    json.dumps(
        {
            'networks': networks,
            'agreement': (calls[:, None, :] == calls[None, :, :]).mean(2).ravel().tolist(),
            'correlation': np.corrcoef(rows).ravel().tolist(),
            'split': split,
        }
    )
)
