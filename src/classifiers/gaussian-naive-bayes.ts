import { checkOptionNames, invalidOption } from '../options.js'
import { finiteBlocks, type Rows } from '../zoo/rows.js'
import {
  type Classifier,
  checkColumns,
  type FitControl,
  indexOfLargest,
  normalizeLogs,
  notFitted,
  trainingClasses,
} from './classifier.js'
import { RunningMoments } from './running-moments.js'
import { TimeSlice } from './time-slice.js'

/** Options of {@link GaussianNaiveBayes}. */
export interface GaussianNaiveBayesOptions {
  /**
   * Share of the largest variance of all features that is added to every variance, so that features which hardly vary
   * do not decide alone. Default 1e-9, scikit-learn's.
   */
  varSmoothing?: number
  /** Probability of each class, classes ascending; they sum to 1. Default: the shares among the training rows. */
  priors?: readonly number[]
}

/** What Gaussian Naive Bayes has learned. */
export interface GaussianNaiveBayesModel {
  /** Labels, ascending. `[k]` */
  readonly classes: Int32Array
  /** Probability of each class. `[k]` */
  readonly priors: Float64Array
  /** Mean of each feature in each class, flat `[k, columns]`. */
  readonly means: Float64Array
  /** Variance of each feature in each class, smoothing included, flat `[k, columns]`. */
  readonly variances: Float64Array
  /** What smoothing added to every variance. */
  readonly epsilon: number
}

/**
 * Gaussian Naive Bayes: every feature of a class is normal and independent of the others. The formulas are those of
 * scikit-learn's `GaussianNB`; sums are taken in float64 (as scikit-learn does for float64 input).
 *
 * `fit` and `predict` read their rows once, in blocks of 16 MB; what is kept is 24 bytes per class and feature.
 *
 * @example
 * const rows = await flattenModelwise(zoo)
 * const bayes = await new GaussianNaiveBayes().fit(rows, rows.labels)
 * await bayes.predict(rows) // Int32Array, a label for each row
 */
export class GaussianNaiveBayes implements Classifier {
  private readonly varSmoothing: number
  private readonly givenPriors: readonly number[] | undefined
  private fitted: Fitted | undefined

  /** @throws ZooError `option` for a negative `varSmoothing`, or priors that do not sum to 1. */
  constructor(options: GaussianNaiveBayesOptions = {}) {
    checkOptionNames(options, ['varSmoothing', 'priors'], 'GaussianNaiveBayes')
    const { varSmoothing = 1e-9, priors } = options
    if (!(varSmoothing >= 0 && varSmoothing < Infinity)) {
      throw invalidOption('varSmoothing', varSmoothing, 'needs a number of at least 0')
    }
    const sum = priors?.reduce((total, prior) => total + prior, 0) ?? 1
    if (!(Math.abs(sum - 1) < 1e-8) || priors?.some(prior => !(prior >= 0))) {
      throw invalidOption('priors', priors, 'need to be at least 0 and to sum to 1')
    }
    this.varSmoothing = varSmoothing
    this.givenPriors = priors
  }

  /** What was learned. */
  get model(): GaussianNaiveBayesModel {
    return this.checkFitted()
  }

  /**
   * @throws ZooError `option` for fewer than two classes, labels that do not fit the rows, NaN (naming the row), or rows
   *   that are all equal.
   */
  async fit(rows: Rows, labels: ArrayLike<number>, { onProgress, signal }: FitControl = {}): Promise<this> {
    this.fitted = undefined
    const classes = trainingClasses(rows, labels)
    const [count, columns] = rows.shape
    const given = this.givenPriors
    if (given && given.length !== classes.length) {
      throw invalidOption('priors', given, `needs one for each of the ${classes.length} classes`)
    }
    const moments = Array.from(classes, () => new RunningMoments(columns))
    const slice = new TimeSlice(signal)
    for (const { start, end, data } of finiteBlocks(rows)) {
      for (let row = start; row < end; row++) {
        moments[classes.indexOf(labels[row]!)]!.add(data, (row - start) * columns)
      }
      onProgress?.(end, count)
      if (slice.isOver) await slice.pause()
    }
    const epsilon = this.varSmoothing * largestVariance(moments)
    const means = new Float64Array(classes.length * columns)
    const variances = new Float64Array(classes.length * columns)
    for (const [k, { count, mean, squares }] of moments.entries()) {
      means.set(mean, k * columns)
      for (let j = 0; j < columns; j++) {
        const variance = squares[j]! / count + epsilon
        if (variance === 0) {
          throw invalidOption(
            'weights',
            classes[k],
            `feature ${j} does not vary, raise varSmoothing; in class`,
          )
        }
        variances[k * columns + j] = variance
      }
    }
    const priors = given ? Float64Array.from(given) : Float64Array.from(moments, m => m.count / count)
    this.fitted = { classes, priors, means, variances, epsilon, columns, ...densities(priors, variances) }
    return this
  }

