import type { ParameterEntry } from '../architecture/architecture.js'
import { checkOptionNames } from '../options.js'
import { arrayRows, type LabelledRows, withLabels } from '../zoo/rows.js'
import { openRows, type Weights } from '../zoo/weights.js'
import { eachBlock, notFiniteIn, STUDY_OPTIONS, type StudyOptions } from './blocks.js'

/** One row a network, one column a statistic of one parameter array. */
export interface WeightStatistics extends LabelledRows {
  readonly names: readonly string[]
  /** Which arrays the columns are of. */
  readonly parameters: readonly ParameterEntry[]
  /** What the columns are, e.g. `conv2d kernel variance`. */
  readonly features: readonly string[]
}

const STATISTICS = ['mean', 'variance', 'minimum', 'lower quartile', 'median', 'upper quartile', 'maximum']

/**
 * Every network as seven statistics of each of its parameter arrays: mean, variance, minimum, quartiles and maximum
 * (Unterthiner et al., *Predicting Neural Network Accuracy from Weights*, 2020, arXiv 2002.11448); 70 numbers for LeNet-5.
 * They do not change when neurons change places, so that networks from different starts can be compared, which weights by
 * position cannot. One pass; memory is a block of weights and the result.
 *
 * @example
 * const statistics = await weightStatistics(zoo)
 * statistics.shape // [1000, 70]
 * await evaluate(new RandomForest({ seed: 7 }), statistics)
 *
 * @throws ZooError `option` naming the network that has a weight that is not finite; `interrupted`.
 */
export async function weightStatistics(
  weights: Weights,
  options: StudyOptions = {},
): Promise<WeightStatistics> {
  checkOptionNames(options, STUDY_OPTIONS, 'weightStatistics')
  const { matrix, close } = await openRows(weights, options)
  try {
    const { parameters, names, labels, classNames } = matrix
    const width = parameters.length * STATISTICS.length
    const values = new Float32Array(matrix.shape[0] * width)
    await eachBlock([matrix], options, block => {
      const columns = matrix.shape[1]
      for (let row = block.start; row < block.end; row++) {
        const first = (row - block.start) * columns
        for (const [i, { offset, size }] of parameters.entries()) {
          // The block is nobody else's: its arrays can be sorted in place.
          const array = block.data.subarray(first + offset, first + offset + size)
          const found = statisticsOf(array)
          if (!found) throw notFiniteIn(block, row - block.start)
          values.set(found, row * width + i * STATISTICS.length)
        }
      }
    })
    return {
      ...withLabels(arrayRows(values, width, names), labels, classNames),
      names,
      parameters: parameters.map(({ layer, part }, i) => ({
        layer,
        part,
        shape: [STATISTICS.length],
        offset: i * STATISTICS.length,
        size: STATISTICS.length,
      })),
      features: parameters.flatMap(({ layer, part }) => STATISTICS.map(name => `${layer} ${part} ${name}`)),
    }
  } finally {
    close()
  }
}

/** The seven statistics (numpy's, in float64) of an array, which is sorted; nothing where a value is not finite. */
function statisticsOf(array: Float32Array): number[] | undefined {
  let sum = 0
  for (let i = 0; i < array.length; i++) sum += array[i]!
  if (!Number.isFinite(sum)) return undefined
  const mean = sum / array.length
  let squares = 0
  for (let i = 0; i < array.length; i++) squares += (array[i]! - mean) ** 2
  array.sort()
  return [mean, squares / array.length, ...[0, 0.25, 0.5, 0.75, 1].map(share => quantile(array, share))]
}

/** Linear between neighbours. */
function quantile(sorted: Float32Array, share: number): number {
  const position = share * (sorted.length - 1)
  const below = Math.floor(position)
  const value = sorted[below]!
  return value + (position - below) * ((sorted[below + 1] ?? value) - value)
}
