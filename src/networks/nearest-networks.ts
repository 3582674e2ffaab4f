import { setImmediate } from 'node:timers/promises'
import { squaredDistance } from '../analysis/vectors.js'
import { ZooError } from '../errors.js'
import { finiteRows, rowsPerBlock } from '../zoo/rows.js'
import type { WeightMatrix } from '../zoo/weight-matrix.js'
import type { FlatBatch } from './weight-batch.js'

/** The network of a matrix that lies nearest to another one. */
export interface Neighbour {
  /** Its row in the matrix. */
  readonly row: number
  /** Euclidean. */
  readonly distance: number
}

/**
 * For some networks of a batch the nearest network of a matrix, by Euclidean distance in weight space: all distances, so
 * the true nearest, in float64. The matrix is read once, block by block.
 *
 * @param which numbers of the networks in the batch; their weights are finite
 */
export async function nearestNetworks(
  { data }: FlatBatch,
  which: readonly number[],
  matrix: WeightMatrix,
  { signal, onBlock }: { signal?: AbortSignal | undefined; onBlock(rows: number): void },
): Promise<Neighbour[]> {
  const [rows, columns] = matrix.shape
  const networks = which.map(network => data.subarray(network * columns, (network + 1) * columns))
  const norms = networks.map(squaredNorm)
  const best = which.map(() => ({ row: 0, squared: Number.POSITIVE_INFINITY }))
  const size = rowsPerBlock(matrix)
  for (let start = 0; start < rows; start += size) {
    if (signal?.aborted)
      throw new ZooError('interrupted', 'interrupted while looking for the nearest networks', {})
    const end = Math.min(rows, start + size)
    const block = finiteRows(matrix, start, end)
    const others = Array.from({ length: end - start }, (_, row) =>
      block.subarray(row * columns, (row + 1) * columns),
    )
    const products = innerProducts(networks, others)
    for (const [row, other] of others.entries()) {
      const norm = squaredNorm(other)
      for (const [i, own] of best.entries()) {
        const squared = norms[i]! + norm - 2 * products[i * others.length + row]!
        if (squared < own.squared) best[i] = { row: start + row, squared }
      }
    }
    onBlock(end)
    await setImmediate()
  }
  // The difference of large numbers above is good enough to choose by; an equal network's distance should be 0.
  return best.map(({ row }, i) => ({
    row,
    distance: Math.sqrt(squaredDistance(networks[i]!, 0, matrix.row(row), 0, columns)),
  }))
}

const squaredNorm = (weights: Float32Array) => weights.reduce((sum, weight) => sum + weight * weight, 0)

/** Columns multiplied at a time: six rows of them stay in the processor's first cache. */
const CHUNK = 1024

/**
 * Inner products of all rows of `a` with all rows of `b`, `[a.length, b.length]`, in float64. Two by four at a time: a
 * weight that is loaded once is used in several products, which is twice as fast as one product after another.
 */
function innerProducts(a: readonly Float32Array[], b: readonly Float32Array[]): Float64Array {
  const columns = a[0]?.length ?? 0
  const [height, width] = [Math.ceil(a.length / 2) * 2, Math.ceil(b.length / 4) * 4]
  const products = new Float64Array(a.length * b.length)
  // Rows beyond the last stay zero.
  const aPart = new Float64Array(height * CHUNK)
  const bPart = new Float64Array(width * CHUNK)
  const tile = new Float64Array(8)
  for (let from = 0; from < columns; from += CHUNK) {
    const length = Math.min(CHUNK, columns - from)
    for (const [i, row] of a.entries()) aPart.set(row.subarray(from, from + length), i * CHUNK)
    for (const [j, row] of b.entries()) bPart.set(row.subarray(from, from + length), j * CHUNK)
    for (let i = 0; i < height; i += 2) {
      for (let j = 0; j < width; j += 4) {
        multiplyTile(aPart, i * CHUNK, bPart, j * CHUNK, length, tile)
        for (let k = 0; k < 8; k++) {
          const [row, column] = [i + (k >> 2), j + (k & 3)]
          if (row < a.length && column < b.length) products[row * b.length + column]! += tile[k]!
        }
      }
    }
  }
  return products
}

/** Two rows of `a` from `a0` by four of `b` from `b0`, rows being CHUNK apart. */
function multiplyTile(
  a: Float64Array,
  a0: number,
  b: Float64Array,
  b0: number,
  length: number,
  tile: Float64Array,
): void {
  let [s0, s1, s2, s3, t0, t1, t2, t3] = [0, 0, 0, 0, 0, 0, 0, 0]
  const [a1, b1, b2, b3] = [a0 + CHUNK, b0 + CHUNK, b0 + 2 * CHUNK, b0 + 3 * CHUNK]
  for (let k = 0; k < length; k++) {
    const s = a[a0 + k]!
    const t = a[a1 + k]!
    const [w, x, y, z] = [b[b0 + k]!, b[b1 + k]!, b[b2 + k]!, b[b3 + k]!]
    s0 += s * w
    s1 += s * x
    s2 += s * y
    s3 += s * z
    t0 += t * w
    t1 += t * x
    t2 += t * y
    t3 += t * z
  }
  tile.set([s0, s1, s2, s3, t0, t1, t2, t3])
}
