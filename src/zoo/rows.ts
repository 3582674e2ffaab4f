import type { Architecture, ParameterEntry } from '../architecture/architecture.js'
import { ZooError } from '../errors.js'
import { invalidOption, isCount } from '../options.js'
import { forEachRun } from './runs.js'
import type { LayerwiseView } from './views.js'
import { arraySource, WeightMatrix } from './weight-matrix.js'

/**
 * Samples by features, read a few rows at a time: what analyses go through and classifiers learn from. A `WeightMatrix`
 * is one, so that a zoo of any size needs only a few rows in memory; {@link arrayRows} makes one of plain numbers.
 */
export interface Rows {
  readonly shape: readonly [rows: number, columns: number]
  /** Rows `start` to `end` (exclusive), flat `[end - start, columns]`. */
  rows(start: number, end: number): Float32Array
  /** Names of the rows, used in messages. */
  readonly names?: readonly string[] | undefined
  /** Which layer and part the columns belong to, where that is known. */
  readonly parameters?: readonly ParameterEntry[] | undefined
  /** What each row's network is, where that is known: networks of a zoo may differ in their activations. */
  readonly architectureOf?: ((row: number) => Architecture) | undefined
}

/** Rows with a class each. What `flattenModelwise` gives is one. */
export interface LabelledRows extends Rows {
  /** Class of each row, an index into `classNames`. */
  readonly labels: ArrayLike<number>
  readonly classNames: readonly string[]
}

/**
 * Numbers in memory as rows.
 *
 * @param data flat, `[n, columns]`
 * @example
 * arrayRows(Float32Array.of(1, 2, 3, 4, 5, 6), 3).shape // [2, 3]
 */
export function arrayRows(data: Float32Array, columns: number, names?: readonly string[]): Rows {
  if (!isCount(columns) || data.length % columns !== 0) {
    throw invalidOption('columns', columns, `does not divide ${data.length} values into rows`)
  }
  const count = data.length / columns
  if (names && names.length !== count) {
    throw invalidOption('names', names.length, `needs one for each of the ${count} rows`)
  }
  return {
    shape: [count, columns],
    rows: (start, end) => data.subarray(start * columns, end * columns),
    names,
  }
}

/**
 * Rows with labels.
 *
 * @param classNames names by label; default the labels themselves
 * @throws ZooError `option` when there is not one label, a whole number from 0, for each row.
 *
 * @example
 * withLabels(arrayRows(Float32Array.of(1, 2, 3, 4), 2), [0, 1], ['cat', 'dog'])
 */
export function withLabels(
  rows: Rows,
  labels: ArrayLike<number>,
  classNames?: readonly string[],
): LabelledRows {
  checkLabels(rows, labels)
  const count = maximum(labels) + 1
  if (classNames && classNames.length < count) {
    throw invalidOption('classNames', classNames.length, `the labels need ${count}`)
  }
  return {
    shape: rows.shape,
    rows: (start, end) => rows.rows(start, end),
    names: rows.names,
    parameters: rows.parameters,
    architectureOf: rows.architectureOf,
    labels,
    classNames: classNames ?? Array.from({ length: count }, (_, label) => String(label)),
  }
}

/**
 * Some rows of others, in the order of `indices`; nothing is read before it is asked for.
 *
 * @example
 * subsetRows(rows, split.train).shape // [training networks, weights]
 */
export function subsetRows(rows: Rows, indices: ArrayLike<number>): Rows {
  const columns = rows.shape[1]
  for (let i = 0; i < indices.length; i++) {
    const index = indices[i]!
    if (!(Number.isInteger(index) && index >= 0 && index < rows.shape[0])) {
      throw invalidOption('row', index, `there are ${rows.shape[0]}`)
    }
  }
  const chosen = Uint32Array.from(indices)
  return {
    shape: [indices.length, columns],
    names: rows.names && Array.from(indices, index => rows.names![index]!),
    parameters: rows.parameters,
    architectureOf: rows.architectureOf && (row => rows.architectureOf!(chosen[row]!)),
    rows(start, end) {
      const wanted = chosen.subarray(start, end)
      if (rows instanceof WeightMatrix) return rows.gather(wanted)
      const out = new Float32Array(wanted.length * columns)
      forEachRun(wanted, wanted.length, (at, first, last) => out.set(rows.rows(first, last), at * columns))
      return out
    },
  }
}

/**
 * Several sources below one another; all have equal columns.
 *
 * @example
 * stackRows([arrayRows(Float32Array.of(1, 2), 2), arrayRows(Float32Array.of(3, 4), 2)]).shape // [2, 2]
 */
export function stackRows(parts: readonly Rows[]): Rows {
  const columns = parts[0]?.shape[1] ?? 0
  for (const { shape } of parts) {
    if (shape[1] !== columns) {
      const why = `networks of different architectures do not stack; the first part has ${columns}`
      throw invalidOption('columns', shape[1], why)
    }
  }
  const starts = [0]
  for (const { shape } of parts) starts.push(starts.at(-1)! + shape[0])
  return {
    shape: [starts.at(-1)!, columns],
    names: parts.every(part => part.names) ? parts.flatMap(part => [...part.names!]) : undefined,
    parameters: parts[0]?.parameters,
    architectureOf: parts.every(part => part.architectureOf)
      ? row => {
          const i = starts.findLastIndex(start => start <= row)
          return parts[i]!.architectureOf!(row - starts[i]!)
        }
      : undefined,
    rows(start, end) {
      const out = new Float32Array((end - start) * columns)
      for (const [i, part] of parts.entries()) {
        const [first, last] = [Math.max(start, starts[i]!), Math.min(end, starts[i + 1]!)]
        if (first < last) {
          out.set(part.rows(first - starts[i]!, last - starts[i]!), (first - start) * columns)
        }
      }
      return out
    },
  }
}

