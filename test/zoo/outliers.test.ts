import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { type NetworkRecord, outliers, withWeightSummaries, Zoo } from '../../dist/index.js'
import { partOf } from '../../dist/zoo/split.js'
import { summarizeWeights } from '../../dist/zoo/weight-summary.js'
import { temporaryFolder, trainSmallZoo } from '../support.js'

describe('weight summaries', () => {
  it('count what is not finite and leave it out', () => {
    const weights = Float32Array.of(3, -4, Number.NaN, Number.POSITIVE_INFINITY)
    expect(summarizeWeights(weights)).toEqual({ min: -4, max: 3, norm: 5, nonFinite: 2 })
  })

  it('are recorded in training, computed for older zoos, and select', async () => {
    const zoo = await trainSmallZoo(await temporaryFolder())
    for (const { class: name, index, weightSummary } of zoo.networks)
      expect(weightSummary).toEqual(summarizeWeights(await zoo.weights(name, index)))
    const largest = zoo.networks.map(({ weightSummary: { min, max } = { min: 0, max: 0 } }) =>
      Math.max(-min, max),
    )
    const least = Math.min(...largest)
    expect(zoo.select({ maxAbsWeight: least, finite: true }).networks).toHaveLength(1)

    const older = zoo.networks.map(({ weightSummary: _, ...record }) => record as NetworkRecord)
    const old = new Zoo(zoo.path, zoo.manifest, older, [])
    expect(() => old.select({ finite: true })).toThrow('invalid network; has no weight summary')
    expect((await withWeightSummaries(old)).networks).toEqual(
      zoo.networks.map(network => expect.objectContaining({ weightSummary: network.weightSummary })),
    )

    // Ten networks that hardly differ, one that does, one that is broken.
    const [first] = zoo.networks
    const networks = Array.from({ length: 12 }, (_, index): NetworkRecord => {
      const norm = index === 10 ? 90 : 10 + index / 100
      return { ...first!, index, weightSummary: { min: -1, max: 1, norm, nonFinite: index === 11 ? 3 : 0 } }
    })
    const found = outliers(new Zoo(zoo.path, zoo.manifest, networks, []))
    expect(found.map(({ network, measure, value }) => [network.index, measure, value])).toEqual([
      [11, 'weights not finite', 3],
      [10, 'weight norm', 90],
    ])
    expect(() => outliers(zoo, { zScore: 0 })).toThrow('invalid zScore; needs a number above 0: 0')

    expect(zoo.manifest).toMatchObject({ split: { train: 14, validation: 3, test: 3 } })
    const parts = (['train', 'validation', 'test'] as const).map(part => zoo.split(part).networks.length)
    expect(parts.reduce((sum, count) => sum + count, 0)).toBe(4)
    expect(() => zoo.split('tset' as never)).toThrow('invalid part; known are train, validation, test: tset')
    expect((await readFile(join(zoo.path, 'modelwise.h5'))).includes('split')).toBe(true)
  })
})

describe('the split by network', () => {
  it('has 14, 3 and 3 of every 20 networks of a class, drawn anew for each', () => {
    const patterns = [0, 1, 2].flatMap(block =>
      ['church', 'tench'].map(name => {
        const parts = Array.from({ length: 20 }, (_, i) => partOf(7, name, 20 * block + i))
        const count = (part: string) => parts.filter(other => other === part).length
        expect([count('train'), count('validation'), count('test')]).toEqual([14, 3, 3])
        return parts.join()
      }),
    )
    expect(new Set(patterns).size).toBe(6)
    expect(partOf(7, 'church', 3)).toBe(partOf(7, 'church', 3))
  })
})