  /** The most probable class of each row. */
  async predict(rows: Rows): Promise<Int32Array> {
    const { classes } = this.checkFitted()
    const joint = await this.predictJointLogLikelihood(rows)
    return Int32Array.from(
      { length: rows.shape[0] },
      (_, row) => classes[indexOfLargest(joint, row * classes.length, classes.length)]!,
    )
  }

  /** log P(class | row), flat `[rows, classes]`, as scikit-learn's `predict_log_proba`. */
  async predictLogProbabilities(rows: Rows): Promise<Float64Array> {
    const { classes } = this.checkFitted()
    return normalizeLogs(await this.predictJointLogLikelihood(rows), classes.length)
  }

  /** log P(class) + log P(row | class), flat `[rows, classes]`, as scikit-learn's `predict_joint_log_proba`. */
  async predictJointLogLikelihood(rows: Rows): Promise<Float64Array> {
    const fitted = this.checkFitted()
    const { classes, columns, constants } = fitted
    checkColumns(rows, columns)
    const joint = new Float64Array(rows.shape[0] * classes.length)
    for (let i = 0; i < joint.length; i++) joint[i] = constants[i % classes.length]!
    const slice = new TimeSlice(undefined)
    for (const { start, end, data } of finiteBlocks(rows)) {
      addExponents(fitted, data, joint.subarray(start * classes.length, end * classes.length))
      if (slice.isOver) await slice.pause()
    }
    return joint
  }

  private checkFitted(): Fitted {
    if (!this.fitted) throw notFitted('GaussianNaiveBayes')
    return this.fitted
  }
}

interface Fitted extends GaussianNaiveBayesModel {
  readonly columns: number
  /** log prior - sum(log(2 pi variance)) / 2 of each class. `[k]` */
  readonly constants: Float64Array
  /** 1 / (2 variance), flat `[k, columns]`. */
  readonly precisions: Float64Array
}

/** Largest variance of a column over the rows of all classes. */
function largestVariance(moments: readonly RunningMoments[]): number {
  const total = moments.reduce((sum, { count }) => sum + count, 0)
  let largest = 0
  for (let j = 0; j < moments[0]!.mean.length; j++) {
    let mean = 0
    for (const m of moments) mean += (m.count / total) * m.mean[j]!
    let squares = 0
    for (const m of moments) squares += m.squares[j]! + m.count * (m.mean[j]! - mean) ** 2
    largest = Math.max(largest, squares / total)
  }
  return largest
}

function densities(priors: Float64Array, variances: Float64Array) {
  const columns = variances.length / priors.length
  const constants = priors.map((prior, k) => {
    let logs = 0
    for (const variance of variances.subarray(k * columns, (k + 1) * columns)) {
      logs += Math.log(2 * Math.PI * variance)
    }
    return Math.log(prior) - logs / 2
  })
  return { constants, precisions: variances.map(variance => 0.5 / variance) }
}

/** Columns whose means and precisions of all classes stay in a core's cache while a block of rows passes. */
const TILE = 2048

/** Subtracts sum((x - mean)^2 / (2 variance)) of each row and class from `joint`. data `[n, columns]`, joint `[n, k]`. */
function addExponents(
  { classes, columns, means, precisions }: Fitted,
  data: Float32Array,
  joint: Float64Array,
): void {
  const width = classes.length
  const count = joint.length / width
  for (let left = 0; left < columns; left += TILE) {
    const size = Math.min(TILE, columns - left)
    for (let k = 0; k < width; k++) {
      const first = k * columns + left
      const mean = means.subarray(first, first + size)
      const precision = precisions.subarray(first, first + size)
      // Four rows at a time: four independent sums keep the processor's adders busy. The last rows come again with others.
      for (let row = 0; row < count; row += 4) {
        const [a, b, c, d] = [0, 1, 2, 3].map(i => Math.min(row + i, count - 1) * columns + left) as Four
        const sums = exponents(data, a, b, c, d, mean, precision)
        for (let i = 0; i < 4 && row + i < count; i++) joint[(row + i) * width + k]! -= sums[i]!
      }
    }
  }
}

type Four = [number, number, number, number]

/** sum((x - mean)^2 precision) of the four rows that start at a, b, c and d. */
function exponents(
  data: Float32Array,
  a: number,
  b: number,
  c: number,
  d: number,
  mean: Float64Array,
  precision: Float64Array,
): Four {
  let sumA = 0
  let sumB = 0
  let sumC = 0
  let sumD = 0
  for (let j = 0; j < mean.length; j++) {
    const centre = mean[j]!
    const weight = precision[j]!
    const fromA = data[a + j]! - centre
    const fromB = data[b + j]! - centre
    const fromC = data[c + j]! - centre
    const fromD = data[d + j]! - centre
    sumA += fromA * fromA * weight
    sumB += fromB * fromB * weight
    sumC += fromC * fromC * weight
    sumD += fromD * fromD * weight
  }
  return [sumA, sumB, sumC, sumD]
}
