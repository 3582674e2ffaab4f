import { invalidOption } from '../options.js'
import { classesOf } from '../zoo/rows.js'

/** How well one class is told from the others. 0 where nothing is there to divide by, as in scikit-learn. */
export interface ClassScore {
  readonly class: string
  /** Tested rows of the class. */
  readonly support: number
  /** Of the rows called this class, the share that is. */
  readonly precision: number
  /** Of the rows of this class, the share that is called so (recall). */
  readonly sensitivity: number
  /** Of the rows of other classes, the share that is not called this class. */
  readonly specificity: number
  /** Harmonic mean of precision and sensitivity. */
  readonly f1: number
}

/** Result of {@link score} and `evaluate`; plain data, ready for JSON. */
export interface Evaluation {
  /** Tested rows. */
  readonly count: number
  readonly correct: number
  readonly accuracy: number
  /** 95 % confidence interval of the accuracy (Wilson); it covers the choice of test rows, not that of training rows. */
  readonly interval: readonly [low: number, high: number]
  /** Accuracy of guessing: 1 / classes. */
  readonly chance: number
  /** Accuracy of always answering the class that is most frequent in training. */
  readonly majority: { readonly class: string; readonly accuracy: number }
  /** The classes of the rows below and in `confusion`. */
  readonly classNames: readonly string[]
  readonly perClass: readonly ClassScore[]
  /** Plain means over the classes. */
  readonly macro: Omit<ClassScore, 'class' | 'support'>
  /** Counts; `confusion[i][j]` rows of class i were called class j. */
  readonly confusion: readonly (readonly number[])[]
}

/** What {@link score} needs besides the labels. */
export interface ScoreOptions {
  /** Names by label. Default the labels themselves. */
  classNames?: readonly string[]
  /** Labels of the training rows, for the majority baseline. Default `expected`. */
  trained?: ArrayLike<number>
}

/**
 * Scores predictions.
 *
 * @example
 * score([0, 0, 1, 1], [0, 1, 1, 1]).accuracy // 0.75
 *
 * @throws ZooError `option` when there is nothing to score or the lengths differ.
 */
export function score(
  expected: ArrayLike<number>,
  predicted: ArrayLike<number>,
  options: ScoreOptions = {},
): Evaluation {
  const { classNames, trained = expected } = options
  const count = expected.length
  if (predicted.length !== count) {
    throw invalidOption('predicted', predicted.length, `needs one label for each of the ${count} rows`)
  }
  if (count === 0) throw invalidOption('expected', 0, 'nothing to score; number of rows')
  const classes = classesOf([...Array.from(expected), ...Array.from(predicted), ...Array.from(trained)])
  const names = Array.from(classes, label => classNames?.[label] ?? String(label))
  const confusion = Array.from(classes, () => new Array<number>(classes.length).fill(0))
  for (let row = 0; row < count; row++) {
    confusion[classes.indexOf(expected[row]!)]![classes.indexOf(predicted[row]!)]!++
  }
  const perClass = names.map((name, k) => classScore(name, confusion, k, count))
  const correct = confusion.reduce((sum, line, k) => sum + line[k]!, 0)
  const frequent = mostFrequent(trained, classes)
  const mean = (of: (line: ClassScore) => number) =>
    perClass.reduce((sum, line) => sum + of(line), 0) / perClass.length
  return {
    count,
    correct,
    accuracy: correct / count,
    interval: wilsonInterval(correct, count),
    chance: 1 / classes.length,
    majority: { class: names[frequent]!, accuracy: perClass[frequent]!.support / count },
    classNames: names,
    perClass,
    macro: {
      precision: mean(line => line.precision),
      sensitivity: mean(line => line.sensitivity),
      specificity: mean(line => line.specificity),
      f1: mean(line => line.f1),
    },
    confusion,
  }
}

/** Two-sided 95 % of the normal distribution. */
const Z = 1.959963984540054

/**
 * Wilson's score interval of a share, 95 % (Wilson 1927; `scipy.stats.binomtest(...).proportion_ci(method='wilson')`).
 *
 * @example
 * wilsonInterval(72, 100) // [0.625, 0.799]
 */
export function wilsonInterval(successes: number, count: number): [low: number, high: number] {
  const share = successes / count
  const centre = (share + Z ** 2 / (2 * count)) / (1 + Z ** 2 / count)
  const half =
    (Z / (1 + Z ** 2 / count)) * Math.sqrt((share * (1 - share)) / count + Z ** 2 / (4 * count ** 2))
  return [successes === 0 ? 0 : centre - half, successes === count ? 1 : centre + half]
}

function classScore(name: string, confusion: readonly number[][], k: number, count: number): ClassScore {
  const support = confusion[k]!.reduce((sum, n) => sum + n, 0)
  const called = confusion.reduce((sum, line) => sum + line[k]!, 0)
  const hits = confusion[k]![k]!
  const others = count - support
  return {
    class: name,
    support,
    precision: ratio(hits, called),
    sensitivity: ratio(hits, support),
    specificity: ratio(others - (called - hits), others),
    f1: ratio(2 * hits, support + called),
  }
}

function ratio(part: number, whole: number): number {
  return whole === 0 ? 0 : part / whole
}

function mostFrequent(labels: ArrayLike<number>, classes: Int32Array): number {
  const counts = new Uint32Array(classes.length)
  for (let row = 0; row < labels.length; row++) counts[classes.indexOf(labels[row]!)]!++
  return counts.indexOf(Math.max(...counts))
}
