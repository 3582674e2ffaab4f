import { setImmediate } from 'node:timers/promises'
import { ZooError } from '../errors.js'
import { invalidOption, isCount } from '../options.js'
import { BLOCK_BYTES, notFinite, rowsPerBlock } from '../zoo/rows.js'
import { layerRange, type WeightMatrix } from '../zoo/weight-matrix.js'

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

/** Rows `start` to `end` of a matrix, flat `[end - start, matrix.shape[1]]`. */
export interface Block {
  readonly matrix: WeightMatrix
  readonly start: number
  readonly end: number
  readonly data: Float32Array
}

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
    const size = rowsPerBlock(matrix, blockBytes)
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
    if (!Number.isFinite(sum)) throw notFiniteIn(block, row)
  }
  return [low, high]
}

/** Names the first weight of a block's row that is not finite. */
export function notFiniteIn({ matrix, start, data }: Block, row: number): ZooError<'option'> {
  const columns = matrix.shape[1]
  return notFinite(matrix, start + row, data.subarray(row * columns, (row + 1) * columns))
}
