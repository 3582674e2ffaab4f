// What studying a large zoo costs, beside numpy and scikit-learn on the same file:
//   npm run bench:analysis [-- networks] [folder] [measurement,...]
// Writes a modelwise.h5 of made-up LeNet-5 weights (default 10,000 networks of ten classes, 3.7 GB), goes through it
// here and in Python, each measurement in a process of its own, checks that both find the same, and removes the file.
// Python does each twice: with the whole array in memory, as scripts are written, and streamed, some networks at a time.
// Its BLAS has one thread, as we have. Seconds are by the clock and of the processor: on a busy machine only the latter
// can be compared. Python is .venv/bin/python or python3, with numpy, scipy, scikit-learn and h5py; without them only
// our side is shown.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, statfsSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { weightDistributions } from '../dist/analysis/distributions.js'
import { layerDivergence } from '../dist/analysis/divergence.js'
import { principalComponents } from '../dist/analysis/principal-components.js'
import { lenet5Architecture } from '../dist/architecture/lenet5.js'
import { GaussianNaiveBayes } from '../dist/classifiers/gaussian-naive-bayes.js'
import { score } from '../dist/classifiers/scoring.js'
import { RandomStream } from '../dist/random.js'
import { openHdf5, writeHdf5 } from '../dist/zoo/hdf5.js'
import { fileSource, WeightMatrix } from '../dist/zoo/weight-matrix.js'

const CLASSES = 10
const { parameters, parameterCount } = lenet5Architecture()

/** Our side of every measurement; the result is what Python has to find too. */
const OURS = {
  distributions: async rows => {
    const { all, byClassAndLayer } = await weightDistributions(rows, { range: [-1, 1], bins: 512 })
    return [all.mean, all.sd, all.skewness, all.kurtosis, all.entropy, byClassAndLayer.at(-1).sd]
  },
  'naive bayes': async rows => {
    const bayes = await new GaussianNaiveBayes().fit(rows, rows.labels)
    const { accuracy, perClass } = score(rows.labels, await bayes.predict(rows))
    return [
      accuracy,
      ...perClass.map(({ f1 }) => 1 + f1),
      bayes.model.means.reduce((sum, mean) => sum + mean ** 2, 0),
    ]
  },
  divergence: async rows => {
    const byLayer = await layerDivergence(rows, { preset: 'paper' })
    return Object.values(byLayer).map(({ distance }) => distance.mean)
  },
  components: async rows =>
    (await principalComponents(rows, { components: 5 })).explainedVariance.slice(0, 3),
}

