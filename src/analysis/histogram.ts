import { invalidOption, isCount } from '../options.js'

/** How often values fall into bins of equal width. */
export interface Histogram {
  /** `[bins + 1]`, ascending; a bin holds its left edge, the last bin both (numpy's rule). */
  readonly edges: readonly number[]
  /** `[bins]` */
  readonly counts: readonly number[]
  /** Values left of the first edge, and right of the last. */
  readonly below: number
  readonly above: number
}

/** Lowest and highest value that a histogram shows. */
export type ValueRange = readonly [low: number, high: number]

/** Base of logarithms: `nats` (e, scipy's default) or `bits` (2). */
export type EntropyUnit = 'nats' | 'bits'

/**
 * Edges of `bins` equal bins, bit for bit numpy's `linspace`; a range without width is widened by 0.5 each way, as
 * `numpy.histogram` does.
 */
export function binEdges([low, high]: ValueRange, bins: number): Float64Array {
  const [first, last] = low === high ? [low - 0.5, high + 0.5] : [low, high]
  const step = (last - first) / bins
  const edges = Float64Array.from({ length: bins + 1 }, (_, i) => i * step + first)
  edges[bins] = last
  return edges
}

/**
 * Counts `data[start..end)` into `counts` `[bins + 2]`: below, the bins, above. Values must be finite.
 */
export function countInto(
  counts: Float64Array,
  edges: Float64Array,
  data: Float32Array,
  start: number,
  end: number,
): void {
  const bins = edges.length - 1
  const low = edges[0]!
  const high = edges[bins]!
  const scale = bins / (high - low)
  for (let i = start; i < end; i++) {
    const value = data[i]!
    if (value >= low && value < high) {
      // The quotient is rounded; the edges decide.
      const bin = Math.min(((value - low) * scale) | 0, bins - 1)
      if (value < edges[bin]!) counts[bin]!++
      else if (value >= edges[bin + 1]!) counts[bin + 2]!++
      else counts[bin + 1]!++
    } else if (value < low) counts[0]!++
    else counts[value > high ? bins + 1 : bins]!++
  }
}

export function toHistogram(edges: Float64Array, counts: Float64Array): Histogram {
  return {
    edges: [...edges],
    counts: [...counts.subarray(1, -1)],
    below: counts[0]!,
    above: counts.at(-1)!,
  }
}

/**
 * Shannon's entropy -sum p ln p of counts or probabilities, which need not sum to 1 (as `scipy.stats.entropy`).
 *
 * @example
 * entropy([1, 1, 2], 'bits') // 1.5
 */
export function entropy(counts: ArrayLike<number>, unit: EntropyUnit = 'nats'): number {
  let total = 0
  for (let i = 0; i < counts.length; i++) total += counts[i]!
  let sum = 0
  for (let i = 0; i < counts.length; i++) {
    const p = counts[i]! / total
    if (p > 0) sum -= p * Math.log(p)
  }
  return sum / unitOf(unit)
}

/** Nats in one unit. @throws ZooError `option` for an unknown unit. */
export function unitOf(unit: EntropyUnit): number {
  if (unit === 'nats') return 1
  if (unit === 'bits') return Math.LN2
  throw invalidOption('unit', unit, 'needs nats or bits')
}

export function checkBins(name: string, bins: unknown): void {
  if (!isCount(bins) || bins > 2 ** 20) throw invalidOption(name, bins, 'needs an integer from 1 to 1048576')
}

export function checkRange(name: string, range: ValueRange): void {
  const [low, high] = range
  if (!(Number.isFinite(low) && Number.isFinite(high) && low < high)) {
    throw invalidOption(name, range, 'needs two finite numbers, the lower one first')
  }
}
