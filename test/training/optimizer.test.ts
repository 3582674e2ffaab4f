import { describe, expect, it } from 'vitest'
import { RandomStream } from '../../dist/random.js'
import type { OptimizerSettings } from '../../dist/training/engine.js'
import { createOptimizer } from '../../dist/training/optimizer.js'

/** Twenty gradients of three parameters: ordinary, tiny (so that epsilon counts) and with leading zeros. */
function gradients(): Float32Array[] {
  const stream = new RandomStream(3, 'gradients')
  return Array.from({ length: 20 }, (_, step) =>
    Float32Array.of(stream.uniform(-1, 1), stream.uniform(-3e-7, 3e-7), step < 5 ? 0 : stream.uniform(0, 1)),
  )
}

const run = (settings: OptimizerSettings, steps: Float32Array[]) => {
  const weights = Float32Array.of(0.5, -0.25, 1)
  const optimize = createOptimizer(settings, 3)
  for (const gradient of steps) optimize(weights, gradient)
  return weights
}

describe('Adam', () => {
  it("follows Kingma & Ba's algorithm with Keras's epsilon, in float64", () => {
    const settings = { kind: 'adam', learningRate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-7 } as const
    const weights = [0.5, -0.25, 1]
    const m = [0, 0, 0]
    const v = [0, 0, 0]
    for (const [step, gradient] of gradients().entries()) {
      const t = step + 1
      for (const [i, g] of gradient.entries()) {
        m[i] = 0.9 * m[i]! + 0.1 * g
        v[i] = 0.999 * v[i]! + 0.001 * g * g
        // Corrected moments; epsilon is added to the uncorrected one in Keras ("epsilon hat").
        const mHat = m[i]! / (1 - 0.9 ** t)
        const vHat = v[i]! / (1 - 0.999 ** t)
        weights[i]! -= (1e-3 * mHat) / (Math.sqrt(vHat) + 1e-7 / Math.sqrt(1 - 0.999 ** t))
      }
    }
    const actual = run(settings, gradients())
    for (const [i, weight] of weights.entries()) expect(Math.abs(actual[i]! - weight)).toBeLessThan(1e-6)
  })
})

describe('SGD', () => {
  const constant = Array.from({ length: 20 }, () => Float32Array.of(1, -0.5, 0))

  it('steps against the gradient', () => {
    const weights = run({ kind: 'sgd', learningRate: 0.01, momentum: 0 }, constant)
    expect(weights[0]).toBeCloseTo(0.5 - 20 * 0.01, 6)
    expect(weights[1]).toBeCloseTo(-0.25 + 20 * 0.005, 6)
    expect(weights[2]).toBe(1)
  })

  it('gains speed with momentum: the sum of a geometric series of series', () => {
    const momentum = 0.9
    const weights = run({ kind: 'sgd', learningRate: 0.01, momentum }, constant)
    const distance = (20 - (momentum * (1 - momentum ** 20)) / (1 - momentum)) / (1 - momentum)
    expect(weights[0]).toBeCloseTo(0.5 - 0.01 * distance, 5)
    expect(weights[1]).toBeCloseTo(-0.25 + 0.005 * distance, 5)
  })
})

describe('every network', () => {
  it('has moments of its own', () => {
    const settings = { kind: 'sgd', learningRate: 0.01, momentum: 0.9 } as const
    expect(run(settings, gradients())).toEqual(run(settings, gradients()))
  })
})
