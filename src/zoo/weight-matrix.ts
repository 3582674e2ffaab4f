import type { Architecture, ParameterEntry } from '../architecture/architecture.js'
import { invalidOption } from '../options.js'
import type { Hdf5Reader } from './hdf5.js'

/**
 * Weights of many networks as a matrix, one network a row: in memory or read from a compiled file piece by piece, with
 * the same calls. Reading a part never loads the rest.
 *
 * @example
 * const rows = await flattenModelwise(zoo)
 * rows.shape                      // [10000, 91481]
 * rows.row(0)                     // Float32Array(91481), network rows.names[0]
 * for (const { start, data } of rows.blocks(64)) { ... } // 64 networks at a time
 */
export class WeightMatrix {
  /** Number of networks and of weights. */
  readonly shape: readonly [rows: number, columns: number]

  constructor(
    private readonly source: WeightSource,
    /** What the rows are. */
    private readonly rowsOf: RowInfo,
    /** Which parameters the columns are; offsets count from the first column. */
    readonly parameters: readonly ParameterEntry[],
  ) {
    this.shape = [rowsOf.names.length, parameters.reduce((sum, { size }) => sum + size, 0)]
  }

  /** Name of each row's network, e.g. `church_3`. */
  get names(): readonly string[] {
    return this.rowsOf.names
  }

  /** Class of each row, an index into {@link classNames}. */
  get labels(): Int32Array {
    return this.rowsOf.labels
  }

  get classNames(): readonly string[] {
    return this.rowsOf.classNames
  }

  /**
   * What a row's network is: the zoo's architecture, with the activation that the network drew where that varies.
   * `undefined` for weights of which that is not known.
   */
  get architectureOf(): ((row: number) => Architecture) | undefined {
    return this.rowsOf.architectureOf
  }

  /** One network's weights. `[columns]` */
  row(index: number): Float32Array<ArrayBuffer> {
    return this.rows(index, index + 1)
  }

  /**
   * Any networks, in any order, flat `[indices.length, columns]`: random access, e.g. for batches to train on.
   *
   * @param into an array of that length to fill and return: memory used before is filled about twice as fast as new
   *
   * @example
   * rows.gather([17, 3, 99]) // Float32Array(3 * 91481)
   */
  gather(
    indices: ArrayLike<number>,
    into: Float32Array<ArrayBuffer> = new Float32Array(indices.length * this.shape[1]),
  ): Float32Array<ArrayBuffer> {
    const [rows, columns] = this.shape
    if (into.length !== indices.length * columns)
      throw invalidOption(
        'into',
        into.length,
        `${indices.length} rows need a length of ${indices.length * columns}`,
      )
    const positions = Uint32Array.from(indices, index => {
      if (!(Number.isInteger(index) && index >= 0 && index < rows))
        throw invalidOption('row', index, `there are ${rows}`)
      return this.rowsOf.positions[index]!
    })
    this.source.read(positions, 0, columns, into)
    return into
  }

  /** Networks `start` to `end` (exclusive), flat `[end - start, columns]`. */
  rows(start: number, end: number): Float32Array<ArrayBuffer> {
    return this.read(start, end, 0, this.shape[1])
  }

  /** Columns `start` to `end` (exclusive) of all networks, flat `[rows, end - start]`. */
  columns(start: number, end: number): Float32Array<ArrayBuffer> {
    return this.read(0, this.shape[0], start, end)
  }

  /** A layer's columns of all networks, bias then kernel, flat `[rows, size of the layer]`. */
  layer(name: string): Float32Array<ArrayBuffer> {
    const [start, end] = layerRange(this.parameters, name)
    return this.columns(start, end)
  }

  /** All networks in blocks of `size` rows, the last one smaller; default 64 (23 MB of LeNet-5). */
  *blocks(size = 64): Generator<{ start: number; end: number; data: Float32Array<ArrayBuffer> }> {
    for (let start = 0; start < this.shape[0]; start += size) {
      const end = Math.min(start + size, this.shape[0])
      yield { start, end, data: this.rows(start, end) }
    }
  }

  /** Everything, flat `[rows, columns]`: 4 bytes a weight, 3.7 GB for 10,000 LeNet-5. */
  toArray(): Float32Array<ArrayBuffer> {
    return this.rows(0, this.shape[0])
  }

  /** Lets go of the file; the matrix cannot be read afterwards. */
  close(): void {
    this.source.close()
  }

  private read(
    rowStart: number,
    rowEnd: number,
    columnStart: number,
    columnEnd: number,
  ): Float32Array<ArrayBuffer> {
    checkRange('rows', rowStart, rowEnd, this.shape[0])
    checkRange('columns', columnStart, columnEnd, this.shape[1])
    const out = new Float32Array((rowEnd - rowStart) * (columnEnd - columnStart))
    this.source.read(this.rowsOf.positions.subarray(rowStart, rowEnd), columnStart, columnEnd, out)
    return out
  }
}

/** What a matrix reads from. */
export interface WeightSource {
  /** Copies columns `columnStart` to `columnEnd` of the source's rows at `positions` to `out`, one after another. */
  read(positions: Uint32Array, columnStart: number, columnEnd: number, out: Float32Array): void
  close(): void
}

/** What the rows of a matrix are. */
export interface RowInfo {
  readonly names: readonly string[]
  readonly labels: Int32Array
  readonly classNames: readonly string[]
  /** Row of the source that each row of the matrix is. */
  readonly positions: Uint32Array
  /** Of each row, where that is known. */
  readonly architectureOf?: ((row: number) => Architecture) | undefined
}

/** Columns of a two-dimensional dataset in an HDF5 file. */
export function fileSource(file: Hdf5Reader, dataset: string, close: () => void): WeightSource {
  return {
    read: (positions, columnStart, columnEnd, out) =>
      file.rows(dataset, positions, columnStart, columnEnd, out),
    close,
  }
}

/** Columns `firstColumn` onwards of an array in memory, flat `[rows, stride]`. */
export function arraySource(data: Float32Array, stride: number, firstColumn = 0): WeightSource {
  return {
    read: (positions, columnStart, columnEnd, out) => {
      const width = columnEnd - columnStart
      for (const [i, position] of positions.entries()) {
        const start = position * stride + firstColumn + columnStart
        out.set(data.subarray(start, start + width), i * width)
      }
    },
    close: () => {},
  }
}

/** First column of a layer and the one after its last. */
export function layerRange(
  parameters: readonly ParameterEntry[],
  layer: string,
): [start: number, end: number] {
  const entries = parameters.filter(entry => entry.layer === layer)
  if (entries.length === 0) {
    const known = [...new Set(parameters.map(entry => entry.layer))].join(', ')
    throw invalidOption('layer', layer, `has no parameters here; those with parameters are ${known}`)
  }
  const last = entries.at(-1)!
  return [entries[0]!.offset, last.offset + last.size]
}

function checkRange(what: string, start: number, end: number, count: number): void {
  if (!(Number.isInteger(start) && Number.isInteger(end) && start >= 0 && start <= end && end <= count)) {
    throw invalidOption(what, `${start} to ${end}`, `there are ${count}`)
  }
}
