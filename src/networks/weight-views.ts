import type { ParameterEntry } from '../architecture/architecture.js'
import { invalidOption, isCount } from '../options.js'
import { layerRange } from '../zoo/weight-matrix.js'

/** The forms in which `weightBatches` gives the weights of `n` networks. */
export interface WeightViews {
  /** Flat `[n, weights]`, in the order of the parameter table. */
  flat: Float32Array<ArrayBuffer>
  /** Each layer, bias then kernel, flat `[n, weights of the layer]`. */
  layers: Record<string, Float32Array<ArrayBuffer>>
  tokens: WeightTokens
}

/**
 * Networks as sequences of tokens, for transformers: each layer's weights (bias, then kernel) cut into pieces of one
 * size, the last piece of a layer filled up with zeros, as in SANE (Schürholt, Mahoney, Borth, ICML 2024), which
 * additionally begins a new token at every output channel.
 */
export interface WeightTokens {
  /** Flat `[n, tokens, tokenSize]`. */
  readonly values: Float32Array<ArrayBuffer>
  readonly shape: readonly [networks: number, tokens: number, tokenSize: number]
  /** 1 where `values` holds a weight, 0 where it is filled up; the same for all networks. `[tokens, tokenSize]` */
  readonly mask: Uint8Array<ArrayBuffer>
  /** Of every token: its number, its layer's number, its number within the layer. `[tokens, 3]` */
  readonly positions: Int32Array<ArrayBuffer>
}

/** One of the forms, and the way back. */
export interface WeightView<Form extends keyof WeightViews> {
  /** `data` is flat `[n, weights]`; it may be returned itself. */
  make(data: Float32Array<ArrayBuffer>): WeightViews[Form]
  /** Values as a generator makes them, to flat `[n, weights]`: of tokens the values alone. */
  undo(values: Float32Array | Readonly<Record<string, Float32Array>>): Float32Array<ArrayBuffer>
}

/** @throws ZooError `option` for an unknown view, or a token size that is none. */
export function weightView(
  name: keyof WeightViews,
  parameters: readonly ParameterEntry[],
  tokenSize: number,
): WeightView<keyof WeightViews> {
  if (name === 'flat') return flatView(parameters)
  if (name === 'layers') return layersView(parameters)
  if (name !== 'tokens') throw invalidOption('view', name, 'needs flat, layers or tokens')
  if (!isCount(tokenSize)) throw invalidOption('tokenSize', tokenSize, 'needs a positive integer')
  return tokensView(parameters, tokenSize)
}

function flatView(parameters: readonly ParameterEntry[]): WeightView<'flat'> {
  const columns = columnCount(parameters)
  return {
    make: data => data,
    undo: values => {
      if (!(values instanceof Float32Array))
        throw invalidOption('values', typeof values, 'needs a Float32Array')
      checkMultiple(values.length, columns)
      return Float32Array.from(values)
    },
  }
}

function layersView(parameters: readonly ParameterEntry[]): WeightView<'layers'> {
  const columns = columnCount(parameters)
  const layers = layersOf(parameters)
  return {
    make: data => {
      const count = data.length / columns
      const copy = ({ start, end }: Range) => {
        const part = new Float32Array(count * (end - start))
        for (let i = 0; i < count; i++) {
          part.set(data.subarray(i * columns + start, i * columns + end), i * (end - start))
        }
        return part
      }
      return Object.fromEntries(layers.map(layer => [layer.name, copy(layer)]))
    },
    undo: values => {
      const [first] = layers as [Range]
      const parts = values as Readonly<Record<string, Float32Array>>
      const count = (parts[first.name]?.length ?? 0) / (first.end - first.start)
      const data = new Float32Array(count * columns)
      for (const { name, start, end } of layers) {
        const part = parts[name]
        const length = count * (end - start)
        if (!(part instanceof Float32Array) || part.length !== length) {
          throw invalidOption(
            `values.${name}`,
            part?.length,
            `needs a Float32Array of ${length} weights, has`,
          )
        }
        for (let i = 0; i < count; i++) {
          data.set(part.subarray(i * (end - start), (i + 1) * (end - start)), i * columns + start)
        }
      }
      return data
    },
  }
}

function tokensView(parameters: readonly ParameterEntry[], tokenSize: number): WeightView<'tokens'> {
  const columns = columnCount(parameters)
  const pieces = layersOf(parameters).flatMap(({ start, end }, layer) =>
    Array.from({ length: Math.ceil((end - start) / tokenSize) }, (_, k) => ({
      layer,
      k,
      start: start + k * tokenSize,
      end: Math.min(end, start + (k + 1) * tokenSize),
    })),
  )
  const size = pieces.length * tokenSize
  const mask = new Uint8Array(size)
  for (const [t, { start, end }] of pieces.entries()) mask.fill(1, t * tokenSize, t * tokenSize + end - start)
  const positions = Int32Array.from(pieces.flatMap(({ layer, k }, t) => [t, layer, k]))
  return {
    make: data => {
      const count = data.length / columns
      const values = new Float32Array(count * size)
      for (let i = 0; i < count; i++) {
        for (const [t, { start, end }] of pieces.entries()) {
          values.set(data.subarray(i * columns + start, i * columns + end), i * size + t * tokenSize)
        }
      }
      return { values, shape: [count, pieces.length, tokenSize], mask, positions }
    },
    undo: values => {
      if (!(values instanceof Float32Array))
        throw invalidOption('values', typeof values, 'needs a Float32Array')
      checkMultiple(values.length, size)
      const count = values.length / size
      const data = new Float32Array(count * columns)
      for (let i = 0; i < count; i++) {
        for (const [t, { start, end }] of pieces.entries()) {
          const from = i * size + t * tokenSize
          data.set(values.subarray(from, from + end - start), i * columns + start)
        }
      }
      return data
    },
  }
}

interface Range {
  readonly name: string
  readonly start: number
  readonly end: number
}

function layersOf(parameters: readonly ParameterEntry[]): Range[] {
  return [...new Set(parameters.map(({ layer }) => layer))].map(name => {
    const [start, end] = layerRange(parameters, name)
    return { name, start, end }
  })
}

function columnCount(parameters: readonly ParameterEntry[]): number {
  return parameters.reduce((sum, { size }) => sum + size, 0)
}

function checkMultiple(length: number, size: number): void {
  if (length % size !== 0) throw invalidOption('values', length, `needs a multiple of ${size} numbers, has`)
}
