import type { ParameterEntry } from '../architecture/architecture.js'
import { checkOptionNames, invalidOption, isCount } from '../options.js'
import { type OpenWeights, openWeights, type Weights } from '../zoo/weights.js'
import { type Block, eachBlock, extremes, notFiniteIn, STUDY_OPTIONS, type StudyOptions } from './blocks.js'
import {
  binEdges,
  checkBins,
  checkRange,
  countInto,
  type EntropyUnit,
  entropy,
  type Histogram,
  toHistogram,
  unitOf,
  type ValueRange,
} from './histogram.js'
import { addSums, emptySums, type Moments, momentsOf, sumsOf } from './moments.js'
import { MagnitudeCounts, type Quantile } from './quantiles.js'
import { type CommonValue, RoundedCounts } from './rounded-values.js'

/** Options of {@link weightDistributions}. */
export interface DistributionOptions extends StudyOptions {
  /**
   * Range of the histograms, shared by all; weights outside are counted as below or above. Default: the smallest
   * -2^k to 2^k that holds every weight, found on the way in one pass. `extent` takes the smallest and largest weight,
   * for which the weights are read twice.
   */
  range?: ValueRange | 'extent'
  /** Bins of that range. Default 512, so that edges are round numbers; a multiple of 4 unless `range` is given. */
  bins?: number
  /** A second histogram, near zero. Default -0.2 to 0.2 in 500 bins, as the paper's figures by class have it. */
  zoom?: { range?: ValueRange; bins?: number }
  /** Default 0.01, 0.05, 0.25, 0.5, 0.75, 0.95 and 0.99. */
  probabilities?: readonly number[]
  /** A weight counts as near zero below this magnitude. Default 1e-3, a hundredth of what LeNet-5's weights start at. */
  threshold?: number
  /** Of entropies. Default `nats`, as scipy. */
  unit?: EntropyUnit
  /** Most common values: `count` of them (default 10), rounded to `decimals` (default 3, at most 9). */
  common?: { count?: number; decimals?: number }
}

/** How the weights of one group are spread. Plain data, ready for JSON. */
export interface WeightDistribution extends Moments {
  /** Class, layer and part (`bias` or `kernel`) of the group; `null` stands for all. */
  readonly class: string | null
  readonly layer: string | null
  readonly part: string | null
  /** Number of weights. */
  readonly count: number
  readonly min: number
  readonly max: number
  readonly quantiles: readonly Quantile[]
  /** Share of weights of magnitude below the threshold, 0 to 1. */
  readonly sparsity: number
  /** Entropy of the histogram, weights outside its range counted as two bins more. It grows with the number of bins. */
  readonly entropy: number
  readonly histogram: Histogram
  /** The histogram near zero. */
  readonly zoom: Histogram
}

/** What {@link weightDistributions} finds. Classes and layers are in the zoo's order. */
export interface WeightDistributions {
  readonly all: WeightDistribution
  readonly byClass: readonly WeightDistribution[]
  readonly byLayer: readonly WeightDistribution[]
  /** Every layer's biases and kernels apart. */
  readonly byPart: readonly WeightDistribution[]
  readonly byClassAndLayer: readonly WeightDistribution[]
  /** The most common rounded weights of every class; `class: null` is all classes together. */
  readonly common: readonly { readonly class: string | null; readonly values: readonly CommonValue[] }[]
}

const OPTIONS = [
  ...STUDY_OPTIONS,
  'range',
  'bins',
  'zoom',
  'probabilities',
  'threshold',
  'unit',
  'common',
] as const

/**
 * How the weights of a zoo are spread, over all networks, by class, by layer, by class and layer, and biases apart from
 * kernels: histograms with shared bins, moments, quantiles, entropy, share near zero, and the most common rounded values
 * (paper, section 4). One pass over the weights; memory is a block of them, 1 MB a class and 0.3 MB for every
 * class and parameter array, however many networks there are. Moments are exact to float64 and do not depend on the order.
 *
 * @example
 * const { byClass, byLayer } = await weightDistributions(zoo, { zoom: { range: [-0.01, 0.01] } })
 * console.table(byLayer.map(({ layer, mean, sd, kurtosis }) => ({ layer, mean, sd, kurtosis })))
 *
 * @throws ZooError `option` for an unusable option, or naming the network that has a weight that is not finite;
 * `interrupted`.
 */
export async function weightDistributions(
  weights: Weights,
  options: DistributionOptions = {},
): Promise<WeightDistributions> {
  const settings = resolve(options)
  const open = await openWeights(weights, options)
  try {
    const passes = options.range === 'extent' ? 2 : 1
    const range = passes === 2 ? await extentOf(open, options, passes) : settings.range
    const groups = new Groups(open, settings, range)
    await eachBlock(open.matrices, options, block => groups.add(block), { pass: passes - 1, passes })
    return groups.summary()
  } finally {
    open.close()
  }
}

