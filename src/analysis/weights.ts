import { setImmediate } from 'node:timers/promises'
import type { ParameterEntry } from '../architecture/architecture.js'
import { ZooError } from '../errors.js'
import { invalidOption, isCount } from '../options.js'
import { flattenModelwise, LayerwiseView } from '../zoo/views.js'
import { arraySource, layerRange, WeightMatrix } from '../zoo/weight-matrix.js'
import { Zoo } from '../zoo/zoo.js'

/**
 * Weights that are no zoo's: networks as rows of plain arrays, with a class each.
 *
 * @example
 * const weights = { data: [new Float32Array(10), new Float32Array(10)], labels: [0, 1], classNames: ['a', 'b'] }
 * await weightDistributions(weights)
 */
export interface WeightArray {
  /** One array a network, all of one length, or all networks flat `[networks, weights]`. */
  readonly data: Float32Array | readonly Float32Array[]
  /** Class of each network, an index into `classNames`. `[networks]` */
  readonly labels: ArrayLike<number>
  readonly classNames: readonly string[]
  /** For messages; default `<class>_<index in the class>`, as in a zoo. */
  readonly names?: readonly string[]
  /** Which weights belong to which layer and part; default: one kernel called `weights`. */
  readonly parameters?: readonly ParameterEntry[]
}

/**
 * What the analyses take: a zoo or a selection of one (its `modelwise.h5` is used, and made where missing), a view of
 * one, or plain arrays. A view stays open; it is its owner's.
 */
export type Weights = Zoo | WeightMatrix | LayerwiseView | WeightArray

/** Options of everything that goes through the weights block by block. */
export interface StudyOptions {
  /** Called after every block, with the weights gone through and those to go through in all passes together. */
  onProgress?: ((done: number, total: number) => void) | undefined
  /** Stops between two blocks; nothing is left behind. */
  signal?: AbortSignal | undefined
  /**
   * Most bytes read at once. Default 16 MiB (46 LeNet-5): more is no faster, and with HDF5's copies memory stays below
   * 100 MB. Results do not depend on it.
   */
  blockBytes?: number
}

export const STUDY_OPTIONS = ['onProgress', 'signal', 'blockBytes'] as const

/** Weights open for reading: one matrix of all, or one for every class and layer. */
export interface OpenWeights {
  readonly matrices: readonly WeightMatrix[]
  readonly classNames: readonly string[]
  /** Labels of the classes that have networks, in the order of `classNames`. */
  readonly labels: readonly number[]
  /** Layers with weights, in the network's order. */
  readonly layers: readonly string[]
  close(): void
}

/** @throws ZooError for an empty selection, arrays that do not fit together, or an argument of another kind. */
export async function openWeights(weights: Weights, options: StudyOptions = {}): Promise<OpenWeights> {
  if (weights instanceof LayerwiseView) {
    const matrices = weights.layerNames.flatMap(layer =>
      weights.classNames.map(className => weights.matrix(className, layer)),
    )
    return opened(matrices, () => {})
  }
  if (weights instanceof Zoo) {
    const matrix = await flattenModelwise(weights, { signal: options.signal })
    return opened([matrix], () => matrix.close())
  }
  return opened([weights instanceof WeightMatrix ? weights : matrixOf(weights)], () => {})
}

/** As {@link openWeights}, where whole networks are needed. */
export async function openRows(weights: Weights, options: StudyOptions = {}) {
  if (weights instanceof LayerwiseView) {
    throw invalidOption(
      'weights',
      'a layerwise view',
      'needs whole networks; give the zoo, or what flattenModelwise returns',
    )
  }
  const open = await openWeights(weights, options)
  return { matrix: open.matrices[0]!, close: open.close }
}

function opened(matrices: readonly WeightMatrix[], close: () => void): OpenWeights {
  const present = new Set(matrices.flatMap(({ labels }) => [...labels]))
  if (present.size === 0) throw invalidOption('weights', 0, 'there are no networks')
  const layers = new Set(matrices.flatMap(({ parameters }) => parameters.map(({ layer }) => layer)))
  return {
    matrices,
    classNames: matrices[0]!.classNames,
    labels: [...present].sort((a, b) => a - b),
    layers: [...layers],
    close,
  }
}

function matrixOf(weights: WeightArray): WeightMatrix {
  const { data, labels, classNames } = weights
  if (!(data instanceof Float32Array || Array.isArray(data)) || !labels || !Array.isArray(classNames)) {
    throw invalidOption(
      'weights',
      weights,
      'needs a zoo, a view of one, or { data, labels, classNames } with Float32Arrays',
    )
  }
  const rows = labels.length
  if (rows === 0) throw invalidOption('weights', 0, 'there are no networks')
  const names = weights.names ?? defaultNames(labels, classNames)
  const columns = data instanceof Float32Array ? data.length / rows : data[0]?.length
  if (
    columns === undefined ||
    !isCount(columns) ||
    (!(data instanceof Float32Array) && data.length !== rows)
  ) {
    throw invalidOption(
      'weights',
      data.length,
      `do not make as many networks of equal size as labels, ${rows}`,
    )
  }
  for (const [row, label] of [...(labels as readonly number[])].entries()) {
    if (classNames[label] === undefined)
      throw invalidOption(`labels[${row}]`, label, 'is no index into classNames')
  }
  if (!(data instanceof Float32Array)) checkOneArchitecture(data, names)
  const parameters = weights.parameters ?? [
    { layer: 'weights', part: 'kernel', shape: [columns], offset: 0, size: columns },
  ]
  const described = parameters.reduce((sum, { size }) => sum + size, 0)
  if (described !== columns)
    throw invalidOption('parameters', described, `the networks have ${columns} weights, the table says`)
  const flat = data instanceof Float32Array ? data : concatenated(data)
  return new WeightMatrix(
    arraySource(flat, columns),
    {
      names,
      labels: Int32Array.from(labels),
      classNames,
      positions: Uint32Array.from({ length: rows }, (_, i) => i),
    },
    parameters,
  )
}

