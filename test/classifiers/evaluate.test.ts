import { describe, expect, it } from 'vitest'
import { principalComponents } from '../../dist/analysis/principal-components.js'
import { type Classifier, withPreprocessing } from '../../dist/classifiers/classifier.js'
import { crossValidate, evaluate, evaluateLayers } from '../../dist/classifiers/evaluate.js'
import { GaussianNaiveBayes } from '../../dist/classifiers/gaussian-naive-bayes.js'
import { principalFeatures } from '../../dist/classifiers/principal-features.js'
import { score, wilsonInterval } from '../../dist/classifiers/scoring.js'
import { kFold, stratifiedSplit } from '../../dist/classifiers/splits.js'
import { flattenModelwise, groupLayerwise } from '../../dist/index.js'
import {
  arrayRows,
  asWeightMatrix,
  layerRows,
  stackRows,
  subsetRows,
  withLabels,
} from '../../dist/zoo/rows.js'
import { temporaryFolder, trainSmallZoo } from '../support.js'
import { readGolden, separable, watched } from './support.js'

const { golden } = readGolden()

/** Always answers the first training row's class. */
class First implements Classifier {
  label = -1
  fit(_rows: unknown, labels: ArrayLike<number>) {
    this.label = labels[0]!
  }
  predict({ shape }: { shape: readonly [number, number] }) {
    return new Array<number>(shape[0]).fill(this.label)
  }
}

const counts = (labels: ArrayLike<number>, rows: Uint32Array) => {
  const found: Record<number, number> = {}
  for (const row of rows) found[labels[row]!] = (found[labels[row]!] ?? 0) + 1
  return found
}

describe('rows', () => {
  const rows = arrayRows(
    Float32Array.from({ length: 12 }, (_, i) => i),
    2,
    [...'abcdef'],
  )

  it('are subsets and stacks of others, neighbours read together', () => {
    const { rows: source, read } = watched(rows)
    const some = subsetRows(source, [4, 5, 0, 1, 2])
    expect(some).toMatchObject({ shape: [5, 2], names: ['e', 'f', 'a', 'b', 'c'] })
    expect([...some.rows(1, 5)]).toEqual([10, 11, 0, 1, 2, 3, 4, 5])
    expect(read).toEqual([5, 0, 1, 2])
    const stacked = stackRows([some, rows, subsetRows(rows, [])])
    expect(stacked.shape).toEqual([11, 2])
    expect(stacked.names!.slice(4, 6)).toEqual(['c', 'a'])
    expect([...stacked.rows(4, 7)]).toEqual([4, 5, 0, 1, 2, 3])
    const matrix = asWeightMatrix(some)
    expect(matrix).toMatchObject({ shape: [5, 2], names: ['e', 'f', 'a', 'b', 'c'] })
    expect([...matrix.columns(1, 2)]).toEqual([9, 11, 1, 3, 5])
    expect([...matrix.row(2)]).toEqual([0, 1])
    expect(() => subsetRows(rows, [6])).toThrow('invalid row; there are 6: 6')
    expect(() => stackRows([rows, arrayRows(new Float32Array(3), 3)])).toThrow(
      'different architectures do not stack; the first part has 2: 3',
    )
    expect(() => arrayRows(new Float32Array(5), 2)).toThrow('does not divide 5 values into rows: 2')
    expect(() => withLabels(rows, [0, 1])).toThrow('needs one for each of the 6 rows: 2')
    expect(() => withLabels(rows, [0, 1, 0, 1, 0, 2], ['x', 'y'])).toThrow('the labels need 3: 2')
  })
})

describe('stratifiedSplit', () => {
  const labels = Int32Array.from({ length: 100 }, (_, row) => (row < 50 ? 0 : row < 90 ? 1 : 4))

  it('keeps the share of each class, uses every row once, and follows the seed', () => {
    const { train, test } = stratifiedSplit(labels, { testShare: 0.3, seed: 5 })
    expect(counts(labels, test)).toEqual({ 0: 15, 1: 12, 4: 3 })
    expect([...train, ...test].sort((a, b) => a - b)).toEqual([...labels.keys()])
    expect(stratifiedSplit(labels, { seed: 5 })).toEqual({ train, test })
    expect(stratifiedSplit(labels, { seed: 6 }).test).not.toEqual(test)
  })

  it('moves no row of a class when another is added', () => {
    const fewer = stratifiedSplit(labels.subarray(0, 90), { seed: 5 }).test
    expect([...stratifiedSplit(labels, { seed: 5 }).test].filter(row => row < 90)).toEqual([...fewer])
  })

  it('refuses what cannot be split', () => {
    const classNames = ['church', 'tench']
    expect(() => stratifiedSplit([0, 0, 1], { classNames })).toThrow(
      'invalid labels; a split needs at least 2 networks of each class (train more, or leave the class out), tench has: 1',
    )
    expect(() => stratifiedSplit([0, 0], { classNames })).toThrow(
      'invalid labels; needs at least two classes, has: ["church"]',
    )
    expect(() => stratifiedSplit(labels, { testShare: 1 })).toThrow('invalid testShare; not in (0, 1): 1')
  })
})