const PYTHON = `
import json, resource, sys, time
import h5py, numpy as np
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy, kurtosis, skew
from sklearn.decomposition import PCA, IncrementalPCA
from sklearn.metrics import accuracy_score, f1_score
from sklearn.naive_bayes import GaussianNB

what, way, path = sys.argv[1:]
start = time.perf_counter()
f = h5py.File(path)
stored, labels = f['parameters'], f['labels'][:]
x = stored[:] if way == 'whole' else None
ends = {}
for layer, offset, size in zip(*(stored.attrs[k] for k in ('layer', 'offset', 'size'))):
    first = ends.get(layer, (int(offset),))[0]
    ends[layer] = (first, int(offset + size))
layers = [slice(*ends[layer]) for layer in ends]
classes = np.unique(labels)
QUANTILES = [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99]


def blocks(size=46):
    for at in range(0, len(labels), size):
        yield labels[at : at + size], stored[at : at + size]


def moments(n, s1, s2, s3, s4):
    m = s1 / n
    c2, c3, c4 = s2 / n - m**2, s3 / n - 3 * m * s2 / n + 2 * m**3, s4 / n - 4 * m * s3 / n + 6 * m**2 * s2 / n - 3 * m**4
    return [m, c2**0.5, c3 / c2**1.5, c4 / c2**2 - 3]


if what == 'distributions' and way == 'whole':
    # The same groupings: by class and layer, from which the others follow, with histograms, moments, quantiles, the
    # near-zero histogram and share, and rounded values.
    total = np.zeros(512)
    for c in classes:
        rows = x[labels == c]
        np.unique(np.round(rows, 3), return_counts=True)
        for s in layers:
            v = rows[:, s].ravel()
            total += np.histogram(v, 512, (-1, 1))[0]
            np.histogram(v, 500, (-0.2, 0.2))
            np.quantile(v, QUANTILES)
            (np.abs(v) < 1e-3).mean(), v.min(), v.max()
            last = v.mean(dtype=np.float64), v.std(dtype=np.float64), skew(v), kurtosis(v)
    sums = np.zeros(4)
    n = x.size
    mean = x.mean(dtype=np.float64)
    for row in x:
        d = row - mean
        sums[1:] += (d * d).sum(), (d**3).sum(), (d**4).sum()
    sd = (sums[1] / n) ** 0.5
    result = [mean, sd, sums[2] / n / sd**3, sums[3] / n / sd**4 - 3, entropy(total), last[1]]
elif what == 'distributions':
    # Quantiles are read from 65,536 fine bins and moments are power sums: not as exact as ours, but one pass.
    shape = len(classes), len(layers)
    sums, total, zoom, fine = np.zeros((*shape, 5)), np.zeros((*shape, 512)), np.zeros((*shape, 500)), np.zeros((*shape, 2**16))
    near, low, high = np.zeros(shape), np.full(shape, np.inf), np.full(shape, -np.inf)
    rounded = [{} for _ in classes]
    for y, block in blocks():
        for c in np.unique(y):
            rows = block[y == c]
            for value, count in zip(*np.unique(np.round(rows, 3), return_counts=True)):
                rounded[c][value] = rounded[c].get(value, 0) + count
            for l, s in enumerate(layers):
                v = rows[:, s].ravel()
                at = c, l
                total[at] += np.histogram(v, 512, (-1, 1))[0]
                zoom[at] += np.histogram(v, 500, (-0.2, 0.2))[0]
                fine[at] += np.histogram(v, 2**16, (-4, 4))[0]
                near[at] += (np.abs(v) < 1e-3).sum()
                low[at], high[at] = min(low[at], v.min()), max(high[at], v.max())
                d = v.astype(np.float64)
                square = d * d
                sums[at] += len(d), d.sum(), square.sum(), (square * d).sum(), (square * square).sum()
    result = [*moments(*sums.sum((0, 1))), entropy(total.sum((0, 1))), moments(*sums[-1, -1])[1]]
elif what == 'naive bayes':
    model = GaussianNB()
    if way == 'whole':
        predicted = model.fit(x, labels).predict(x)
    else:
        # The smoothing is a share of the largest variance of all rows, which partial_fit has to be told.
        n, s1, s2 = len(labels), 0, 0
        for _, block in blocks():
            d = block.astype(np.float64)
            s1, s2 = s1 + d.sum(0), s2 + (d * d).sum(0)
        model.epsilon_ = 0
        for y, block in blocks():
            model.partial_fit(block.astype(np.float64), y, classes)
        model.var_ += 1e-9 * (s2 / n - (s1 / n) ** 2).max() - model.epsilon_
        predicted = np.concatenate([model.predict(block.astype(np.float64)) for _, block in blocks()])
    result = [accuracy_score(labels, predicted), *(1 + f1_score(labels, predicted, average=None)), (model.theta_**2).sum()]
elif what == 'divergence':
    if way == 'whole':
        extents = [(x[:, s].min(), x[:, s].max()) for s in layers]
        counts = [[np.histogram(x[labels == c][:, s], bins=30, range=e)[0] for c in classes] for s, e in zip(layers, extents)]
    else:
        extents = [(np.inf, -np.inf)] * len(layers)
        for _, block in blocks():
            extents = [(min(a, block[:, s].min()), max(b, block[:, s].max())) for s, (a, b) in zip(layers, extents)]
        counts = np.zeros((len(layers), len(classes), 30))
        for y, block in blocks():
            for c in np.unique(y):
                rows = block[y == c]
                for l, s in enumerate(layers):
                    counts[l, c] += np.histogram(rows[:, s], bins=30, range=extents[l])[0]
    result = []
    for by_class, (low, high) in zip(counts, extents):
        p = [h / h.sum() / ((high - low) / 30) + 1e-10 for h in by_class]
        result.append(np.mean([jensenshannon(p[i], p[j]) for i in range(len(p)) for j in range(i)]))
elif way == 'whole':
    result = PCA(5, svd_solver='randomized', iterated_power=4, random_state=0).fit(x).explained_variance_[:3]
else:
    model = IncrementalPCA(5)
    for _, block in blocks():
        if len(block) >= 5: model.partial_fit(block)
    result = model.explained_variance_[:3]
usage = resource.getrusage(resource.RUSAGE_SELF)
report = {'seconds': time.perf_counter() - start, 'cpu': usage.ru_utime + usage.ru_stime, 'peak': usage.ru_maxrss * 1024}
print(json.dumps(report | {'result': [float(r) for r in result]}))
`

if (process.argv[2] === 'measure') await measureHere(process.argv[3], process.argv[4])
else
  await main(
    Number(process.argv[2] ?? 10_000),
    process.argv[3],
    process.argv[4]?.split(',') ?? Object.keys(OURS),
  )

