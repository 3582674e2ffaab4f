import { describe, expect, it } from 'vitest'
import { pairwiseDistances } from '../../dist/analysis/distances.js'
import { farthest, filtered, golden, weights, withWeight } from './golden.js'

describe.each(['euclidean', 'cosine'] as const)('pairwiseDistances, %s', metric => {
  it('equals scipy between the mean networks of classes', async () => {
    const found = await pairwiseDistances(weights, { metric, blockBytes: 2000 })
    expect(found).toMatchObject({ names: golden.classNames, metric })
    expect(farthest(found.values, golden.distances.means[metric])).toBeLessThan(1e-12)
    expect(found.max.value).toBe(Math.max(...found.values.flat()))
  })

  it('equals scipy for a layer', async () => {
    const found = await pairwiseDistances(weights, { metric, layer: 'dense' })
    expect(farthest(found.values, golden.distances.dense[metric])).toBeLessThan(1e-12)
  })

  it('equals scipy between networks, whatever the size of the blocks', async () => {
    const whole = await pairwiseDistances(weights, { metric, between: 'networks' })
    expect(farthest(whole.values.slice(0, 6), golden.distances.networks[metric])).toBeLessThan(1e-12)
    expect(whole.names[4]).toBe('church_1')
    expect(whole.values[9]![30]).toBe(whole.values[30]![9])
    for (const blockBytes of [1, 3300]) {
      expect(await pairwiseDistances(weights, { metric, between: 'networks', blockBytes })).toEqual(whole)
    }
  })
})

describe('pairwiseDistances', () => {
  it('refuses what has no distances', async () => {
    await expect(pairwiseDistances(filtered(row => row % 3 === 1))).rejects.toThrow(
      'invalid classes; distances need two, here is only: church',
    )
    const one = filtered(row => row === 1)
    await expect(pairwiseDistances(one, { between: 'networks' })).rejects.toThrow(
      'invalid networks; distances need two',
    )
    await expect(pairwiseDistances(weights, { layer: 'dens' })).rejects.toThrow(
      'those with parameters are conv2d, dense',
    )
    await expect(pairwiseDistances(weights, { metric: 'manhattan' as never })).rejects.toThrow(
      'invalid metric',
    )
    const data = new Float32Array(4)
    const zero = { data, labels: [0, 1], classNames: ['a', 'b'] }
    await expect(pairwiseDistances(zero, { metric: 'cosine' })).rejects.toThrow(
      'which has no angle to others: a',
    )
    for (const between of ['classMeans', 'networks'] as const) {
      await expect(pairwiseDistances(withWeight(3, 1, Number.NaN), { between })).rejects.toThrow(
        'tench_1 has a weight',
      )
    }
  })
})
