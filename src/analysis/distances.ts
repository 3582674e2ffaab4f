import { setImmediate } from 'node:timers/promises'
import { checkOptionNames, invalidOption, isCount } from '../options.js'
import { BLOCK_BYTES, rowsPerBlock } from '../zoo/rows.js'
import type { WeightMatrix } from '../zoo/weight-matrix.js'
import { openRows, type Weights } from '../zoo/weights.js'
import { columnsOf, eachBlock, extremes, STUDY_OPTIONS, type StudyOptions, throwIfAborted } from './blocks.js'
import { type PairMatrix, summarized } from './pair-matrix.js'
import { innerProduct, type SumOverPairs, squaredDistance } from './vectors.js'

/** Options of {@link pairwiseDistances}. */
export interface DistanceOptions extends StudyOptions {
  /**
   * `euclidean` (default), or `cosine`: 1 - cos of the angle between two weight vectors, 0 to 2, as
   * `scipy.spatial.distance`.
   */
  metric?: 'euclidean' | 'cosine'
  /**
   * `classMeans` (default): between the mean networks of the classes, one pass. `networks`: between any two networks;
   * its time and memory grow with the square of their number (about a minute for 1,000 LeNet-5, 8 bytes a pair), so take
   * a selection of a large zoo.
   */
  between?: 'classMeans' | 'networks'
  /** Only this layer's weights. Default: all. */
  layer?: string
}

/** What {@link pairwiseDistances} finds. */
export interface Distances extends PairMatrix {
  /** Classes or networks: the rows and columns. */
  readonly names: readonly string[]
  readonly metric: 'euclidean' | 'cosine'
}

/**
 * Distances between networks, or between the mean networks of classes, in weight space (paper's analysis script). Sums
 * in float64. Networks that compute the same with their neurons in another order are far apart here: nothing is aligned.
 *
 * @example
 * const { min, max } = await pairwiseDistances(zoo, { metric: 'cosine', layer: 'dense' })
 * min.names // the two classes whose mean networks are most alike
 *
 * @throws ZooError `option` for fewer than two rows, an unknown layer, a zero vector (which has no angle), or naming the
 * network that has a weight that is not finite; `interrupted`.
 */
export async function pairwiseDistances(weights: Weights, options: DistanceOptions = {}): Promise<Distances> {
  checkOptionNames(options, [...STUDY_OPTIONS, 'metric', 'between', 'layer'], 'pairwiseDistances')
  const { metric = 'euclidean', between = 'classMeans', layer } = options
  if (metric !== 'euclidean' && metric !== 'cosine')
    throw invalidOption('metric', metric, 'needs euclidean or cosine')
  if (between !== 'classMeans' && between !== 'networks')
    throw invalidOption('between', between, 'needs classMeans or networks')
  const { matrix, close } = await openRows(weights, options)
  try {
    const range = columnsOf(matrix, layer)
    const { names, values } =
      between === 'classMeans'
        ? await betweenMeans(matrix, range, metric, options)
        : await betweenNetworks(matrix, range, metric, options)
    return { names, metric, ...summarized(names, values) }
  } finally {
    close()
  }
}

type Metric = 'euclidean' | 'cosine'

async function betweenMeans(
  matrix: WeightMatrix,
  range: readonly [number, number],
  metric: Metric,
  options: StudyOptions,
) {
  const means = await classMeans(matrix, range, options)
  const labels = [...means.keys()].sort((a, b) => a - b)
  const names = labels.map(label => matrix.classNames[label]!)
  checkEnough(names, 'classes')
  const flat = new Float64Array(labels.length * (range[1] - range[0]))
  for (const [i, label] of labels.entries()) flat.set(means.get(label)!, i * (range[1] - range[0]))
  const table = new PairTable(names, metric)
  const tile = { data: flat, start: 0, end: labels.length }
  table.add(tile, tile, range[1] - range[0])
  return { names, values: table.values }
}

/** Mean network of every class that has networks, by label. */
async function classMeans(
  matrix: WeightMatrix,
  [first, last]: readonly [number, number],
  options: StudyOptions,
): Promise<Map<number, Float64Array>> {
  const columns = matrix.shape[1]
  const means = new Map<number, Float64Array>()
  const counts = new Map<number, number>()
  await eachBlock([matrix], options, block => {
    extremes(block, first, last)
    for (let row = block.start; row < block.end; row++) {
      const label = matrix.labels[row]!
      const sums = means.get(label) ?? new Float64Array(last - first)
      means.set(label, sums)
      counts.set(label, (counts.get(label) ?? 0) + 1)
      const start = (row - block.start) * columns + first
      for (let i = 0; i < sums.length; i++) sums[i]! += block.data[start + i]!
    }
  })
  for (const [label, sums] of means) for (let i = 0; i < sums.length; i++) sums[i]! /= counts.get(label)!
  return means
}

