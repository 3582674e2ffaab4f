import { ZooError } from '../errors.js'
import { invalidOption } from '../options.js'

/** How well one network does on the whole validation split, at threshold 0.5 (paper, table 1). */
export interface Metrics {
  /** Share of images judged right. */
  readonly accuracy: number
  /** Of the images called positive, the share that is; 0 where none is called positive (as scikit-learn has it). */
  readonly precision: number
  /** Of the positive images, the share called so; 0 where there are none. */
  readonly recall: number
  /** Harmonic mean of precision and recall; 0 where both are 0. */
  readonly f1: number
  /**
   * Area under the ROC curve: the probability that a positive image scores above a negative one, ties counting half.
   * `null` where one of the two is missing.
   */
  readonly auc: number | null
}

/**
 * Scores a binary classifier.
 *
 * @param probabilities of being positive, `[n]`; above 0.5 counts as called positive
 * @param targets 0 or 1, `[n]`
 *
 * @throws ZooError `option` where the two differ in length or a probability is not a number.
 *
 * @example
 * binaryMetrics(Float32Array.of(0.9, 0.2, 0.6), Uint8Array.of(1, 0, 0)).auc // 1
 */
export function binaryMetrics(probabilities: Float32Array, targets: Uint8Array): Metrics {
  if (probabilities.length !== targets.length)
    throw invalidOption('probabilities', probabilities.length, `${targets.length} targets need as many`)
  const bad = probabilities.findIndex(Number.isNaN)
  if (bad !== -1)
    throw new ZooError('option', `invalid probabilities[${bad}]; not a number: NaN`, {
      name: `probabilities[${bad}]`,
      value: Number.NaN,
    })
  let truePositives = 0
  let called = 0
  let positives = 0
  let right = 0
  for (const [i, target] of targets.entries()) {
    const call = probabilities[i]! > 0.5 ? 1 : 0
    called += call
    positives += target
    truePositives += call & target
    right += Number(call === target)
  }
  const ratio = (part: number, whole: number) => (whole === 0 ? 0 : part / whole)
  return {
    accuracy: ratio(right, targets.length),
    precision: ratio(truePositives, called),
    recall: ratio(truePositives, positives),
    f1: ratio(2 * truePositives, called + positives),
    auc: areaUnderRoc(probabilities, targets),
  }
}

/** Mann-Whitney's U over ranks, tied scores sharing their mean rank. */
function areaUnderRoc(scores: Float32Array, targets: Uint8Array): number | null {
  const order = Uint32Array.from(scores, (_, i) => i).sort((a, b) => scores[a]! - scores[b]!)
  let positives = 0
  let rankSum = 0
  for (let start = 0; start < order.length; ) {
    let end = start
    let tied = 0
    for (; end < order.length && scores[order[end]!] === scores[order[start]!]; end++) {
      tied += targets[order[end]!]!
    }
    positives += tied
    rankSum += tied * ((start + 1 + end) / 2)
    start = end
  }
  const negatives = order.length - positives
  if (positives === 0 || negatives === 0) return null
  return (rankSum - (positives * (positives + 1)) / 2) / (positives * negatives)
}
