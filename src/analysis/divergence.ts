import { checkOptionNames, invalidOption } from '../options.js'
import { type OpenWeights, openWeights, type Weights } from '../zoo/weights.js'
import { type Block, eachBlock, extremes, STUDY_OPTIONS, type StudyOptions } from './blocks.js'
import {
  binEdges,
  checkBins,
  checkRange,
  countInto,
  type EntropyUnit,
  type Histogram,
  toHistogram,
  unitOf,
  type ValueRange,
} from './histogram.js'
import { type PairMatrix, summarized } from './pair-matrix.js'

/** Options of {@link layerDivergence} and {@link networkDivergence}. */
export interface DivergenceOptions extends StudyOptions {
  /**
   * `paper`: 30 bins over the range of all classes' weights, densities plus 1e-10, nats (the authors' published
   * analysis script). Their script calls the *distance*, the square root, a divergence: compare its figures with
   * `distance` here. Other options, where given, come before the preset's.
   */
  preset?: 'paper'
  /** Bins of the histograms. Default 30, the paper's: few enough that the smallest layer's 85 weights fill them. */
  bins?: number
  /**
   * Range of the histograms. Default: the smallest to the largest weight (of the layer, all classes together), for
   * which the weights are read twice. Weights outside a given range count as two bins more.
   */
  range?: ValueRange
  /** Added to every bin's density before it is normalised again. Default 0: empty bins need no help. */
  epsilon?: number
  /** Of divergences; at most ln 2 in `nats` (default, as scipy), 1 in `bits`. */
  unit?: EntropyUnit
}

/** How different the weights of classes are. Plain data, ready for JSON. */
export interface ClassDivergence {
  /** Classes that have networks: the rows and columns. */
  readonly classNames: readonly string[]
  readonly unit: EntropyUnit
  /** Jensen-Shannon divergence, in `unit`. */
  readonly divergence: PairMatrix
  /** Jensen-Shannon distance: its square root, a metric. */
  readonly distance: PairMatrix
  /**
   * Mean divergence to be expected by chance alone, in `unit`: that of two samples of so many weights from one and the
   * same distribution, (occupied bins - 1) / 8 (1 / n + 1 / m) nats to first order.
   * Small layers of small zoos lie near it, and then differ by their size, not by class.
   */
  readonly byChance: number
  /** Histograms of the classes, from which the matrices come. */
  readonly histograms: readonly Histogram[]
}

const OPTIONS = [...STUDY_OPTIONS, 'preset', 'bins', 'range', 'epsilon', 'unit'] as const

/**
 * How different the weights of the classes are in every layer: a class x class matrix of Jensen-Shannon divergences
 * between histograms (paper, section 4; formula of Lin, *Divergence measures based on the Shannon entropy*, IEEE Trans.
 * Inf. Theory 37(1), 1991). Biases and kernel of a layer are taken together, all networks of a class too. Memory is a
 * block of weights.
 *
 * @example
 * const divergence = await layerDivergence(await groupLayerwise(zoo), { preset: 'paper' })
 * divergence.conv2d_2.distance.max // { names: ['church', 'tench'], value: 0.03 }
 *
 * @returns by layer, in the network's order
 * @throws ZooError `option` for fewer than two classes, a class with fewer than two networks (its distribution would be
 * one network's), an unusable option, or naming the network that has a weight that is not finite; `interrupted`.
 */
export async function layerDivergence(
  weights: Weights,
  options: DivergenceOptions = {},
): Promise<Record<string, ClassDivergence>> {
  return divergences(weights, options, 'layerDivergence', layer => layer)
}

/**
 * As {@link layerDivergence}, for whole networks: all layers' weights in one histogram.
 *
 * @example
 * (await networkDivergence(zoo, { unit: 'bits' })).divergence.values // [classes][classes]
 */
export async function networkDivergence(
  weights: Weights,
  options: DivergenceOptions = {},
): Promise<ClassDivergence> {
  return (await divergences(weights, options, 'networkDivergence', () => 'network'))['network']!
}

