import { describe, expect, it } from 'vitest'
import { jensenShannon, layerDivergence, networkDivergence } from '../../dist/analysis/divergence.js'
import { entropy } from '../../dist/analysis/histogram.js'
import { RandomStream } from '../../dist/index.js'
import { farthest, filtered, type GoldenDivergence, golden, weights, withWeight } from './golden.js'

function expectEqual(found: Awaited<ReturnType<typeof networkDivergence>>, expected: GoldenDivergence): void {
  const { distance, divergence, classNames } = found
  expect(classNames).toEqual(golden.classNames)
  expect(farthest(distance.values, expected.distance)).toBeLessThan(1e-12)
  expect(
    farthest(
      divergence.values,
      expected.distance.map(row => row.map(value => value ** 2)),
    ),
  ).toBeLessThan(1e-12)
  expect(distance.mean).toBeCloseTo(expected.mean, 12)
  expect(distance.sd).toBeCloseTo(expected.sd, 12)
  expect(distance.min.value).toBeCloseTo(expected.min, 12)
  expect(distance.max.value).toBeCloseTo(expected.max, 12)
  const [a, b] = distance.max.names.map(name => classNames.indexOf(name))
  expect(expected.distance[a!]![b!]).toBeCloseTo(expected.max, 12)
}

describe('layerDivergence', () => {
  it("equals the paper's procedure with its preset", async () => {
    const found = await layerDivergence(weights, { preset: 'paper' })
    expect(Object.keys(found)).toEqual(['conv2d', 'dense'])
    for (const [layer, expected] of Object.entries(golden.divergence.paper))
      expectEqual(found[layer]!, expected)
    expect(found['dense']!.histograms[0]!.counts).toHaveLength(30)
  })

  it('equals scipy with other bins and nothing added, whatever the size of the blocks', async () => {
    const whole = await layerDivergence(weights, { bins: 20 })
    for (const [layer, expected] of Object.entries(golden.divergence.plain))
      expectEqual(whole[layer]!, expected)
    expect(await layerDivergence(weights, { bins: 20, blockBytes: 1 })).toEqual(whole)
  })

  it('is in nats or bits', async () => {
    const { dense: nats } = await layerDivergence(weights)
    const { dense: bits } = await layerDivergence(weights, { unit: 'bits' })
    expect(bits!.unit).toBe('bits')
    expect(bits!.divergence.mean * Math.LN2).toBeCloseTo(nats!.divergence.mean, 14)
    expect(bits!.distance.max.value ** 2).toBeCloseTo(bits!.divergence.max.value, 14)
  })

  it('says what chance alone would give', async () => {
    const random = new RandomStream(4, 'test')
    const data = Float32Array.from({ length: 20 * 2000 }, () => random.uniform(-1, 1))
    const labels = Array.from({ length: 20 }, (_, row) => row % 10)
    const { weights: alike } = await layerDivergence(
      { data, labels, classNames: [...'abcdefghij'] },
      { bins: 16 },
    )
    expect(alike!.byChance).toBeCloseTo((15 / 8) * (2 / 4000), 12)
    expect(alike!.divergence.mean / alike!.byChance).toBeGreaterThan(0.8)
    expect(alike!.divergence.mean / alike!.byChance).toBeLessThan(1.2)
    const { dense: nats } = await layerDivergence(weights)
    const { dense: bits } = await layerDivergence(weights, { unit: 'bits' })
    expect(bits!.byChance * Math.LN2).toBeCloseTo(nats!.byChance, 14)
  })

  it('leaves no weight out of a narrow range', async () => {
    const { dense } = await layerDivergence(weights, { range: [-0.01, 0.01], bins: 1 })
    for (const { counts, below, above } of dense!.histograms) expect(below + above + counts[0]!).toBe(14 * 98)
    expect(dense!.divergence.mean).toBeGreaterThan(0)
  })

  it('needs two classes of two networks each, and finite weights', async () => {
    await expect(layerDivergence(filtered(row => row % 3 === 1))).rejects.toThrow(
      'invalid classes; a divergence needs two classes, here is only: church',
    )
    await expect(layerDivergence(filtered(row => row < 5))).rejects.toThrow(
      'invalid networks; a divergence needs at least two a class; golf ball has: 1',
    )
    const bad = withWeight(0, 0, Number.NaN)
    await expect(layerDivergence(bad)).rejects.toThrow(
      'tench_0 has a weight that is not finite (conv2d bias, number 0)',
    )
    await expect(layerDivergence(bad, { range: [-1, 1] })).rejects.toThrow(
      'tench_0 has a weight that is not finite',
    )
    await expect(layerDivergence(weights, { preset: 'papers' as never })).rejects.toThrow('invalid preset')
    await expect(layerDivergence(weights, { epsilon: -1 })).rejects.toThrow('invalid epsilon')
  })
})

describe('networkDivergence', () => {
  it('is that of all layers together', async () => {
    expectEqual(await networkDivergence(weights), golden.divergence.network)
  })
})

describe('jensenShannon', () => {
  it('runs from 0 to 1 bit', () => {
    expect(jensenShannon([3, 1], [6, 2])).toBe(0)
    expect(jensenShannon([1, 0], [0, 5])).toBeCloseTo(Math.LN2, 15)
    expect(jensenShannon([1, 0], [0, 5], 'bits')).toBe(1)
    expect(() => jensenShannon([1], [1, 1])).toThrow('invalid bins; two distributions need the same: 1 and 2')
    expect(() => jensenShannon([0], [1])).toThrow('invalid distribution; needs a positive sum: 0')
  })
})

describe('entropy', () => {
  it('is that of a distribution', () => {
    expect(entropy([1, 1, 2], 'bits')).toBe(1.5)
    expect(entropy([7, 0])).toBe(0)
  })
})
