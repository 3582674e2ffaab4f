import { existsSync, statSync } from 'node:fs'
import type { Dataset, File, Group } from 'h5wasm'
import { ZooError } from '../errors.js'
import { checkIsFile } from './files.js'
import { ChunkedRows } from './hdf5-chunks.js'
import { LibraryFile } from './hdf5-library.js'
import { forEachRun } from './runs.js'

/**
 * Writes a new HDF5 file at `path`; it is closed when `write` ends.
 * @throws ZooError `zoo` naming the file when it cannot be written (a full disk, a missing folder).
 */
export async function writeHdf5(
  path: string,
  write: (file: Hdf5Writer) => void | Promise<void>,
): Promise<void> {
  const file = await Hdf5Writer.open(path)
  try {
    await write(file)
  } catch (error) {
    file.abandon()
    throw error
  }
  file.close()
}

/** A file open for writing. Every write that fails names the file. */
export class Hdf5Writer {
  private readonly file: File

  // Private, so that h5wasm's types stay out of the published declarations.
  private constructor(
    readonly path: string,
    private readonly opened: LibraryFile,
  ) {
    this.file = opened.file
  }

  static async open(path: string): Promise<Hdf5Writer> {
    try {
      return new Hdf5Writer(path, await LibraryFile.open(path, 'w'))
    } catch (error) {
      throw unwritten(path, error)
    }
  }

  /** Makes a group, and those above it. */
  group(path: string): void {
    this.guard(() => {
      let name = ''
      for (const part of path.split('/')) {
        name = name ? `${name}/${part}` : part
        if (this.file.get(name) === null) this.file.create_group(name)
      }
    })
  }

  /** Sets an attribute of the root or of `object`: strings and lists as they are, the latter in a `shape`, default flat. */
  attribute(name: string, value: AttributeValue, object = '/', shape?: readonly number[]): void {
    this.guard(() => {
      const target = this.file.get(object) as Group
      if (typeof value === 'number') target.create_attribute(name, new Int32Array([value]), [], '<i')
      else if (typeof value === 'bigint') target.create_attribute(name, new BigInt64Array([value]), [], '<q')
      else target.create_attribute(name, value, shape && [...shape])
    })
  }

  /** A whole dataset at once. The groups above it must be there. */
  dataset(
    name: string,
    data: Float32Array | Float64Array | Int32Array | string[],
    shape: readonly number[],
  ): void {
    this.guard(() => this.file.create_dataset({ name, data, shape: [...shape] }))
  }

  /**
   * A float32 matrix to be filled row by row, stored in chunks of whole rows of at most `chunkBytes` (but one row at
   * least).
   */
  matrix(name: string, rows: number, columns: number, chunkBytes: number): MatrixWriter {
    const chunkRows = Math.min(rows, Math.max(1, Math.floor(chunkBytes / (4 * columns))))
    // h5wasm creates a dataset with its data only: one row, which then grows.
    const dataset = this.guard(() => {
      const created = this.file.create_dataset({
        name,
        data: new Float32Array(columns),
        shape: [1, columns],
        maxshape: [null, columns],
        chunks: [chunkRows, columns],
        // A flipped bit is an error then, not other weights.
        compression: FLETCHER32,
        compression_opts: [],
      })
      created.resize([rows, columns])
      return created
    })
    return {
      writeRows: (start, data) => {
        const end = start + data.length / columns
        this.guard(() =>
          dataset.write_slice(
            [
              [start, end],
              [0, columns],
            ],
            data,
          ),
        )
      },
    }
  }

  close(): void {
    this.told(() => this.opened.close())
  }

  /** Closes after a failure, whose error is the one to tell. */
  abandon(): void {
    try {
      this.opened.close()
    } catch {}
  }

  private guard<T>(write: () => T): T {
    return this.told(() => this.opened.call(write))
  }

  private told<T>(write: () => T): T {
    try {
      return write()
    } catch (error) {
      throw unwritten(this.path, error)
    }
  }
}

/** What an attribute may hold; a number is an int32, a bigint an int64. */
export type AttributeValue = string | number | bigint | string[] | Int32Array | Float64Array

/** Writes rows of a matrix. */
export interface MatrixWriter {
  /** Writes `data`, flat `[n, columns]`, at row `start`. */
  writeRows(start: number, data: Float32Array): void
}

/**
 * Opens an HDF5 file for reading.
 * @throws ZooError `zoo` naming the file when it is missing or no readable HDF5.
 */
