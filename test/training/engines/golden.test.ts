import { describe, expect, it } from 'vitest'
import { gradientErrors, relativeError } from './errors.js'
import { readGolden } from './golden.js'
import { openVariants } from './variants.js'

const variants = await openVariants()
const goldens = [readGolden('lenet5'), readGolden('tiny')]

describe.each(variants)('$name', ({ backend, tolerance }) => {
  describe.each(goldens)('$job.name', ({ job, steps, ...golden }) => {
    it('gives the outputs and every gradient of float64 Keras', () => {
      const trainer = backend.createTrainer(job)
      const { outputs } = trainer.evaluate()
      const worst = Math.max(...outputs.map((value, i) => Math.abs(value - golden.probabilities[i]!)))
      expect(worst).toBeLessThan(2e-6)
      const gradient = trainer.gradient(job.order.subarray(0, job.batchSize))
      for (const { array, error } of gradientErrors(job.architecture, gradient, golden.gradients)) {
        expect(error, array).toBeLessThan(tolerance)
      }
      trainer.dispose()
    })

    it(`follows its ${steps} steps`, () => {
      const trainer = backend.createTrainer(job)
      for (let step = 0; step < steps; step++) {
        const { loss } = trainer.step(job.order.subarray(step * job.batchSize, (step + 1) * job.batchSize))
        expect(Math.abs(loss / job.batchSize - golden.losses[step]!), `loss of step ${step}`).toBeLessThan(
          5e-6,
        )
        if (step === 0) {
          expect(relativeError(trainer.weights(), golden.weightsAfterFirst, job.initialWeights)).toBeLessThan(
            5e-5,
          )
        }
      }
      expect(relativeError(trainer.weights(), golden.weightsAfterLast, job.initialWeights)).toBeLessThan(5e-5)
      trainer.dispose()
    })
  })
})
