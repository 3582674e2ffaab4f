import { innerProduct, squaredDistance } from '../analysis/vectors.js'
import { checkOptionNames, invalidOption } from '../options.js'
import type { Rows } from '../zoo/rows.js'
import {
  type Classifier,
  checkColumns,
  type FitControl,
  heldRows,
  indexOfLargest,
  notFitted,
  trainingClasses,
} from './classifier.js'
import { RunningMoments } from './running-moments.js'
import { type Machine, solve } from './smo.js'
import { TimeSlice } from './time-slice.js'

/** Options of {@link SvmClassifier}. */
export interface SvmOptions {
  /** `rbf` (default): exp(-gamma |a - b|^2); or `linear`: the inner product. */
  kernel?: 'rbf' | 'linear'
  /** What a row on the wrong side costs. Default 1, as scikit-learn. */
  cost?: number
  /** Of `rbf`. Default 1 / (features x variance of all values), scikit-learn's `scale`. */
  gamma?: number
  /** Bring every feature to mean 0 and variance 1 of the training rows. Default true: a kernel knows no units. */
  standardize?: boolean
}

/**
 * Support vector machines, one for every two classes, which vote (as libsvm and scikit-learn's `SVC`, whose predictions
 * these are; there is nothing random).
 *
 * Rows are held in memory, and for every two classes the kernel between their rows, so give it features of networks
 * rather than their weights: `weightStatistics`, or {@link principalFeatures} in front.
 *
 * @example
 * await evaluate(new SvmClassifier({ kernel: 'rbf' }), await weightStatistics(zoo))
 */
export class SvmClassifier implements Classifier {
  private readonly options: SvmOptions & { kernel: 'rbf' | 'linear'; cost: number; standardize: boolean }
  private fitted: Fitted | undefined

  /** @throws ZooError `option` for an unknown option or an impossible value. */
  constructor(options: SvmOptions = {}) {
    checkOptionNames(options, ['kernel', 'cost', 'gamma', 'standardize'], 'SvmClassifier')
    const { kernel = 'rbf', cost = 1, gamma, standardize = true } = options
    if (kernel !== 'rbf' && kernel !== 'linear') throw invalidOption('kernel', kernel, 'needs rbf or linear')
    for (const [name, value] of Object.entries({ cost, ...(gamma !== undefined && { gamma }) })) {
      if (!(value > 0 && value < Infinity)) throw invalidOption(name, value, 'needs a positive number')
    }
    this.options = { ...options, kernel, cost, standardize }
  }

  /**
   * @throws ZooError `option` for fewer than two classes, labels that do not fit the rows, NaN (naming the row), or rows
   *   too large to hold; `interrupted`.
   */
  async fit(rows: Rows, labels: ArrayLike<number>, { onProgress, signal }: FitControl = {}): Promise<this> {
    this.fitted = undefined
    const classes = trainingClasses(rows, labels)
    const { kernel, cost, standardize } = this.options
    const width = rows.shape[1]
    const held = heldRows(rows)
    const scaling = standardize ? scalingOf(held, width) : undefined
    const data = scaled(held, width, scaling)
    const gamma = this.options.gamma ?? defaultGamma(data, width)
    const members = Array.from(classes, label => indicesOf(labels, label))
    const pairs: Pair[] = []
    const slice = new TimeSlice(signal)
    const total = (classes.length * (classes.length - 1)) / 2
    for (let i = 0; i < classes.length; i++) {
      for (let j = i + 1; j < classes.length; j++) {
        const chosen = [...members[i]!, ...members[j]!]
        const signs = Int8Array.from(chosen, (_, at) => (at < members[i]!.length ? 1 : -1))
        const between = kernelMatrix(data, width, chosen, kernel, gamma)
        const work = solve(between, signs, cost)
        let step = work.next()
        while (!step.done) {
          if (slice.isOver) await slice.pause()
          step = work.next()
        }
        pairs.push({ i, j, rows: chosen, ...step.value })
        onProgress?.(pairs.length, total)
        await slice.pause()
      }
    }
    this.fitted = { classes, width, scaling, data, kernel, gamma, pairs }
    return this
  }