export function openHdf5(path: string): Promise<Hdf5Reader> {
  return Hdf5Reader.open(path)
}

/** A file open for reading. Every read that fails names the file. */
export class Hdf5Reader {
  private open = true
  private readonly file: File
  /** By dataset; `undefined` for those that only the library can read. */
  private readonly chunked = new Map<string, ChunkedRows | undefined>()

  // Private, so that h5wasm's types stay out of the published declarations.
  private constructor(
    readonly path: string,
    private readonly opened: LibraryFile,
  ) {
    this.file = opened.file
  }

  static async open(path: string): Promise<Hdf5Reader> {
    if (!existsSync(path)) throw new ZooError('zoo', `no such file: ${path}`, { path })
    try {
      await checkIsFile(path)
      return new Hdf5Reader(path, await LibraryFile.open(path, 'r'))
    } catch (error) {
      throw damaged(path, `${statSync(path).size} bytes; ${hdf5Reason(error)}`, error)
    }
  }

  /** Attribute of the root or of an object; `undefined` where there is none. */
  attribute(name: string, object = '/'): unknown {
    return this.guard(() => {
      const attribute = (this.file.get(object) as Group | null)?.attrs[name]
      if (!attribute) return undefined
      const { size, total_size: count } = attribute.metadata
      checkSize(`attribute ${name}`, size * count, MAX_ATTRIBUTE_BYTES)
      return attribute.value
    })
  }

  /**
   * All datasets below a group, at any depth, with their shapes; of links, only those within the file are followed.
   */
  datasets(group = '/'): { path: string; shape: number[] }[] {
    return this.guard(() => {
      const found: { path: string; shape: number[] }[] = []
      let objects = 0
      const visit = (path: string, depth: number): void => {
        if (depth > MAX_DEPTH) throw new Error(`groups more than ${MAX_DEPTH} deep`)
        for (const name of (this.file.get(path) as Group).keys()) {
          if (++objects > MAX_OBJECTS) throw new Error(`more than ${MAX_OBJECTS} objects`)
          const object = this.file.get(`${path}/${name}`)
          if (object === null) continue
          if ('slice' in object) found.push({ path: object.path, shape: object.shape ?? [] })
          else if ('keys' in object) visit(object.path, depth + 1)
        }
      }
      visit(group, 0)
      return found
    })
  }

  /** Whether there is a group of that name. */
  hasGroup(name: string): boolean {
    return this.guard(
      () => this.file.keys().includes(name.split('/')[0]!) && 'keys' in (this.file.get(name) ?? {}),
    )
  }

  /** Shape of a dataset. */
  shape(dataset: string): number[] {
    return this.guard(() => this.dataset(dataset).shape ?? [])
  }

  /** A float32 dataset, whole or the part within `ranges` (`[start, end)` per axis). */
  floats(dataset: string, ranges?: [number, number][]): Float32Array<ArrayBuffer> {
    return this.guard(() => this.part(dataset, ranges))
  }

  /**
   * Columns `columnStart` to `columnEnd` of some rows of a float32 matrix, copied to `out` one row after another: from
   * the file itself where its layout is known, else through the library.
   */
  rows(
    dataset: string,
    positions: Uint32Array,
    columnStart: number,
    columnEnd: number,
    out: Float32Array,
  ): void {
    this.guard(() => {
      const chunked = this.chunkedRows(dataset)
      if (chunked) chunked.read(positions, columnStart, columnEnd, out)
      else this.readThroughLibrary(dataset, positions, columnStart, columnEnd, out)
    })
  }

  private readThroughLibrary(
    dataset: string,
    positions: Uint32Array,
    columnStart: number,
    columnEnd: number,
    out: Float32Array,
  ): void {
    const width = columnEnd - columnStart
    const most = Math.max(1, Math.floor(READ_BYTES / (4 * width)))
    forEachRun(positions, most, (at, first, last) => {
      const part = this.part(dataset, [
        [first, last],
        [columnStart, columnEnd],
      ])
      out.set(part, at * width)
    })
  }

  /** A dataset of any type, whole. */
  values(dataset: string): ArrayLike<unknown> {
    return this.guard(() => this.dataset(dataset).value as ArrayLike<unknown>)
  }

  close(): void {
    if (!this.open) return
    this.open = false
    try {
      this.opened.close()
    } catch {
      // What could be read of a damaged file has been; that it cannot be closed in order changes nothing.
    }
  }