/**
 * Jensen-Shannon divergence of two distributions over the same bins; counts need not sum to 1. It is 0 for equal
 * distributions and ln 2 (1 bit) for those that share no bin; its square root is `scipy.spatial.distance.jensenshannon`.
 *
 * @throws ZooError `option` for different numbers of bins, or where one distribution is empty.
 *
 * @example
 * jensenShannon([1, 0], [0, 1], 'bits') // 1: no bin in common
 */
export function jensenShannon(
  p: ArrayLike<number>,
  q: ArrayLike<number>,
  unit: EntropyUnit = 'nats',
): number {
  if (p.length !== q.length)
    throw invalidOption('bins', `${p.length} and ${q.length}`, 'two distributions need the same')
  const pTotal = totalOf(p)
  const qTotal = totalOf(q)
  let sum = 0
  for (let bin = 0; bin < p.length; bin++) {
    const a = p[bin]! / pTotal
    const b = q[bin]! / qTotal
    const middle = (a + b) / 2
    if (a > 0) sum += a * Math.log(a / middle)
    if (b > 0) sum += b * Math.log(b / middle)
  }
  return Math.max(0, sum / 2) / unitOf(unit)
}

function totalOf(counts: ArrayLike<number>): number {
  let total = 0
  for (let i = 0; i < counts.length; i++) total += counts[i]!
  if (total > 0) return total
  throw invalidOption('distribution', total, 'needs a positive sum')
}

interface Settings {
  bins: number
  range: ValueRange | undefined
  epsilon: number
  unit: EntropyUnit
}

function resolve(options: DivergenceOptions, what: string): Settings {
  checkOptionNames(options, OPTIONS, what)
  const { preset, bins = 30, range, epsilon = preset === 'paper' ? 1e-10 : 0, unit = 'nats' } = options
  if (preset !== undefined && preset !== 'paper') throw invalidOption('preset', preset, 'needs paper')
  checkBins('bins', bins)
  if (range !== undefined) checkRange('range', range)
  if (!(epsilon >= 0 && epsilon < Number.POSITIVE_INFINITY))
    throw invalidOption('epsilon', epsilon, 'needs a number of at least 0')
  unitOf(unit)
  return { bins, range, epsilon, unit }
}

async function divergences(
  weights: Weights,
  options: DivergenceOptions,
  what: string,
  groupOf: (layer: string) => string,
): Promise<Record<string, ClassDivergence>> {
  const settings = resolve(options, what)
  const open = await openWeights(weights, options)
  try {
    checkClasses(open)
    const groups = [...new Set(open.layers.map(groupOf))]
    const passes = settings.range ? 1 : 2
    const ranges = settings.range
      ? new Map(groups.map(group => [group, settings.range!]))
      : await rangesOf(open, options, groupOf)
    const histograms = await histogramsOf(open, options, settings.bins, ranges, groupOf, passes)
    return Object.fromEntries(groups.map(group => [group, compare(open, histograms.get(group)!, settings)]))
  } finally {
    open.close()
  }
}

function checkClasses({ matrices, classNames, labels }: OpenWeights): void {
  if (labels.length < 2) {
    throw invalidOption('classes', classNames[labels[0]!], 'a divergence needs two classes, here is only')
  }
  const counts = new Map(labels.map(label => [label, 0]))
  for (const matrix of matrices) {
    if (matrix.parameters[0]!.layer !== matrices[0]!.parameters[0]!.layer) continue
    for (const label of matrix.labels) counts.set(label, counts.get(label)! + 1)
  }
  const lone = labels.find(label => counts.get(label)! < 2)
  if (lone !== undefined) {
    throw invalidOption('networks', 1, `a divergence needs at least two a class; ${classNames[lone]} has`)
  }
}

