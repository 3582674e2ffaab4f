import { checkOptionNames } from '../options.js'
import { type LabelledRows, layerRows, subsetRows } from '../zoo/rows.js'
import { groupLayerwise, type LayerwiseView } from '../zoo/views.js'
import { openRows, type Weights } from '../zoo/weights.js'
import { Zoo } from '../zoo/zoo.js'
import type { Classifier, FitControl } from './classifier.js'
import { type Evaluation, score } from './scoring.js'
import {
  checkSplit,
  type KFoldOptions,
  kFold,
  type Split,
  type SplitOptions,
  stratifiedSplit,
} from './splits.js'

/** Options of {@link evaluate}. */
export interface EvaluateOptions
  extends Omit<SplitOptions, 'classNames'>,
    Pick<FitControl, 'onProgress' | 'signal'> {
  /** A split made elsewhere, in place of `testShare` and `seed`. */
  split?: Split
}

/**
 * Fits a classifier on one part of the rows and scores it on the other, which it has not seen. Whatever the classifier
 * learns, standardisation included, it learns from the training part.
 *
 * @example
 * const { accuracy, interval, chance } = await evaluate(new GaussianNaiveBayes(), zoo, { testShare: 0.3, seed: 7 })
 *
 * @param weights a zoo, what `flattenModelwise` or `layerRows` gives, or plain arrays
 * @throws ZooError `option` for a single class, one network a class, a split that lacks a class, NaN weights.
 */
export async function evaluate(
  classifier: Classifier,
  weights: Weights,
  options: EvaluateOptions = {},
): Promise<Evaluation> {
  checkOptionNames(options, ['split', 'testShare', 'seed', 'onProgress', 'signal'], 'evaluate')
  const { onProgress, signal } = options
  return withRows(weights, signal, async data => {
    const split = splitFor(data, options)
    const { train, predicted } = await fitAndPredict(classifier, data, split, { onProgress, signal })
    const { classNames } = data
    return score(pick(data.labels, split.test), predicted, { classNames, trained: train })
  })
}

async function withRows<T>(
  weights: Weights,
  signal: AbortSignal | undefined,
  work: (data: LabelledRows) => Promise<T>,
): Promise<T> {
  const { matrix, close } = await openRows(weights, { signal })
  try {
    return await work(matrix)
  } finally {
    close()
  }
}

/** Options of {@link crossValidate}. */
export interface CrossValidateOptions extends Omit<KFoldOptions, 'classNames'>, Pick<FitControl, 'signal'> {
  /** Called after every fold. */
  onProgress?: ((done: number, total: number) => void) | undefined
}

/**
 * k-fold cross-validation: every row is tested once, by a classifier fitted on the other folds.
 *
 * @returns the score over all rows, and that of each fold
 * @throws ZooError as {@link evaluate}.
 *
 * @example
 * const { accuracy, folds } = await crossValidate(new GaussianNaiveBayes(), zoo, { folds: 5, seed: 7 })
 */
export async function crossValidate(
  classifier: Classifier,
  weights: Weights,
  options: CrossValidateOptions = {},
): Promise<Evaluation & { readonly folds: readonly Evaluation[] }> {
  checkOptionNames(options, ['folds', 'seed', 'onProgress', 'signal'], 'crossValidate')
  const { onProgress, signal, folds: count = 5, seed = 0 } = options
  return withRows(weights, signal, async data => {
    const { labels, classNames } = data
    const splits = kFold(labels, { folds: count, seed, classNames })
    const all = new Int32Array(labels.length)
    const folds: Evaluation[] = []
    for (const split of splits) {
      const { train, predicted } = await fitAndPredict(classifier, data, split, { signal })
      for (const [i, row] of split.test.entries()) all[row] = predicted[i]!
      folds.push(score(pick(labels, split.test), predicted, { classNames, trained: train }))
      onProgress?.(folds.length, splits.length)
    }
    return { ...score(labels, all, { classNames }), folds }
  })
}

/** One layer's line in {@link evaluateLayers}. */
export interface LayerEvaluation {
  readonly layer: string
  /** Weights of the layer. */
  readonly columns: number
  readonly evaluation: Evaluation
}

/**
 * Evaluates a classifier on each layer's weights alone. All layers, and `evaluate` on the networks' whole weights with
 * the same options, learn from and test on the same networks.
 *
 * @example
 * await evaluateLayers(new GaussianNaiveBayes(), zoo, { seed: 7 })
 * // [{ layer: 'conv2d', columns: 456, evaluation: { accuracy: ... } }, ...]
 */
export async function evaluateLayers(
  classifier: Classifier,
  weights: LayerwiseView | Zoo,
  options: EvaluateOptions = {},
): Promise<LayerEvaluation[]> {
  if (weights instanceof Zoo) {
    const byLayer = await groupLayerwise(weights, { signal: options.signal })
    return evaluateLayers(classifier, byLayer, options).finally(() => byLayer.close())
  }
  const byLayer = weights
  const results: LayerEvaluation[] = []
  for (const layer of byLayer.layerNames) {
    const data = layerRows(byLayer, layer)
    results.push({ layer, columns: data.shape[1], evaluation: await evaluate(classifier, data, options) })
  }
  return results
}

function splitFor(data: LabelledRows, { split, testShare, seed }: EvaluateOptions): Split {
  const { labels, classNames } = data
  const made =
    split ??
    stratifiedSplit(labels, {
      ...(testShare !== undefined && { testShare }),
      ...(seed !== undefined && { seed }),
      classNames,
    })
  checkSplit(made, labels, classNames)
  return made
}

async function fitAndPredict(
  classifier: Classifier,
  data: LabelledRows,
  { train, test }: Split,
  control: FitControl,
) {
  const trainLabels = pick(data.labels, train)
  const { classNames } = data
  await classifier.fit(subsetRows(data, train), trainLabels, { ...control, classNames })
  const predicted = await classifier.predict(subsetRows(data, test))
  return { train: trainLabels, predicted }
}

function pick(labels: ArrayLike<number>, rows: Uint32Array): Int32Array {
  return Int32Array.from(rows, row => labels[row]!)
}
