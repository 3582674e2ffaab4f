import { describe, expect, it } from 'vitest'
import { GaussianNaiveBayes } from '../../dist/classifiers/gaussian-naive-bayes.js'
import { arrayRows, type Rows } from '../../dist/zoo/rows.js'
import { readGolden, separable } from './support.js'

const { golden, array } = readGolden()

function largestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  expect(a.length).toBe(b.length)
  return Array.from(a).reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0)
}

describe('GaussianNaiveBayes', () => {
  it.each(golden.naiveBayes)(
    'is scikit-learn: $name',
    async ({ name, columns, classes, varSmoothing, ...rest }) => {
      const rows = arrayRows(array(`${name}/rows`) as Float32Array, columns)
      const tested = arrayRows(array(`${name}/tested`) as Float32Array, columns)
      const options = { varSmoothing, ...(rest.priors && { priors: rest.priors }) }
      const bayes = await new GaussianNaiveBayes(options).fit(rows, array(`${name}/labels`))
      const { model } = bayes
      expect([...model.classes]).toEqual(classes)
      expect(model.epsilon / rest.epsilon).toBeCloseTo(1, 10)
      expect(largestDifference(model.means, array(`${name}/means`))).toBeLessThan(1e-12)
      expect(largestDifference(model.variances, array(`${name}/variances`))).toBeLessThan(1e-12)
      expect(await bayes.predict(tested)).toEqual(array(`${name}/predicted`))
      expect(
        largestDifference(await bayes.predictLogProbabilities(tested), array(`${name}/logs`)),
      ).toBeLessThan(1e-6)
      expect(
        largestDifference(await bayes.predictJointLogLikelihood(tested), array(`${name}/joint`)),
      ).toBeLessThan(1e-6)
    },
  )

  it('reads each row once, a few megabytes at a time', async () => {
    const columns = 2 ** 20
    const reads: number[][] = []
    const block = new Float32Array(4 * columns)
    const rows: Rows = {
      shape: [10, columns],
      rows(start, end) {
        reads.push([start, end])
        return block.fill(start).subarray(0, (end - start) * columns)
      },
    }
    await new GaussianNaiveBayes().fit(rows, [0, 0, 0, 0, 0, 1, 1, 1, 1, 1])
    expect(reads).toEqual([
      [0, 4],
      [4, 8],
      [8, 10],
    ])
  })

  it('names what is wrong in one line', async () => {
    const rows = separable({ perClass: 4 })
    const bayes = new GaussianNaiveBayes()
    await expect(bayes.predict(rows)).rejects.toThrow(
      'invalid classifier; call fit() before predict(): GaussianNaiveBayes',
    )
    await expect(bayes.fit(rows, new Int32Array(12))).rejects.toThrow(
      'invalid labels; needs at least two classes, has: [0]',
    )
    await expect(bayes.fit(rows, [0, 1])).rejects.toThrow(
      'invalid labels; needs one for each of the 12 rows: 2',
    )
    await expect(bayes.fit(rows, new Array(12).fill(0.5))).rejects.toThrow(
      'invalid labels; need to be whole numbers from 0; row 0 has: 0.5',
    )
    await bayes.fit(rows, rows.labels)
    await expect(bayes.predict(arrayRows(new Float32Array(8), 4))).rejects.toThrow(
      'invalid rows; the classifier was fitted on 12 features, these have: 4',
    )
    const broken = arrayRows(
      rows
        .rows(0, 12)
        .slice()
        .fill(Number.NaN, 5 * 12 + 7, 5 * 12 + 8),
      12,
      rows.names,
    )
    const message =
      'class2_1 has a weight that is not finite (column 7); leave the network out with zoo.select({ finite: true }), --finite: NaN'
    await expect(bayes.predict(broken)).rejects.toThrow(message)
    await expect(bayes.fit(broken, rows.labels)).rejects.toThrow(message)
    await expect(bayes.fit(arrayRows(new Float32Array(4), 2), [0, 1])).rejects.toThrow('does not vary')
    expect(() => new GaussianNaiveBayes({ priors: [0.5, 0.6] })).toThrow('invalid priors; need to be')
    expect(() => new GaussianNaiveBayes({ varSmoothing: -1 })).toThrow('invalid varSmoothing;')
    expect(() => new GaussianNaiveBayes({ smoothing: 1 } as never)).toThrow(
      'unknown option of GaussianNaiveBayes',
    )
    await expect(new GaussianNaiveBayes({ priors: [0.5, 0.5] }).fit(rows, rows.labels)).rejects.toThrow(
      'invalid priors; needs one for each of the 3 classes',
    )
  })

  it('forgets what it knew when a fit fails', async () => {
    const rows = separable({ perClass: 4 })
    const bayes = await new GaussianNaiveBayes().fit(rows, rows.labels)
    await expect(bayes.fit(rows, [])).rejects.toThrow()
    await expect(bayes.predict(rows)).rejects.toThrow('call fit()')
  })

  it('stops when its signal is aborted', async () => {
    const columns = 2 ** 20
    const block = new Float32Array(4 * columns)
    const rows: Rows = { shape: [4000, columns], rows: (a, b) => block.subarray(0, (b - a) * columns) }
    const controller = new AbortController()
    const labels = Int32Array.from({ length: 4000 }, (_, row) => row % 2)
    let done = 0
    const fit = new GaussianNaiveBayes().fit(rows, labels, {
      signal: controller.signal,
      onProgress(rowsDone) {
        done = rowsDone
        controller.abort()
      },
    })
    await expect(fit).rejects.toMatchObject({ tag: 'interrupted' })
    expect(done).toBeLessThan(400)
  })
})
