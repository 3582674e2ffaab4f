// Training speed of every engine on one core, and of two cores against one:
//
//   npm run bench:train -- [rounds] [seconds]     default 7 rounds of 0.4 s per variant
//
// All variants take turns in one run, with the machine's peak measured before each turn, because machines drift; the
// table shows medians. Rates are per second of processor time, so that other people's work on the machine does not
// count directly; it still costs some, by the caches. The last table, two cores against one, is also by the clock on
// the wall: there only quiet rounds count, and it says how many there were.
//
// "effective" counts 5.31 MFLOP a sample and step, LeNet-5 computed by direct convolution, so minimal filtering can
// pass 100 % of the peak. The peak is a register-only loop of independent multiply-adds in the same vector width;
// WebAssembly has no fused one, so its own is lower, and the fused one is given beside it.

import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { availableParallelism, cpus, loadavg } from 'node:os'
import { fileURLToPath } from 'node:url'
import { initialWeights } from '../dist/architecture/initial-weights.js'
import { lenet5Architecture } from '../dist/architecture/lenet5.js'
import { createImageSet } from '../dist/images/image-set.js'
import { RandomStream } from '../dist/random.js'
import { openNativeBackend } from '../dist/training/engines/native.js'
import { openEngine } from '../dist/training/engines/open-engine.js'
import { openTfjsBackend } from '../dist/training/engines/tfjs.js'
import { openWasmBackend } from '../dist/training/engines/wasm.js'

const MFLOP_PER_SAMPLE = 5.31072
const EPOCHS = 25
const TRAINING_IMAGES = 9_469
const VALIDATION_IMAGES = 3_925
const BATCH = 128
/** A round by the clock is quiet if others took less of the machine than this. */
const QUIET = 0.03

const [rounds = 7, seconds = 0.4] = readArguments(process.argv.slice(2))
const native = name => fileURLToPath(new URL(`../native/${name}`, import.meta.url))

const peaks = await loadPeaks()
const job = makeJob(2048, 1024)
const small = makeJob(128, 128)
const variants = []
const instructionSets = process.arch === 'x64' ? ['avx512', 'avx2'] : ['auto']
for (const algorithm of ['direct', 'minimal-filtering']) {
  for (const instructionSet of instructionSets) {
    const open = () => openNativeBackend({ algorithm, instructionSet })
    await add(`native ${instructionSet}, ${algorithm}`, instructionSet, open, job)
  }
  await add(`wasm, ${algorithm}`, 'wasm', () => openWasmBackend({ algorithm }), job)
}
await add('tfjs wasm', 'fma128', openTfjsBackend, small)

for (let round = 0; round < rounds; round++) {
  for (const variant of variants) measure(variant)
}

const rows = variants.map(({ name, peak, steps, evaluations, ceilings, fused }) => {
  const training = median(steps)
  const validating = median(evaluations)
  const perNetwork = EPOCHS * (TRAINING_IMAGES / training + VALIDATION_IMAGES / validating)
  const effective = (training * MFLOP_PER_SAMPLE) / 1e3
  const share = ceiling => {
    const of = median(steps.map((rate, i) => (rate * MFLOP_PER_SAMPLE) / 1e3 / ceiling[i]))
    return Number.isFinite(of) ? `${Math.round(100 * of)} %` : ''
  }
  return {
    engine: name,
    'samples/s': Math.round(training),
    'validated/s': Math.round(validating),
    's/network': Number(perNetwork.toPrecision(3)),
    'effective GFLOP/s': Number(effective.toPrecision(3)),
    'peak GFLOP/s': Number(median(ceilings).toPrecision(3)),
    'of peak': share(ceilings),
    'of 128-bit FMA': peak === 'wasm' ? share(fused) : '',
  }
})
console.log(`${cpus()[0].model}, Node ${process.version}, ${rounds} rounds, load ${loadavg()[0].toFixed(1)}`)
console.table(rows)

if (availableParallelism() > 1) console.table(await twoCores())

async function add(name, peak, open, variantJob) {
  try {
    const backend = await open()
    const trainer = backend.createTrainer(variantJob)
    trainer.step(variantJob.order.subarray(0, BATCH))
    const variant = { name, peak, trainer, job: variantJob }
    variants.push(Object.assign(variant, { steps: [], evaluations: [], ceilings: [], fused: [] }))
    if (peak !== 'fma128') measure(variant)
    Object.assign(variant, { steps: [], evaluations: [], ceilings: [], fused: [] })
  } catch (error) {
    console.log(`skipped ${name}: ${error.message}`)
  }
}

function measure(variant) {
  const { trainer, job: own, peak } = variant
  variant.ceilings.push(peaks[peak] ? rateOf(seconds / 4, peaks[peak]) / 1e9 : Number.NaN)
  variant.fused.push(peaks.fma128 ? rateOf(seconds / 4, peaks.fma128) / 1e9 : Number.NaN)
  let batch = 0
  const batches = own.order.length / BATCH
  variant.steps.push(
    rateOf(seconds, () => {
      trainer.step(own.order.subarray((batch % batches) * BATCH, ((batch++ % batches) + 1) * BATCH))
      return BATCH
    }),
  )
  variant.evaluations.push(
    rateOf(seconds / 4, () => {
      trainer.evaluate()
      return own.images.validation.count
    }),
  )
}