async function main(networks, given, measurements) {
  const folder = mkdtempSync(join(given ?? tmpdir(), 'weightzoo-bench-'))
  const path = join(folder, 'modelwise.h5')
  const bytes = networks * parameterCount * 4
  const { bavail, bsize } = statfsSync(folder)
  try {
    if (bavail * bsize < 1.2 * bytes) throw new Error(`${folder} has no room for ${bytes} bytes`)
    const start = performance.now()
    await writeZoo(path, networks)
    console.log(`${cpus()[0].model}, Node ${process.version}; ${networks} LeNet-5 of ${CLASSES} classes,`)
    console.log(
      `${(bytes / 1e9).toFixed(2)} GB, written in ${((performance.now() - start) / 1000).toFixed(1)} s`,
    )
    const python = pythonHere()
    for (const what of measurements) {
      const ours = run(process.execPath, [fileURLToPath(import.meta.url), 'measure', what, path])
      show(`${what}, weightzoo`, ours)
      if (!python) continue
      for (const way of ['streamed', 'whole']) {
        const theirs = run(python, ['-c', PYTHON, what, way, path])
        show(`${what}, Python ${way}`, theirs)
        compare(what, way, ours, theirs)
      }
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Weights as training leaves them, roughly: spread by layer, shifted a little by class, a few far out. */
async function writeZoo(path, networks) {
  const stream = new RandomStream(1, 'bench')
  // Gaussian numbers are slow to make, so networks are random windows of one long pool, scaled.
  const pool = Float32Array.from({ length: 2 ** 20 + parameterCount }, () => {
    const radius = Math.sqrt(-2 * Math.log(1 - stream.uniform()))
    return radius * Math.cos(2 * Math.PI * stream.uniform())
  })
  await writeHdf5(path, file => {
    const labels = Int32Array.from({ length: networks }, (_, row) => Math.floor((row * CLASSES) / networks))
    file.dataset('labels', labels, [networks])
    const matrix = file.matrix('parameters', networks, parameterCount, 4)
    file.attribute(
      'layer',
      parameters.map(({ layer }) => layer),
      'parameters',
    )
    file.attribute(
      'offset',
      Int32Array.from(parameters, ({ offset }) => offset),
      'parameters',
    )
    file.attribute(
      'size',
      Int32Array.from(parameters, ({ size }) => size),
      'parameters',
    )
    const block = new Float32Array(parameterCount)
    for (let row = 0; row < networks; row++) {
      const start = stream.integer(2 ** 20)
      const shift = stream.integer(2 ** 20)
      const level = 0.3 * (pool[start] + 0.3 * labels[row])
      for (const { part, shape, offset, size } of parameters) {
        const sd = part === 'bias' ? 0.02 : 1 / Math.sqrt(3 * shape.slice(0, -1).reduce((a, b) => a * b, 1))
        const scale = sd * (1 + 0.02 * labels[row])
        for (let i = offset; i < offset + size; i++)
          block[i] = scale * (pool[start + i] + level * pool[(shift % 7) + i])
      }
      matrix.writeRows(row, block)
    }
  })
}

async function measureHere(what, path) {
  const start = performance.now()
  const file = await openHdf5(path)
  const [networks] = file.shape('parameters')
  const labels = Int32Array.from({ length: networks }, (_, row) => Math.floor((row * CLASSES) / networks))
  const rows = new WeightMatrix(
    fileSource(file, 'parameters', () => file.close()),
    {
      names: Array.from(labels, (label, row) => `class_${label}_${row}`),
      labels,
      classNames: Array.from({ length: CLASSES }, (_, label) => `class_${label}`),
      positions: Uint32Array.from({ length: networks }, (_, row) => row),
    },
    parameters,
  )
  const result = await OURS[what](rows)
  const { maxRSS, userCPUTime, systemCPUTime } = process.resourceUsage()
  const cpu = (userCPUTime + systemCPUTime) / 1e6
  console.log(
    JSON.stringify({ seconds: (performance.now() - start) / 1000, cpu, peak: maxRSS * 1024, result }),
  )
}

function run(command, args) {
  const env = { ...process.env, OMP_NUM_THREADS: '1', OPENBLAS_NUM_THREADS: '1' }
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8', env })
  if (status !== 0)
    throw new Error(`${args.slice(0, 2).join(' ').slice(0, 80)} ended with ${status}\n${stderr}`)
  return JSON.parse(stdout.trim().split('\n').at(-1))
}

function show(what, { seconds, cpu, peak }) {
  const columns = [
    `${seconds.toFixed(1)} s`,
    `processor ${cpu.toFixed(1)} s`,
    `peak ${(peak / 1e6).toFixed(0)} MB`,
  ]
  console.log(`${what.padEnd(32)} ${columns.map(column => column.padStart(17)).join('')}`)
}

function compare(what, way, ours, theirs) {
  // PCA is approximate on both sides, incremental PCA very much so; the rest is arithmetic, in Python partly in float32.
  const tolerance = what === 'components' ? (way === 'whole' ? 0.02 : 0.5) : 1e-3
  const apart = Math.max(...ours.result.map((value, i) => Math.abs(value / theirs.result[i] - 1)))
  const verdict = apart < tolerance ? 'agree' : 'DIFFER'
  const times = `processor time ${(theirs.cpu / ours.cpu).toFixed(2)} times ours, memory ${(theirs.peak / ours.peak).toFixed(1)} times`
  console.log(`${''.padEnd(32)}   ${times}; results ${verdict}: at most ${apart.toExponential(1)} apart`)
  if (apart >= tolerance) process.exitCode = 1
}

function pythonHere() {
  const candidates = [fileURLToPath(new URL('../.venv/bin/python', import.meta.url)), 'python3']
  const found = candidates.find(
    python =>
      (!python.includes('/') || existsSync(python)) &&
      spawnSync(python, ['-c', 'import numpy, scipy, sklearn, h5py']).status === 0,
  )
  if (!found) console.log('no Python with numpy, scipy, scikit-learn and h5py: our side only')
  return found
}
