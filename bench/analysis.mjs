// What studying a large zoo costs, beside numpy and scikit-learn on the same file:
//   npm run bench:analysis [-- networks] [folder]
// Writes a modelwise.h5 of made-up LeNet-5 weights (default 10,000 networks of ten classes, 3.7 GB), goes through it
// here and in Python, each measurement in a process of its own, checks that both find the same, and removes the file.
// Python is .venv/bin/python or python3, with numpy, scipy, scikit-learn and h5py; without them only our side is shown.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, statfsSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { weightDistributions } from '../dist/analysis/distributions.js'
import { layerDivergence } from '../dist/analysis/divergence.js'
import { principalComponents } from '../dist/analysis/principal-components.js'
import { lenet5Architecture } from '../dist/architecture/lenet5.js'
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
from sklearn.decomposition import PCA

what, path = sys.argv[1:]
start = time.perf_counter()
f = h5py.File(path)
x, labels = f['parameters'][:], f['labels'][:]
ends = {}
for layer, offset, size in zip(*(f['parameters'].attrs[k] for k in ('layer', 'offset', 'size'))):
    first = ends.get(layer, (int(offset),))[0]
    ends[layer] = (first, int(offset + size))
layers = [slice(*ends[layer]) for layer in ends]
classes = np.unique(labels)
if what == 'distributions':
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
            np.quantile(v, [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99])
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
elif what == 'divergence':
    result = []
    for s in layers:
        extent = (x[:, s].min(), x[:, s].max())
        p = []
        for c in classes:
            h = np.histogram(x[labels == c][:, s], bins=30, range=extent, density=True)[0] + 1e-10
            p.append(h / h.sum())
        d = [jensenshannon(p[i], p[j]) for i in range(len(p)) for j in range(i)]
        result.append(np.mean(d))
else:
    result = PCA(5, svd_solver='randomized', iterated_power=4, random_state=0).fit(x).explained_variance_[:3].tolist()
seconds = time.perf_counter() - start
print(json.dumps({'seconds': seconds, 'peak': resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, 'result': [float(r) for r in result]}))
`

if (process.argv[2] === 'measure') await measureHere(process.argv[3], process.argv[4])
else await main(Number(process.argv[2] ?? 10_000), process.argv[3])

async function main(networks, given) {
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
    for (const what of Object.keys(OURS)) {
      const ours = run(process.execPath, [fileURLToPath(import.meta.url), 'measure', what, path])
      show(`${what}, weightzoo`, ours, networks)
      if (!python) continue
      const theirs = run(python, ['-c', PYTHON, what, path])
      show(`${what}, Python`, theirs, networks)
      compare(what, ours.result, theirs.result)
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
  const peak = process.resourceUsage().maxRSS * 1024
  console.log(JSON.stringify({ seconds: (performance.now() - start) / 1000, peak, result }))
}

function run(command, args) {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8' })
  if (status !== 0)
    throw new Error(`${args.slice(0, 2).join(' ').slice(0, 80)} ended with ${status}\n${stderr}`)
  return JSON.parse(stdout.trim().split('\n').at(-1))
}

function show(what, { seconds, peak }, networks) {
  const rate = (networks * parameterCount) / 1e6 / seconds
  console.log(
    `${what.padEnd(26)} ${seconds.toFixed(1).padStart(7)} s ${rate.toFixed(0).padStart(5)} M weights/s  peak ${(peak / 1e6).toFixed(0).padStart(6)} MB`,
  )
}

function compare(what, ours, theirs) {
  // PCA is approximate on both sides; the rest is arithmetic, in Python partly in float32.
  const tolerance = what === 'components' ? 0.02 : 1e-3
  const apart = Math.max(...ours.map((value, i) => Math.abs(value / theirs[i] - 1)))
  const verdict = apart < tolerance ? 'agree' : 'DIFFER'
  console.log(`${''.padEnd(26)} results ${verdict}: at most ${apart.toExponential(1)} apart`)
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
