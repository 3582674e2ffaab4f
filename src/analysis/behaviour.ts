import { checkOptionNames, invalidOption } from '../options.js'
import { binaryMetrics, type Metrics } from '../training/metrics.js'
import type { Outputs } from '../zoo/outputs.js'

// What can be told of networks from their outputs on the validation split, without weights or a forward pass.

/** How a classifier trades false against true positives, by falling threshold. */
export interface RocCurve {
  /** A probability of at least this counts as positive; `Infinity` first, where nothing does. */
  readonly thresholds: Float64Array
  /** Share of the negatives called positive. */
  readonly falsePositiveRate: Float64Array
  /** Share of the positives called positive. */
  readonly truePositiveRate: Float64Array
  /** Area under the curve; `NaN` where positives or negatives are missing. */
  readonly auc: number
}

/**
 * The ROC curve over all thresholds at which it changes (scikit-learn's `roc_curve` with `drop_intermediate=False`).
 *
 * @param probabilities `[n]`
 * @param targets 0 or 1, `[n]`
 *
 * @throws ZooError `option` where the two differ in length, or a probability is not a number.
 *
 * @example
 * const outputs = await zoo.outputs()
 * rocCurve(outputs.row(0), outputs.targets(0)).auc
 */
export function rocCurve(probabilities: Float32Array, targets: Uint8Array): RocCurve {
  const auc = binaryMetrics(probabilities, targets).auc ?? Number.NaN
  const order = Uint32Array.from(probabilities, (_, i) => i).sort(
    (a, b) => probabilities[b]! - probabilities[a]!,
  )
  const positives = targets.reduce((sum, target) => sum + target, 0)
  const negatives = targets.length - positives
  const points: [threshold: number, falsePositives: number, truePositives: number][] = [
    [Number.POSITIVE_INFINITY, 0, 0],
  ]
  let truePositives = 0
  for (const [place, i] of order.entries()) {
    truePositives += targets[i]!
    const next = order[place + 1]
    if (next !== undefined && probabilities[next] === probabilities[i]) continue
    points.push([probabilities[i]!, place + 1 - truePositives, truePositives])
  }
  return {
    thresholds: Float64Array.from(points, ([threshold]) => threshold),
    falsePositiveRate: Float64Array.from(points, ([, count]) => count / negatives),
    truePositiveRate: Float64Array.from(points, ([, , count]) => count / positives),
    auc,
  }
}

/** How alike the outputs of any two networks are; see {@link outputSimilarity}. */
export interface Similarities {
  /** Networks: the rows and columns. */
  readonly names: readonly string[]
  /** Symmetric, ones on the diagonal, flat. `[networks, networks]` */
  readonly values: Float64Array
  /** Over pairs of different networks; those whose value is `NaN` are left out. */
  readonly mean: number
}

/**
 * Compares what networks say of the same images, pair by pair: `agreement` (default), the share of images on which both
 * fall on the same side of 0.5, or `correlation`, Pearson's between their probabilities (numpy's `corrcoef`; `NaN`
 * with a network that says the same of all images). Time and memory grow with the square of the number of networks: take
 * a class, or a selection. Networks of different classes detect different things, and mostly agree that an image is
 * neither.
 *
 * @throws ZooError `option` for another measure, or fewer than two networks.
 *
 * @example
 * const outputs = await zoo.select({ class: 'church' }).outputs()
 * outputSimilarity(outputs, { measure: 'correlation' }).mean
 */
