import { describe, expect, it } from 'vitest'
import { kMeans } from '../../dist/analysis/k-means.js'
import { silhouettes } from '../../dist/analysis/silhouettes.js'
import { golden, scores } from './golden.js'

describe('kMeans', () => {
  it("finds scikit-learn's best of 100 starts", () => {
    const { inertia, labels, sizes, centers } = kMeans(scores, 3, { restarts: 30 })
    expect(inertia).toBeCloseTo(golden.kMeans.inertia, 10)
    expect(silhouettes(scores, labels).mean).toBeCloseTo(golden.kMeans.silhouette, 10)
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(42)
    expect(centers.map(center => center.length)).toEqual([5, 5, 5])
    expect(labels[0]).toBe(0)
  })

  it('gives the same for the same seed, whatever the scale', () => {
    const once = kMeans(scores, 4, { seed: 3 })
    expect(kMeans(scores, 4, { seed: 3 })).toEqual(once)
    const small = scores.map(row => row.map(value => value / 2 ** 20))
    expect(kMeans(small, 4, { seed: 3 }).labels).toEqual(once.labels)
  })

  it('makes one cluster, or one of each point', () => {
    expect(kMeans([[1], [3]], 1)).toEqual({ labels: [0, 0], centers: [[2]], sizes: [2], inertia: 2 })
    expect(kMeans([[1], [3]], 2)).toMatchObject({ labels: [0, 1], inertia: 0 })
    expect(kMeans([[1], [1], [1]], 2).inertia).toBe(0)
  })

  it('refuses what it cannot do', () => {
    expect(() => kMeans([[1]], 2)).toThrow('invalid k; 1 points need 1 to 1 clusters: 2')
    expect(() => kMeans([[1], [Number.NaN]], 1)).toThrow(
      'invalid points[1]; has a value that is not finite: NaN',
    )
    expect(() => kMeans([[1]], 1, { restart: 3 } as never)).toThrow('did you mean "restarts"?')
  })
})
