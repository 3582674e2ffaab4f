import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { type ArchitectureSpec, describeArchitecture } from '../../../dist/architecture/architecture.js'
import { createImageSet } from '../../../dist/images/image-set.js'
import type { LossName, OptimizerSettings, TrainingJob } from '../../../dist/training/engine.js'

interface GoldenFile {
  architecture: ArchitectureSpec
  loss: LossName
  optimizer: OptimizerSettings
  steps: number
  batchSize: number
  arrays: Record<string, { dtype: keyof typeof TYPES; shape: number[]; offset: number }>
}

const TYPES = { uint8: Uint8Array, float32: Float32Array, float64: Float64Array } as const

/** A golden network of test/fixtures (see its README): what Keras computes in float64 from a job. */
export interface Golden {
  job: TrainingJob
  steps: number
  /** Of the first batch with the initial weights, `[batchSize, units]`. */
  probabilities: Float64Array
  /** The same batch's, flat. */
  gradients: Float32Array
  /** Mean loss of every batch before its step. */
  losses: Float64Array
  weightsAfterFirst: Float32Array
  weightsAfterLast: Float32Array
}

/** The golden values as a job whose batches are in order and whose validation split is the first batch. */
export function readGolden(name: 'lenet5' | 'tiny'): Golden {
  const fixture = (extension: string) =>
    fileURLToPath(new URL(`../../fixtures/${name}.${extension}`, import.meta.url))
  const file = JSON.parse(readFileSync(fixture('json'), 'utf8')) as GoldenFile
  const bytes = new Uint8Array(readFileSync(fixture('bin')))
  const array = <T>(key: string) => {
    const { dtype, shape, offset } = file.arrays[key]!
    const length = shape.reduce((product, n) => product * n, 1)
    return new TYPES[dtype](bytes.buffer, offset, length) as T
  }
  const { steps, batchSize, loss, optimizer } = file
  const architecture = describeArchitecture(file.architecture)
  const units = architecture.layers.at(-1)!.outputShape[0]
  const pixels = Float32Array.from(array<Uint8Array>('images'), value => value / 255)
  const targets = array<Uint8Array>('targets')
  const images = createImageSet({
    name,
    classNames: Array.from({ length: Math.max(2, units) }, (_, k) => `class ${k}`),
    shape: architecture.inputShape,
    train: { pixels, labels: targets },
    validation: {
      pixels: pixels.slice(0, pixels.length / steps),
      labels: targets.slice(0, batchSize),
    },
  })
  return {
    job: {
      name,
      architecture,
      initialWeights: array('initialWeights'),
      images,
      order: Uint32Array.from({ length: steps * batchSize }, (_, i) => i),
      trainTargets: images.train.labels,
      validationTargets: images.validation.labels,
      loss,
      optimizer,
      batchSize,
      epochs: 1,
      keep: 'last',
    },
    steps,
    probabilities: array('probabilities'),
    gradients: array('gradients'),
    losses: array('losses'),
    weightsAfterFirst: array('weightsAfterStep1'),
    weightsAfterLast: array(`weightsAfterStep${steps}`),
  }
}