/** What `work` returns, summed, per second of processor time. */
function rateOf(duration, work) {
  const start = process.cpuUsage()
  let done = 0
  for (;;) {
    done += work()
    const { user, system } = process.cpuUsage(start)
    const elapsed = (user + system) / 1e6
    if (elapsed >= duration) return done / elapsed
  }
}

/**
 * The same networks trained by one thread and by two, by turns. By processor time the ratio shows what two threads cost
 * each other (caches, memory); by the clock it also shows waiting, ours and that for other people's work.
 */
async function twoCores() {
  // As much work a network as half of a real one's, so that starting it counts as little as it does in a zoo.
  const epochs = 48
  const network = { ...makeJob(2048, 1024), epochs }
  network.order = Uint32Array.from({ length: epochs * 2048 }, (_, i) => i % 2048)
  const engines = await Promise.all([1, 2].map(concurrency => openEngine({ concurrency })))
  const turns = []
  for (let round = -1; round < rounds; round++) {
    const turn = []
    for (const engine of engines) {
      turn.push(await observe(() => Promise.all(Array.from({ length: 4 }, () => engine.train(network)))))
    }
    if (round >= 0) turns.push(turn) // the first one warms up
  }
  for (const engine of engines) await engine.close()
  const quiet = turns.filter(turn => turn.every(({ others }) => others < QUIET))
  const ratio = key => values => median(values.map(([one, two]) => one[key] / two[key]))
  const shown = value => (Number.isFinite(value) ? Number(value.toFixed(2)) : '')
  return [
    {
      engine: engines[0].name,
      'by the clock': shown(ratio('elapsed')(quiet)),
      'quiet rounds': `${quiet.length} of ${turns.length}`,
      'all rounds': shown(ratio('elapsed')(turns)),
      'by processor time': shown(2 * ratio('processor')(turns)),
      'others took': `${Math.round(100 * median(turns.flat().map(({ others }) => others)))} %`,
    },
  ]
}

/** Milliseconds by the clock and of this process's processor time, and the share of the machine that others took. */
async function observe(work) {
  const busy = () =>
    cpus().reduce((sum, { times }) => sum + times.user + times.nice + times.sys + times.irq, 0)
  const before = { clock: performance.now(), own: process.cpuUsage(), busy: busy() }
  await work()
  const elapsed = performance.now() - before.clock
  const { user, system } = process.cpuUsage(before.own)
  const processor = (user + system) / 1e3
  const others = Math.max(0, busy() - before.busy - processor) / (elapsed * cpus().length)
  return { elapsed, processor, others }
}

/** Numbers above 0, or the usage and the end. */
function readArguments(words) {
  const numbers = words.map(Number)
  if (words.length <= 2 && numbers.every(number => number > 0) && Number.isInteger(numbers[0] ?? 1))
    return numbers
  console.error(
    'usage: npm run bench:train -- [rounds] [seconds], both above 0, rounds whole; default 7 rounds of 0.4 s',
  )
  process.exit(words.includes('--help') ? 0 : 1)
}

/** Loops that return the floating-point operations they did; those that cannot be built here are left out. */
async function loadPeaks() {
  const loops = {}
  try {
    execFileSync(process.execPath, [native('build.mjs'), 'bench'], { stdio: 'pipe' })
    Object.assign(loops, createRequire(import.meta.url)(native('build/peak.node')))
    const { instance } = await WebAssembly.instantiate(readFileSync(native('build/peak.wasm')))
    loops.wasm = instance.exports.peak
  } catch (error) {
    console.log(`some peaks are missing: ${String(error.stderr ?? error.message).split('\n', 1)[0]}`)
  }
  return loops
}

/** LeNet-5 on random images. */
function makeJob(trainCount, validationCount) {
  const stream = new RandomStream('bench')
  const architecture = lenet5Architecture()
  const split = count => ({
    pixels: Float32Array.from({ length: count * 3072 }, () => stream.uniform()),
    labels: Uint8Array.from({ length: count }, () => stream.integer(2)),
  })
  const images = createImageSet({
    name: 'random',
    classNames: ['no', 'yes'],
    shape: architecture.inputShape,
    train: split(trainCount),
    validation: split(validationCount),
  })
  return {
    name: 'random_0',
    architecture,
    initialWeights: initialWeights(architecture, stream),
    images,
    order: stream.shuffle(Uint32Array.from({ length: trainCount }, (_, i) => i)),
    trainTargets: images.train.labels,
    validationTargets: images.validation.labels,
    loss: 'binaryCrossentropy',
    optimizer: { kind: 'adam', learningRate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-7 },
    batchSize: BATCH,
    epochs: 1,
    keep: 'last',
  }
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)]
}
