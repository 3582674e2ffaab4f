import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { pairwiseDistances } from '../../dist/analysis/distances.js'
import { weightDistributions } from '../../dist/analysis/distributions.js'
import { layerDivergence, networkDivergence } from '../../dist/analysis/divergence.js'
import { principalComponents } from '../../dist/analysis/principal-components.js'
import { flattenModelwise, groupLayerwise, type Zoo } from '../../dist/index.js'
import { trainSmallZoo } from '../support.js'

let zoo: Zoo
beforeAll(async () => {
  const folder = await mkdtemp(join(tmpdir(), 'weightzoo-'))
  zoo = await trainSmallZoo(join(folder, 'zoo'), { perClass: 3 })
  return () => rm(folder, { recursive: true, force: true })
})

describe('a zoo', () => {
  it('gives the same distributions from the zoo, its rows and its layers', async () => {
    const rows = await flattenModelwise(zoo)
    const byLayer = await groupLayerwise(zoo)
    const found = await weightDistributions(zoo)
    expect(found.byLayer.map(({ layer, count }) => [layer, count / 6])).toEqual([
      ['conv2d', 456],
      ['conv2d_1', 2416],
      ['conv2d_2', 48120],
      ['dense', 40404],
      ['dense_1', 85],
    ])
    expect(found.byClass.map(({ class: name, count }) => [name, count / 3])).toEqual([
      ['stripes', 91481],
      ['checks', 91481],
    ])
    expect(await weightDistributions(rows, { blockBytes: 400_000 })).toEqual(found)
    expect(await weightDistributions(byLayer)).toEqual(found)
    rows.close()
    byLayer.close()
  })

  it('gives the same divergences from the zoo and its layers, also of a selection', async () => {
    const byLayer = await groupLayerwise(zoo)
    expect(await layerDivergence(byLayer)).toEqual(await layerDivergence(zoo))
    expect(await networkDivergence(byLayer)).toEqual(await networkDivergence(zoo))
    byLayer.close()
    const selection = zoo.select({ perClass: 2 })
    const { dense_1: small } = await layerDivergence(selection, { preset: 'paper' })
    expect(small!.histograms[0]!.counts.reduce((sum, count) => sum + count, 0)).toBe(2 * 85)
    expect(small!.classNames).toEqual(['stripes', 'checks'])
    await expect(layerDivergence(zoo.select({ perClass: 1 }))).rejects.toThrow('stripes has: 1')
    await expect(layerDivergence(zoo.select({ class: 'checks' }))).rejects.toThrow('needs two classes')
    await expect(layerDivergence(zoo.select({ minF1: 2 }))).rejects.toThrow('the selection is empty')
  })

  it('has principal components and distances', async () => {
    const pca = await principalComponents(zoo)
    const scores = await pca.transform(zoo)
    const { values, names } = await pairwiseDistances(zoo, { between: 'networks' })
    expect(names[5]).toBe('checks_2')
    // Five components of six networks leave nothing out: distances are kept.
    const [a, b] = [scores[1]!, scores[5]!]
    expect(Math.hypot(...a.map((value, i) => value - b[i]!))).toBeCloseTo(values[1]![5]!, 9)
    const byLayer = await groupLayerwise(zoo)
    await expect(principalComponents(byLayer)).rejects.toThrow('needs whole networks')
    byLayer.close()
  })
})
