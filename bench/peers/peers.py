"""LeNet-5 by weightzoo's recipe in other frameworks, one core each.

    bench/peers/setup.sh
    bench/peers/.venv/bin/python bench/peers/peers.py                    # speed of every peer and of weightzoo
    bench/peers/.venv/bin/python bench/peers/peers.py --data folder --accuracy --peers torch --classes tench,church --count 3

Speed: every peer runs in a process of its own, pinned to one core, and stays warm; rounds go around the peers, so that
a slow minute of the machine hits them all, and each peer's median counts. Prints one JSON object a line and peer:
training and prediction in samples/s, and what a whole network costs by them (25 epochs on all training images, each
with the validation split). Without --data the images are random, which is as good for speed.

Accuracy: trains whole networks (25 epochs, 9,000 images, 9-10 % positives) and prints one JSON object a line and
network: accuracy, precision, recall, F1, AUC on the validation split.

The folder's files are described in data.py.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

EPOCHS, BATCH = 25, 128

# Name -> module, class, and its options.
PEERS = {
    'torch': ('peer_torch', 'Torch', {}),
    'torch-channels-last': ('peer_torch', 'Torch', {'channels_last': True}),
    'torch-vmap8': ('peer_torch', 'TorchVmap', {}),
    'jax': ('peer_jax', 'Jax', {}),
    'jax-scan': ('peer_jax', 'JaxScan', {}),
    'jax-patches': ('peer_jax', 'JaxPatches', {}),
    'jax-vmap8': ('peer_jax', 'JaxVmap', {}),
    'jax-vmap8-patches': ('peer_jax', 'JaxVmapPatches', {}),
    'keras': ('peer_keras', 'Keras', {}),
    'keras-xla': ('peer_keras', 'KerasXla', {}),
}

# weightzoo itself, by the same protocol in Node: engine and algorithm.
OWN = {
    'weightzoo-native': ('native', 'minimal-filtering'),
    'weightzoo-native-direct': ('native', 'direct'),
    'weightzoo-wasm': ('wasm', 'minimal-filtering'),
    'weightzoo-tfjs': ('tfjs', 'direct'),
}

# Libraries read these when they load; the core is enforced by the process's affinity besides.
ONE_THREAD = {
    'OMP_NUM_THREADS': '1',
    'MKL_NUM_THREADS': '1',
    'OPENBLAS_NUM_THREADS': '1',
    'TF_NUM_INTRAOP_THREADS': '1',
    'TF_NUM_INTEROP_THREADS': '1',
    'XLA_FLAGS': '--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1',
    'JAX_PLATFORMS': 'cpu',
    'CUDA_VISIBLE_DEVICES': '',
    'TF_CPP_MIN_LOG_LEVEL': '3',
}


def main():
    parser = argparse.ArgumentParser(description='LeNet-5 in other frameworks, one core each')
    parser.add_argument('--data', help='folder with meta.json and the images; default: random images')
    parser.add_argument('--peers', default=','.join([*OWN, *PEERS]), help='comma-separated; default: all')
    parser.add_argument('--steps', type=int, default=20, help='training steps a round; default 20')
    parser.add_argument('--rounds', type=int, default=5, help='default 5')
    parser.add_argument('--core', type=int, default=max(os.sched_getaffinity(0)), help='default: the last one')
    parser.add_argument('--accuracy', action='store_true', help='train whole networks and print their metrics')
    parser.add_argument('--classes', help='with --accuracy: comma-separated names; default: all')
    parser.add_argument('--count', type=int, default=3, help='with --accuracy: networks a class; default 3')
    parser.add_argument('--epochs', type=int, default=EPOCHS, help='with --accuracy; default 25')
    parser.add_argument('--seed', type=int, default=0, help='with --accuracy; default 0')
    parser.add_argument('--worker', choices=PEERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        return work(options)
    names = options.peers.split(',')
    for name in names:
        if name not in PEERS and (options.accuracy or name not in OWN):
            parser.error(f'unknown peer {name}; there are {", ".join([*OWN, *PEERS])}')
    if options.accuracy:
        for name in names:
            Worker(name, options).stream()
    else:
        measure_speed(names, options)


class Worker:
    """A peer in a process of its own; one line in, one JSON line out."""

    def __init__(self, name, options):
        self.name = name
        command = [sys.executable, __file__, '--worker', name, '--core', str(options.core)]
        for key in ('data', 'steps', 'classes', 'count', 'epochs', 'seed'):
            if getattr(options, key) is not None:
                command += [f'--{key}', str(getattr(options, key))]
        if options.accuracy:
            command.append('--accuracy')
        if name in OWN:
            script = str(Path(__file__).with_name('peer_weightzoo.mjs'))
            command = ['taskset', '-c', str(options.core), 'node', script, *OWN[name], str(options.steps)]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **ONE_THREAD},
        )

    def ask(self, request):
        try:
            self.process.stdin.write(request + '\n')
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        answer = self.process.stdout.readline()
        if not answer:
            self.fail()
        return json.loads(answer)

    def stream(self):
        """Passes the worker's lines on as they come."""
        out, process = sys.stdout, self.process
        process.stdin.close()
        for line in process.stdout:
            out.write(line)
            out.flush()
        if process.wait() != 0:
            self.fail()

    def fail(self):
        reason = self.process.stderr.read().strip().splitlines()
        raise PeerFailed(f'{self.name}: {reason[-1] if reason else "ended without a word"}')

    def close(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            self.process.wait()


class PeerFailed(Exception):
    pass


def measure_speed(names, options):
    workers, warm, rounds = {}, {}, {}
    try:
        for name in names:
            # One peer's failure (not installed, a version that no longer has a call) should not cost the others.
            try:
                workers[name] = Worker(name, options)
                warm[name] = workers[name].ask('warm')
                rounds[name] = []
            except PeerFailed as error:
                del workers[name]
                print(json.dumps({'peer': name, 'error': str(error)}), flush=True)
        for _ in range(options.rounds):
            for name, worker in workers.items():
                rounds[name].append(worker.ask('round'))
    finally:
        for worker in workers.values():
            worker.close()
    report(names, warm, rounds, options)


def report(names, warm, rounds, options):
    """One JSON object a line and peer, then a table with everybody's rate as a share of the best other library's."""
    lines = []
    for name, results in rounds.items():
        train = [result['train'] for result in results]
        predict = [result['predict'] for result in results]
        speed, check = statistics.median(train), statistics.median(predict)
        seconds = EPOCHS * (warm[name]['trainImages'] / speed + warm[name]['validationImages'] / check)
        lines.append(
            {
                'peer': name,
                **warm[name],
                'trainSamplesPerSecond': round(speed, 1),
                'trainRange': [round(min(train), 1), round(max(train), 1)],
                'predictSamplesPerSecond': round(check, 1),
                'secondsPerNetwork': round(seconds, 2),
                'networksPerHour': round(3600 / seconds, 2),
                'rounds': len(results),
                'steps': options.steps,
                'batch': BATCH,
            }
        )
    for line in lines:
        print(json.dumps(line), flush=True)
    others = [line['networksPerHour'] for line in lines if line['peer'] in PEERS]
    print(f'\n{"":26}{"samples/s":>11}{"s/network":>11}{"networks/h":>12}{"of best peer":>14}')
    for line in sorted(lines, key=lambda line: -line['networksPerHour']):
        share = f'{line["networksPerHour"] / max(others):.2f}' if others else ''
        print(
            f'{line["peer"]:26}{line["trainSamplesPerSecond"]:11,.0f}{line["secondsPerNetwork"]:11,.1f}'
            f'{line["networksPerHour"]:12,.0f}{share:>14}'
        )


def work(options):
    # Before any library loads, so that all its threads stay on the one core.
    os.sched_setaffinity(0, {options.core})
    # Whatever a library prints, standard output stays JSON.
    answers = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    import importlib

    import data

    def answer(value):
        answers.write(json.dumps(value) + '\n')
        answers.flush()

    images = data.load(options.data)
    module, name, arguments = PEERS[options.worker]
    peer = getattr(importlib.import_module(module), name)(images, **arguments)
    if options.accuracy:
        train_networks(peer, images, options, answer)
    else:
        serve_rounds(peer, images, options, answer)


def serve_rounds(peer, images, options, answer):
    import numpy as np

    rng = np.random.default_rng(1)
    targets = np.stack([images.train_labels == k % len(images.class_names) for k in range(peer.networks)])
    targets = targets.astype(np.float32)
    for line in sys.stdin:
        # int32 is what all of them index with at no cost but PyTorch, which makes int64 of it in the gather.
        shape = (peer.networks, options.steps, BATCH)
        batches = rng.integers(0, len(images.train), shape, dtype=np.int64 if 'Torch' in type(peer).__name__ else np.int32)
        start = time.perf_counter()
        peer.train(batches, targets)
        trained = time.perf_counter()
        probabilities = peer.predict()
        predicted = time.perf_counter()
        if not np.isfinite(probabilities).all() or probabilities.shape != (peer.networks, len(images.validation)):
            raise SystemExit(f'{options.worker} gave probabilities {probabilities.shape}, or not finite ones')
        if line.strip() == 'warm':
            # A second call of the same shapes: some libraries compile or choose algorithms twice.
            peer.train(batches, targets)
            peer.predict()
            answer(
                {
                    'versions': peer.versions(),
                    'images': images.name,
                    'networks': peer.networks,
                    'trainImages': len(images.train),
                    'validationImages': len(images.validation),
                    'firstCallSeconds': round(predicted - start, 2),
                }
            )
        else:
            answer(
                {
                    'train': batches.size / (trained - start),
                    'predict': probabilities.size / (predicted - trained),
                }
            )


def train_networks(peer, images, options, answer):
    """Networks are numbered within their class; a peer of 8 trains 8 numbers of one class together."""
    import data
    import numpy as np

    classes = options.classes.split(',') if options.classes else images.class_names
    for name in classes:
        if name not in images.class_names:
            raise SystemExit(f'unknown class {name}; there are {", ".join(images.class_names)}')
    for name in classes:
        label = images.class_names.index(name)
        for first in range(0, options.count, peer.networks):
            start = time.perf_counter()
            streams = [np.random.default_rng([options.seed, label, first + k]) for k in range(peer.networks)]
            chosen = [data.sample_one_vs_all(images, label, rng) for rng in streams]
            orders = np.stack(
                [data.epoch_order(own, options.epochs, rng) for own, rng in zip(chosen, streams)]
            ).astype(np.int64 if 'Torch' in type(peer).__name__ else np.int32)
            targets = np.tile((images.train_labels == label).astype(np.float32), (peer.networks, 1))
            peer.start(int(streams[0].integers(2**31)))
            whole = orders.shape[2] // BATCH * BATCH
            for epoch in range(options.epochs):
                order = orders[:, epoch]
                peer.train(order[:, :whole].reshape(peer.networks, -1, BATCH), targets)
                if whole < order.shape[1]:
                    # The last, smaller batch of an epoch counts too.
                    peer.train(order[:, None, whole:], targets)
            probabilities = peer.predict()
            seconds = (time.perf_counter() - start) / peer.networks
            for k in range(min(peer.networks, options.count - first)):
                answer(
                    {
                        'peer': options.worker,
                        'class': name,
                        'index': first + k,
                        **metrics(images.validation_labels == label, probabilities[k]),
                        'positives': int((images.train_labels[chosen[k]] == label).sum()),
                        'samples': len(chosen[k]),
                        'epochs': options.epochs,
                        'seconds': round(seconds, 2),
                        'versions': peer.versions(),
                    }
                )


def metrics(truth, probabilities):
    from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score, roc_auc_score

    predicted = probabilities > 0.5
    return {
        'accuracy': float(accuracy_score(truth, predicted)),
        'precision': float(precision_score(truth, predicted, zero_division=0)),
        'recall': float(recall_score(truth, predicted, zero_division=0)),
        'f1': float(f1_score(truth, predicted, zero_division=0)),
        'auc': float(roc_auc_score(truth, probabilities)),
    }


if __name__ == '__main__':
    try:
        main()
    except PeerFailed as error:
        sys.exit(f'peers: {error}')
