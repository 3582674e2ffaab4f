import { describe, expect, it } from 'vitest'
import { type WeightDistribution, weightDistributions } from '../../dist/analysis/distributions.js'
import { filtered, type GoldenDistribution, golden, weights, withWeight } from './golden.js'

const { range, probabilities, threshold, decimals } = golden
const options = { range, bins: 37, probabilities, threshold, common: { decimals, count: 5 } }
const groups = ['byClass', 'byLayer', 'byPart', 'byClassAndLayer'] as const

function expectEqual(found: WeightDistribution, expected: GoldenDistribution): void {
  const { class: name, layer, part, count, min, max, histogram } = expected
  expect(found).toMatchObject({ class: name, layer, part, count, min, max, histogram })
  for (const key of ['mean', 'sd', 'skewness', 'kurtosis', 'sparsity', 'entropy'] as const) {
    expect(Math.abs(found[key] - expected[key])).toBeLessThan(1e-11 * Math.max(1, Math.abs(expected[key])))
  }
  for (const [i, { p, value, error }] of found.quantiles.entries()) {
    expect(p).toBe(probabilities[i])
    expect(Math.abs(value - expected.quantiles[i]!)).toBeLessThanOrEqual(error + 1e-15)
    expect(error).toBeLessThanOrEqual(Math.max(6e-8, Math.abs(expected.quantiles[i]!) / 500))
  }
}

