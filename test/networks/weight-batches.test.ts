import * as tf from '@tensorflow/tfjs-core'
import * as layers from '@tensorflow/tfjs-layers'
import { describe, expect, it } from 'vitest'
import { silenceCpuBackend } from '../../dist/architecture/to-layers-model.js'
import {
  type FedBatch,
  RandomStream,
  stratifiedSplit,
  type WeightViews,
  weightBatches,
} from '../../dist/index.js'

silenceCpuBackend()
/** Two layers, 5 and 7 weights. */
const parameters = [
  { layer: 'a', part: 'bias', shape: [1], offset: 0, size: 1 },
  { layer: 'a', part: 'kernel', shape: [2, 2], offset: 1, size: 4 },
  { layer: 'b', part: 'bias', shape: [1], offset: 5, size: 1 },
  { layer: 'b', part: 'kernel', shape: [6], offset: 6, size: 6 },
] as const
const stream = new RandomStream(3)
/** 40 networks of three classes, the layers on different scales; the last weight never varies. */
const networks = Array.from({ length: 40 }, () =>
  Float32Array.from({ length: 12 }, (_, k) =>
    k === 11 ? 5 : k < 5 ? stream.uniform(0, 1) : stream.uniform(-9, 3),
  ),
)
const labels = networks.map((_, i) => i % 3)
const weights = { data: networks, labels, classNames: ['x', 'y', 'z'], parameters }

async function collect<View extends keyof WeightViews>(batches: AsyncIterable<FedBatch<View>>) {
  const all: FedBatch<View>[] = []
  for await (const batch of batches) all.push(batch)
  return all
}
const namesOf = (batches: readonly FedBatch[]) => batches.flatMap(({ names }) => names)
const networkOf = (name: string) => {
  const [className, index] = name.split('_')
  return networks.filter((_, i) => labels[i] === 'xyz'.indexOf(className!))[Number(index)]!
}

