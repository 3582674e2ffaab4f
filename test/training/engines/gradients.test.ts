import { describe, expect, it } from 'vitest'
import { describeArchitecture } from '../../../dist/architecture/architecture.js'
import type { TrainingJob } from '../../../dist/training/engine.js'
import { makeJob, ODD_ARCHITECTURES, samplesOf } from './jobs.js'
import { reference } from './reference.js'
import { openVariants } from './variants.js'

const variants = await openVariants()

describe.each(variants)('$name', ({ backend, tolerance }) => {
  describe.each(ODD_ARCHITECTURES)('$name', spec => {
    it.each([1, 17, 125])('gives the gradient, loss and outputs of a batch of %i', batchSize => {
      const job = makeJob(spec, { trainCount: 125, validationCount: batchSize, batchSize })
      const batch = job.order.subarray(0, batchSize)
      const expected = reference(
        job.architecture,
        job.initialWeights,
        samplesOf(job, batch),
        Array.from(batch, i => job.trainTargets[i]!),
        job.loss,
      )
      const trainer = backend.createTrainer(job)
      expectGradient(job, trainer.gradient(batch), expected.gradient, tolerance)
      const { loss, correct } = trainer.step(batch)
      expect(loss / batchSize).toBeCloseTo(expected.loss / batchSize, 5)
      expect(correct).toBe(expected.correct)
      trainer.dispose()
    })
  })
})

/** Every parameter, against the largest gradient of its own array. */
function expectGradient(job: TrainingJob, actual: Float32Array, expected: Float64Array, tolerance: number) {
  for (const { layer, part, offset, size } of describeArchitecture(job.architecture.spec).parameters) {
    let largest = 0
    let error = 0
    for (let i = offset; i < offset + size; i++) {
      largest = Math.max(largest, Math.abs(expected[i]!))
      error = Math.max(error, Math.abs(actual[i]! - expected[i]!))
    }
    expect(error / largest, `${layer} ${part}`).toBeLessThan(tolerance)
  }
}
