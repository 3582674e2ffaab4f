import type { ParameterEntry } from '../architecture/architecture.js'
import { invalidOption, isCount } from '../options.js'
import { asWeightMatrix, oneKernel, type Rows } from './rows.js'
import { flattenModelwise, LayerwiseView } from './views.js'
import { arraySource, WeightMatrix } from './weight-matrix.js'
import { Zoo } from './zoo.js'

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
 * What analyses and `evaluate` take: a zoo or a selection of one (its `modelwise.h5` is used, and made where missing), a
 * view of one, rows (those without labels are one class), or plain arrays. A view stays open; it is its owner's.
 */
export type Weights = Zoo | LayerwiseView | Rows | WeightArray

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
export async function openWeights(
  weights: Weights,
  { signal }: { signal?: AbortSignal | undefined } = {},
): Promise<OpenWeights> {
  if (weights instanceof LayerwiseView) {
    const matrices = weights.layerNames.flatMap(layer =>
      weights.classNames.map(className => weights.matrix(className, layer)),
    )
    return opened(matrices, () => {})
  }
  if (weights instanceof Zoo) {
    const matrix = await flattenModelwise(weights, { signal })
    return opened([matrix], () => matrix.close())
  }
  return opened([isRows(weights) ? asWeightMatrix(weights) : matrixOf(weights)], () => {})
}

/** As {@link openWeights}, where whole networks are needed. */
export async function openRows(weights: Weights, options: { signal?: AbortSignal | undefined } = {}) {
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

function isRows(weights: Rows | WeightArray): weights is Rows {
  return typeof (weights as Partial<Rows>)?.rows === 'function'
}

function matrixOf(weights: WeightArray): WeightMatrix {
  const { data, labels, classNames } = weights
  if (!(data instanceof Float32Array || Array.isArray(data)) || !labels || !Array.isArray(classNames)) {
    throw invalidOption(
      'weights',
      weights,
      'needs a zoo, a view of one, rows, or { data, labels, classNames } with Float32Arrays',
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
  const parameters = weights.parameters ?? oneKernel(columns)
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
