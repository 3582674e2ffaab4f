// What the tests run in a process of its own: node [--expose-gc] child.mjs <task> <engine>
import { lenet5Architecture } from '../../../dist/architecture/lenet5.js'
import { createImageSet } from '../../../dist/images/image-set.js'
import { BACKENDS } from '../../../dist/training/engines/backends.js'
import { openEngine } from '../../../dist/training/engines/open-engine.js'

const [task, engineName] = process.argv.slice(2)
const TASKS = { exit, close, trainers, garbage, engines }

const architecture = lenet5Architecture()
const split = count => ({
  pixels: Float32Array.from({ length: count * 3072 }, (_, i) => (i % 251) / 251),
  labels: Uint8Array.from({ length: count }, (_, i) => i % 2),
})
const images = createImageSet({
  name: 'stripes',
  classNames: ['even', 'odd'],
  shape: [32, 32, 3],
  train: split(64),
  validation: split(64),
})
const epochs = 100_000
const job = {
  name: 'even_0',
  architecture,
  initialWeights: new Float32Array(architecture.parameterCount).fill(0.01),
  images,
  order: new Uint32Array(epochs * 64),
  trainTargets: images.train.labels,
  validationTargets: images.validation.labels,
  loss: 'binaryCrossentropy',
  optimizer: { kind: 'adam', learningRate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-7 },
  batchSize: 64,
  epochs,
  keep: 'last',
}
const megabytes = () => process.memoryUsage().rss / 2 ** 20

await TASKS[task]()

/** Two networks in training; resolves after the first epoch of each. */
async function startTraining() {
  const engine = await openEngine({ engine: engineName, concurrency: 2 })
  const epoch = () => new Promise(resolve => engine.train(job, { onEpoch: resolve }).catch(() => {}))
  await Promise.all([epoch(), epoch()])
  return engine
}

/** Leaves in the middle of training. */
async function exit() {
  await startTraining()
  console.log('training')
  process.exit(0)
}

/** Closes the engine in the middle of training; nothing may keep the process alive. */
async function close() {
  const engine = await startTraining()
  await engine.close()
  console.log('closed')
}

/** Prints by how many MB the process has grown over many trainers, each disposed. */
async function trainers() {
  const backend = await BACKENDS[engineName]()
  const round = () => {
    for (let i = 0; i < 25; i++) {
      const trainer = backend.createTrainer(job)
      trainer.step(job.order.subarray(0, 64))
      trainer.dispose()
    }
  }
  await grownBy(round, 3)
}

/** The same with trainers that are dropped without being disposed. */
async function garbage() {
  const backend = await BACKENDS[engineName]()
  const round = () => {
    for (let i = 0; i < 15; i++) backend.createTrainer(job).step(job.order.subarray(0, 64))
  }
  await grownBy(round, 3)
}

/** The same with whole engines. */
async function engines() {
  const round = async () => {
    for (let i = 0; i < 5; i++) {
      const engine = await openEngine({ engine: engineName, concurrency: 2 })
      await engine.train({ ...job, epochs: 1, order: new Uint32Array(64) })
      await engine.close()
    }
  }
  await grownBy(round, 2)
}

async function grownBy(round, rounds) {
  const settle = async () => {
    for (let i = 0; i < 5; i++) {
      globalThis.gc()
      await new Promise(resolve => setTimeout(resolve, 20))
    }
  }
  await round()
  await settle()
  const before = megabytes()
  for (let i = 0; i < rounds; i++) {
    await round()
    await settle()
  }
  console.log(Math.round(megabytes() - before))
}