export function outputSimilarity(
  outputs: Outputs,
  options: { measure?: 'agreement' | 'correlation' } = {},
): Similarities {
  checkOptionNames(options, ['measure'], 'outputSimilarity')
  const { measure = 'agreement' } = options
  if (measure !== 'agreement' && measure !== 'correlation')
    throw invalidOption('measure', measure, 'needs agreement or correlation')
  const [networks, images] = outputs.shape
  if (networks < 2) throw invalidOption('networks', networks, 'a comparison needs two, here are')
  const rows = Array.from({ length: networks }, (_, i) =>
    measure === 'agreement' ? calls(outputs.row(i)) : standardized(outputs.row(i)),
  )
  // Of calls of +1 and -1, the mean product is the share of equal ones less that of different ones.
  const similarity = (a: Float64Array, b: Float64Array) => {
    let sum = 0
    for (let i = 0; i < images; i++) sum += a[i]! * b[i]!
    return measure === 'agreement' ? (1 + sum / images) / 2 : sum
  }
  const values = new Float64Array(networks * networks)
  let sum = 0
  let pairs = 0
  for (let i = 0; i < networks; i++) {
    values[i * networks + i] = 1
    for (let j = i + 1; j < networks; j++) {
      const value = similarity(rows[i]!, rows[j]!)
      values[i * networks + j] = value
      values[j * networks + i] = value
      if (Number.isNaN(value)) continue
      sum += value
      pairs++
    }
  }
  return { names: outputs.names, values, mean: sum / pairs }
}

function calls(probabilities: Float32Array): Float64Array {
  return Float64Array.from(probabilities, p => (p > 0.5 ? 1 : -1))
}

/** With mean 0 and length 1. */
function standardized(probabilities: Float32Array): Float64Array {
  const mean = probabilities.reduce((sum, p) => sum + p, 0) / probabilities.length
  const centred = Float64Array.from(probabilities, p => p - mean)
  const length = Math.sqrt(centred.reduce((sum, d) => sum + d * d, 0))
  return centred.map(d => d / length)
}

/** What networks do together; see {@link ensembles}. */
export interface Ensembles {
  /** Of every class that has networks: all of them as one, which says the mean of their probabilities. */
  readonly classes: readonly {
    readonly class: string
    readonly networks: number
    readonly metrics: Metrics
    /** Mean accuracy of the networks alone. */
    readonly meanAccuracy: number
  }[]
  /**
   * Share of validation images whose class is the one whose ensemble says the highest probability, among the classes that
   * have networks and the images of those classes; `NaN` where there are none.
   */
  readonly accuracy: number
}

/**
 * Judges the networks of each class as one (the mean of their probabilities), and the classes' ensembles together as a
 * classifier of images.
 *
 * @example
 * const { classes, accuracy } = ensembles(await zoo.outputs())
 * classes.map(({ class: name, metrics, meanAccuracy }) => `${name}: ${meanAccuracy} alone, ${metrics.accuracy} together`)
 */
export function ensembles(outputs: Outputs): Ensembles {
  const { classNames, imageLabels } = outputs
  const [, images] = outputs.shape
  const members = new Map<number, number[]>()
  for (const [row, label] of outputs.labels.entries())
    members.set(label, [...(members.get(label) ?? []), row])
  const means = [...members].map(([label, rows]) => {
    const mean = new Float32Array(images)
    for (let image = 0; image < images; image++) {
      let sum = 0
      for (const row of rows) sum += outputs.data[row * images + image]!
      mean[image] = sum / rows.length
    }
    return { label, rows, mean }
  })
  const classes = means.map(({ label, rows, mean }) => {
    const targets = outputs.targets(rows[0]!)
    const alone = rows.map(row => binaryMetrics(outputs.row(row), targets).accuracy)
    return {
      class: classNames[label]!,
      networks: rows.length,
      metrics: binaryMetrics(mean, targets),
      meanAccuracy: alone.reduce((sum, accuracy) => sum + accuracy, 0) / rows.length,
    }
  })
  let right = 0
  let judged = 0
  for (const [image, label] of imageLabels.entries()) {
    if (!members.has(label)) continue
    const best = means.reduce((most, other) => (other.mean[image]! > most.mean[image]! ? other : most))
    right += Number(best.label === label)
    judged++
  }
  return { classes, accuracy: right / judged }
}
