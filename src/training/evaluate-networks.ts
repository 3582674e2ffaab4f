import { invalidOption } from '../options.js'
import type { EngineBackend, EvaluationJob, TrainingJob } from './engine.js'

/** How the loop below is shared out, watched and stopped. */
export interface EvaluationWatch {
  /** Number of the network to run next; those of the job's number and above end the loop. */
  next(): number
  /** Called after every network. */
  onNetwork(): void
}

/**
 * Runs networks over images with one trainer that takes one network's weights after another: the one loop, whatever the
 * engine. Several threads may run it over the same `outputs`, each network being taken by one of them.
 *
 * @param outputs set by this call, flat `[networks, images, outputs]`; NaN for a network with a weight that is not
 * finite: activations such as relu can hide one, and a network that is none should not get a score
 */
export function evaluateNetworks(
  backend: EngineBackend,
  job: EvaluationJob,
  outputs: Float32Array,
  watch: EvaluationWatch,
): void {
  const { networks, outputsPerNetwork, parameterCount } = evaluationSize(job)
  const trainer = backend.createTrainer(withoutTraining(job))
  try {
    for (let network = watch.next(); network < networks; network = watch.next()) {
      const weights = job.weights.subarray(network * parameterCount, (network + 1) * parameterCount)
      const own = outputs.subarray(network * outputsPerNetwork, (network + 1) * outputsPerNetwork)
      if (allFinite(weights)) {
        trainer.setWeights(weights)
        own.set(trainer.evaluate().outputs)
      } else own.fill(Number.NaN)
      watch.onNetwork()
    }
  } finally {
    trainer.dispose()
  }
}

/**
 * How many networks, images and outputs a job has.
 * @throws ZooError `option` where a length does not fit the architecture.
 */
export function evaluationSize({ architecture, weights, pixels }: EvaluationJob) {
  const { parameterCount, inputShape, name } = architecture
  if (weights.length % parameterCount !== 0)
    throw invalidOption(
      'weights',
      weights.length,
      `${name} needs a multiple of its ${parameterCount} parameters`,
    )
  const pixelsPerImage = inputShape.reduce((product, n) => product * n, 1)
  if (pixels.length % pixelsPerImage !== 0)
    throw invalidOption('pixels', pixels.length, `${name} needs a multiple of its ${pixelsPerImage} inputs`)
  const images = pixels.length / pixelsPerImage
  return {
    networks: weights.length / parameterCount,
    images,
    outputsPerNetwork: images * architecture.layers.at(-1)!.outputShape[0],
    parameterCount,
  }
}

/** A job whose validation split is the images; what it would train with is never used. */
function withoutTraining(job: EvaluationJob): TrainingJob {
  const { architecture, pixels } = job
  const { images: count, parameterCount } = evaluationSize(job)
  const noBytes = new Uint8Array(new SharedArrayBuffer(0))
  const none = { pixels: new Float32Array(new SharedArrayBuffer(0)), labels: noBytes, count: 0 }
  return {
    name: architecture.name,
    architecture,
    initialWeights: new Float32Array(parameterCount),
    images: {
      name: 'evaluation',
      classNames: [],
      shape: architecture.inputShape,
      train: none,
      // Shared memory already, where the worker engine has sent it.
      validation: { pixels: pixels as Float32Array<SharedArrayBuffer>, labels: noBytes, count },
      fingerprint: '',
    },
    order: new Uint32Array(0),
    trainTargets: noBytes,
    // The loss is not asked for, so any target does.
    validationTargets: new Uint8Array(count),
    loss: architecture.layers.at(-1)!.outputShape[0] === 1 ? 'binaryCrossentropy' : 'softmaxCrossentropy',
    optimizer: { kind: 'sgd', learningRate: 0, momentum: 0 },
    batchSize: 1,
    epochs: 0,
    keep: 'last',
  }
}

/** Float32 values cannot overflow a float64 sum, so it is finite exactly when all of them are. */
function allFinite(values: Float32Array): boolean {
  let sum = 0
  for (let i = 0; i < values.length; i++) sum += values[i]!
  return Number.isFinite(sum)
}
