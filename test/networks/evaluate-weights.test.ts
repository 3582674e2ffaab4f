import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as tf from '@tensorflow/tfjs-core'
import { afterAll, describe, expect, it } from 'vitest'
import { silenceCpuBackend } from '../../dist/architecture/to-layers-model.js'
import {
  asWeightMatrix,
  type Engine,
  type EvaluationProgress,
  evaluateWeights,
  flattenModelwise,
  type ImageSplit,
  lenet5Architecture,
  materialize,
  openEngine,
  RandomStream,
  stackRows,
  subsetRows,
  type WeightMatrix,
  withLabels,
} from '../../dist/index.js'
import { agreementOf, meanAgreement } from '../../dist/networks/agreement.js'
import { chooseImages } from '../../dist/networks/choose-images.js'
import { smallImages, trainSmallZoo } from '../support.js'

silenceCpuBackend()
const P = lenet5Architecture().parameterCount
const folder = await mkdtemp(join(tmpdir(), 'weightzoo-'))
const images = smallImages()
// Eight epochs, so that some networks call some images positive.
const zoo = await trainSmallZoo(join(folder, 'zoo'), { images, perClass: 5, epochs: 8 })
const rows: WeightMatrix = await flattenModelwise(zoo)
const engine: Engine = await openEngine({ concurrency: 2 })
afterAll(async () => {
  rows.close()
  await engine.close()
  await rm(folder, { recursive: true })
})
const classes = zoo.networks.map(network => network.class)
const [church] = classes as [string]

/** A row with noise of this size on every weight. */
function near(row: number, size: number): Float32Array<ArrayBuffer> {
  const stream = new RandomStream(row, 'noise')
  return rows.row(row).map(weight => weight + stream.uniform(-size, size))
}

function distance(a: Float32Array, b: Float32Array): number {
  return Math.sqrt(a.reduce((sum, value, i) => sum + (value - b[i]!) ** 2, 0))
}

