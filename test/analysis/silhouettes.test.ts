import { describe, expect, it } from 'vitest'
import { silhouettes } from '../../dist/analysis/silhouettes.js'
import { farthest, golden, scores } from './golden.js'

describe('silhouettes', () => {
  it("equals scikit-learn's", () => {
    const found = silhouettes(scores, golden.labels)
    expect(found.mean).toBeCloseTo(golden.silhouettes.mean, 12)
    expect(farthest([found.values], [golden.silhouettes.values])).toBeLessThan(1e-12)
    expect(found.byCluster.map(({ label, size }) => [label, size])).toEqual([
      [0, 14],
      [1, 14],
      [2, 14],
    ])
  })

  it('is 0 for a cluster of one and for points that coincide', () => {
    expect(silhouettes([[0], [0], [5]], [3, 3, 9]).values).toEqual([1, 1, 0])
    expect(silhouettes([[1], [1], [1]], [0, 0, 1]).mean).toBe(0)
  })

  it('needs 2 to n - 1 clusters', () => {
    expect(() => silhouettes([[1], [2]], [0, 1])).toThrow('silhouettes of 2 points need 2 to 1 clusters: 2')
    expect(() => silhouettes([[1], [2]], [0])).toThrow('2 points need as many: 1')
  })
})
