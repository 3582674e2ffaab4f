// weightzoo as one of the peers of peers.py, by the same protocol: a request a line in, a JSON line out.
//   node peer_weightzoo.mjs <native|wasm|tfjs> <direct|minimal-filtering> <steps>
import { createInterface } from 'node:readline'
import { initialWeights } from '../../dist/architecture/initial-weights.js'
import { createImageSet, lenet5Architecture, RandomStream } from '../../dist/index.js'
import { BACKENDS } from '../../dist/training/engines/backends.js'

const BATCH = 128
const TRAIN = 9_469
const VALIDATION = 3_925
const [engine, algorithm, steps] = process.argv.slice(2)
process.env.WEIGHTZOO_ALGORITHM = algorithm

const stream = new RandomStream(1, 'bench')
const split = count => ({
  pixels: Float32Array.from({ length: count * 3072 }, () => stream.uniform()),
  labels: Uint8Array.from({ length: count }, (_, i) => i % 10),
})
const classNames = Array.from({ length: 10 }, (_, k) => `class_${k}`)
const images = createImageSet({
  name: 'random',
  classNames,
  shape: [32, 32, 3],
  train: split(TRAIN),
  validation: split(VALIDATION),
})
const architecture = lenet5Architecture()
const isFirst = label => Number(label === 0)
const backend = await BACKENDS[engine]()
const trainer = backend.createTrainer({
  name: 'bench',
  architecture,
  initialWeights: initialWeights(architecture, stream),
  images,
  order: new Uint32Array(BATCH),
  trainTargets: images.train.labels.map(isFirst),
  validationTargets: images.validation.labels.map(isFirst),
  loss: 'binaryCrossentropy',
  optimizer: { kind: 'adam', learningRate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-7 },
  batchSize: BATCH,
  epochs: 1,
  keep: 'last',
})

function round() {
  const batches = Array.from({ length: Number(steps) }, () =>
    Uint32Array.from({ length: BATCH }, () => stream.integer(TRAIN)),
  )
  const start = performance.now()
  for (const batch of batches) trainer.step(batch)
  const trained = performance.now()
  trainer.evaluate()
  const predicted = performance.now()
  return {
    train: (batches.length * BATCH * 1e3) / (trained - start),
    predict: (VALIDATION * 1e3) / (predicted - trained),
  }
}

for await (const request of createInterface({ input: process.stdin })) {
  const result = round()
  const about = {
    versions: { weightzoo: backend.arithmetic, node: process.version },
    images: 'random',
    networks: 1,
  }
  console.log(
    JSON.stringify(
      request === 'warm' ? { ...about, trainImages: TRAIN, validationImages: VALIDATION } : result,
    ),
  )
}