describe('evaluateWeights', () => {
  it("gives a zoo's own networks the scores of the ledger, and themselves as nearest", async () => {
    const progress: EvaluationProgress[] = []
    const onProgress = (p: EvaluationProgress) => progress.push(p)
    const { networks, imageCount } = await evaluateWeights(rows, {
      images,
      class: classes,
      zoo,
      engine,
      onProgress,
    })
    expect(imageCount).toBe(80)
    for (const [i, network] of networks.entries()) {
      const { metrics } = zoo.networks[i]!
      expect(network).toMatchObject({ name: rows.names[i], class: classes[i], finite: true, ...metrics })
      expect(network.nearest).toMatchObject({ name: rows.names[i], distance: 0, agreement: 1 })
    }
    expect(new Set(networks.map(({ accuracy }) => accuracy)).size).toBeGreaterThan(2)
    const last = (phase: string) => progress.findLast(p => p.phase === phase)
    for (const phase of ['networks', 'search', 'nearest'])
      expect(last(phase)).toEqual({ phase, done: 10, total: 10 })
  })

  it('takes the same weights in any form', async () => {
    const data = rows.rows(0, 3)
    const options = { images, class: church, engine }
    const expected = await evaluateWeights(data, options)
    const unnamed = expected.networks.map(({ name: _, ...network }) => network)
    const tensor = tf.tensor2d(data, [3, P])
    const arrays = [0, 1, 2].map(i => rows.row(i))
    for (const batch of [tensor, arrays, arrays.map(array => [...array])]) {
      expect(await evaluateWeights(batch, options)).toEqual(expected)
    }
    expect(tensor.isDisposed).toBe(false)
    const named = await evaluateWeights({ ...rowsOf(data), names: ['a', 'b', 'c'] }, options)
    expect(named.networks).toEqual(unnamed.map((network, i) => ({ name: 'abc'[i], ...network })))
  })

  it('finds the nearest network, its distance and agreement', async () => {
    const batch = [near(7, 0.001), near(2, 0.3), near(4, 2)]
    const { networks } = await evaluateWeights(batch, { images, class: church, zoo, engine })
    const all = Array.from({ length: 10 }, (_, i) => rows.row(i))
    for (const [i, { nearest }] of networks.entries()) {
      const distances = all.map(row => distance(batch[i]!, row))
      const least = Math.min(...distances)
      expect(nearest!.name).toBe(rows.names[distances.indexOf(least)])
      expect(nearest!.distance).toBeCloseTo(least, 6)
      const own = await materialize(batch[i]!)
      const other = await zoo.model(
        ...((nearest!.name.match(/(.*)_(\d+)$/)!.slice(1) as [string, string]).map((part, k) =>
          k ? Number(part) : part,
        ) as [string, number]),
      )
      const { pixels, count } = images.validation
      const [a, b] = [own, other].map(model => {
        const out = model.predict(tf.tensor4d(pixels.slice(0, 10 * 3072), [10, 32, 32, 3])) as tf.Tensor
        return [...out.dataSync()].map(p => Number(p > 0.5))
      })
      // tfjs's own backend is slow: the first ten images bound the agreement on all.
      const same = a!.filter((call, k) => call === b![k]).length
      expect(nearest!.agreement).toBeGreaterThanOrEqual(same / count)
      expect(nearest!.agreement).toBeLessThanOrEqual((same + count - 10) / count)
    }
    expect(networks[0]!.nearest!.agreement).toBeGreaterThan(0.97)
  })

  it('measures diversity over all pairs', async () => {
    const batch = [0, 1, 2, 3].map(i => rows.row(i))
    const { diversity } = await evaluateWeights(batch, { images, class: church, engine })
    const pairs = batch.flatMap((a, i) => batch.slice(i + 1).map(b => distance(a, b) ** 2))
    expect(diversity.distance).toBeCloseTo(Math.sqrt(pairs.reduce((a, b) => a + b) / pairs.length), 6)
    const collapsed = await evaluateWeights([rows.row(1), rows.row(1)], { images, class: church, engine })
    expect(collapsed.diversity).toEqual({ distance: 0, agreement: 1 })
    const one = await evaluateWeights([rows.row(1)], { images, class: church, engine })
    expect(one.diversity).toEqual({ distance: Number.NaN, agreement: Number.NaN })
  })

  it('gives a network that is not finite a row of NaN, and the others theirs', async () => {
    const broken = rows.row(1)
    broken[90_000] = Number.POSITIVE_INFINITY
    const batch = [rows.row(0), broken, rows.row(2)]
    const { networks, diversity } = await evaluateWeights(batch, { images, class: church, zoo, engine })
    const none = Number.NaN
    expect(networks[1]).toEqual({
      name: 'network 1',
      class: church,
      finite: false,
      ...{ accuracy: none, precision: none, recall: none, f1: none, auc: none },
    })
    const without = await evaluateWeights([batch[0]!, batch[2]!], { images, class: church, zoo, engine })
    expect([networks[0], { ...networks[2]!, name: 'network 1' }]).toEqual(without.networks)
    expect(diversity).toEqual(without.diversity)
  })

  it('judges on fewer images where asked, the same for the same seed', async () => {
    const judge = (seed: number) =>
      evaluateWeights(rows, { images, class: classes, imageCount: 20, seed, engine })
    const first = await judge(1)
    expect(first.imageCount).toBe(20)
    expect(await judge(1)).toEqual(first)
    expect((await judge(2)).networks).not.toEqual(first.networks)
  })

  it('stops when it is aborted', async () => {
    const options = { images, class: church, engine, signal: AbortSignal.abort() }
    await expect(evaluateWeights(rows, options)).rejects.toMatchObject({ tag: 'interrupted' })
  })

  it.each([
    [new Float32Array(5), {}, /weights; needs 91481 weights for each network, has: 5/],
    [[new Float32Array(P), new Float32Array(4)], {}, /weights\[1\]; needs 91481 .*: 4/],
    [tf.zeros([2, 7]), {}, /needs the shape \[networks, 91481\], this has: \[2,7\]/],
    ['church', {}, /weights; needs a Float32Array.*: string/],
    [new Float32Array(P), { class: 'churhc' }, /class; .*: churhc/],
    [new Float32Array(P), { class: ['class 0', 'class 1'] }, /one for each of the 1 networks: 2/],
    [new Float32Array(P), { imageCount: 0 }, /imageCount; needs a positive integer: 0/],
    [new Float32Array(P), { imagecount: 3 }, /did you mean "imageCount"/],
    [
      new Float32Array(P),
      { zoo: { data: [new Float32Array(3)], labels: [0], classNames: ['a'] } },
      /zoo; .*3/,
    ],
  ])('refuses what does not fit: %#', async (batch, options, message) => {
    const all = { images, class: church, engine, ...options }
    await expect(evaluateWeights(batch as Float32Array, all)).rejects.toThrow(message)
  })
})

