import { invalidOption } from '../options.js'
import { networkName } from './files.js'
import type { NetworkRecord } from './ledger.js'

/** One network's weights in four numbers. */
export interface WeightSummary {
  /** Over the finite weights. */
  readonly min: number
  readonly max: number
  /** Euclidean norm of the finite weights. */
  readonly norm: number
  /** Weights that are infinite or not a number. */
  readonly nonFinite: number
}

/** Sums up weights, in float64. */
export function summarizeWeights(weights: Float32Array): WeightSummary {
  let min = Number.MAX_VALUE
  let max = -Number.MAX_VALUE
  let squares = 0
  let nonFinite = 0
  for (const weight of weights) {
    if (!Number.isFinite(weight)) {
      nonFinite++
      continue
    }
    min = Math.min(min, weight)
    max = Math.max(max, weight)
    squares += weight * weight
  }
  return { min, max, norm: Math.sqrt(squares), nonFinite }
}

/** @throws ZooError `option` where the record has none. */
export function summaryOf(network: NetworkRecord): WeightSummary {
  if (network.weightSummary) return network.weightSummary
  const why = 'has no weight summary, as in older zoos; take await withWeightSummaries(zoo)'
  throw invalidOption('network', networkName(network.class, network.index), why)
}

/** Largest absolute value of the finite weights. */
export function largestWeight(network: NetworkRecord): number {
  const { min, max } = summaryOf(network)
  return Math.max(-min, max)
}
