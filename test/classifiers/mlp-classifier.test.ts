import '@tensorflow/tfjs-backend-cpu'
import * as tf from '@tensorflow/tfjs-core'
import { describe, expect, it } from 'vitest'
import { evaluate } from '../../dist/classifiers/evaluate.js'
import { MlpClassifier, type MlpOptions } from '../../dist/classifiers/mlp-classifier.js'
import { buildMlp, dropoutMask, logitsOf, standardize } from '../../dist/classifiers/mlp-network.js'
import { stratifiedSplit } from '../../dist/classifiers/splits.js'
import { RandomStream } from '../../dist/random.js'
import { arrayRows, subsetRows } from '../../dist/zoo/rows.js'
import { separable } from './support.js'

const SMALL: MlpOptions = { hidden: [16, 8], dropout: 0.2, epochs: 30, seed: 1 }

async function fitted(options: MlpOptions, data = separable()) {
  return new MlpClassifier({ ...SMALL, ...options }).fit(data, data.labels)
}

/** All weights of a fitted classifier, in one list. */
function weightsOf(mlp: MlpClassifier): number[] {
  const model = mlp.toLayersModel()
  const values = model.getWeights().flatMap(weight => [...weight.dataSync()])
  model.dispose()
  return values
}

describe('MlpClassifier', () => {
  it('learns classes that can be told apart', async () => {
    const mlp = new MlpClassifier(SMALL)
    const { accuracy, chance } = await evaluate(mlp, separable({ perClass: 40, distance: 3 }), { seed: 2 })
    expect(chance).toBeCloseTo(1 / 3)
    expect(accuracy).toBeGreaterThan(0.9)
    const [first, last] = [mlp.history[0]!, mlp.history.at(-1)!]
    expect(first.epoch).toBe(1)
    expect(last.loss).toBeLessThan(first.loss)
    expect(last.validationLoss!).toBeLessThan(first.validationLoss!)
  })

  it('gives labels as they were, and probabilities that sum to 1', async () => {
    const data = separable()
    const labels = Array.from(data.labels, label => label * 3 + 1)
    const mlp = await new MlpClassifier(SMALL).fit(data, labels)
    expect([...mlp.classes]).toEqual([1, 4, 7])
    const predicted = await mlp.predict(data)
    const logs = await mlp.predictLogProbabilities(data)
    for (let row = 0; row < 60; row++) {
      const line = [...logs.subarray(row * 3, row * 3 + 3)]
      expect(line.reduce((sum, log) => sum + Math.exp(log), 0)).toBeCloseTo(1, 10)
      expect(mlp.classes[line.indexOf(Math.max(...line))]).toBe(predicted[row])
    }
  })

  it('is the same for the same seed, and another for another', async () => {
    const [a, b, c] = [
      await fitted({ epochs: 3 }),
      await fitted({ epochs: 3 }),
      await fitted({ epochs: 3, seed: 2 }),
    ]
    expect(weightsOf(a)).toEqual(weightsOf(b))
    expect(a.history).toEqual(b.history)
    expect(weightsOf(a)).not.toEqual(weightsOf(c))
  })

  it('stops early and keeps the weights of the best epoch', async () => {
    const data = separable({ distance: 0 }) // nothing to learn but noise
    const mlp = await fitted({ patience: 4, learningRate: 0.01 }, data)
    const losses = mlp.history.map(({ validationLoss }) => validationLoss!)
    expect(mlp.epoch).toBe(losses.indexOf(Math.min(...losses)) + 1)
    expect(mlp.history).toHaveLength(mlp.epoch + 4)
    const shorter = await fitted({ epochs: mlp.epoch, learningRate: 0.01 }, data)
    expect(weightsOf(shorter)).toEqual(weightsOf(mlp))
  })

  it('keeps the last epoch where there is nothing to validate on', async () => {
    const mlp = await fitted({ validationShare: 0, epochs: 3 })
    expect(mlp.epoch).toBe(3)
    expect(mlp.history[2]).toMatchObject({ epoch: 3, validationLoss: null, validationAccuracy: null })
  })

  it("has the paper's layers", async () => {
    const model = buildMlp({
      columns: 1000,
      hidden: [256, 128, 64],
      classes: 10,
      dropout: 0.6,
      batchNormalization: true,
    })
    const block = ['Dense', 'BatchNormalization', 'ReLU', 'Dropout']
    expect(model.layers.map(layer => layer.getClassName())).toEqual([
      'BatchNormalization', // standardisation
      ...block,
      ...block,
      ...block,
      'Dense',
      'Softmax',
    ])
    expect(
      model.layers.filter(layer => layer.getClassName() === 'Dropout').map(l => l.getConfig()['rate']),
    ).toEqual([0.6, 0.6, 0.6])
    const dense = 1000 * 256 + 256 + (256 * 128 + 128) + (128 * 64 + 64) + (64 * 10 + 10)
    const normalisation = 4 * (256 + 128 + 64)
    expect(model.countParams()).toBe(2 * 1000 + dense + normalisation)
    model.dispose()
    const plain = buildMlp({ columns: 5, hidden: [4], classes: 2, dropout: 0, batchNormalization: false })
    expect(plain.layers.map(layer => layer.getClassName())).toEqual([
      'BatchNormalization',
      'Dense',
      'ReLU',
      'Dense',
      'Softmax',
    ])
    plain.dispose()
  })

  it('gives a tfjs model that takes rows as they are', async () => {
    const data = separable()
    const mlp = await fitted({ epochs: 5 })
    const model = mlp.toLayersModel()
    const output = model.predict(tf.tensor2d(data.rows(0, 60), [60, 12])) as tf.Tensor
    const logs = await mlp.predictLogProbabilities(data)
    for (const [i, probability] of output.dataSync().entries()) {
      expect(probability).toBeCloseTo(Math.exp(logs[i]!), 5)
    }
    model.dispose()
  })

  it('standardises by the training part alone', async () => {
    const data = separable({ perClass: 20 })
    const split = stratifiedSplit(data.labels, { seed: 4 })
    const values = data.rows(0, 60).slice()
    for (const row of split.test) values.fill(1e6, row * 12, row * 12 + 12)
    const spoiled = { ...data, ...arrayRows(values, 12, data.names) }
    const [mlp, other] = [
      new MlpClassifier({ ...SMALL, epochs: 2 }),
      new MlpClassifier({ ...SMALL, epochs: 2 }),
    ]
    await evaluate(mlp, data, { split })
    await evaluate(other, spoiled, { split })
    expect(weightsOf(other)).toEqual(weightsOf(mlp))

    // Nor do the validation rows take part: the moments are those of the rows that gradients come from.
    const all = await fitted({ validationShare: 0, epochs: 1 }, data)
    const column = Array.from({ length: 60 }, (_, row) => data.rows(row, row + 1)[3]!)
    const mean = column.reduce((sum, value) => sum + value, 0) / 60
    const deviation = Math.sqrt(column.reduce((sum, value) => sum + (value - mean) ** 2, 0) / 60)
    expect(all.standardization.means[3]).toBeCloseTo(mean, 5)
    expect(all.standardization.deviations[3]).toBeCloseTo(deviation, 5)
    const held = await fitted({ epochs: 1 }, data)
    expect(held.standardization.means[3]).not.toBeCloseTo(mean, 5)
    const none = await fitted({ standardize: false, epochs: 1 }, data)
    expect([...none.standardization.deviations]).toEqual(new Array(12).fill(1))
  })

  it('leaves features that do not vary as they are', async () => {
    const data = separable()
    const values = data.rows(0, 60).map((value, i) => (i % 12 === 5 ? 0.1 : value))
    const mlp = await new MlpClassifier({ ...SMALL, epochs: 2 }).fit(arrayRows(values, 12), data.labels)
    expect(mlp.standardization.deviations[5]).toBe(1)
    expect(mlp.history.at(-1)!.loss).toBeLessThan(3)
  })

  it('leaves the active backend and no tensors behind', async () => {
    await tf.setBackend('cpu')
    const before = tf.memory().numTensors
    const data = separable()
    const mlp = new MlpClassifier({ ...SMALL, epochs: 2 })
    const seen: string[] = []
    const watching = setInterval(() => seen.push(tf.getBackend()), 1)
    await mlp.fit(data, data.labels)
    await mlp.predict(data)
    clearInterval(watching)
    expect(new Set(seen)).toEqual(seen.length > 0 ? new Set(['cpu']) : new Set())
    expect(tf.getBackend()).toBe('cpu')
    expect(tf.memory().numTensors).toBe(before)
  })

  it('gives on cpu what it gives on wasm, up to rounding', async () => {
    const data = separable({ perClass: 8 })
    const on = async (backend: string) => weightsOf(await fitted({ backend, epochs: 2, patience: 2 }, data))
    const [cpu, wasm] = [await on('cpu'), await on('wasm')]
    expect(Math.max(...cpu.map((value, i) => Math.abs(value - wasm[i]!)))).toBeLessThan(1e-3)
    await expect(on('abacus')).rejects.toThrow('the tfjs backend "abacus" cannot be used')
    expect(tf.getBackend()).toBe('cpu')
  })

  it('names what is wrong in one line', async () => {
    const data = separable({ perClass: 4 })
    const mlp = new MlpClassifier({ ...SMALL, epochs: 1 })
    await expect(mlp.predict(data)).rejects.toThrow('call fit() before predict(): MlpClassifier')
    await expect(mlp.fit(data, new Int32Array(12))).rejects.toThrow('needs at least two classes, has: [0]')
    await expect(mlp.fit(data, [1, 2])).rejects.toThrow('needs one for each of the 12 rows: 2')
    await expect(mlp.fit(subsetRows(data, [0, 1, 3]), [0, 1, 0])).rejects.toThrow('; 1 has: 1')
    const values = data.rows(0, 12).slice()
    values[5 * 12 + 7] = Number.NaN
    const broken = arrayRows(values, 12, data.names)
    const message =
      'class2_1 has a weight that is not finite (column 7); leave the network out with zoo.select({ finite: true }), --finite: NaN'
    await expect(mlp.fit(broken, data.labels)).rejects.toThrow(message)
    await expect(fitted({ standardize: false }, { ...data, ...broken })).rejects.toThrow(message)
    await mlp.fit(data, data.labels)
    await expect(mlp.predict(broken)).rejects.toThrow(message)
    await expect(mlp.predict(arrayRows(new Float32Array(8), 4))).rejects.toThrow(
      'fitted on 12 features, these have: 4',
    )
    const lone = { rows: arrayRows(new Float32Array(36), 12), labels: [0, 0, 1], classNames: ['a', 'b'] }
    const fit = (options = {}) =>
      new MlpClassifier({ ...SMALL, epochs: 1, ...options }).fit(lone.rows, lone.labels, lone)
    await expect(fit()).rejects.toThrow(
      'invalid labels; each class needs a second training row to choose the epoch by (validationShare: 0 for none); b has: 1',
    )
    expect((await fit({ validationShare: 0 })).history).toHaveLength(1)
    for (const [options, told] of [
      [{ hiden: [3] }, 'did you mean "hidden"?'],
      [{ hidden: [0] }, 'invalid hidden; needs a list of positive integers: [0]'],
      [{ dropout: 1 }, 'invalid dropout; not in [0, 1): 1'],
      [{ epochs: 0 }, 'invalid epochs; needs a positive integer: 0'],
      [{ validationShare: 1 }, 'invalid validationShare;'],
      [{ learningRate: 0 }, 'invalid learningRate;'],
      [{ batchSize: 1 }, 'batch normalisation needs at least 2 rows: 1'],
    ] as const) {
      expect(() => new MlpClassifier(options as MlpOptions)).toThrow(told)
    }
  })

  it('stops when its signal is aborted, and lets go of its tensors', async () => {
    const before = tf.memory().numTensors
    const controller = new AbortController()
    const data = separable()
    const fit = new MlpClassifier({ ...SMALL, epochs: 100_000, validationShare: 0 }).fit(data, data.labels, {
      signal: controller.signal,
      onProgress: done => done === 2 && controller.abort(),
    })
    await expect(fit).rejects.toMatchObject({ tag: 'interrupted' })
    expect(tf.memory().numTensors).toBe(before)
  })
})