describe('networks of a zoo that varies the activation', async () => {
  const varied = await trainSmallZoo(join(folder, 'varied'), {
    images,
    perClass: 4,
    epochs: 8,
    vary: { activation: ['tanh', 'relu'] },
  })
  const { networks } = varied
  const own = await flattenModelwise(varied)
  afterAll(() => own.close())
  const ownClasses = networks.map(network => network.class)
  const activations = networks.map(({ hyperparameters }) => hyperparameters!['activation'])
  const relu = varied.select({ where: ({ hyperparameters }) => hyperparameters!['activation'] === 'relu' })
  const count = networks.length
  const judge = (batch: Parameters<typeof evaluateWeights>[0], options = {}) =>
    evaluateWeights(batch, { images, class: ownClasses, engine, ...options })
  const rejects = (message: RegExp, batch: Parameters<typeof judge>[0], options = {}) =>
    expect(judge(batch, options)).rejects.toThrow(message)

  it('have the scores of the ledger, in their order, and are their own nearest', async () => {
    // Networks of both are between one another, so that groups and rows are not in one order.
    expect(new Set(activations)).toEqual(new Set(['tanh', 'relu']))
    expect(activations.lastIndexOf('relu')).toBeGreaterThan(activations.indexOf('tanh'))
    expect(activations.lastIndexOf('tanh')).toBeGreaterThan(activations.indexOf('relu'))
    const progress: EvaluationProgress[] = []
    const onProgress = (p: EvaluationProgress) => progress.push(p)
    const judged = await judge(own, { zoo: varied, onProgress })
    for (const [i, { metrics }] of networks.entries()) {
      const nearest = { name: own.names[i], distance: 0, agreement: 1 }
      expect(judged.networks[i]).toMatchObject({ name: own.names[i], finite: true, ...metrics, nearest })
    }
    const done = progress.flatMap(p => (p.phase === 'networks' ? [p.done] : []))
    expect(done).toEqual([...done].sort((a, b) => a - b))
    expect(done.at(-1)).toBe(count)
    // With one activation for all, the others have other scores.
    const alike = await judge(own.toArray(), { architecture: varied.architecture })
    for (const [i, activation] of activations.entries()) {
      const same = alike.networks[i]!.auc === networks[i]!.metrics.auc
      if (activation === 'tanh') expect(same).toBe(true)
    }
    expect(alike.networks).not.toEqual(judged.networks)
  })

  it('keep their architecture in every kind of rows', async () => {
    const { networks: expected } = await judge(own)
    const backwards = Array.from({ length: count }, (_, i) => count - 1 - i)
    const reversed = await judge(subsetRows(own, backwards), { class: ownClasses.toReversed() })
    expect(reversed.networks).toEqual(expected.toReversed())
    const halves = [subsetRows(own, [0, 1, 2]), subsetRows(own, backwards.slice(0, count - 3).reverse())]
    const forms = [asWeightMatrix(stackRows(halves)), withLabels(own, own.labels)]
    for (const rows of forms) expect((await judge(rows)).networks).toEqual(expected)
    const unknown = stackRows([halves[0]!, rowsOf(own.row(3))])
    expect(unknown.architectureOf).toBeUndefined()
  })

  it('give generated weights their architecture only where all have the same', async () => {
    const { class: name, index } = relu.networks[0]!
    const weights = await varied.weights(name, index)
    const options = { class: name, zoo: relu }
    const expected = relu.networks[0]!.metrics
    // More networks than the zoo has.
    const { networks: many } = await judge(new Array(count + 1).fill(weights), options)
    expect(many).toHaveLength(count + 1)
    for (const network of many) expect(network).toMatchObject(expected)
    const differ =
      /architecture; the zoo's networks differ in activation; give .*: \["(tanh","relu|relu","tanh)"\]/
    for (const zoo of [varied, own]) await rejects(differ, weights, { ...options, zoo })
    const architecture = varied.architectureOf(name, index)
    const given = await judge(weights, { ...options, zoo: own, architecture })
    const nearest = { name: `${name}_${index}`, distance: 0, agreement: 1 }
    expect(given.networks[0]).toMatchObject({ ...expected, nearest })
  })

  it('refuse an architecture that is not theirs, and a zoo of which it is not known', async () => {
    await rejects(/architecture; .*leave it out: lenet5/, own, { architecture: varied.architecture })
    const first = relu.networks.at(-1)
    const rows = subsetRows(own, [networks.indexOf(first!)])
    const architecture = varied.architectureOf(first!.class, first!.index)
    expect((await judge(rows, { class: first!.class, architecture })).networks).toHaveLength(1)
    const zoo = { data: own.toArray(), labels: own.labels, classNames: own.classNames }
    await rejects(/zoo; needs a zoo or rows of one/, own, { zoo })
    const { networks: alone } = await judge(rows, { class: first!.class, zoo })
    const row = networks.indexOf(first!)
    expect(alone[0]!.nearest).toMatchObject({ name: own.names[row], distance: 0, agreement: 1 })
  })

  it('become models of their own activation', async () => {
    const input = tf.tensor4d(images.validation.pixels.slice(0, 2 * 3072), [2, 32, 32, 3])
    for (const activation of ['tanh', 'relu']) {
      const row = activations.indexOf(activation)
      const { class: name, index } = networks[row]!
      const predicted = [await materialize(subsetRows(own, [row])), await varied.model(name, index)].map(
        model => (model.predict(input) as tf.Tensor).dataSync(),
      )
      expect(predicted[0]).toEqual(predicted[1])
    }
    const row = subsetRows(own, [activations.indexOf('relu')])
    await expect(materialize(row, varied.architecture)).rejects.toThrow(/architecture; .*: lenet5/)
  })
})