/** Smallest and largest weight of every group. */
async function rangesOf(
  open: OpenWeights,
  options: StudyOptions,
  groupOf: (layer: string) => string,
): Promise<Map<string, ValueRange>> {
  const ranges = new Map<string, ValueRange>()
  await eachBlock(
    open.matrices,
    options,
    block => {
      for (const { group, start, end } of runsOf(block, groupOf)) {
        const [low, high] = extremes(block, start, end)
        const [from, to] = ranges.get(group) ?? [low, high]
        ranges.set(group, [Math.min(from, low), Math.max(to, high)])
      }
    },
    { passes: 2 },
  )
  return ranges
}

/** Neighbouring columns of one group: `[start, end)`. */
function runsOf({ matrix }: Block, groupOf: (layer: string) => string) {
  const runs: { group: string; start: number; end: number }[] = []
  for (const { layer, offset, size } of matrix.parameters) {
    const group = groupOf(layer)
    const last = runs.at(-1)
    if (last?.group === group && last.end === offset) last.end += size
    else runs.push({ group, start: offset, end: offset + size })
  }
  return runs
}

interface GroupCounts {
  edges: Float64Array
  /** By label, `[bins + 2]`: below, the bins, above. */
  counts: Map<number, Float64Array>
}

async function histogramsOf(
  open: OpenWeights,
  options: StudyOptions,
  bins: number,
  ranges: ReadonlyMap<string, ValueRange>,
  groupOf: (layer: string) => string,
  passes: number,
): Promise<Map<string, GroupCounts>> {
  const groups = new Map<string, GroupCounts>()
  for (const [group, range] of ranges) {
    const counts = new Map(open.labels.map(label => [label, new Float64Array(bins + 2)]))
    groups.set(group, { edges: binEdges(range, bins), counts })
  }
  await eachBlock(
    open.matrices,
    options,
    block => {
      const { matrix, data } = block
      // With a range given, this is the only pass and nothing has looked at the weights yet.
      if (passes === 1) extremes(block)
      const columns = matrix.shape[1]
      const runs = runsOf(block, groupOf)
      for (let row = 0; row < block.end - block.start; row++) {
        const label = matrix.labels[block.start + row]!
        for (const { group, start, end } of runs) {
          const { edges, counts } = groups.get(group)!
          countInto(counts.get(label)!, edges, data, row * columns + start, row * columns + end)
        }
      }
    },
    { pass: passes - 1, passes },
  )
  return groups
}

function compare(
  { classNames, labels }: OpenWeights,
  { edges, counts }: GroupCounts,
  { epsilon, unit }: Settings,
): ClassDivergence {
  const names = labels.map(label => classNames[label]!)
  const distributions = labels.map(label => smoothed(counts.get(label)!, edges, epsilon))
  const values = distributions.map((p, i) =>
    distributions.map((q, j) =>
      i === j ? 0 : i < j ? jensenShannon(p, q, unit) : jensenShannon(q, p, unit),
    ),
  )
  return {
    classNames: names,
    unit,
    divergence: summarized(names, values),
    distance: summarized(
      names,
      values.map(row => row.map(Math.sqrt)),
    ),
    byChance: chanceDivergence(labels.map(label => counts.get(label)!)) / unitOf(unit),
    histograms: labels.map(label => toHistogram(edges, counts.get(label)!)),
  }
}

/** Mean over all pairs of (K - 1) / 8 (1 / n + 1 / m): every class is in as many pairs. */
function chanceDivergence(counts: readonly Float64Array[]): number {
  const occupied = counts[0]!.filter((_, bin) => counts.some(bins => bins[bin]! > 0)).length
  const meanOfInverse = counts.reduce((sum, bins) => sum + 1 / totalOf(bins), 0) / counts.length
  return ((occupied - 1) / 8) * 2 * meanOfInverse
}

/** The paper's script adds a constant to densities (counts over total and width); outside bins get none. */
function smoothed(counts: Float64Array, edges: Float64Array, epsilon: number): Float64Array {
  if (epsilon === 0) return counts
  const bins = edges.length - 1
  const width = (edges[bins]! - edges[0]!) / bins
  const scale = 1 / (totalOf(counts) * width)
  return counts.map((count, bin) => count * scale + (bin > 0 && bin <= bins ? epsilon : 0))
}
