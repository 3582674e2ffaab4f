import { invalidOption } from '../options.js'

/** How well points lie in their clusters. */
export interface Silhouettes {
  /** Mean over all points, -1 to 1: scikit-learn's `silhouette_score`. */
  readonly mean: number
  /** Of every point. */
  readonly values: readonly number[]
  /** Mean by cluster, ascending by label. */
  readonly byCluster: readonly { readonly label: number; readonly size: number; readonly mean: number }[]
}

/**
 * Silhouettes (Rousseeuw 1987): for a point, (b - a) / max(a, b) with a its mean Euclidean distance to the others of
 * its cluster and b that to the nearest other cluster; 0 for a cluster of one. Time grows with the square of the number
 * of points: some 5 s for 10,000 of 50 dimensions, so take scores of principal components, not weights.
 *
 * @param points `[n][dimensions]`, e.g. from {@link PrincipalComponents.transform}
 * @param labels cluster (or class) of every point, integers. `[n]`
 *
 * @throws ZooError `option` unless there are 2 to n - 1 clusters.
 *
 * @example
 * silhouettes([[0], [0.1], [5], [5.1]], [0, 0, 1, 1]).mean // 0.98: two tight clusters
 */
export function silhouettes(points: readonly ArrayLike<number>[], labels: ArrayLike<number>): Silhouettes {
  const count = points.length
  if (labels.length !== count) throw invalidOption('labels', labels.length, `${count} points need as many`)
  const clusters = [...new Set(Array.from(labels))].sort((a, b) => a - b)
  if (clusters.length < 2 || clusters.length >= count)
    throw invalidOption(
      'labels',
      clusters.length,
      `silhouettes of ${count} points need 2 to ${count - 1} clusters`,
    )
  const clusterOf = Array.from(labels, label => clusters.indexOf(label))
  const sizes = clusters.map((_, cluster) => clusterOf.filter(other => other === cluster).length)
  const sums = distanceSums(points, clusterOf, clusters.length)
  const values = points.map((_, i) => {
    const own = clusterOf[i]!
    if (sizes[own] === 1) return 0
    const inside = sums[i * clusters.length + own]! / (sizes[own]! - 1)
    let outside = Number.POSITIVE_INFINITY
    for (const [cluster, size] of sizes.entries()) {
      if (cluster !== own) outside = Math.min(outside, sums[i * clusters.length + cluster]! / size)
    }
    const larger = Math.max(inside, outside)
    return larger === 0 ? 0 : (outside - inside) / larger
  })
  return {
    mean: meanOf(values),
    values,
    byCluster: clusters.map((label, cluster) => ({
      label,
      size: sizes[cluster]!,
      mean: meanOf(values.filter((_, i) => clusterOf[i] === cluster)),
    })),
  }
}

/** Sum of every point's distances to the points of every cluster, flat `[n, clusters]`. */
function distanceSums(
  points: readonly ArrayLike<number>[],
  clusterOf: readonly number[],
  clusters: number,
): Float64Array {
  const dimensions = points[0]!.length
  const flat = Float64Array.from(points.flatMap(point => Array.from(point)))
  const sums = new Float64Array(points.length * clusters)
  for (let i = 0; i < points.length; i++) {
    for (let j = i + 1; j < points.length; j++) {
      let square = 0
      for (let d = 0; d < dimensions; d++) {
        const difference = flat[i * dimensions + d]! - flat[j * dimensions + d]!
        square += difference * difference
      }
      const distance = Math.sqrt(square)
      sums[i * clusters + clusterOf[j]!]! += distance
      sums[j * clusters + clusterOf[i]!]! += distance
    }
  }
  return sums
}

const meanOf = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length