function rowsOf(data: Float32Array) {
  return {
    shape: [data.length / P, P] as const,
    rows: (start: number, end: number) => data.subarray(start * P, end * P),
  }
}

describe('materialize', () => {
  it('gives the model that the zoo gives, of an array, a tensor or numbers', async () => {
    const weights = rows.row(3)
    const { class: name, index } = zoo.networks[3]!
    const input = tf.tensor4d(images.validation.pixels.slice(0, 2 * 3072), [2, 32, 32, 3])
    const predict = (model: Awaited<ReturnType<typeof materialize>>) =>
      (model.predict(input) as tf.Tensor).dataSync()
    const expected = predict(await zoo.model(name, index))
    for (const form of [weights, tf.tensor1d(weights), tf.tensor2d(weights, [1, P]), [...weights]]) {
      expect(predict(await materialize(form))).toEqual(expected)
    }
  })

  it('names what is wrong', async () => {
    const broken = rows.row(0)
    broken[P - 1] = Number.NaN
    await expect(materialize(broken)).rejects.toThrow(/generated network .*dense_1 kernel, number 83.*NaN/)
    await expect(materialize(new Float32Array(2 * P))).rejects.toThrow(/those of one network.*: 2/)
    await expect(materialize([1, 2])).rejects.toThrow(/needs 91481 weights/)
  })
})

describe('agreement', () => {
  it("is the share of equal calls, and Cohen's kappa", () => {
    const a = Uint8Array.of(1, 1, 0, 0, 0, 1, 0, 0, 0, 0)
    const b = Uint8Array.of(1, 0, 0, 0, 0, 1, 1, 0, 0, 0)
    // sklearn.metrics.cohen_kappa_score(a, b) == 0.5238095238095238
    expect(agreementOf(a, b)).toEqual({ agreement: 0.8, kappa: expect.closeTo(0.5238095238095238, 12) })
    expect(agreementOf(a, a)).toEqual({ agreement: 1, kappa: 1 })
    expect(agreementOf(a.fill(0), b.fill(0))).toEqual({ agreement: 1, kappa: Number.NaN })
  })

  it('has a mean over pairs that is that of the pairs', () => {
    const stream = new RandomStream(1)
    const networks = Array.from({ length: 7 }, () => Uint8Array.from({ length: 50 }, () => stream.integer(2)))
    const pairs = networks.flatMap((a, i) => networks.slice(i + 1).map(b => agreementOf(a, b).agreement))
    expect(meanAgreement(networks)).toBeCloseTo(pairs.reduce((x, y) => x + y) / pairs.length, 12)
  })
})

describe('chooseImages', () => {
  const labels = Uint8Array.from({ length: 100 }, (_, i) => (i < 3 ? 0 : i < 50 ? 1 : 2))
  const pixels = Float32Array.from(labels, (_, i) => i) as unknown as ImageSplit['pixels']
  const split = { pixels, labels: labels as unknown as ImageSplit['labels'], count: 100 }

  it.each([
    [10, [1, 5, 5]],
    [20, [1, 9, 10]],
    [99, [3, 47, 49]],
  ])('%i of 100 keep the share of every class', (count, expected) => {
    const chosen = chooseImages(split, count, 7)
    expect([0, 1, 2].map(label => chosen.labels.filter(own => own === label).length)).toEqual(expected)
    expect(chosen.pixels.length).toBe(chosen.count)
    // The pixel is the image's number: all different, and each with its own label.
    expect(new Set(chosen.pixels).size).toBe(chosen.count)
    expect(chosen.labels).toEqual(Uint8Array.from(chosen.pixels, i => labels[i]!))
  })

  it('takes all where as many are asked for', () => {
    expect(chooseImages(split, 100, 7)).toBe(split)
    expect(chooseImages(split, undefined, 7)).toBe(split)
  })
})