  /** The class with most votes; of equals the smaller label. */
  async predict(rows: Rows): Promise<Int32Array> {
    if (!this.fitted) throw notFitted('SvmClassifier')
    const { classes, width, scaling, data, kernel, gamma, pairs } = this.fitted
    checkColumns(rows, width)
    const tested = scaled(heldRows(rows), width, scaling)
    const support = [...new Set(pairs.flatMap(pair => pair.rows.filter((_, at) => pair.weights[at] !== 0)))]
    const values = new Float64Array(data.length / width)
    const slice = new TimeSlice(undefined)
    const predicted = new Int32Array(rows.shape[0])
    for (let row = 0; row < predicted.length; row++) {
      for (const other of support) values[other] = kernelOf(tested, row, data, other, width, kernel, gamma)
      const votes = new Uint32Array(classes.length)
      for (const { i, j, rows: chosen, weights, offset } of pairs) {
        let sum = -offset
        for (const [at, weight] of weights.entries()) if (weight !== 0) sum += weight * values[chosen[at]!]!
        votes[sum > 0 ? i : j]!++
      }
      predicted[row] = classes[indexOfLargest(votes, 0, votes.length)]!
      if (slice.isOver) await slice.pause()
    }
    return predicted
  }
}

/** The machine of two classes: a positive sum is a vote for `i`. */
interface Pair extends Machine {
  readonly i: number
  readonly j: number
  /** Training rows that the weights are of. */
  readonly rows: readonly number[]
}

interface Fitted {
  readonly classes: Int32Array
  readonly width: number
  readonly scaling: Scaling | undefined
  /** The training rows, flat `[rows, width]`. */
  readonly data: Float64Array
  readonly kernel: 'rbf' | 'linear'
  readonly gamma: number
  readonly pairs: readonly Pair[]
}

interface Scaling {
  readonly means: Float64Array
  readonly deviations: Float64Array
}

function scalingOf(data: Float32Array, width: number): Scaling {
  const moments = new RunningMoments(width)
  for (let offset = 0; offset < data.length; offset += width) moments.add(data, offset)
  return { means: moments.mean, deviations: moments.variances().map(Math.sqrt) }
}

function scaled(data: Float32Array, width: number, scaling: Scaling | undefined): Float64Array {
  const { means, deviations } = scaling ?? {}
  return Float64Array.from(data, (value, i) =>
    means ? (value - means[i % width]!) / deviations![i % width]! : value,
  )
}

function defaultGamma(data: Float64Array, width: number): number {
  let mean = 0
  for (const value of data) mean += value / data.length
  let variance = 0
  for (const value of data) variance += (value - mean) ** 2 / data.length
  return variance > 0 ? 1 / (width * variance) : 1
}

function indicesOf(labels: ArrayLike<number>, label: number): number[] {
  return Array.from(labels, (other, row) => (other === label ? row : -1)).filter(row => row >= 0)
}

function kernelOf(
  a: Float64Array,
  i: number,
  b: Float64Array,
  j: number,
  width: number,
  kernel: 'rbf' | 'linear',
  gamma: number,
): number {
  if (kernel === 'linear') return innerProduct(a, i * width, b, j * width, width)
  return Math.exp(-gamma * squaredDistance(a, i * width, b, j * width, width))
}

/** Kernel between any two of the chosen rows, `[chosen][chosen]`. */
function kernelMatrix(
  data: Float64Array,
  width: number,
  chosen: readonly number[],
  kernel: 'rbf' | 'linear',
  gamma: number,
): Float64Array[] {
  const matrix = chosen.map(() => new Float64Array(chosen.length))
  for (const [i, row] of matrix.entries()) {
    for (let j = i; j < chosen.length; j++) {
      const value = kernelOf(data, chosen[i]!, data, chosen[j]!, width, kernel, gamma)
      row[j] = value
      matrix[j]![i] = value
    }
  }
  return matrix
}