  private chunkedRows(name: string): ChunkedRows | undefined {
    if (!this.chunked.has(name)) this.chunked.set(name, this.locateChunks(name))
    return this.chunked.get(name)
  }

  private locateChunks(name: string): ChunkedRows | undefined {
    const dataset = this.dataset(name)
    const { shape, chunks, type, littleEndian, size } = dataset.metadata
    const [rows, columns] = shape ?? []
    const isFloat32 = type === FLOAT_CLASS && littleEndian && size === 4
    if (!isFloat32 || shape?.length !== 2 || !rows || !columns || chunks?.[1] !== columns) return undefined
    const filters = dataset.filters.map(({ id }) => id)
    if (filters.some(id => id !== FLETCHER32) || filters.length > 1) return undefined
    // An object reference is the address of the object's header.
    const header = Number(Buffer.from(dataset.create_reference().ref_data).readBigUInt64LE())
    return ChunkedRows.locate(this.opened.descriptor, {
      rows,
      columns,
      chunkRows: chunks[0]!,
      checksums: filters.length === 1,
      header,
    })
  }

  private part(dataset: string, ranges?: [number, number][]): Float32Array<ArrayBuffer> {
    const source = this.dataset(dataset)
    const { type, size, shape, chunks } = source.metadata
    if (type !== FLOAT_CLASS || size !== 4) throw new Error(`${dataset} is not float32`)
    const extent = ranges?.map(([start, end]) => end - start) ?? shape ?? []
    checkSize(dataset, 4 * product(extent), MAX_READ_BYTES)
    checkSize(`a chunk of ${dataset}`, 4 * product(chunks ?? []), MAX_CHUNK_BYTES)
    const values = ranges ? source.slice(ranges) : source.value
    if (!(values instanceof Float32Array)) throw new Error(`${dataset} is not float32`)
    if (values.length !== product(extent)) throw new Error(`${dataset} ends early`)
    return values as Float32Array<ArrayBuffer>
  }

  private dataset(name: string): Dataset {
    const found = this.file.get(name)
    if (found === null || !('slice' in found)) throw new Error(`${name} is missing`)
    // Their numbers lie in other files, none of which is opened; the library would give zeros.
    if (found.metadata.virtual_sources?.length) throw new Error(`${name} refers to other files`)
    return found as Dataset
  }

  private guard<T>(read: () => T): T {
    if (!this.open)
      throw new ZooError('zoo', `${this.path} is closed: read before close()`, { path: this.path })
    try {
      return this.opened.call(read)
    } catch (error) {
      throw damaged(this.path, hdf5Reason(error), error)
    }
  }
}

/** h5wasm copies every read through its own memory; 64 MiB keeps that small and is as fast as more. */
const READ_BYTES = 64 * 2 ** 20

/** HDF5's number for floating-point types, and for the checksum filter. */
const FLOAT_CLASS = 1
const FLETCHER32 = 3

/** The library copies a read through its own memory of at most 2 GiB. */
const MAX_READ_BYTES = 512 * 2 ** 20
/** A compressed file of a few kB can claim any chunk. */
const MAX_CHUNK_BYTES = 128 * 2 ** 20
const MAX_ATTRIBUTE_BYTES = 64 * 2 ** 20
/** Groups in groups, and objects in all: a Keras file has 4 and some 50. */
const MAX_DEPTH = 16
const MAX_OBJECTS = 100_000
function product(sizes: readonly number[]): number {
  return sizes.reduce((total, n) => total * n, 1)
}

function checkSize(what: string, bytes: number, most: number): void {
  if (!(bytes <= most)) throw new Error(`${what} has ${bytes} bytes, at most ${most} are read`)
}

function unwritten(path: string, error: unknown): ZooError<'zoo'> {
  return new ZooError('zoo', `cannot write ${path}: ${hdf5Reason(error)}`, { path }, { cause: error })
}

function damaged(path: string, reason: string, cause: unknown): ZooError<'zoo'> {
  return new ZooError('zoo', `${path} is truncated, corrupt or no HDF5 file (${reason})`, { path }, { cause })
}

/** The innermost reason in HDF5's error stack, which runs over many lines. */
function hdf5Reason(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error)
  const reasons = [...message.matchAll(/#\d+:.*? line \d+ in \w+\(\): (.*)/g)].map(match => match[1]!)
  const system = /error message = '([^']+)'/.exec(message)?.[1]
  return system ?? reasons.at(-1) ?? message.split('\n', 1)[0]!
}