interface Settings {
  range: ValueRange | undefined
  bins: number
  zoom: { range: ValueRange; bins: number }
  probabilities: readonly number[]
  threshold: number
  unit: EntropyUnit
  common: { count: number; decimals: number }
}

function resolve(options: DistributionOptions): Settings {
  checkOptionNames(options, OPTIONS, 'weightDistributions')
  const {
    range,
    bins = 512,
    zoom = {},
    probabilities = [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99],
    threshold = 1e-3,
    unit = 'nats',
    common = {},
  } = options
  checkOptionNames(zoom, ['range', 'bins'], 'zoom')
  checkOptionNames(common, ['count', 'decimals'], 'common')
  const { range: zoomRange = [-0.2, 0.2], bins: zoomBins = 500 } = zoom
  const { count = 10, decimals = 3 } = common
  checkBins('bins', bins)
  checkBins('zoom.bins', zoomBins)
  checkRange('zoom.range', zoomRange)
  if (range === undefined && bins % 4 !== 0)
    throw invalidOption('bins', bins, 'needs a multiple of 4 unless range is given')
  if (range !== undefined && range !== 'extent') checkRange('range', range)
  const bad = probabilities.find(p => !(p >= 0 && p <= 1))
  if (bad !== undefined) throw invalidOption('probabilities', bad, 'not between 0 and 1')
  if (!(threshold >= 0)) throw invalidOption('threshold', threshold, 'needs a number of at least 0')
  if (!isCount(count)) throw invalidOption('common.count', count, 'needs a positive integer')
  if (!(Number.isInteger(decimals) && decimals >= 0 && decimals <= 9))
    throw invalidOption('common.decimals', decimals, 'needs an integer from 0 to 9')
  unitOf(unit)
  return {
    range: range === 'extent' ? undefined : range,
    bins,
    zoom: { range: zoomRange, bins: zoomBins },
    probabilities,
    threshold,
    unit,
    common: { count, decimals },
  }
}

/** Smallest and largest weight: a first pass. */
async function extentOf(open: OpenWeights, options: StudyOptions, passes: number): Promise<ValueRange> {
  let low = Number.POSITIVE_INFINITY
  let high = Number.NEGATIVE_INFINITY
  await eachBlock(
    open.matrices,
    options,
    block => {
      const [from, to] = extremes(block)
      low = Math.min(low, from)
      high = Math.max(high, to)
    },
    { passes },
  )
  return [low, high]
}

/** What is counted for one class and one parameter array. */
interface Tally {
  readonly sums: ReturnType<typeof emptySums>
  readonly extent: { min: number; max: number; small: number }
  readonly magnitudes: MagnitudeCounts
  /** `[bins + 2]`: below, the bins, above. */
  counts: Float64Array
  readonly zoom: Float64Array
}

/** Tallies by class and parameter array, from which every other grouping is added up. */
class Groups {
  private readonly tallies = new Map<string, Tally & { label: number; entry: ParameterEntry }>()
  private readonly rounded: ReadonlyMap<number, RoundedCounts>
  private readonly zoomEdges: Float64Array
  private edges: Float64Array
  /** Whether the range grows with the weights. */
  private readonly growing: boolean

  constructor(
    private readonly open: OpenWeights,
    private readonly settings: Settings,
    range: ValueRange | undefined,
  ) {
    const { zoom, bins, common } = settings
    this.growing = range === undefined
    this.edges = binEdges(range ?? [-SMALLEST_RANGE, SMALLEST_RANGE], bins)
    this.zoomEdges = binEdges(zoom.range, zoom.bins)
    this.rounded = new Map(open.labels.map(label => [label, new RoundedCounts(common.decimals)]))
  }

  add(block: Block): void {
    const { matrix, data, start, end } = block
    const [, columns] = matrix.shape
    for (const entry of matrix.parameters) {
      for (let row = 0; row < end - start; row++) {
        const from = row * columns + entry.offset
        this.addSegment(block, row, matrix.labels[start + row]!, entry, data, from, from + entry.size)
      }
    }
  }

