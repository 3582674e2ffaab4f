// What compiling a large zoo costs: npm run bench:compile [-- networks] [folder]
// Writes a zoo of random weights (LeNet-5, ten classes), compiles it, reads it back, and prints time and peak memory.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  compileZoo,
  flattenModelwise,
  groupLayerwise,
  lenet5Architecture,
  openZoo,
  RandomStream,
} from '../dist/index.js'
import { modelPath, weightsHash } from '../dist/zoo/files.js'
import { writeModelFile } from '../dist/zoo/model-file.js'

const networks = Number(process.argv[2] ?? 10_000)
const folder = process.argv[3] ?? mkdtempSync(join(tmpdir(), 'weightzoo-bench-'))
const architecture = lenet5Architecture()
const classNames = Array.from({ length: 10 }, (_, label) => `class_${label}`)

async function measure(what, work) {
  const start = performance.now()
  await work()
  const seconds = (performance.now() - start) / 1000
  const rate = (networks * architecture.parameterCount * 4) / 1e6 / seconds
  // The largest that the process has been so far, as the operating system counts it.
  const peak = process.resourceUsage().maxRSS / 1000
  console.log(
    `${what.padEnd(28)} ${seconds.toFixed(1).padStart(7)} s ${rate.toFixed(0).padStart(6)} MB/s  peak so far ${peak.toFixed(0).padStart(5)} MB`,
  )
}

mkdirSync(join(folder, 'models'), { recursive: true })
const lines = []
await measure(`write ${networks} model files`, async () => {
  const base = new Float32Array(architecture.parameterCount)
  const stream = new RandomStream(1, 'bench')
  for (let i = 0; i < base.length; i++) base[i] = stream.uniform(-0.1, 0.1)
  for (let n = 0; n < networks; n++) {
    base[n % base.length] += 1
    const name = classNames[n % 10]
    const index = Math.floor(n / 10)
    const sha256 = weightsHash(base)
    await writeModelFile(modelPath(folder, name, index), architecture, base, {
      class: name,
      index,
      seed: 1,
      sha256,
    })
    const metrics = { accuracy: 0.9, precision: 0.5, recall: 0.5, f1: 0.5, auc: 0.8 }
    const history = { loss: [1], accuracy: [0.9], validationLoss: [1], validationAccuracy: [0.9] }
    lines.push(
      JSON.stringify({
        class: name,
        index,
        seed: 1,
        status: 'finished',
        sha256,
        metrics,
        positiveFraction: 0.1,
        epoch: 0,
        history,
        seconds: 1,
        engine: 'bench',
      }),
    )
  }
})
writeFileSync(join(folder, 'ledger.jsonl'), `${lines.join('\n')}\n`)
lines.length = 0
const plan = Object.fromEntries(classNames.map(name => [name, networks / 10]))
const recipe = { architecture: architecture.spec, optimizer: { kind: 'adam' }, positiveFraction: [0.09, 0.1] }
const manifest = {
  format: 'weightzoo',
  formatVersion: 1,
  recipe,
  classNames,
  plan,
  images: {},
  arithmetic: 'none',
}
writeFileSync(
  join(folder, 'zoo.json'),
  JSON.stringify({
    ...manifest,
    parameters: architecture.parameters,
    parameterCount: architecture.parameterCount,
  }),
)

const zoo = await openZoo(folder)
await measure('compile both files', () => compileZoo(zoo))
await measure('read modelwise, by rows', async () => {
  const rows = await flattenModelwise(zoo)
  let sum = 0
  for (const { data } of rows.blocks()) sum += data[0]
  rows.close()
  return sum
})
await measure('read layerwise, every layer', async () => {
  const byLayer = await groupLayerwise(zoo)
  for (const className of byLayer.classNames) {
    for (const layer of byLayer.layerNames)
      for (const { data } of byLayer.matrix(className, layer).blocks()) data[0]
  }
  byLayer.close()
})
if (!process.argv[3]) rmSync(folder, { recursive: true })
