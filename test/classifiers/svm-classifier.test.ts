import { describe, expect, it } from 'vitest'
import { evaluate } from '../../dist/classifiers/evaluate.js'
import { SvmClassifier } from '../../dist/classifiers/svm-classifier.js'
import { arrayRows, type Rows } from '../../dist/zoo/rows.js'
import { readGolden, separable } from './support.js'

const { golden, array } = readGolden()
const rows = arrayRows(array('svm/rows') as Float32Array, 9)
const tested = arrayRows(array('svm/tested') as Float32Array, 9)
const labels = array('svm/labels')

describe('SvmClassifier', () => {
  it.each(golden.machines)("predicts what scikit-learn's SVC predicts: $name", async machine => {
    const { name, ...options } = machine
    const done: number[] = []
    const svm = await new SvmClassifier(options).fit(rows, labels, { onProgress: pairs => done.push(pairs) })
    expect([...(await svm.predict(tested))]).toEqual([...array(`svm/${name}`)])
    expect(done).toEqual([1, 2, 3, 4, 5, 6])
  })

  it('keeps labels as they are, and does not mind a feature that does not vary', async () => {
    const data = Float32Array.from({ length: 40 }, (_, i) => (i % 2 ? 7 : Math.floor(i / 20)))
    const svm = await new SvmClassifier().fit(
      arrayRows(data, 2),
      Array.from({ length: 20 }, (_, i) => (i < 10 ? 9 : 4)),
    )
    expect([...(await svm.predict(arrayRows(Float32Array.of(0, 7, 1, 7), 2)))]).toEqual([9, 4])
  })

  it('refuses bad input in one line, and stops when asked to', async () => {
    const data = separable()
    const svm = new SvmClassifier()
    await expect(svm.predict(data)).rejects.toThrow('call fit() before predict()')
    await expect(svm.fit(data, new Int32Array(60))).rejects.toThrow('needs at least two classes, has: [0]')
    const large: Rows = { shape: [7000, 91481], rows: () => new Float32Array(0) }
    await expect(
      svm.fit(
        large,
        Array.from({ length: 7000 }, (_, i) => i % 2),
      ),
    ).rejects.toThrow(
      'invalid rows; this classifier holds 256 MB at most; give it weightStatistics, or put principalFeatures in front: 7000 x 91481',
    )
    const broken = arrayRows(data.rows(0, 60).slice().fill(Number.NaN, 13, 14), 12, data.names)
    await expect(svm.fit(broken, data.labels)).rejects.toThrow('class1_0 has a weight that is not finite')
    expect(() => new SvmClassifier({ cost: 0 })).toThrow('invalid cost; needs a positive number: 0')
    expect(() => new SvmClassifier({ gamma: Number.NaN })).toThrow('invalid gamma; needs a positive number')
    expect(() => new SvmClassifier({ kernel: 'poly' as never })).toThrow('needs rbf or linear: poly')
    const stop = new AbortController()
    const options = { signal: stop.signal, onProgress: () => stop.abort() } // after the first pair of classes
    await expect(evaluate(new SvmClassifier(), data, options)).rejects.toMatchObject({ tag: 'interrupted' })
  })
})