function checkOneArchitecture(data: readonly Float32Array[], names: readonly string[]): void {
  const odd = data.findIndex(({ length }) => length !== data[0]!.length)
  if (odd === -1) return
  throw invalidOption(
    'weights',
    `${names[odd]} has ${data[odd]!.length}, ${names[0]} has ${data[0]!.length}`,
    'networks of different architectures cannot be studied together',
  )
}

function concatenated(arrays: readonly Float32Array[]): Float32Array {
  const flat = new Float32Array(arrays.length * arrays[0]!.length)
  for (const [i, array] of arrays.entries()) flat.set(array, i * array.length)
  return flat
}

function defaultNames(labels: ArrayLike<number>, classNames: readonly string[]): string[] {
  const counts = new Map<number, number>()
  return Array.from(labels, label => {
    const index = counts.get(label) ?? 0
    counts.set(label, index + 1)
    return `${classNames[label]}_${index}`
  })
}

/** Rows `start` to `end` of a matrix, flat `[end - start, matrix.shape[1]]`. */
export interface Block {
  readonly matrix: WeightMatrix
  readonly start: number
  readonly end: number
  readonly data: Float32Array
}

/** Bytes of a block by default; see {@link StudyOptions.blockBytes}. */
export const BLOCK_BYTES = 16 * 2 ** 20

/**
 * Goes through matrices block by block. The event loop turns between two blocks, so that others (and an AbortSignal)
 * get a word in. `pass` of `passes` is for the progress alone.
 */
export async function eachBlock(
  matrices: readonly WeightMatrix[],
  { onProgress, signal, blockBytes = BLOCK_BYTES }: StudyOptions,
  take: (block: Block) => void,
  { pass = 0, passes = 1 } = {},
): Promise<void> {
  if (!isCount(blockBytes)) throw invalidOption('blockBytes', blockBytes, 'needs a positive integer')
  const inOnePass = matrices.reduce((sum, { shape }) => sum + shape[0] * shape[1], 0)
  let done = pass * inOnePass
  for (const matrix of matrices) {
    const [rows, columns] = matrix.shape
    const size = Math.max(1, Math.floor(blockBytes / (4 * columns)))
    for (let start = 0; start < rows; start += size) {
      throwIfAborted(signal, done / (passes * inOnePass))
      const end = Math.min(rows, start + size)
      take({ matrix, start, end, data: matrix.rows(start, end) })
      done += (end - start) * columns
      onProgress?.(done, passes * inOnePass)
      await setImmediate()
    }
  }
}

export function throwIfAborted(signal: AbortSignal | undefined, share: number): void {
  if (!signal?.aborted) return
  throw new ZooError('interrupted', `interrupted after ${Math.floor(100 * share)} % of the weights`, {})
}

/** The columns of all parameters or of one layer's: `[start, end)`. */
export function columnsOf(matrix: WeightMatrix, layer: string | undefined): readonly [number, number] {
  return layer === undefined ? [0, matrix.shape[1]] : layerRange(matrix.parameters, layer)
}

/** Names the first weight of a row that is not finite. */
export function notFinite({ matrix, start, data }: Block, row: number): ZooError<'option'> {
  const columns = matrix.shape[1]
  const weights = data.subarray(row * columns, (row + 1) * columns)
  const at = weights.findIndex(weight => !Number.isFinite(weight))
  const { layer, part, offset } = matrix.parameters.find(entry => at < entry.offset + entry.size)!
  const name = matrix.names[start + row]!
  const value = weights[at]!
  return new ZooError(
    'option',
    `${name} has a weight that is not finite (${layer} ${part}, number ${at - offset}); leave the network out with zoo.select({ where }): ${value}`,
    { name, value },
  )
}

/**
 * Smallest and largest weight of a block, in columns `first` to `last` (exclusive).
 * @throws ZooError naming a network with a weight that is not finite.
 */
export function extremes(block: Block, first = 0, last = block.matrix.shape[1]): [low: number, high: number] {
  const { data, start, end } = block
  const columns = block.matrix.shape[1]
  let low = Number.POSITIVE_INFINITY
  let high = Number.NEGATIVE_INFINITY
  for (let row = 0; row < end - start; row++) {
    let sum = 0
    for (let i = row * columns + first; i < row * columns + last; i++) {
      const weight = data[i]!
      sum += weight
      if (weight < low) low = weight
      if (weight > high) high = weight
    }
    if (!Number.isFinite(sum)) throw notFinite(block, row)
  }
  return [low, high]
}