/**
 * One layer's weights of all networks of all classes, with labels: rows in the order of `flattenModelwise`.
 *
 * @example
 * layerRows(await groupLayerwise(zoo), 'conv2d_2').shape // [10000, 48120]
 */
export function layerRows(byLayer: LayerwiseView, layer: string): LabelledRows {
  const parts = byLayer.classNames.map(className => byLayer.matrix(className, layer))
  return withLabels(
    stackRows(parts),
    Int32Array.from(parts.flatMap(({ labels }) => [...labels])),
    parts[0]!.classNames,
  )
}

/**
 * Any rows as a `WeightMatrix`, which can also be read by columns and layers. Nothing is read before it is asked for;
 * rows without labels become one class.
 *
 * @example
 * asWeightMatrix(subsetRows(rows, split.train)).layer('dense_1')
 */
export function asWeightMatrix(rows: Rows): WeightMatrix {
  if (rows instanceof WeightMatrix) return rows
  const [count, columns] = rows.shape
  const { labels = new Int32Array(count), classNames = ['0'] } = rows as Partial<LabelledRows>
  checkLabels(rows, labels)
  return new WeightMatrix(
    {
      read(positions, columnStart, columnEnd, out) {
        const width = columnEnd - columnStart
        forEachRun(positions, Number.POSITIVE_INFINITY, (at, first, last) => {
          const part = arraySource(rows.rows(first, last), columns)
          const all = Uint32Array.from({ length: last - first }, (_, row) => row)
          part.read(all, columnStart, columnEnd, out.subarray(at * width, (at + last - first) * width))
        })
      },
      close: () => {},
    },
    {
      names: rows.names ?? Array.from({ length: count }, (_, row) => `row ${row}`),
      labels: Int32Array.from(labels),
      classNames,
      positions: Uint32Array.from({ length: count }, (_, row) => row),
      architectureOf: rows.architectureOf,
    },
    rows.parameters ?? oneKernel(columns),
  )
}

/** The parameter table of columns of which nothing is known. */
export function oneKernel(columns: number): ParameterEntry[] {
  return [{ layer: 'weights', part: 'kernel', shape: [columns], offset: 0, size: columns }]
}

/**
 * Reads all rows in blocks of a few megabytes, and refuses NaN and infinity with the row's name.
 *
 * @throws ZooError as {@link notFinite}
 */
export function* finiteBlocks(
  rows: Rows,
  blockRows = rowsPerBlock(rows),
): Generator<{ start: number; end: number; data: Float32Array }> {
  const count = rows.shape[0]
  for (let start = 0; start < count; start += blockRows) {
    const end = Math.min(start + blockRows, count)
    yield { start, end, data: finiteRows(rows, start, end) }
  }
}

/** Reads rows as {@link finiteBlocks} does. */
export function finiteRows(rows: Rows, start: number, end: number): Float32Array {
  const columns = rows.shape[1]
  const data = rows.rows(start, end)
  for (let row = start; row < end; row++) {
    const first = (row - start) * columns
    let sum = 0
    for (let i = first; i < first + columns; i++) sum += data[i]!
    // Float32 values cannot overflow a float64 sum, so it is finite exactly when all of them are.
    if (!Number.isFinite(sum)) throw notFinite(rows, row, data.subarray(first, first + columns))
  }
  return data
}

/**
 * Most bytes read at once, 16 MiB (46 LeNet-5): more is no faster, and with HDF5's copies memory stays below 100 MB.
 */
export const BLOCK_BYTES = 16 * 2 ** 20

/** How many rows make a block. */
export function rowsPerBlock({ shape }: Rows, blockBytes = BLOCK_BYTES): number {
  return Math.max(1, Math.floor(blockBytes / (4 * shape[1])))
}

/** Names the first value of a row that is not finite: `church_3 has a weight that is not finite (dense bias, number 5)`. */
export function notFinite(rows: Rows, row: number, values: Float32Array): ZooError<'option'> {
  const at = values.findIndex(value => !Number.isFinite(value))
  const value = values[at]!
  const name = rows.names?.[row] ?? `row ${row}`
  const entry = rows.parameters?.find(({ offset, size }) => at < offset + size)
  const where = entry ? `${entry.layer} ${entry.part}, number ${at - entry.offset}` : `column ${at}`
  return new ZooError(
    'option',
    `${name} has a weight that is not finite (${where}); leave the network out with zoo.select({ finite: true }), --finite: ${value}`,
    { name, value },
  )
}

/** Refuses labels that do not fit the rows. */
export function checkLabels(rows: Rows, labels: ArrayLike<number>): void {
  if (labels.length !== rows.shape[0]) {
    throw invalidOption('labels', labels.length, `needs one for each of the ${rows.shape[0]} rows`)
  }
  for (let i = 0; i < labels.length; i++) {
    if (!(Number.isSafeInteger(labels[i]) && labels[i]! >= 0)) {
      throw invalidOption('labels', labels[i], `need to be whole numbers from 0; row ${i} has`)
    }
  }
}

/** The different labels, ascending. */
export function classesOf(labels: ArrayLike<number>): Int32Array {
  return Int32Array.from(new Set(Array.from(labels))).sort()
}

function maximum(labels: ArrayLike<number>): number {
  let most = -1
  for (let i = 0; i < labels.length; i++) most = Math.max(most, labels[i]!)
  return most
}
