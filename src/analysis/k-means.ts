import { kmeans } from 'ml-kmeans'
import { checkOptionNames, invalidOption, isCount } from '../options.js'
import { RandomStream } from '../random.js'

/** Options of {@link kMeans}. */
export interface KMeansOptions {
  /** Random starts, of which the best result counts. Default 10, as the paper's script. */
  restarts?: number
  /** Most rounds of one start. Default 300, as scikit-learn; they end as soon as no centre moves. */
  maxIterations?: number
  /** Of the starts. Default 0. */
  seed?: number
}

/** Points in clusters. */
export interface Clusters {
  /** Cluster of every point, 0 to k - 1; numbered in the order in which they first appear. `[n]` */
  readonly labels: readonly number[]
  /** `[k][dimensions]` */
  readonly centers: readonly (readonly number[])[]
  readonly sizes: readonly number[]
  /** Sum of squared distances to the own centre: what k-means makes small. */
  readonly inertia: number
}

/**
 * k-means (Lloyd) from several k-means++ starts. Give it scores of principal components, as the paper's script does:
 * distances between raw weights are mostly noise. How good the clusters are is said by {@link silhouettes}.
 *
 * @param points `[n][dimensions]`
 *
 * @example
 * const scores = await (await principalComponents(zoo, { components: 8 })).transform(zoo)
 * const { labels } = kMeans(scores, 10)
 * silhouettes(scores, labels).mean
 *
 * @throws ZooError `option` for k below 1 or above the number of points, or a value that is not finite.
 */
export function kMeans(
  points: readonly (readonly number[])[],
  k: number,
  options: KMeansOptions = {},
): Clusters {
  checkOptionNames(options, ['restarts', 'maxIterations', 'seed'], 'kMeans')
  const { restarts = 10, maxIterations = 300, seed = 0 } = options
  if (!isCount(k) || k > points.length)
    throw invalidOption('k', k, `${points.length} points need 1 to ${points.length} clusters`)
  if (!isCount(restarts)) throw invalidOption('restarts', restarts, 'needs a positive integer')
  if (!isCount(maxIterations)) throw invalidOption('maxIterations', maxIterations, 'needs a positive integer')
  const bad = points.findIndex(point => !point.every(Number.isFinite))
  if (bad !== -1) throw invalidOption(`points[${bad}]`, String(points[bad]), 'has a value that is not finite')
  const random = new RandomStream(seed, 'k-means')
  const data = points.map(point => [...point])
  const runs = Array.from({ length: restarts }, () => {
    // The library's default tolerance is absolute, too much for scores of a small layer.
    const result = kmeans(data, k, { seed: random.uint32(), maxIterations, tolerance: 0 })
    return summary(points, result.clusters, result.centroids)
  })
  return runs.reduce((best, run) => (run.inertia < best.inertia ? run : best))
}

function summary(
  points: readonly (readonly number[])[],
  clusters: readonly number[],
  centroids: readonly (readonly number[])[],
): Clusters {
  const order = [...new Set([...clusters, ...centroids.keys()])]
  const labels = clusters.map(cluster => order.indexOf(cluster))
  const centers = order.map(cluster => centroids[cluster]!)
  const sizes = centers.map((_, label) => labels.filter(other => other === label).length)
  const inertia = points.reduce((sum, point, i) => {
    const center = centers[labels[i]!]!
    return sum + point.reduce((square, value, d) => square + (value - center[d]!) ** 2, 0)
  }, 0)
  return { labels, centers, sizes, inertia }
}
