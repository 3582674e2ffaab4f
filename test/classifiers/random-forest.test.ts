import { describe, expect, it } from 'vitest'
import { growTree, treeData } from '../../dist/classifiers/decision-tree.js'
import { evaluate } from '../../dist/classifiers/evaluate.js'
import { RandomForest } from '../../dist/classifiers/random-forest.js'
import { RandomStream } from '../../dist/random.js'
import { arrayRows } from '../../dist/zoo/rows.js'
import { readGolden, separable } from './support.js'

const { golden, array } = readGolden()
const labels = array('svm/labels') as Int32Array
const all = Uint32Array.from(labels.keys())

describe('growTree', () => {
  const data = treeData(array('svm/rows') as Float32Array, 9, labels, 4)
  const tree = growTree(data, all, 9, new RandomStream(1))
  const after = (node: number, step: string) => (step === 'l' ? node + 1 : tree.right[node]!)

  it("makes scikit-learn's splits where there is one best", () => {
    expect(Object.keys(golden.tree).length).toBeGreaterThan(3)
    for (const [path, [feature, threshold]] of Object.entries(golden.tree)) {
      const node = [...path].reduce(after, 0)
      expect(tree.feature[node], path).toBe(feature)
      expect(tree.threshold[node], path).toBeCloseTo(threshold, 6)
    }
  })

  it('grows until every leaf is pure', () => {
    expect(new Set(tree.leaf)).toEqual(new Set([0, 1]))
    expect(tree.feature.filter(feature => feature < 0)).toHaveLength(tree.leaf.length / 4)
  })

  it('stops where rows are equal, and shares the leaf', () => {
    const equal = treeData(Float32Array.of(1, 1, 1, 2), 1, Int32Array.of(0, 0, 1, 1), 2)
    const small = growTree(equal, Uint32Array.of(0, 1, 2, 3), 1, new RandomStream(1))
    expect(small).toMatchObject({ feature: [0, -1, -1], threshold: [1.5, 0, 0], leaf: [2 / 3, 1 / 3, 0, 1] })
  })

  it('tells neighbouring float32 apart', () => {
    const [low, high] = new Float32Array(new Uint32Array([0x3f800001, 0x3f800002]).buffer)
    const near = treeData(Float32Array.of(low!, high!), 1, Int32Array.of(0, 1), 2)
    const small = growTree(near, Uint32Array.of(0, 1), 1, new RandomStream(1))
    expect(small.leaf).toEqual([1, 0, 0, 1])
  })
})

describe('RandomForest', () => {
  it('learns classes better than one tree does, the same for the same seed', async () => {
    const data = separable({ perClass: 40, distance: 1.2, classes: 4, columns: 16 })
    const forest = await evaluate(new RandomForest({ trees: 100, seed: 1 }), data, { seed: 3 })
    const tree = await evaluate(new RandomForest({ trees: 1, features: 16, bootstrap: false }), data, {
      seed: 3,
    })
    expect(forest.accuracy).toBeGreaterThan(tree.accuracy + 0.1)
    expect(forest.interval[0]).toBeGreaterThan(0.6)
    expect(await evaluate(new RandomForest({ trees: 100, seed: 1 }), data, { seed: 3 })).toEqual(forest)
  })

  it('gives labels as they were, and shares that sum to 1', async () => {
    const data = separable({ perClass: 10 })
    const odd = Array.from(data.labels, label => 3 * label + 1)
    const done: number[] = []
    const forest = new RandomForest({ trees: 20 })
    await forest.fit(data, odd, { onProgress: trees => done.push(trees) })
    expect([...(await forest.predict(data))]).toEqual(odd)
    expect(done.at(-1)).toBe(20)
    const logs = await forest.predictLogProbabilities(data)
    for (let row = 0; row < 30; row++) {
      const sum = logs.subarray(3 * row, 3 * row + 3).reduce((total, log) => total + Math.exp(log), 0)
      expect(sum).toBeCloseTo(1, 12)
    }
  })

  it('refuses bad input in one line, and stops when asked to', async () => {
    const data = separable()
    const forest = new RandomForest()
    await expect(forest.predict(data)).rejects.toThrow('call fit() before predict()')
    await expect(forest.fit(data, new Int32Array(60))).rejects.toThrow('needs at least two classes, has: [0]')
    const broken = arrayRows(data.rows(0, 60).slice().fill(Number.NaN, 13, 14), 12, data.names)
    await expect(forest.fit(broken, data.labels)).rejects.toThrow('class1_0 has a weight that is not finite')
    await expect(new RandomForest({ features: 13 }).fit(data, data.labels)).rejects.toThrow(
      'invalid features; the rows have only 12: 13',
    )
    expect(() => new RandomForest({ trees: 0 })).toThrow('invalid trees; needs a positive integer: 0')
    const signal = AbortSignal.timeout(80)
    await expect(new RandomForest({ trees: 1e6 }).fit(data, data.labels, { signal })).rejects.toMatchObject({
      tag: 'interrupted',
    })
  })
})
