import type { Tensor } from '@tensorflow/tfjs-core'
import { invalidOption } from '../options.js'
import type { Rows } from '../zoo/rows.js'

/**
 * Weights of several networks of one architecture, in any of the forms in which a generator has them: flat
 * `[networks, parameterCount]`, an array for each network, a tfjs tensor `[networks, parameterCount]` (or one network's
 * `[parameterCount]`), or rows such as those of `flattenModelwise`. Columns are in the order of the parameter table.
 */
export type WeightBatch = Float32Array | readonly ArrayLike<number>[] | Tensor | Rows

/** A batch as plain numbers. */
export interface FlatBatch {
  /** Flat `[count, parameterCount]`; the caller's own array where that is what was given, so not to be changed. */
  readonly data: Float32Array
  readonly count: number
  /** For messages and results. */
  readonly names: readonly string[]
}

/** @throws ZooError `option` naming the network that has another number of weights. */
export async function flatBatch(batch: WeightBatch, parameterCount: number): Promise<FlatBatch> {
  const { data, names } = await numbersOf(batch, parameterCount)
  const count = data.length / parameterCount
  if (!Number.isInteger(count)) throw wrongLength('weights', data.length, parameterCount)
  return { data, count, names: names ?? Array.from({ length: count }, (_, i) => `network ${i}`) }
}

async function numbersOf(
  batch: WeightBatch,
  parameterCount: number,
): Promise<{ data: Float32Array; names?: readonly string[] | undefined }> {
  if (batch instanceof Float32Array) return { data: batch }
  if (Array.isArray(batch)) return { data: joined(batch, parameterCount) }
  if (isTensor(batch)) {
    const columns = batch.shape.at(-1)
    if (batch.rank > 2 || columns !== parameterCount) {
      throw invalidOption(
        'weights',
        batch.shape,
        `a tensor needs the shape [networks, ${parameterCount}], this has`,
      )
    }
    return { data: Float32Array.from(await batch.data()) }
  }
  if (typeof (batch as Partial<Rows> | null)?.rows === 'function') {
    const { shape, names, rows } = batch as Rows
    if (shape[1] !== parameterCount) throw wrongLength('weights', shape[1], parameterCount)
    return { data: rows.call(batch, 0, shape[0]), names }
  }
  const why = 'needs a Float32Array, an array of them, a tfjs tensor, or rows as flattenModelwise gives them'
  throw invalidOption('weights', typeof batch, why)
}

function joined(networks: readonly ArrayLike<number>[], parameterCount: number): Float32Array {
  const data = new Float32Array(networks.length * parameterCount)
  for (const [i, weights] of networks.entries()) {
    if (weights?.length !== parameterCount)
      throw wrongLength(`weights[${i}]`, weights?.length, parameterCount)
    data.set(weights, i * parameterCount)
  }
  return data
}

function wrongLength(name: string, length: number | undefined, parameterCount: number) {
  return invalidOption(name, length, `needs ${parameterCount} weights for each network, has`)
}

/** By what it can do: a program may hold several copies of tfjs. */
function isTensor(batch: unknown): batch is Tensor {
  return typeof (batch as Partial<Tensor> | null)?.dataSync === 'function'
}