  private addSegment(
    block: Block,
    row: number,
    label: number,
    entry: ParameterEntry,
    data: Float32Array,
    start: number,
    end: number,
  ): void {
    const { threshold } = this.settings
    const tally = this.tally(label, entry)
    const { extent } = tally
    let { min, max, small } = extent
    let sum = 0
    for (let i = start; i < end; i++) {
      const weight = data[i]!
      sum += weight
      if (weight < min) min = weight
      if (weight > max) max = weight
      if (Math.abs(weight) < threshold) small++
    }
    if (!Number.isFinite(sum)) throw notFiniteIn(block, row)
    extent.min = min
    extent.max = max
    extent.small = small
    while (this.growing && Math.max(-min, max) >= this.edges.at(-1)!) this.grow()
    addSums(tally.sums, sumsOf(data, start, end, sum))
    countInto(tally.counts, this.edges, data, start, end)
    countInto(tally.zoom, this.zoomEdges, data, start, end)
    tally.magnitudes.add(data, start, end)
    this.rounded.get(label)!.add(data, start, end)
  }

  private tally(label: number, entry: ParameterEntry): Tally {
    const key = `${label} ${entry.layer} ${entry.part}`
    let tally = this.tallies.get(key)
    if (!tally) {
      tally = { ...this.emptyTally(), label, entry }
      this.tallies.set(key, tally)
    }
    return tally
  }

  private emptyTally(): Tally {
    return {
      sums: emptySums(),
      extent: { min: Number.POSITIVE_INFINITY, max: Number.NEGATIVE_INFINITY, small: 0 },
      magnitudes: new MagnitudeCounts(),
      counts: new Float64Array(this.settings.bins + 2),
      zoom: new Float64Array(this.settings.zoom.bins + 2),
    }
  }

  /** Doubles the range: two bins become one, around the middle. */
  private grow(): void {
    const { bins } = this.settings
    const limit = 2 * this.edges.at(-1)!
    this.edges = binEdges([-limit, limit], bins)
    for (const tally of this.tallies.values()) {
      const counts = new Float64Array(bins + 2)
      for (let bin = 0; bin < bins; bin++) counts[1 + bins / 4 + (bin >> 1)]! += tally.counts[1 + bin]!
      tally.counts = counts
    }
  }

  summary(): WeightDistributions {
    const { labels, layers, classNames } = this.open
    const rows = [...this.tallies.values()].sort(
      (a, b) =>
        a.label - b.label ||
        layers.indexOf(a.entry.layer) - layers.indexOf(b.entry.layer) ||
        a.entry.offset - b.entry.offset,
    )
    const group = (label: number | null, layer: string | null, part: string | null) =>
      this.distribution(
        { class: label === null ? null : classNames[label]!, layer, part },
        rows.filter(
          row =>
            (label === null || row.label === label) &&
            (layer === null || row.entry.layer === layer) &&
            (part === null || row.entry.part === part),
        ),
      )
    const parts = rows.filter(({ label }) => label === labels[0]).map(({ entry }) => entry)
    return {
      all: group(null, null, null),
      byClass: labels.map(label => group(label, null, null)),
      byLayer: layers.map(layer => group(null, layer, null)),
      byPart: parts.map(({ layer, part }) => group(null, layer, part)),
      byClassAndLayer: labels.flatMap(label => layers.map(layer => group(label, layer, null))),
      common: this.common(),
    }
  }

  private distribution(
    name: { class: string | null; layer: string | null; part: string | null },
    tallies: readonly Tally[],
  ): WeightDistribution {
    const { unit, probabilities } = this.settings
    const total = this.emptyTally()
    for (const { sums, extent, magnitudes, counts, zoom } of tallies) {
      addSums(total.sums, sums)
      total.extent.min = Math.min(total.extent.min, extent.min)
      total.extent.max = Math.max(total.extent.max, extent.max)
      total.extent.small += extent.small
      total.magnitudes.addAll(magnitudes)
      for (const [bin, count] of counts.entries()) total.counts[bin]! += count
      for (const [bin, count] of zoom.entries()) total.zoom[bin]! += count
    }
    const { min, max, small } = total.extent
    return {
      ...name,
      count: total.sums.count,
      min,
      max,
      ...momentsOf(total.sums),
      quantiles: total.magnitudes.quantiles(probabilities, min, max),
      sparsity: small / total.sums.count,
      entropy: entropy(total.counts, unit),
      histogram: toHistogram(this.edges, total.counts),
      zoom: toHistogram(this.zoomEdges, total.zoom),
    }
  }

  private common(): WeightDistributions['common'] {
    const { count, decimals } = this.settings.common
    const all = new RoundedCounts(decimals)
    for (const counts of this.rounded.values()) all.addAll(counts)
    return [
      { class: null, values: all.most(count) },
      ...[...this.rounded].map(([label, counts]) => ({
        class: this.open.classNames[label]!,
        values: counts.most(count),
      })),
    ]
  }
}

/** Where a growing range starts: smaller ranges say nothing about float32 weights. */
const SMALLEST_RANGE = 2 ** -20