describe('weightBatches', () => {
  it('gives every network of the training part once an epoch, with its class', async () => {
    const { train, test, classNames } = await weightBatches(weights, { batchSize: 7, seed: 1 })
    expect(classNames).toEqual(['x', 'y', 'z'])
    expect([train.count, train.size, test.count, test.size]).toEqual([31, 5, 9, 2])
    const batches = await collect(train)
    expect(batches.map(({ labels: own }) => own.length)).toEqual([7, 7, 7, 7, 3])
    for (const { weights: data, labels: own, names } of batches) {
      for (const [i, name] of names.entries()) {
        expect(data.slice(i * 12, (i + 1) * 12)).toEqual(networkOf(name))
        expect(classNames[own[i]!]).toBe(name[0])
      }
    }
    const all = [...namesOf(batches), ...namesOf(await collect(test))]
    expect(new Set(all).size).toBe(40)
  })

  it('shuffles each epoch in an order of its own, the same for the same seed', async () => {
    const first = await weightBatches(weights, { seed: 1 })
    const epochs = [namesOf(await collect(first.train)), namesOf(await collect(first.train))]
    expect(epochs[0]).not.toEqual(epochs[1])
    expect([...epochs[0]!].sort()).toEqual([...epochs[1]!].sort())
    const again = await weightBatches(weights, { seed: 1 })
    expect(namesOf(await collect(again.train.epoch(1)))).toEqual(epochs[1])
    const other = await weightBatches(weights, {
      seed: 2,
      split: stratifiedSplit(labels, { testShare: 0.2, seed: 1 }),
    })
    const otherOrder = namesOf(await collect(other.train.epoch(0)))
    expect(otherOrder).not.toEqual(epochs[0])
    // The same seed and share split as stratifiedSplit does.
    expect([...otherOrder].sort()).toEqual([...epochs[0]!].sort())
    const inOrder = await weightBatches(weights, { shuffle: false, testShare: 0 })
    expect((await collect(inOrder.train))[0]!.weights).toEqual(
      Float32Array.from(networks.flatMap(network => [...network])),
    )
    expect(inOrder.test.size).toBe(0)
  })

  it('can leave out the last, smaller batch', async () => {
    const { train } = await weightBatches(weights, { batchSize: 15, dropRemainder: true })
    expect(train.size).toBe(2)
    expect((await collect(train)).map(({ labels: own }) => own.length)).toEqual([15, 15])
  })

  it.each(['weight', 'layer', 'global'] as const)(
    'standardises per %s, by the training part alone',
    async per => {
      const split = { train: Uint32Array.from({ length: 30 }, (_, i) => i), test: [35, 31] }
      const feed = await weightBatches(weights, { standardize: per, split, batchSize: 100, shuffle: false })
      const groups = {
        weight: Array.from({ length: 12 }, (_, k) => [k, k + 1]),
        layer: [
          [0, 5],
          [5, 12],
        ],
        global: [[0, 12]],
      }[per]
      const [trained] = await collect(feed.train)
      const [tested] = await collect(feed.test)
      expect(tested!.names).toEqual(['z_11', 'y_10'])
      for (const [start, end] of groups as [number, number][]) {
        const values = networks.slice(0, 30).flatMap(network => [...network.slice(start, end)])
        const mean = values.reduce((a, b) => a + b) / values.length
        const deviation = Math.sqrt(values.reduce((a, b) => a + (b - mean) ** 2, 0) / values.length) || 1
        expect(feed.standardization!.mean[start]).toBeCloseTo(mean, 10)
        expect(feed.standardization!.deviation[end - 1]).toBeCloseTo(deviation, 10)
        for (const [row, network] of [35, 31].entries()) {
          for (let k = start; k < end; k++) {
            expect(tested!.weights[row * 12 + k]).toBeCloseTo((networks[network]![k]! - mean) / deviation, 5)
          }
        }
      }
      const sum = trained!.weights.reduce((a, b) => a + b, 0)
      expect(sum / trained!.weights.length).toBeCloseTo(0, 6)
      const back = feed.toWeights(tested!.weights)
      for (const [i, weight] of back.entries()) {
        expect(weight).toBeCloseTo([...networks[35]!, ...networks[31]!][i]!, 5)
      }
      // The batch stays standardised.
      expect(back).not.toEqual(tested!.weights)
    },
  )

  it('gives and takes back layers', async () => {
    const feed = await weightBatches(weights, { view: 'layers', shuffle: false, testShare: 0 })
    const [batch] = await collect(feed.train)
    expect(Object.keys(batch!.weights)).toEqual(['a', 'b'])
    expect(batch!.weights['b']!.slice(7, 14)).toEqual(networks[1]!.slice(5))
    const flat = Float32Array.from(networks.flatMap(network => [...network]))
    expect(feed.toWeights(batch!.weights)).toEqual(flat)
    const tensors = {
      a: tf.tensor2d(batch!.weights['a']!, [40, 5]),
      b: tf.tensor2d(batch!.weights['b']!, [40, 7]),
    }
    expect(feed.toWeights(tensors)).toEqual(flat)
    expect(() => feed.toWeights({ a: new Float32Array(5) })).toThrow(
      /values.b; needs a Float32Array of 7 weights/,
    )
  })

  it('gives and takes back tokens, with their places and a mask', async () => {
    const feed = await weightBatches(weights, { view: 'tokens', tokenSize: 4, shuffle: false, testShare: 0 })
    const [batch] = await collect(feed.train)
    const { values, shape, mask, positions } = batch!.weights
    expect(shape).toEqual([40, 4, 4])
    expect([...mask]).toEqual([1, 1, 1, 1, 1, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 0])
    expect([...positions]).toEqual([0, 0, 0, 1, 0, 1, 2, 1, 0, 3, 1, 1])
    const [w] = networks as [Float32Array]
    const expected = [...w.slice(0, 4), w[4], 0, 0, 0, ...w.slice(5, 9), ...w.slice(9), 0]
    expect([...values.slice(0, 16)]).toEqual(expected)
    const noisy = values.map((value, i) => (mask[i % 16] ? value : 99))
    expect(feed.toWeights(noisy)).toEqual(Float32Array.from(networks.flatMap(network => [...network])))
    expect(feed.toWeights(tf.tensor3d(values, [...shape]))).toHaveLength(40 * 12)
    expect(() => feed.toWeights(new Float32Array(17))).toThrow(/needs a multiple of 16 numbers, has: 17/)
  })

  it.each([
    ['flat', [12]],
    ['tokens', [2, 8]],
  ] as const)('feeds fitDataset of tfjs, without a leak: %s', async (view, inputShape) => {
    const { train, test } = await weightBatches(weights, {
      view,
      tokenSize: 8,
      standardize: 'weight',
      batchSize: 16,
      seed: 1,
    })
    const model = layers.sequential()
    model.add(
      layers.layers.reshape({
        inputShape: [...inputShape],
        targetShape: [inputShape.reduce((a: number, b: number) => a * b, 1)],
      }),
    )
    model.add(layers.layers.dense({ units: 3, activation: 'softmax' }))
    model.compile({ optimizer: 'adam', loss: 'categoricalCrossentropy' })
    await model.fitDataset(train.tensors('labels'), { epochs: 1, verbose: 0 })
    const before = tf.memory().numTensors
    const { history } = await model.fitDataset(train.tensors('labels'), { epochs: 3, verbose: 0 })
    expect(history['loss']).toHaveLength(3)
    expect(tf.memory().numTensors).toBe(before)
    tf.dispose(await model.evaluateDataset(test.tensors('labels') as never, {}))
    for await (const { xs, ys } of test.tensors('weights')) {
      expect((xs as tf.Tensor).arraySync()).toEqual((ys as tf.Tensor).arraySync())
      tf.dispose([xs, ys])
    }
    expect(tf.memory().numTensors).toBe(before)
  })

  it('stops between two batches, and names what is wrong', async () => {
    const abort = new AbortController()
    const { train } = await weightBatches(weights, { batchSize: 5, signal: abort.signal })
    const reading = (async () => {
      for await (const _ of train) abort.abort()
    })()
    await expect(reading).rejects.toMatchObject({
      tag: 'interrupted',
      message: 'interrupted after 1 batches',
    })
    const broken = { ...weights, data: networks.map(network => network.slice()) }
    broken.data[4]![6] = Number.NaN
    await expect(weightBatches(broken, { standardize: 'layer', testShare: 0 })).rejects.toThrow(
      /y_1 has a weight that is not finite \(b kernel, number 0\)/,
    )
    const wrong = [
      [{ batchSize: 0 }, /batchSize; needs a positive integer: 0/],
      [{ batchsize: 3 }, /did you mean "batchSize"/],
      [{ view: 'token' }, /view; needs flat, layers or tokens: token/],
      [{ view: 'tokens', tokenSize: 1.5 }, /tokenSize/],
      [{ standardize: 'row' }, /standardize; needs weight, layer, global or false: row/],
      [{ testShare: 1 }, /testShare; not in \[0, 1\): 1/],
      [{ split: { train: [40] } }, /split; there are 40 networks: 40/],
      [{ split: { train: [1], test: [1] } }, /in it twice/],
      [{ split: { train: [] } }, /at least one network/],
    ] as const
    for (const [options, message] of wrong) {
      await expect(weightBatches(weights, options as object)).rejects.toThrow(message)
    }
  })
})
