import { copyFile, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as tf from '@tensorflow/tfjs-core'
import { beforeAll, describe, expect, it } from 'vitest'
import {
  binaryMetrics,
  compileZoo,
  flattenModelwise,
  groupLayerwise,
  openZoo,
  subsetRows,
  summarize,
  type Zoo,
} from '../../dist/index.js'
import { smallImages, temporaryFolder, trainSmallZoo } from '../support.js'

let zoo: Zoo
beforeAll(async () => {
  const { mkdtemp } = await import('node:fs/promises')
  const { tmpdir } = await import('node:os')
  const folder = await mkdtemp(join(tmpdir(), 'weightzoo-'))
  zoo = await trainSmallZoo(join(folder, 'zoo'), { perClass: 3, epochs: 2 })
  return () => rm(folder, { recursive: true, force: true })
})

describe('Zoo', () => {
  it('gives a network as flat weights, as layers and as a model that predicts what was measured', async () => {
    const weights = await zoo.weights('checks', 2)
    const { kernel, bias } = await zoo.layer('checks', 2, 'dense')
    expect(kernel.shape).toEqual([480, 84])
    expect(bias.data).toEqual(weights.slice(456 + 2416 + 48120, 456 + 2416 + 48120 + 84))
    expect(kernel.data).toEqual(weights.slice(456 + 2416 + 48120 + 84, 456 + 2416 + 48120 + 40404))

    const { validation } = smallImages()
    const model = await zoo.model('checks', 2)
    const inputs = tf.tensor4d(validation.pixels.slice(), [validation.count, 32, 32, 3])
    const probabilities = (model.predict(inputs) as tf.Tensor).dataSync() as Float32Array
    const measured = binaryMetrics(
      probabilities,
      validation.labels.map(label => Number(label === 1)),
    )
    expect(model.countParams()).toBe(91481)
    expect(measured).toEqual(zoo.network('checks', 2).metrics)
  })

  it('selects by class, metrics, number and any condition, one after the other', () => {
    const best = Math.max(...zoo.networks.map(network => network.metrics.auc!))
    expect(zoo.select({ class: 'checks' }).networks).toHaveLength(3)
    expect(zoo.select({ class: ['checks', 'stripes'], perClass: 1 }).networks).toHaveLength(2)
    expect(zoo.select({ minAuc: best }).networks.map(({ metrics }) => metrics.auc)).toEqual([best])
    expect(zoo.select({ class: 'checks' }).select({ where: ({ index }) => index > 0 }).networks).toHaveLength(
      2,
    )
    expect(zoo.select({ minAccuracy: 1.1 }).networks).toHaveLength(0)
    expect(() => zoo.select({ clas: 'checks' } as never)).toThrow('did you mean "class"?')
    expect(() => zoo.select({ class: 'check' })).toThrow('did you mean "checks"?')
  })

  it('says which network is missing', () => {
    expect(() => zoo.network('checks', 3)).toThrow(
      `no network checks_3 in ${zoo.path}; of class "checks" it has 3`,
    )
  })

  it('sums up the metrics of each class', () => {
    const [first] = summarize(zoo)
    const accuracies = zoo.select({ class: 'stripes' }).networks.map(network => network.metrics.accuracy)
    expect(first).toMatchObject({ class: 'stripes', networks: 3 })
    expect(first!.accuracy.mean).toBeCloseTo((accuracies[0]! + accuracies[1]! + accuracies[2]!) / 3, 12)
    expect(first!.accuracy.min).toBe(accuracies.toSorted()[0])
  })
})

describe('flattenModelwise', () => {
  it.each([{ inMemory: false }, { inMemory: true }])('has the networks as rows: %j', async options => {
    const rows = await flattenModelwise(zoo, options)
    expect(rows.shape).toEqual([6, 91481])
    expect([...rows.labels]).toEqual([0, 0, 0, 1, 1, 1])
    expect(rows.names[4]).toBe('checks_1')
    const expected = await zoo.weights('checks', 1)
    expect(rows.row(4)).toEqual(expected)
    expect(rows.rows(3, 5).subarray(91481)).toEqual(expected)
    expect(rows.columns(10, 13).slice(4 * 3, 5 * 3)).toEqual(expected.slice(10, 13))
    expect(rows.layer('dense_1').slice(4 * 85, 5 * 85)).toEqual(expected.slice(-85))
    expect([...rows.blocks(4)].map(({ start, end, data }) => [start, end, data.length / 91481])).toEqual([
      [0, 4, 4],
      [4, 6, 2],
    ])
    expect(rows.toArray()).toHaveLength(6 * 91481)
    const gathered = rows.gather([4, 0, 4])
    expect(gathered.subarray(0, 91481)).toEqual(expected)
    expect(gathered.subarray(91481, 2 * 91481)).toEqual(rows.row(0))
    expect(gathered.subarray(2 * 91481)).toEqual(expected)
    const into = new Float32Array(91481)
    expect(rows.gather([4], into)).toBe(into)
    expect(into).toEqual(expected)
    expect(subsetRows(rows, [5, 4, 1]).rows(1, 2)).toEqual(expected)
    expect(() => rows.gather([6])).toThrow('invalid row; there are 6: 6')
    expect(() => rows.gather([1, 2], into)).toThrow('invalid into; 2 rows need a length of 182962: 91481')
    expect(() => rows.row(6)).toThrow('invalid rows; there are 6: 6 to 7')
    expect(() => rows.layer('flatten')).toThrow('has no parameters here; those with parameters are conv2d, ')
    rows.close()
  })

  it.each([{ inMemory: false }, { inMemory: true }])('gives the rows of a selection: %j', async options => {
    const rows = await flattenModelwise(zoo.select({ where: ({ index }) => index !== 1 }), options)
    expect(rows.names).toEqual(['stripes_0', 'stripes_2', 'checks_0', 'checks_2'])
    expect(rows.row(1)).toEqual(await zoo.weights('stripes', 2))
    expect(rows.gather([1])).toEqual(rows.row(1))
    expect(rows.rows(0, 4).slice(3 * 91481)).toEqual(await zoo.weights('checks', 2))
    rows.close()
  })

  it('refuses an empty selection', async () => {
    await expect(flattenModelwise(zoo.select({ minAccuracy: 1.1 }))).rejects.toThrow('the selection is empty')
  })
})

describe('groupLayerwise', () => {
  it.each([{ inMemory: false }, { inMemory: true }])(
    'has a matrix for every class and layer: %j',
    async options => {
      const byLayer = await groupLayerwise(zoo, options)
      expect(byLayer.classNames).toEqual(['stripes', 'checks'])
      expect(byLayer.layerNames).toEqual(['conv2d', 'conv2d_1', 'conv2d_2', 'dense', 'dense_1'])
      const matrix = byLayer.matrix('checks', 'conv2d_1')
      expect(matrix.shape).toEqual([3, 2416])
      expect(matrix.names).toEqual(['checks_0', 'checks_1', 'checks_2'])
      expect(matrix.row(2)).toEqual((await zoo.weights('checks', 2)).slice(456, 456 + 2416))
      expect(matrix.parameters.map(({ part, offset }) => [part, offset])).toEqual([
        ['bias', 0],
        ['kernel', 16],
      ])
      expect(() => byLayer.matrix('discs', 'conv2d')).toThrow('class; has no networks here')
      byLayer.close()
    },
  )

  it.each([{ inMemory: false }, { inMemory: true }])('gives the rows of a selection: %j', async options => {
    const byLayer = await groupLayerwise(zoo.select({ where: ({ index }) => index === 2 }), options)
    const matrix = byLayer.matrix('checks', 'dense_1')
    expect(matrix.names).toEqual(['checks_2'])
    expect(matrix.row(0)).toEqual((await zoo.weights('checks', 2)).slice(-85))
    byLayer.close()
  })
})

describe('compiled files', () => {
  it('are made again when they are damaged or out of date, and not otherwise', async () => {
    const out = await temporaryFolder()
    const first = await trainSmallZoo(out, { perClass: 1 })
    const path = join(out, 'modelwise.h5')
    const made = (await stat(path)).mtimeMs
    ;(await flattenModelwise(first)).close()
    expect((await stat(path)).mtimeMs).toBe(made)

    await truncate(path, 5000)
    const repaired = await flattenModelwise(first)
    expect(repaired.row(1)).toEqual(await first.weights('checks', 0))
    repaired.close()

    const stale = join(out, 'stale.h5')
    await copyFile(path, stale)
    const grown = await trainSmallZoo(out, { perClass: 2 })
    await copyFile(stale, path)
    const rows = await flattenModelwise(grown)
    expect(rows.shape).toEqual([4, 91481])
    rows.close()
  })

  it('have checksums: a flipped bit is an error, not another weight', async () => {
    const out = await temporaryFolder()
    const flipped = await trainSmallZoo(out, { perClass: 1 })
    const path = join(out, 'modelwise.h5')
    const bytes = await readFile(path)
    bytes[bytes.length - 200_000]! ^= 4
    await writeFile(path, bytes)
    const rows = await flattenModelwise(flipped)
    expect(() => rows.toArray()).toThrow(`${path} is truncated, corrupt or no HDF5 file`)
    rows.close()
  })

  it('never go back to fewer networks because of a zoo that was opened earlier', async () => {
    const out = await temporaryFolder()
    const early = await trainSmallZoo(out, { perClass: 1 })
    await trainSmallZoo(out, { perClass: 2 })
    const rows = await flattenModelwise(early)
    expect(rows.names).toEqual(['stripes_0', 'checks_0'])
    expect(rows.row(1)).toEqual(await early.weights('checks', 0))
    rows.close()
    const later = await openZoo(out)
    expect((await readFile(join(out, 'metrics.csv'), 'utf8')).trim().split('\n')).toHaveLength(5)
    expect(later.networks).toHaveLength(4)
  })

  it('are made once when two views ask for them at the same time', async () => {
    const out = await temporaryFolder()
    const fresh = await trainSmallZoo(out, { perClass: 1 })
    await rm(join(out, 'layerwise.h5'))
    const [rows, byLayer] = await Promise.all([flattenModelwise(fresh), groupLayerwise(fresh)])
    expect(byLayer.matrix('checks', 'dense_1').row(0)).toEqual(rows.row(1).slice(-85))
    rows.close()
    rows.close()
    byLayer.close()
    expect(() => rows.row(0)).toThrow('is closed: read before close()')
  })

  it('stay as they were when compiling is interrupted', async () => {
    const out = await temporaryFolder()
    const fresh = await trainSmallZoo(out, { perClass: 1 })
    const before = await readFile(join(out, 'modelwise.h5'))
    const controller = new AbortController()
    const work = compileZoo(fresh, { signal: controller.signal })
    setTimeout(() => controller.abort(), 1)
    await Promise.allSettled([work])
    await expect(compileZoo(fresh, { signal: AbortSignal.abort() })).rejects.toMatchObject({
      tag: 'interrupted',
    })
    expect(await readFile(join(out, 'modelwise.h5'))).toEqual(before)
  })

  it('name the altered network instead of compiling it', async () => {
    const out = await temporaryFolder()
    const altered = await trainSmallZoo(out, { perClass: 1 })
    const path = join(out, 'models', 'checks_0.weights.h5')
    const bytes = await readFile(path)
    bytes[300_000]! ^= 128
    await writeFile(path, bytes)
    await expect(compileZoo(await openZoo(out))).rejects.toThrow(path)
    expect((await stat(join(out, 'modelwise.h5'))).size).toBeGreaterThan(2 * 91481 * 4)
    expect(altered.networks).toHaveLength(2)
  })

  it('list the metrics under the names of the paper', async () => {
    const [head, first] = (await readFile(join(zoo.path, 'metrics.csv'), 'utf8')).split('\n')
    expect(head).toBe('Class,Count,Accuracy,Precision,Recall,F1 Score,AUC')
    const { accuracy, precision, recall, f1, auc } = zoo.networks[0]!.metrics
    expect(first).toBe(`stripes,0,${accuracy},${precision},${recall},${f1},${auc}`)
  })
})
