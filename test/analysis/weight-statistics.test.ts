import { describe, expect, it } from 'vitest'
import { weightStatistics } from '../../dist/analysis/weight-statistics.js'
import { golden, weights, withWeight } from './golden.js'

/** The same in another way: sorted copies and numpy's definitions. */
function expected(row: number): number[] {
  const data = weights.data as Float32Array
  const columns = data.length / golden.labels.length
  return golden.parameters.flatMap(({ offset, size }) => {
    const values = [...data.subarray(row * columns + offset, row * columns + offset + size)]
    const mean = values.reduce((sum, value) => sum + value, 0) / size
    const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / size
    const sorted = values.toSorted((a, b) => a - b)
    const quantiles = [0, 0.25, 0.5, 0.75, 1].map(share => {
      const position = share * (size - 1)
      const [low, high] = [sorted[Math.floor(position)]!, sorted[Math.ceil(position)]!]
      return low + (high - low) * (position % 1)
    })
    return [mean, variance, ...quantiles]
  })
}

describe('weightStatistics', () => {
  it('gives seven statistics of every array of every network', async () => {
    const found = await weightStatistics(weights, { blockBytes: 3000 })
    expect(found).toMatchObject({ shape: [42, 28], classNames: golden.classNames })
    expect(Array.from(found.labels)).toEqual(golden.labels)
    expect(found.features[8]).toBe('conv2d kernel variance')
    expect(found.parameters[1]).toMatchObject({ layer: 'conv2d', part: 'kernel', offset: 7, size: 7 })
    for (const row of [0, 17, 41]) {
      for (const [i, value] of expected(row).entries()) {
        expect(found.rows(row, row + 1)[i], found.features[i]).toBeCloseTo(value, 6)
      }
    }
  })

  it('leaves the weights as they are', async () => {
    const before = (weights.data as Float32Array).slice()
    await weightStatistics(weights)
    expect(weights.data).toEqual(before)
  })

  it('names the network that has a weight that is not finite', async () => {
    await expect(weightStatistics(withWeight(7, 70, Number.NaN))).rejects.toThrow(
      'church_2 has a weight that is not finite (dense bias, number 5)',
    )
    await expect(weightStatistics(weights, { blockSize: 1 } as never)).rejects.toThrow('unknown option')
  })
})
