import { checkOptionNames, invalidOption } from '../options.js'
import type { NetworkRecord } from './ledger.js'
import { largestWeight, summarizeWeights, summaryOf } from './weight-summary.js'
import { Zoo } from './zoo.js'

/**
 * The same zoo with a weight summary in every record: those of the ledger, and where an older or imported zoo lacks them,
 * computed from the weights, which are read for that one after the other.
 *
 * @example
 * const sound = (await withWeightSummaries(await openZoo('old-zoo'))).select({ finite: true })
 */
export async function withWeightSummaries(zoo: Zoo): Promise<Zoo> {
  const networks: NetworkRecord[] = []
  for (const record of zoo.networks) {
    const weightSummary =
      record.weightSummary ?? summarizeWeights(await zoo.weights(record.class, record.index))
    networks.push({ ...record, weightSummary })
  }
  return new Zoo(zoo.path, zoo.manifest, networks, zoo.failures, zoo.allNetworks, zoo.architecture)
}

/** A network that is unlike the others of its class, and in what. */
export interface Outlier {
  readonly network: NetworkRecord
  readonly measure: 'accuracy' | 'weight norm' | 'largest weight' | 'weights not finite'
  readonly value: number
  /** Distance from the class's median in robust standard deviations (1.4826 times the median absolute deviation). */
  readonly zScore: number
}

/**
 * Networks that stand out within their class by accuracy, norm or largest weight, or whose weights are not all finite
 * (with an infinite score). A measure that most networks of a class share (deviation 0) singles out nothing. Needs
 * weight summaries; see {@link withWeightSummaries}.
 *
 * @throws ZooError `option` naming a network without a weight summary, or for a `zScore` that is not above 0.
 *
 * @example
 * const strange = new Set(outliers(zoo, { zScore: 5 }).map(({ network }) => network))
 * zoo.select({ where: network => !strange.has(network) })
 */
export function outliers(zoo: Zoo, options: { zScore?: number } = {}): Outlier[] {
  checkOptionNames(options, ['zScore'], 'outliers')
  const { zScore: limit = 4 } = options
  if (!(limit > 0)) throw invalidOption('zScore', limit, 'needs a number above 0')
  const measures = {
    accuracy: ({ metrics }: NetworkRecord) => metrics.accuracy,
    'weight norm': (network: NetworkRecord) => summaryOf(network).norm,
    'largest weight': (network: NetworkRecord) => largestWeight(network),
  } as const
  return zoo.classNames.flatMap(name => {
    const networks = zoo.networks.filter(network => network.class === name)
    const broken = networks.flatMap(network => {
      const value = summaryOf(network).nonFinite
      return value > 0
        ? [{ network, measure: 'weights not finite' as const, value, zScore: Number.POSITIVE_INFINITY }]
        : []
    })
    const far = (Object.keys(measures) as (keyof typeof measures)[]).flatMap(measure => {
      const values = networks.map(measures[measure])
      const middle = median(values)
      const deviation = 1.4826 * median(values.map(value => Math.abs(value - middle)))
      return networks.flatMap((network, i) => {
        const value = values[i]!
        const zScore = (value - middle) / deviation
        return deviation > 0 && Math.abs(zScore) > limit ? [{ network, measure, value, zScore }] : []
      })
    })
    return [...broken, ...far]
  })
}

function median(values: readonly number[]): number {
  const sorted = values.filter(value => !Number.isNaN(value)).sort((a, b) => a - b)
  const half = sorted.length / 2
  return sorted.length === 0 ? Number.NaN : (sorted[Math.ceil(half) - 1]! + sorted[Math.floor(half)]!) / 2
}
