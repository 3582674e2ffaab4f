import { invalidOption } from '../options.js'
import { checkLabels, classesOf, finiteBlocks, type Rows } from '../zoo/rows.js'

/** What a caller can hand to a long {@link Classifier.fit}. */
export interface FitControl {
  /** Called now and then with what is done of the whole: rows for Naive Bayes, epochs for the MLP. */
  onProgress?: ((done: number, total: number) => void) | undefined
  signal?: AbortSignal | undefined
  /** Names by label, for messages. */
  classNames?: readonly string[] | undefined
}

/**
 * What learns classes from rows. `evaluate` and `crossValidate` need only `fit` and `predict`, either of which may
 * return a promise, so a class of one's own takes a few lines.
 *
 * @example
 * // always answers the first training row's class
 * class First implements Classifier {
 *   label = 0
 *   fit(_rows, labels) { this.label = labels[0] }
 *   predict({ shape: [count] }) { return new Int32Array(count).fill(this.label) }
 * }
 */
export interface Classifier {
  /** Learns from scratch: whatever an earlier call learned is forgotten. `labels` are whole numbers from 0. */
  fit(rows: Rows, labels: ArrayLike<number>, control?: FitControl): unknown
  /** A label for each row. */
  predict(rows: Rows): ArrayLike<number> | Promise<ArrayLike<number>>
  /** Logarithms of the probabilities, flat `[rows, classes]`, classes in ascending order of the training labels. */
  predictLogProbabilities?(rows: Rows): Float64Array | Promise<Float64Array>
}

/** Learns from training rows how to change any rows, and returns the function that does. */
export type Preprocessing = (
  train: Rows,
  labels: ArrayLike<number>,
  control?: FitControl,
) => RowChange | Promise<RowChange>
/** Changes rows, the number of them stays. */
export type RowChange = (rows: Rows) => Rows | Promise<Rows>

/**
 * A classifier that sees its rows through a preprocessing, which is learned from the training rows alone, anew in every
 * `fit`.
 *
 * @example
 * withPreprocessing(principalFeatures({ components: 50, seed: 7 }), new MlpClassifier({ seed: 7 }))
 *
 * @example
 * // one's own: centre every column
 * withPreprocessing(train => {
 *   const means = columnMeans(train)
 *   return rows => subtract(rows, means)
 * }, new GaussianNaiveBayes())
 */
export function withPreprocessing(preprocessing: Preprocessing, classifier: Classifier): Classifier {
  let change: RowChange | undefined
  const changed = async (rows: Rows) => {
    if (!change) throw notFitted('withPreprocessing')
    return change(rows)
  }
  return {
    async fit(rows, labels, control) {
      change = await preprocessing(rows, labels, control)
      await classifier.fit(await change(rows), labels, control)
    },
    predict: async rows => classifier.predict(await changed(rows)),
    ...(classifier.predictLogProbabilities && {
      predictLogProbabilities: async (rows: Rows) => classifier.predictLogProbabilities!(await changed(rows)),
    }),
  }
}

/**
 * The classes among the training labels, ascending.
 * @throws ZooError `option` when labels do not fit the rows or all are of one class.
 */
export function trainingClasses(rows: Rows, labels: ArrayLike<number>): Int32Array {
  checkLabels(rows, labels)
  const classes = classesOf(labels)
  if (classes.length < 2) throw invalidOption('labels', [...classes], 'needs at least two classes, has')
  return classes
}

export function notFitted(what: string): Error {
  return invalidOption('classifier', what, 'call fit() before predict()')
}

/** Refuses rows of another width than the classifier was fitted on. */
export function checkColumns(rows: Rows, columns: number): void {
  if (rows.shape[1] === columns) return
  throw invalidOption('rows', rows.shape[1], `the classifier was fitted on ${columns} features, these have`)
}

/** Most bytes of rows that a classifier holds which needs all of them at once. */
const HELD_BYTES = 256 * 2 ** 20

/**
 * All rows in memory, flat `[rows, columns]`.
 * @throws ZooError `option` where they are too large, or naming the row with a value that is not finite.
 */
export function heldRows(rows: Rows): Float32Array {
  const [count, columns] = rows.shape
  if (4 * count * columns > HELD_BYTES) {
    throw invalidOption(
      'rows',
      `${count} x ${columns}`,
      'this classifier holds 256 MB at most; give it weightStatistics, or put principalFeatures in front',
    )
  }
  const data = new Float32Array(count * columns)
  for (const { start, data: block } of finiteBlocks(rows)) data.set(block, start * columns)
  return data
}

/** Index of the largest of `width` values from `offset`; the first one of equals. */
export function indexOfLargest(values: ArrayLike<number>, offset: number, width: number): number {
  let best = 0
  for (let i = 1; i < width; i++) if (values[offset + i]! > values[offset + best]!) best = i
  return best
}

/** Turns scores, flat `[n, width]`, into logarithms of probabilities in place: score - log(sum(exp(scores))). */
export function normalizeLogs(scores: Float64Array, width: number): Float64Array {
  for (let offset = 0; offset < scores.length; offset += width) {
    const row = scores.subarray(offset, offset + width)
    const largest = row[indexOfLargest(row, 0, width)]!
    let sum = 0
    for (const score of row) sum += Math.exp(score - largest)
    const logSum = largest + Math.log(sum)
    for (let i = 0; i < width; i++) row[i]! -= logSum
  }
  return scores
}
