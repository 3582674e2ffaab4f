import { describe, expect, it } from 'vitest'
import { type Initializer, initialWeights } from '../../dist/architecture/initial-weights.js'
import { lenet5Architecture } from '../../dist/architecture/lenet5.js'
import { RandomStream } from '../../dist/random.js'

const architecture = lenet5Architecture()
const draw = (seed: number) => initialWeights(architecture, new RandomStream(seed, 'initialisation'))
const weights = draw(7)
const array = (layer: string, part: string) => {
  const entry = architecture.parameters.find(p => p.layer === layer && p.part === part)!
  return weights.subarray(entry.offset, entry.offset + entry.size)
}

describe('initial weights', () => {
  // Glorot: sqrt(6 / (fan in + fan out)), fans with the 25 places of a 5x5 kernel.
  it.each([
    ['conv2d', 25 * 3 + 25 * 6],
    ['conv2d_1', 25 * 6 + 25 * 16],
    ['conv2d_2', 25 * 16 + 25 * 120],
    ['dense', 480 + 84],
    ['dense_1', 84 + 1],
  ])('of %s are uniform up to sqrt(6 / %d), biases zero', (layer, fans) => {
    const limit = Math.sqrt(6 / fans)
    const kernel = array(layer, 'kernel')
    const mean = kernel.reduce((sum, w) => sum + w, 0) / kernel.length
    const square = kernel.reduce((sum, w) => sum + w * w, 0) / kernel.length
    const largest = kernel.reduce((most, w) => Math.max(most, Math.abs(w)), 0)
    expect(largest).toBeLessThanOrEqual(Math.fround(limit))
    expect(largest).toBeGreaterThan(limit * (1 - 10 / kernel.length))
    // Four standard errors of the mean and of the mean square of a uniform variable.
    expect(Math.abs(mean)).toBeLessThan((4 * limit) / Math.sqrt(3 * kernel.length))
    expect(Math.abs(square / (limit ** 2 / 3) - 1)).toBeLessThan(
      (4 * Math.sqrt(0.8)) / Math.sqrt(kernel.length),
    )
    expect(array(layer, 'bias').every(bias => bias === 0)).toBe(true)
  })

  it('follow from the stream', () => {
    expect(draw(7)).toEqual(weights)
    expect(draw(8)).not.toEqual(weights)
  })
})

describe('initialisers', () => {
  // A kernel of 5x5x16x120: fan in 400, fan out 3,000.
  const kernel = (initializer: Initializer) => {
    const { offset, size } = architecture.parameters.find(
      ({ layer, part }) => layer === 'conv2d_2' && part === 'kernel',
    )!
    return initialWeights(architecture, new RandomStream(3, initializer), initializer).subarray(
      offset,
      offset + size,
    )
  }
  const cut = 0.87962566103423978

  it.each([
    ['glorotUniform', 2 / 3400, Math.sqrt(6 / 3400)],
    ['glorotNormal', 2 / 3400, (2 * Math.sqrt(2 / 3400)) / cut],
    ['heUniform', 2 / 400, Math.sqrt(6 / 400)],
    ['heNormal', 2 / 400, (2 * Math.sqrt(2 / 400)) / cut],
    ['lecunUniform', 1 / 400, Math.sqrt(3 / 400)],
    ['lecunNormal', 1 / 400, (2 * Math.sqrt(1 / 400)) / cut],
    ['randomUniform', 0.05 ** 2 / 3, 0.05],
    ['randomNormal', 0.05 ** 2, Number.POSITIVE_INFINITY],
    ['truncatedNormal', (0.05 * cut) ** 2, 0.1],
  ] as const)('%s has variance %d and no value beyond %d', (initializer, variance, bound) => {
    const values = kernel(initializer)
    const n = values.length
    const mean = values.reduce((sum, w) => sum + w, 0) / n
    const square = values.reduce((sum, w) => sum + w * w, 0) / n
    const fourth = values.reduce((sum, w) => sum + w ** 4, 0) / n
    const largest = values.reduce((most, w) => Math.max(most, Math.abs(w)), 0)
    expect(Math.abs(mean)).toBeLessThan(4 * Math.sqrt(variance / n))
    expect(Math.abs(square - variance)).toBeLessThan(4 * Math.sqrt((fourth - square ** 2) / n))
    expect(largest).toBeLessThanOrEqual(Math.fround(bound))
    expect(largest).toBeGreaterThan(Number.isFinite(bound) ? 0.99 * bound : 4 * 0.05)
  })

  it('are refused where they do not exist, with the nearest name', () => {
    expect(() => kernel('heNorml' as Initializer)).toThrow(
      'invalid initializer; did you mean "heNormal"?: heNorml',
    )
  })
})
