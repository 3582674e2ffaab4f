import { type FileHandle, open, rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { reasonOf, ZooError } from '../errors.js'
import { checkIsFile, checkIsLinked, networkName, openToWrite, refuseLink, weightsHash } from './files.js'
import type { LedgerRecord, NetworkRecord, StoredOutputs } from './ledger.js'

/** Names of outputs files: of whole calls and of shards. */
export const OUTPUTS_FILE = /^outputs(\.\d+-of-\d+)?\.f32$/

/**
 * Appends networks' outputs on the validation split to one file of float32 rows, each on the disk before `append`
 * resolves. A network's ledger line, which comes after its row, says which one it is; a row that no line names, of a
 * crash or a network that has another by now, is written over. The file is made with its first row.
 */
export class OutputsWriter {
  /** The write that the next one waits for. */
  private last: Promise<unknown> = Promise.resolve()
  private handle: FileHandle | undefined
  /** No row before this one is free. */
  private next = 0

  private constructor(
    private readonly path: string,
    private readonly file: string,
    private used: ReadonlySet<number>,
  ) {}

  /** @param records of the whole zoo: which rows are in use */
  static async open(zooPath: string, file: string, records: readonly LedgerRecord[]): Promise<OutputsWriter> {
    const path = join(zooPath, file)
    await refuseLink(path)
    return new OutputsWriter(path, file, rowsInUse(file, records))
  }

  append(outputs: Float32Array): Promise<StoredOutputs> {
    const turn = this.last.then(() => this.write(outputs))
    this.last = turn.catch(() => {})
    return turn
  }

  private async write(outputs: Float32Array): Promise<StoredOutputs> {
    const bytes = new Uint8Array(outputs.buffer, outputs.byteOffset, outputs.byteLength)
    try {
      const handle = this.handle ?? (await this.openFor(bytes.length))
      await checkIsLinked(handle)
      while (this.used.has(this.next)) this.next++
      await writeAt(handle, bytes, this.next * bytes.length)
      await handle.datasync()
    } catch (error) {
      throw cannotWrite(this.path, error)
    }
    return { file: this.file, row: this.next++, sha256: weightsHash(outputs) }
  }

  /** Rows that a line names and the file lacks are free: whatever number they have, it stays without gaps. */
  private async openFor(rowBytes: number): Promise<FileHandle> {
    this.handle = await openToWrite(this.path)
    const { size } = await this.handle.stat()
    this.used = new Set([...this.used].filter(row => row * rowBytes < size))
    return this.handle
  }

  async close(): Promise<void> {
    await this.handle?.close()
  }
}

/** Rows of a file of outputs that networks have. */
function rowsInUse(file: string, records: readonly LedgerRecord[]): Set<number> {
  const rows = records.map(record =>
    record.status === 'finished' && record.outputs?.file === file ? record.outputs.row : -1,
  )
  return new Set(rows.filter(row => row >= 0))
}

async function writeAt(handle: FileHandle, bytes: Uint8Array, start: number): Promise<void> {
  for (let at = 0; at < bytes.length; )
    at += (await handle.write(bytes, at, bytes.length - at, start + at)).bytesWritten
}

/** What is in a file of outputs and of no network: of a crash, of one that has another row by now, or damage. */
export interface Leftover {
  /** Whether it is all that is in the file. */
  readonly all: boolean
  /** Rows of it among those in use. What is all zeros is nothing. */
  readonly rows: readonly number[]
  /** Where the last row in use ends. */
  readonly end: number
  /** Bytes of it behind that. */
  readonly behind: number
}

/**
 * @param images of the validation split
 * @param records of the whole zoo
 * @returns `undefined` where every byte is of a network
 * @throws Error when the file cannot be read
 */
export async function leftoverIn(
  path: string,
  images: number,
  records: readonly LedgerRecord[],
): Promise<Leftover | undefined> {
  await checkIsFile(path)
  const row = Buffer.alloc(images * Float32Array.BYTES_PER_ELEMENT)
  const handle = await open(path, 'r')
  try {
    const { size } = await handle.stat()
    const named = rowsInUse(basename(path), records)
    const used = new Set([...named].filter(number => number * row.length < size))
    const count = [...used].reduce((most, number) => Math.max(most, number + 1), 0)
    const rows: number[] = []
    for (let number = 0; number < count; number++) {
      if (used.has(number)) continue
      await readAt(handle, row, number * row.length)
      if (row.some(byte => byte !== 0)) rows.push(number)
    }
    const end = count * row.length
    const behind = Math.max(0, size - end)
    return used.size > 0 && rows.length === 0 && behind === 0
      ? undefined
      : { all: used.size === 0, rows, end, behind }
  } finally {
    await handle.close()
  }
}

/**
 * Makes zeros of what is left over among a file's rows, cuts off what is behind them, and removes a file that is nobody's.
 * The caller holds the lock of the ledger that goes with it.
 *
 * @throws ZooError `zoo` when the file cannot be written.
 */
export async function clearLeftover(path: string, images: number, leftover: Leftover): Promise<void> {
  try {
    if (leftover.all) return await rm(path, { force: true })
    const zeros = new Uint8Array(images * Float32Array.BYTES_PER_ELEMENT)
    const handle = await openToWrite(path)
    try {
      for (const row of leftover.rows) await writeAt(handle, zeros, row * zeros.length)
      if (leftover.behind > 0) await handle.truncate(leftover.end)
      await handle.datasync()
    } finally {
      await handle.close()
    }
  } catch (error) {
    throw cannotWrite(path, error)
  }
}

function cannotWrite(path: string, error: unknown): ZooError<'zoo'> {
  return new ZooError('zoo', `cannot write ${path}: ${reasonOf(error)}`, { path }, { cause: error })
}

/** Fills `bytes` as far as the file goes. */
async function readAt(handle: FileHandle, bytes: Uint8Array, start: number): Promise<void> {
  let at = 0
  for (let read = 1; at < bytes.length && read > 0; at += read)
    read = (await handle.read(bytes, at, bytes.length - at, start + at)).bytesRead
}

/** Reads rows of outputs files, each against its hash. */
export class OutputsReader {
  private readonly handles = new Map<string, FileHandle>()

  constructor(
    private readonly zooPath: string,
    /** Images of the validation split. */
    private readonly count: number,
  ) {}

  /**
   * One network's outputs; `[count]`.
   * @throws ZooError `zoo` naming the file when it is missing, or its row is not what the ledger says.
   */
  async read({ class: className, index, outputs }: NetworkRecord): Promise<Float32Array<ArrayBuffer>> {
    const name = networkName(className, index)
    // The name comes from a file that may be anybody's: it must not lead out of the directory.
    if (
      !outputs ||
      !OUTPUTS_FILE.test(outputs.file) ||
      !Number.isSafeInteger(outputs.row) ||
      outputs.row < 0
    ) {
      const todo = 'weightzoo train --outputs with the recipe of the zoo adds them'
      throw new ZooError('zoo', `the ledger lists no outputs of ${name}; ${todo}`, { path: this.zooPath })
    }
    const path = join(this.zooPath, outputs.file)
    const row = new Float32Array(this.count)
    const bytes = new Uint8Array(row.buffer)
    try {
      await readAt(await this.handleOf(path), bytes, outputs.row * bytes.length)
    } catch (error) {
      throw new ZooError('zoo', `cannot read ${path}: ${reasonOf(error)}`, { path }, { cause: error })
    }
    if (weightsHash(row) === outputs.sha256) return row
    const message = `${path}: row ${outputs.row} is not what the ledger lists of ${name} (SHA-256 differs)`
    throw new ZooError('zoo', message, { path })
  }

  private async handleOf(path: string): Promise<FileHandle> {
    const present = this.handles.get(path)
    if (present) return present
    await checkIsFile(path)
    const handle = await open(path, 'r')
    this.handles.set(path, handle)
    return handle
  }

  async close(): Promise<void> {
    for (const handle of this.handles.values()) await handle.close()
  }
}

/**
 * What networks said of the validation images: the probabilities of being positive, in the order of the image set, with
 * the images' classes. All that ROC curves, agreement and ensembles need, without weights and without a forward pass.
 *
 * @example
 * const outputs = await zoo.outputs()
 * rocCurve(outputs.row(0), outputs.targets(0)).auc
 */
export class Outputs {
  constructor(
    /** Name of each row's network, e.g. `church_3`. */
    readonly names: readonly string[],
    /** Class of each row's network, an index into `classNames`. `[networks]` */
    readonly labels: Int32Array,
    readonly classNames: readonly string[],
    /** Class of each validation image. `[images]` */
    readonly imageLabels: Uint8Array,
    /** Probabilities, flat. `[networks, images]` */
    readonly data: Float32Array,
  ) {}

  get shape(): readonly [networks: number, images: number] {
    return [this.names.length, this.imageLabels.length]
  }

  /** One network's probabilities. `[images]` */
  row(index: number): Float32Array {
    const images = this.imageLabels.length
    return this.data.subarray(index * images, (index + 1) * images)
  }

  /** Which images show the class that a row's network detects: 1 or 0. `[images]` */
  targets(index: number): Uint8Array {
    const label = this.labels[index]
    return this.imageLabels.map(of => Number(of === label))
  }
}