describe('kFold', () => {
  it('tests every row once, in folds of equal size and shares', () => {
    const labels = Int32Array.from({ length: 63 }, (_, row) => row % 3)
    const folds = kFold(labels, { folds: 4, seed: 1 })
    expect(folds.flatMap(({ test }) => [...test]).sort((a, b) => a - b)).toEqual([...labels.keys()])
    expect(folds.map(({ test }) => test.length).sort()).toEqual([15, 16, 16, 16])
    for (const { train, test } of folds) {
      expect(train.length + test.length).toBe(63)
      for (const count of Object.values(counts(labels, test))) expect([5, 6]).toContain(count)
    }
    expect(() => kFold(labels, { folds: 22 })).toThrow(/at least 22 networks of each class .*, 0 has: 21$/)
  })
})

describe('score', () => {
  it('gives the figures of scikit-learn', () => {
    const { expected, predicted, accuracy, confusion, ...columns } = golden.scores
    const result = score(expected, predicted)
    expect(result).toMatchObject({ count: 14, accuracy, confusion, chance: 0.2 })
    expect(result.majority).toEqual({ class: '2', accuracy: 5 / 14 })
    for (const [name, values] of Object.entries(columns)) {
      for (const [k, value] of values.entries()) {
        expect(result.perClass[k]![name as 'f1'], `${name} of class ${k}`).toBeCloseTo(value, 12)
      }
    }
    expect(result.macro.f1).toBeCloseTo(columns.f1.reduce((sum, f1) => sum + f1, 0) / 5, 12)
    expect(JSON.parse(JSON.stringify(result))).toEqual(result)
  })

  it.each(golden.wilson)("gives scipy's Wilson interval of $successes in $count", wilson => {
    const [low, high] = wilsonInterval(wilson.successes, wilson.count)
    expect(low).toBeCloseTo(wilson.interval[0], 12)
    expect(high).toBeCloseTo(wilson.interval[1], 12)
  })

  it('refuses lists of different lengths and empty ones', () => {
    expect(() => score([0, 1], [0])).toThrow('invalid predicted; needs one label for each of the 2 rows: 1')
    expect(() => score([], [])).toThrow('nothing to score')
  })
})

describe('evaluate', () => {
  it('shows a classifier the training part only, and tests it on the other', async () => {
    const data = separable()
    const { rows, read } = watched(data)
    const split = stratifiedSplit(data.labels, { seed: 3 })
    const seen: number[] = []
    const bayes = new GaussianNaiveBayes()
    await evaluate(
      {
        async fit(train, labels) {
          await bayes.fit(train, labels)
          seen.push(...read.splice(0))
        },
        predict: tested => bayes.predict(tested),
      },
      rows,
      { seed: 3 },
    )
    expect(seen).toEqual([...split.train])
    expect(read).toEqual([...split.test])
    expect((await evaluate(bayes, data, { split })).accuracy).toBeGreaterThan(0.9)
  })

  it('takes any class with fit and predict, and puts chance and majority beside its accuracy', async () => {
    const labels = Int32Array.from({ length: 40 }, (_, row) => (row < 30 ? 0 : 1))
    const data = withLabels(arrayRows(new Float32Array(40), 1), labels, ['many', 'few', 'none'])
    const result = await evaluate(new First(), data)
    expect(result).toMatchObject({
      count: 12,
      accuracy: 0.75,
      chance: 0.5,
      majority: { class: 'many', accuracy: 0.75 },
      classNames: ['many', 'few'],
      confusion: [
        [9, 0],
        [3, 0],
      ],
    })
  })

  it('takes plain arrays, and refuses what does not fit together', async () => {
    const data = separable()
    const { shape, labels, classNames } = data
    const flat = { data: data.rows(0, shape[0]), labels, classNames }
    const bayes = new GaussianNaiveBayes()
    expect(await evaluate(bayes, flat, { seed: 3 })).toEqual(await evaluate(bayes, data, { seed: 3 }))
    const mixed = { data: [new Float32Array(3), new Float32Array(4)], labels: [0, 1], classNames: ['a', 'b'] }
    await expect(evaluate(bayes, mixed)).rejects.toThrow(
      'networks of different architectures cannot be studied together: b_0 has 4, a_0 has 3',
    )
    await expect(evaluate(bayes, { ...mixed, data: [], labels: [] })).rejects.toThrow('there are no networks')
    const unlabelled = arrayRows(new Float32Array(8), 2)
    await expect(evaluate(bayes, unlabelled)).rejects.toThrow('needs at least two classes, has: ["0"]')
    await expect(evaluate(bayes, { ...data, labels: [0] })).rejects.toThrow(
      'needs one for each of the 60 rows: 1',
    )
  })

  it('refuses splits that lack a class, use a row twice or reach beyond the rows', async () => {
    const data = separable({ perClass: 2, classes: 2 })
    const of = (train: number[], test: number[]) => ({
      split: { train: Uint32Array.from(train), test: Uint32Array.from(test) },
    })
    await expect(evaluate(new First(), data, of([0, 1], [2]))).rejects.toThrow(
      'invalid split; the test part lacks a class: b',
    )
    await expect(evaluate(new First(), data, of([0, 2], [1, 3]))).rejects.toThrow(
      'the training part lacks a class',
    )
    await expect(evaluate(new First(), data, of([0, 1], [1, 2]))).rejects.toThrow('a row is in it twice: 1')
    await expect(evaluate(new First(), data, of([0, 1], [2, 4]))).rejects.toThrow('there are 4 rows: 4')
  })

  it('learns a preprocessing from the training part alone, and anew for each fit', async () => {
    const data = separable({ perClass: 10 })
    const learned: (readonly string[])[] = []
    const scaled = withPreprocessing(train => {
      learned.push(train.names!)
      const half = new Float32Array(train.shape[0]).length / train.shape[0] / 2
      return rows =>
        arrayRows(
          rows.rows(0, rows.shape[0]).map(value => value * half),
          rows.shape[1],
        )
    }, new GaussianNaiveBayes())
    await expect(async () => scaled.predict(data)).rejects.toThrow('call fit() before predict()')
    const result = await crossValidate(scaled, data, { folds: 3, seed: 2 })
    const expected = kFold(data.labels, { folds: 3, seed: 2 }).map(({ train }) =>
      [...train].map(row => data.names![row]),
    )
    expect(learned).toEqual(expected)
    expect(result.accuracy).toBeGreaterThan(0.9)
    expect(await scaled.predictLogProbabilities!(data)).toHaveLength(90)
  })
})