describe('the network in training', () => {
  it("has the gradients of tfjs's own layers", async () => {
    await tf.setBackend('cpu')
    const stream = new RandomStream(1, 'gradients')
    const model = buildMlp({ columns: 7, hidden: [6, 5], classes: 3, dropout: 0, batchNormalization: true })
    const random = (size: number) => Float32Array.from({ length: size }, () => stream.uniform(-1, 1))
    for (const weight of model.trainableWeights) {
      const shape = weight.shape as number[]
      weight.write(tf.tensor(random(shape.reduce((a, b) => a * b, 1)), shape))
    }
    const x = standardize(model, tf.tensor2d(random(11 * 7), [11, 7]))
    const pull = tf.tensor2d(random(11 * 3), [11, 3])
    const variables = model.trainableWeights.map(weight => weight.read() as tf.Variable)
    const gradientsOf = (logits: () => tf.Tensor) =>
      Object.values(tf.variableGrads(() => tf.sum(tf.mul(logits(), pull)) as tf.Scalar, variables).grads).map(
        gradient => [...gradient.dataSync()],
      )
    const own = gradientsOf(() => logitsOf(model, x, size => new Float32Array(size).fill(1)))
    const theirs = gradientsOf(() =>
      model.layers
        .slice(1, -1)
        .reduce<tf.Tensor>((value, layer) => layer.apply(value, { training: true }) as tf.Tensor, x),
    )
    expect(own).toHaveLength(10)
    for (const [i, gradient] of own.entries()) {
      for (const [j, value] of gradient.entries()) expect(value).toBeCloseTo(theirs[i]![j]!, 4)
    }
  })

  it('drops the units that the mask says, others in every batch', () => {
    const model = buildMlp({ columns: 2, hidden: [50], classes: 2, dropout: 0.6, batchNormalization: false })
    for (const weight of model.trainableWeights) weight.write(tf.ones(weight.shape as number[]))
    const logits = (factor: number) =>
      logitsOf(model, tf.ones([3, 2]), size => new Float32Array(size).fill(factor)).dataSync()[0]
    expect(logits(0)).toBe(1)
    expect(logits(2)).toBe(1 + 2 * 50 * 3)
    model.dispose()

    const mask = dropoutMask(0.6, new RandomStream(1))
    const [first, second] = [mask(10_000), mask(10_000)]
    expect(first).not.toEqual(second)
    expect(new Set(first)).toEqual(new Set([0, 2.5]))
    expect(first.filter(factor => factor === 0).length / 10_000).toBeCloseTo(0.6, 1)
  })
})
