import type { ParameterEntry } from '../architecture/architecture.js'
import { RunningMoments } from '../classifiers/running-moments.js'
import { invalidOption } from '../options.js'
import { finiteRows, type Rows, rowsPerBlock } from '../zoo/rows.js'

/**
 * What shares a mean and a standard deviation: every weight its own (as scikit-learn's `StandardScaler`; wants many
 * networks), all weights of a layer together, its bias and its kernel alike (as in Schürholt et al.'s hyper-representations), or all weights together.
 */
export type StandardizePer = 'weight' | 'layer' | 'global'

/**
 * Weights to zero mean and unit variance, and back: `(weight - mean) / deviation`. Deviations divide by the number of
 * values, as scikit-learn's do; one of a weight that never varies is 1.
 *
 * @example
 * const { standardization } = await weightBatches(zoo, { standardize: 'layer' })
 * standardization.deviation[0] // of the first layer's weights
 */
export class Standardization {
  /** @internal Use `weightBatches`. */
  constructor(
    readonly per: StandardizePer,
    /** Mean of every weight, or of its group. `[parameterCount]` */
    readonly mean: Float64Array,
    /** Standard deviation of every weight, or of its group. `[parameterCount]` */
    readonly deviation: Float64Array,
  ) {}

  /** Standardises networks in place. `data` is flat `[networks, parameterCount]`. */
  apply(data: Float32Array): void {
    const { mean, deviation } = this
    const columns = mean.length
    for (let start = 0; start < data.length; start += columns) {
      for (let k = 0; k < columns; k++) data[start + k] = (data[start + k]! - mean[k]!) / deviation[k]!
    }
  }

  /** Undoes {@link Standardization.apply}, in place: what a generator makes becomes weights. */
  invert(data: Float32Array): void {
    const { mean, deviation } = this
    const columns = mean.length
    for (let start = 0; start < data.length; start += columns) {
      for (let k = 0; k < columns; k++) data[start + k] = data[start + k]! * deviation[k]! + mean[k]!
    }
  }
}

/**
 * Means and deviations of networks, read once, block by block.
 * @throws ZooError `option` for another value of `per`, or naming a network with a weight that is not finite.
 */
export function fitStandardization(
  rows: Rows,
  parameters: readonly ParameterEntry[],
  per: StandardizePer,
): Standardization {
  if (!['weight', 'layer', 'global'].includes(per)) {
    throw invalidOption('standardize', per, 'needs weight, layer, global or false')
  }
  const [count, columns] = rows.shape
  const moments = new RunningMoments(columns)
  const size = rowsPerBlock(rows)
  for (let start = 0; start < count; start += size) {
    const data = finiteRows(rows, start, Math.min(count, start + size))
    for (let offset = 0; offset < data.length; offset += columns) moments.add(data, offset)
  }
  const { mean } = moments
  if (per === 'weight') return new Standardization(per, mean, moments.variances().map(Math.sqrt))
  const deviation = new Float64Array(columns)
  for (const { start, end } of groupsOf(parameters, per)) {
    const group = poolMoments(moments, start, end)
    mean.fill(group.mean, start, end)
    deviation.fill(group.deviation, start, end)
  }
  return new Standardization(per, mean, deviation)
}

/** Columns that share a mean. */
function groupsOf(parameters: readonly ParameterEntry[], per: 'layer' | 'global') {
  const groups: { layer: string; start: number; end: number }[] = []
  for (const { layer, offset, size } of parameters) {
    const last = groups.at(-1)
    if (last && (per === 'global' || last.layer === layer)) last.end = offset + size
    else groups.push({ layer, start: offset, end: offset + size })
  }
  return groups
}

/** Mean and deviation of all values of some columns: those within the columns, and those between their means. */
function poolMoments({ mean, squares, count }: RunningMoments, start: number, end: number) {
  const width = end - start
  let sum = 0
  for (let k = start; k < end; k++) sum += mean[k]!
  const pooled = sum / width
  let spread = 0
  for (let k = start; k < end; k++) spread += squares[k]! / count + (mean[k]! - pooled) ** 2
  const variance = spread / width
  return { mean: pooled, deviation: variance <= (pooled * 1e-6) ** 2 ? 1 : Math.sqrt(variance) }
}