describe('weightDistributions', () => {
  it('equals numpy and scipy for every grouping, with chosen bins', async () => {
    const found = await weightDistributions(weights, options)
    expectEqual(found.all, golden.all)
    for (const group of groups) {
      expect(found[group]).toHaveLength(golden[group].length)
      for (const [i, expected] of golden[group].entries()) expectEqual(found[group][i]!, expected)
    }
  })

  it('takes the extent of the weights in two passes, and entropy in bits', async () => {
    const seen: number[] = []
    const onProgress = (done: number, total: number) => seen.push(done / total)
    const found = await weightDistributions(weights, {
      range: 'extent',
      bins: 40,
      unit: 'bits',
      blockBytes: 9000,
      onProgress,
    })
    for (const group of groups) {
      for (const [i, { extent, bits }] of golden[group].entries()) {
        expect(found[group][i]!.histogram).toEqual(extent)
        expect(found[group][i]!.entropy).toBeCloseTo(bits, 11)
      }
    }
    expect(seen).toEqual(seen.toSorted((a, b) => a - b))
    expect(seen.length).toBeGreaterThan(4)
    expect(seen.at(-1)).toBe(1)
  })

  it('finds a range of a power of two on the way, as if it had been known', async () => {
    const growing = await weightDistributions(weights, { blockBytes: 700 })
    const limit = growing.all.histogram.edges.at(-1)!
    const largest = Math.max(-golden.all.min, golden.all.max)
    expect(Number.isInteger(Math.log2(limit))).toBe(true)
    expect(limit).toBeGreaterThan(largest)
    expect(limit).toBeLessThanOrEqual(2 * largest)
    const fixed = await weightDistributions(weights, { range: [-limit, limit] })
    expect(growing).toEqual(fixed)
  })

  it('has a histogram near zero', async () => {
    const { all } = await weightDistributions(weights, { zoom: { range, bins: 37 } })
    expect(all.zoom).toEqual(golden.all.histogram)
    expect((await weightDistributions(weights)).all.zoom.counts).toHaveLength(500)
  })

  it('lists the most common rounded values of every class', async () => {
    const { common } = await weightDistributions(weights, options)
    expect(common.map(({ class: name }) => name)).toEqual([null, ...golden.classNames])
    for (const [i, { most, counts }] of golden.common.entries()) {
      const { values } = common[i + 1]!
      expect(values.map(({ count }) => count)).toEqual(most)
      for (const { value, count, share } of values) {
        expect(count).toBe(counts[value.toFixed(decimals)])
        expect(share).toBe(count / golden.byClass[i]!.count)
      }
    }
    const fine = await weightDistributions(weights, { common: { decimals: 9, count: 1000 } })
    expect(fine.common[0]!.values.reduce((sum, { count }) => sum + count, 0)).toBeGreaterThan(1000)
    expect(
      fine.common[0]!.values.slice(0, 3)
        .map(({ value }) => value)
        .sort(),
    ).toEqual([-0.5, 0, 0.25])
  })

  it('gives the same whatever the size of the blocks', async () => {
    const whole = await weightDistributions(weights)
    for (const blockBytes of [1, 1000, 7777]) {
      expect(await weightDistributions(weights, { blockBytes })).toEqual(whole)
    }
  })

  it('keeps its digits far from zero', async () => {
    const data = Float32Array.from({ length: 4000 }, (_, i) => 4096 + (i % 2) / 2048)
    const { all } = await weightDistributions({ data, labels: Array(40).fill(0), classNames: ['a'] })
    expect(all.sd).toBeCloseTo(1 / 4096, 14)
    expect(all.kurtosis).toBeCloseTo(-2, 9)
  })

  it('is plain data', async () => {
    const found = await weightDistributions(weights)
    expect(JSON.parse(JSON.stringify(found))).toEqual(found)
  })

  it('has no skewness for equal weights', async () => {
    const data = new Float32Array(20)
    const { all } = await weightDistributions(
      { data, labels: [0, 0], classNames: ['a'] },
      { range: 'extent' },
    )
    expect(all).toMatchObject({ sd: 0, skewness: Number.NaN, sparsity: 1, entropy: 0 })
    expect(all.histogram.edges[0]).toBe(-0.5)
    expect(all.quantiles.every(({ value }) => value === 0)).toBe(true)
  })

  it.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])(
    'names the network that has a weight of %d',
    async value => {
      const bad = withWeight(7, 70, value)
      const message = 'church_2 has a weight that is not finite (dense bias, number 5); leave the network out'
      for (const range of [undefined, 'extent', [-1, 1]] as const) {
        const promise = weightDistributions(bad, range ? { range } : {})
        await expect(promise).rejects.toThrow(message)
        await expect(promise).rejects.toMatchObject({ tag: 'option', fields: { name: 'church_2', value } })
      }
    },
  )

  it.each([
    [{ bin: 3 }, 'unknown option of weightDistributions: "bin"; did you mean "bins"?'],
    [{ bins: 30 }, 'invalid bins; needs a multiple of 4 unless range is given: 30'],
    [{ bins: 0 }, 'invalid bins; needs an integer from 1 to 1048576: 0'],
    [{ range: [1, 1] }, 'invalid range; needs two finite numbers, the lower one first: [1,1]'],
    [{ zoom: { width: 1 } }, 'unknown option of zoom: "width"'],
    [{ probabilities: [1.5] }, 'invalid probabilities; not between 0 and 1: 1.5'],
    [{ threshold: -1 }, 'invalid threshold; needs a number of at least 0: -1'],
    [{ unit: 'hartleys' }, 'invalid unit; needs nats or bits: hartleys'],
    [{ common: { decimals: 10 } }, 'invalid common.decimals; needs an integer from 0 to 9: 10'],
    [{ blockBytes: 0.5 }, 'invalid blockBytes; needs a positive integer: 0.5'],
  ])('refuses %j', async (bad, message) => {
    await expect(weightDistributions(weights, bad as never)).rejects.toThrow(message)
  })

  it('refuses weights that do not fit together', async () => {
    await expect(weightDistributions(filtered(() => false))).rejects.toThrow('there are no networks')
    const some = filtered(row => row < 3).data as Float32Array[]
    const mixed = { ...weights, data: [some[0]!, some[1]!.slice(1)], labels: [0, 1] }
    await expect(weightDistributions(mixed)).rejects.toThrow(
      'invalid weights; networks of different architectures cannot be studied together: church_0 has 162, tench_0 has 163',
    )
    await expect(weightDistributions({ ...weights, labels: [0, 1] })).rejects.toThrow('invalid parameters')
    await expect(weightDistributions({ ...weights, labels: golden.labels.map(() => 5) })).rejects.toThrow(
      'invalid labels[0]; is no index into classNames: 5',
    )
    await expect(weightDistributions([1, 2] as never)).rejects.toThrow('needs a zoo, a view of one, rows, or')
  })

  it('stops between blocks when asked to', async () => {
    const controller = new AbortController()
    const promise = weightDistributions(weights, {
      blockBytes: 1,
      signal: controller.signal,
      onProgress: done => done > 2000 && controller.abort(),
    })
    await expect(promise).rejects.toMatchObject({ tag: 'interrupted' })
  })
})