async function betweenNetworks(
  matrix: WeightMatrix,
  [first, last]: readonly [number, number],
  metric: Metric,
  { onProgress, signal, blockBytes = BLOCK_BYTES }: StudyOptions,
) {
  if (!isCount(blockBytes)) throw invalidOption('blockBytes', blockBytes, 'needs a positive integer')
  const { names } = matrix
  const [rows, columns] = matrix.shape
  checkEnough(names, 'networks')
  const table = new PairTable(names, metric)
  const size = rowsPerBlock(matrix, blockBytes)
  const blocks = Math.ceil(rows / size)
  const total = (blocks * (blocks + 1)) / 2
  const tile = (block: number) => {
    const start = block * size
    const end = Math.min(rows, start + size)
    const read = { matrix, start, end, data: matrix.rows(start, end) }
    extremes(read, first, last)
    return { data: read.data, start, end, columns, first }
  }
  let done = 0
  for (let i = 0; i < blocks; i++) {
    const a = tile(i)
    for (let j = i; j < blocks; j++) {
      throwIfAborted(signal, done / total)
      table.add(a, j === i ? a : tile(j), last - first)
      done++
      onProgress?.(done * size * size * (last - first), total * size * size * (last - first))
      await setImmediate()
    }
  }
  return { names, values: table.values }
}

function checkEnough(names: readonly string[], what: string): void {
  if (names.length < 2) throw invalidOption(what, names.join(), 'distances need two, here is only')
}

/** Rows `start` to `end`, of which the first weight is at `first` of `columns`. */
interface Tile {
  data: Float32Array | Float64Array
  start: number
  end: number
  /** Default: the weights compared, from 0. */
  columns?: number
  first?: number
}

/** Columns compared at a time, so that two tiles' parts stay in the cache. */
const CHUNK = 2048

class PairTable {
  readonly values: number[][]

  constructor(
    private readonly names: readonly string[],
    private readonly metric: Metric,
  ) {
    this.values = names.map(() => new Array<number>(names.length).fill(0))
  }

  /** Fills in the distances between the rows of two tiles over `size` columns. */
  add(a: Tile, b: Tile, size: number): void {
    const height = a.end - a.start
    const width = b.end - b.start
    const combine = this.metric === 'euclidean' ? squaredDistance : innerProduct
    const sums = combined(a, b, size, combine)
    const aSquares = this.metric === 'cosine' ? this.squares(a, size) : undefined
    const bSquares = this.metric === 'cosine' ? this.squares(b, size) : undefined
    for (let i = 0; i < height; i++) {
      for (let j = 0; j < width; j++) {
        if (a.start + i >= b.start + j) continue
        const sum = sums[i * width + j]!
        const value = aSquares ? 1 - sum / Math.sqrt(aSquares[i]! * bSquares![j]!) : Math.sqrt(sum)
        this.values[a.start + i]![b.start + j] = value
        this.values[b.start + j]![a.start + i] = value
      }
    }
  }

  private squares(tile: Tile, size: number): number[] {
    return Array.from({ length: tile.end - tile.start }, (_, i) => {
      const start = startOf(tile, i, size)
      let sum = 0
      for (let at = start; at < start + size; at++) sum += tile.data[at]! * tile.data[at]!
      if (sum > 0) return sum
      throw invalidOption(
        'weights',
        this.names[tile.start + i],
        'all weights are zero, which has no angle to others',
      )
    })
  }
}

function combined(a: Tile, b: Tile, size: number, combine: SumOverPairs): Float64Array {
  const width = b.end - b.start
  const sums = new Float64Array((a.end - a.start) * width)
  for (let from = 0; from < size; from += CHUNK) {
    const length = Math.min(CHUNK, size - from)
    for (let i = 0; i < a.end - a.start; i++) {
      for (let j = 0; j < width; j++) {
        if (a.start + i >= b.start + j) continue
        sums[i * width + j]! += combine(
          a.data,
          startOf(a, i, size) + from,
          b.data,
          startOf(b, j, size) + from,
          length,
        )
      }
    }
  }
  return sums
}

const startOf = ({ columns, first = 0 }: Tile, row: number, size: number) => row * (columns ?? size) + first
