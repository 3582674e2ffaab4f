import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import type { TrainingJob } from '../../../dist/training/engine.js'
import { createOptimizer } from '../../../dist/training/optimizer.js'
import { gradientErrors, relativeError } from './errors.js'
import { ADAM, makeJob, ODD_ARCHITECTURES, SGD, samplesOf } from './jobs.js'
import { type Reference, reference } from './reference.js'
import { openVariants } from './variants.js'

const variants = await openVariants()

// The reference costs more than the engines, so each of its results serves all of them.
const known = new Map<string, Reference>()
function referenceOf(
  { architecture, loss, images, ...job }: TrainingJob,
  weights: Float32Array,
  batch: Uint32Array,
  split: 'train' | 'validation' = 'train',
): Reference {
  const key = [architecture.name, split, batch.length, batch[0], hash(weights)].join()
  let result = known.get(key)
  if (!result) {
    const targets = Array.from(batch, i => job[`${split}Targets`][i]!)
    result = reference(architecture, weights, samplesOf(images, batch, split), targets, loss)
    known.set(key, result)
  }
  return result
}

function hash(weights: Float32Array): string {
  return createHash('sha256').update(weights).digest('hex')
}

describe.each(variants)('$name', ({ backend, tolerance }) => {
  describe.each(ODD_ARCHITECTURES)('$name', spec => {
    it.each([1, 17, 125])('gives outputs, loss and every gradient of a batch of %i', batchSize => {
      const job = makeJob(spec, { trainCount: 125, validationCount: batchSize, batchSize })
      const trainer = backend.createTrainer(job)

      const batch = job.order.subarray(0, batchSize)
      const training = referenceOf(job, job.initialWeights, batch)
      const gradient = trainer.gradient(batch)
      for (const { array, error } of gradientErrors(job.architecture, gradient, training.gradient)) {
        expect(error, array).toBeLessThan(tolerance)
      }

      const all = Uint32Array.from({ length: batchSize }, (_, i) => i)
      const validation = referenceOf(job, job.initialWeights, all, 'validation')
      const evaluated = trainer.evaluate()
      expect(evaluated.loss / batchSize).toBeCloseTo(validation.loss / batchSize, 5)
      expect(evaluated.correct).toBe(validation.correct)
      const worst = Math.max(...evaluated.outputs.map((value, i) => Math.abs(value - validation.outputs[i]!)))
      expect(worst).toBeLessThan(5e-6)

      const { loss, correct } = trainer.step(batch)
      expect(loss / batchSize).toBeCloseTo(training.loss / batchSize, 5)
      expect(correct).toBe(training.correct)
      trainer.dispose()
    })

    // A step across a relu's kink is no derivative.
    it.skipIf(spec.name === 'relu')('agrees with central differences', () => {
      const job = makeJob(spec, { batchSize: 64 })
      const lossAt = (parameter: number, change: number) => {
        const initialWeights = job.initialWeights.slice()
        initialWeights[parameter]! += change
        const trainer = backend.createTrainer({ ...job, initialWeights })
        const { loss } = trainer.step(job.order)
        trainer.dispose()
        return { loss: loss / job.order.length, weight: initialWeights[parameter]! }
      }
      const trainer = backend.createTrainer(job)
      const gradient = trainer.gradient(job.order)
      trainer.dispose()
      for (const { layer, part, offset, size } of job.architecture.parameters) {
        const own = gradient.subarray(offset, offset + size)
        const steepest = offset + own.indexOf(own.reduce((a, b) => (Math.abs(b) > Math.abs(a) ? b : a)))
        const above = lossAt(steepest, 0.01)
        const below = lossAt(steepest, -0.01)
        const difference = (above.loss - below.loss) / (above.weight - below.weight)
        const allowed = 0.01 * Math.abs(gradient[steepest]!) + 2e-5
        expect(Math.abs(difference - gradient[steepest]!), `${layer} ${part}`).toBeLessThan(allowed)
      }
    })

    it.each([ADAM, SGD])('follows the scalar reference for ten steps of $kind', optimizer => {
      const job = makeJob(spec, { trainCount: 130, batchSize: 13, optimizer })
      const trainer = backend.createTrainer(job)
      const weights = job.initialWeights.slice()
      const optimize = createOptimizer(optimizer, weights.length)
      for (let start = 0; start < job.order.length; start += job.batchSize) {
        const batch = job.order.subarray(start, start + job.batchSize)
        const expected = referenceOf(job, weights, batch)
        optimize(weights, Float32Array.from(expected.gradient))
        trainer.step(batch)
      }
      expect(relativeError(trainer.weights(), weights, job.initialWeights)).toBeLessThan(1e-3)
      trainer.dispose()
    })
  })
})