describe('principalFeatures', () => {
  it('are fitted on the training rows, and leave narrow rows alone', async () => {
    const data = separable({ perClass: 10 })
    const { rows, read } = watched(data)
    const { train, test } = stratifiedSplit(data.labels)
    const change = await principalFeatures({ components: 4, seed: 1 })(subsetRows(rows, train), [])
    expect(new Set(read)).toEqual(new Set(train))
    const features = await change(subsetRows(data, test))
    expect(features).toMatchObject({ shape: [9, 4], names: [...test].map(row => data.names![row]) })
    const pca = await principalComponents(subsetRows(data, train), { components: 4, seed: 1 })
    const scores = await pca.transform(subsetRows(data, test))
    expect([...features.rows(0, 9)]).toEqual([...Float32Array.from(scores.flat())])
    const same = await principalFeatures({ components: 12 })(data, [])
    expect(await same(data)).toBe(data)
  })
})

describe('crossValidate', () => {
  it('scores every row once, by the fold that did not see it', async () => {
    const data = separable({ perClass: 10 })
    const done: number[] = []
    const result = await crossValidate(new GaussianNaiveBayes(), data, {
      folds: 5,
      onProgress: count => done.push(count),
    })
    expect(result.count).toBe(30)
    expect(result.folds.map(({ count }) => count)).toEqual([6, 6, 6, 6, 6])
    expect(result.correct).toBe(result.folds.reduce((sum, fold) => sum + fold.correct, 0))
    expect(done).toEqual([1, 2, 3, 4, 5])
  })
})

describe('on a zoo', () => {
  it('classifies whole networks and each layer, on the same networks', async () => {
    const zoo = await trainSmallZoo(await temporaryFolder(), { perClass: 4 })
    const rows = await flattenModelwise(zoo)
    const byLayer = await groupLayerwise(zoo)
    const whole = await evaluate(new GaussianNaiveBayes(), rows, { testShare: 0.5, seed: 1 })
    expect(whole).toMatchObject({ count: 4, classNames: ['stripes', 'checks'] })

    expect(await evaluate(new GaussianNaiveBayes(), zoo, { testShare: 0.5, seed: 1 })).toEqual(whole)

    const dense = layerRows(byLayer, 'dense_1')
    expect(dense.shape).toEqual([8, 85])
    expect(dense.names).toEqual(rows.names)
    expect(Array.from(dense.labels)).toEqual([...rows.labels])
    expect(dense.rows(0, 8)).toEqual(rows.layer('dense_1'))

    const layers = await evaluateLayers(new GaussianNaiveBayes(), byLayer, { testShare: 0.5, seed: 1 })
    expect(layers.map(({ layer, columns }) => [layer, columns])).toEqual([
      ['conv2d', 456],
      ['conv2d_1', 2416],
      ['conv2d_2', 48120],
      ['dense', 40404],
      ['dense_1', 85],
    ])
    expect(await evaluateLayers(new GaussianNaiveBayes(), zoo, { testShare: 0.5, seed: 1 })).toEqual(layers)
    expect(layers[4]!.evaluation).toEqual(
      await evaluate(new GaussianNaiveBayes(), dense, { testShare: 0.5, seed: 1 }),
    )
    await expect(
      evaluate(new GaussianNaiveBayes(), await flattenModelwise(zoo.select({ class: 'checks' }))),
    ).rejects.toThrow('invalid labels; needs at least two classes, has: ["checks"]')
    await expect(
      evaluate(new GaussianNaiveBayes(), await flattenModelwise(zoo.select({ perClass: 1 }))),
    ).rejects.toThrow(/at least 2 networks of each class .*, stripes has: 1$/)
  })
})
