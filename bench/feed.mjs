// Random access to the weights of a zoo: npm run bench:feed [-- networks] [folder]
// Beside h5py on the same file and numpy's memmap on the same numbers as a .npy file, all in one run, warm, in turns.
// GB/s by the clock, and by the processor's time, which other processes on the machine do not change.
// Needs .venv with h5py and numpy for the peers. Writes two files of 0.37 GB per 1,000 networks and deletes them.
import { spawnSync } from 'node:child_process'
import { closeSync, existsSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { lenet5Architecture, RandomStream } from '../dist/index.js'
import { openHdf5, writeHdf5 } from '../dist/zoo/hdf5.js'
import { fileSource, WeightMatrix } from '../dist/zoo/weight-matrix.js'

const networks = Number(process.argv[2] ?? 2_000)
const folder = mkdtempSync(join(process.argv[3] ?? tmpdir(), 'weightzoo-feed-'))
const { parameters, parameterCount } = lenet5Architecture()
const paths = { hdf5: join(folder, 'modelwise.h5'), npy: join(folder, 'weights.npy') }
const BATCH = 64
const BATCHES = Math.min(30, Math.floor(networks / BATCH))
const ROUNDS = 5
const python = fileURLToPath(new URL('../.venv/bin/python', import.meta.url))

try {
  await writeFiles()
  // Open all the time, as in training.
  const matrix = await openMatrix()
  const order = new RandomStream(1, 'bench').shuffle(Uint32Array.from({ length: networks }, (_, i) => i))
  const batches = Array.from({ length: BATCHES }, (_, i) => order.slice(i * BATCH, (i + 1) * BATCH))
  const results = {}
  const add = measured => {
    for (const [name, figures] of Object.entries(measured)) {
      results[name] ??= []
      results[name].push(figures)
    }
  }
  // The first round warms the files and checks the checksums.
  for (let round = 0; round <= ROUNDS; round++) {
    const own = readOurs(matrix, batches)
    const peers = existsSync(python) ? readPeers(batches) : {}
    if (round > 0) add({ ...own, ...peers })
    else console.log(`first reading, with checksums: ${figure(own['weightzoo, batches of 64'])}`)
  }
  console.log(`\n${networks} networks, ${BATCHES} random batches of ${BATCH}; medians of ${ROUNDS} rounds`)
  for (const [name, figures] of Object.entries(results))
    console.log(`${name.padEnd(44)} ${figure(medians(figures))}`)
} finally {
  rmSync(folder, { recursive: true })
}

function figure({ wall, cpu }) {
  return `${wall.toFixed(2).padStart(6)} GB/s by the clock ${cpu.toFixed(2).padStart(6)} GB per processor second`
}

function medians(figures) {
  const median = key => figures.map(f => f[key]).sort((a, b) => a - b)[figures.length >> 1]
  return { wall: median('wall'), cpu: median('cpu') }
}

async function writeFiles() {
  const stream = new RandomStream(2, 'bench')
  const row = Float32Array.from({ length: parameterCount }, () => stream.uniform(-0.1, 0.1))
  const header = `{'descr': '<f4', 'fortran_order': False, 'shape': (${networks}, ${parameterCount}), }`
  const npy = openSync(paths.npy, 'w')
  writeSync(npy, Buffer.from([0x93, ...Buffer.from('NUMPY'), 1, 0, 118, 0]))
  writeSync(npy, `${header.padEnd(117)}\n`)
  await writeHdf5(paths.hdf5, file => {
    const matrix = file.matrix('parameters', networks, parameterCount, 4)
    for (let i = 0; i < networks; i++) {
      row[i % parameterCount] += 1
      matrix.writeRows(i, row)
      writeSync(npy, new Uint8Array(row.buffer))
    }
  })
  closeSync(npy)
}

async function openMatrix() {
  const file = await openHdf5(paths.hdf5)
  const positions = Uint32Array.from({ length: networks }, (_, i) => i)
  const names = Array.from(positions, i => `network_${i}`)
  const rows = { names, labels: new Int32Array(networks), classNames: ['a'], positions }
  const close = () => file.close()
  return new WeightMatrix(fileSource(file, 'parameters', close), rows, parameters)
}

function readOurs(matrix, batches) {
  const buffer = new Float32Array(BATCH * parameterCount)
  return {
    'weightzoo, batches of 64': measure(() => batches.map(batch => matrix.gather(batch)[0])),
    'weightzoo, batches of 64 into one buffer': measure(() =>
      batches.map(batch => matrix.gather(batch, buffer)[0]),
    ),
    'weightzoo, single rows': measure(() => batches.map(batch => batch.map(i => matrix.row(i)[0]))),
  }
}

function measure(read) {
  const bytes = BATCHES * BATCH * parameterCount * 4
  const cpu = process.cpuUsage()
  const start = performance.now()
  read()
  const seconds = (performance.now() - start) / 1e3
  const used = process.cpuUsage(cpu)
  return { wall: bytes / 1e9 / seconds, cpu: bytes / 1e3 / (used.user + used.system) }
}

function readPeers(batches) {
  const script = `
import json, sys, time, h5py, numpy as np
paths, batches = json.loads(sys.stdin.read())
size = len(batches) * len(batches[0]) * ${parameterCount} * 4
out = {}
def measure(name, read):
    read()  # warm
    wall, cpu = time.perf_counter(), time.process_time()
    read()
    out[name] = {'wall': size / 1e9 / (time.perf_counter() - wall), 'cpu': size / 1e9 / (time.process_time() - cpu)}
d = h5py.File(paths['hdf5'])['parameters']
m = np.load(paths['npy'], mmap_mode='r')
buffer = np.empty((${BATCH}, ${parameterCount}), 'f4')
measure('h5py ' + h5py.__version__ + ', batches of 64 (sorted, as it asks)', lambda: [d[sorted(b)] for b in batches])
measure('h5py, single rows', lambda: [d[i] for b in batches for i in b])
measure('numpy ' + np.__version__ + ' memmap, batches of 64', lambda: [m[b] for b in batches])
measure('numpy memmap, batches of 64 into one buffer', lambda: [np.take(m, b, axis=0, out=buffer) for b in batches])
measure('numpy memmap, single rows, copied', lambda: [np.array(m[i]) for b in batches for i in b])
print(json.dumps(out))
`
  const input = JSON.stringify([paths, batches.map(batch => [...batch])])
  const { stdout, stderr } = spawnSync(python, ['-c', script], { input, encoding: 'utf8' })
  if (!stdout) throw new Error(stderr)
  return JSON.parse(stdout)
}
