import { Matrix, SingularValueDecomposition } from 'ml-matrix'
import { describe, expect, it } from 'vitest'
import { principalComponents } from '../../dist/analysis/principal-components.js'
import { RandomStream } from '../../dist/index.js'
import { components, farthest, filtered, golden, scores, weights, withWeight } from './golden.js'

const dot = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Array.from(a).reduce((sum, value, i) => sum + value * b[i]!, 0)

/** Sine of the largest angle between a unit vector of one subspace and the other subspace. */
function subspaceAngle(a: readonly ArrayLike<number>[], b: readonly ArrayLike<number>[]): number {
  return Math.max(
    ...a.map(vector => {
      const shares = b.map(other => dot(vector, other))
      const rest = Array.from(
        vector,
        (value, i) =>
          value -
          dot(
            shares,
            b.map(other => other[i]!),
          ),
      )
      return Math.sqrt(dot(rest, rest))
    }),
  )
}

const options = { components: 5, rows: golden.train, iterations: 12 }

describe('principalComponents', () => {
  it("equals scikit-learn's exact PCA of the training rows", async () => {
    const pca = await principalComponents(weights, options)
    expect(subspaceAngle(pca.components, components)).toBeLessThan(1e-8)
    for (const [i, component] of pca.components.entries()) {
      expect(dot(component, component)).toBeCloseTo(1, 12)
      expect(dot(component, components[i]!)).toBeCloseTo(1, 12)
    }
    for (const [i, value] of golden.pca.explainedVariance.entries()) {
      expect(pca.explainedVariance[i]).toBeCloseTo(value, 10)
      expect(pca.explainedVarianceRatio[i]).toBeCloseTo(golden.pca.explainedVarianceRatio[i]!, 10)
    }
    expect(farthest(await pca.transform(weights), scores)).toBeLessThan(1e-7)
  })

  it('comes close with the default number of iterations', async () => {
    const pca = await principalComponents(weights, { components: 5, rows: golden.train })
    expect(subspaceAngle(pca.components, components)).toBeLessThan(1e-3)
    expect(farthest([pca.explainedVariance], [golden.pca.explainedVariance])).toBeLessThan(1e-6)
  })

  it('finds the first of many directions whose variance falls slowly', async () => {
    // 300 networks of 400 weights, sd 1 / sqrt(1 + j / 3) along random directions; the truth by ml-matrix's SVD.
    const random = new RandomStream(1, 'test')
    const normal = () =>
      Math.sqrt(-2 * Math.log(1 - random.uniform())) * Math.cos(2 * Math.PI * random.uniform())
    const [n, size] = [300, 400]
    const shares = Float64Array.from({ length: n * size }, (_, i) => normal() / Math.sqrt(1 + (i % size) / 3))
    const directions = Float64Array.from({ length: size * size }, () => normal() / Math.sqrt(size))
    const exact = Matrix.from1DArray(n, size, shares).mmul(Matrix.from1DArray(size, size, directions))
    const data = Float32Array.from(exact.to1DArray())
    const centred = Matrix.from1DArray(n, size, data).center('column')
    const { diagonal, leftSingularVectors } = new SingularValueDecomposition(centred.transpose())
    const truth = diagonal.slice(0, 5).map(value => value ** 2 / (n - 1))

    const many = { data, labels: Array(n).fill(0), classNames: ['a'] }
    const quick = await principalComponents(many, { components: 5, blockBytes: 100_000 })
    for (const [i, value] of quick.explainedVariance.entries()) {
      expect(value).toBeLessThanOrEqual(truth[i]! * (1 + 1e-12))
      expect(value).toBeGreaterThan(truth[i]! * 0.995)
    }
    const sharp = await principalComponents(many, { components: 5, iterations: 12 })
    const vectors = Array.from({ length: 5 }, (_, i) => leftSingularVectors.getColumn(i))
    expect(subspaceAngle(sharp.components, vectors)).toBeLessThan(1e-7)
    expect(farthest([sharp.explainedVariance], [truth])).toBeLessThan(1e-11)
  })

  it('is fitted on the given rows alone', async () => {
    const changed = withWeight(2, 3, 1e6)
    expect(golden.train).not.toContain(2)
    expect(await principalComponents(changed, options)).toEqual(await principalComponents(weights, options))
    const alone = await principalComponents(
      filtered(row => golden.train.includes(row)),
      { ...options, rows: undefined as never },
    )
    expect(subspaceAngle(alone.components, components)).toBeLessThan(1e-8)
  })

  it('gives the same for the same seed, and nearly so in blocks of another size', async () => {
    const once = await principalComponents(weights, { ...options, seed: 5 })
    expect(await principalComponents(weights, { ...options, seed: 5 })).toEqual(once)
    const other = await principalComponents(weights, { ...options, seed: 5, blockBytes: 4000 })
    expect(
      farthest(
        other.components.map(v => [...v]),
        once.components.map(v => [...v]),
      ),
    ).toBeLessThan(1e-9)
    const elsewhere = await principalComponents(weights, { ...options, seed: 6 })
    expect(subspaceAngle(elsewhere.components, once.components)).toBeLessThan(1e-8)
  })

  it('takes one layer', async () => {
    const pca = await principalComponents(weights, { components: 2, layer: 'dense', iterations: 12 })
    expect(pca.mean).toHaveLength(98)
    expect(farthest([pca.explainedVarianceRatio], [golden.pca.denseVarianceRatio])).toBeLessThan(1e-9)
    expect((await pca.transform(weights))[41]).toHaveLength(2)
  })

  it('explains everything with one component fewer than networks', async () => {
    const few = filtered(row => row < 4)
    const pca = await principalComponents(few)
    expect(pca.components).toHaveLength(3)
    expect(pca.explainedVarianceRatio.reduce((sum, value) => sum + value, 0)).toBeCloseTo(1, 12)
  })

  it('copes with networks that are copies of one another', async () => {
    const [first, second] = filtered(row => row < 2).data as Float32Array[]
    const data = Array.from({ length: 12 }, (_, i) => (i % 2 ? second! : first!))
    const pca = await principalComponents({ ...weights, data, labels: data.map(() => 0) }, { components: 3 })
    expect(pca.explainedVarianceRatio[0]).toBeCloseTo(1, 12)
    expect(pca.explainedVarianceRatio[1]).toBeCloseTo(0, 12)
    const same = { ...weights, data: [first!, first!, first!], labels: [0, 0, 0] }
    expect((await principalComponents(same)).explainedVariance).toEqual([0, 0])
  })

  it.each([
    [{ components: 42 }, 'invalid components; 42 networks of 163 weights have 1 to 41: 42'],
    [{ components: 0 }, 'invalid components'],
    [{ rows: [1] }, 'invalid rows; principal components need two networks: 1'],
    [{ rows: [1, 42] }, 'invalid rows; there are 42: 42'],
    [{ iterations: 0 }, 'invalid iterations; needs a positive integer: 0'],
    [{ oversampling: -1 }, 'invalid oversampling; needs an integer of at least 0: -1'],
    [{ component: 3 }, 'did you mean "components"?'],
  ])('refuses %j', async (bad, message) => {
    await expect(principalComponents(weights, bad as never)).rejects.toThrow(message)
  })

  it('refuses networks of another size, and names one that is not finite', async () => {
    const pca = await principalComponents(weights, { components: 2 })
    const other = { data: new Float32Array(20), labels: [0, 0], classNames: ['a'] }
    await expect(pca.transform(other)).rejects.toThrow(
      'the components are of networks with 163, these have: 10',
    )
    const bad = withWeight(8, 70, Number.NEGATIVE_INFINITY)
    await expect(pca.transform(bad)).rejects.toThrow('golf ball_2 has a weight that is not finite')
    await expect(principalComponents(bad)).rejects.toThrow('golf ball_2 has a weight that is not finite')
  })
})
