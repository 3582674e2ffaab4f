import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { reasonOf, ZooError } from '../errors.js'
import { networkName, syncDirectory, weightsHash } from './files.js'
import type { LedgerRecord, NetworkRecord, StoredOutputs } from './ledger.js'

/** Names of outputs files: of whole calls and of shards. */
export const OUTPUTS_FILE = /^outputs(\.\d+-of-\d+)?\.f32$/

type FileHandle = Awaited<ReturnType<typeof open>>

/**
 * Appends networks' outputs on the validation split to one file of float32 rows, each on the disk before `append`
 * resolves. A network's ledger line, which comes after its row, says which one it is; a row that no line names is what a
 * crash left, and is written over.
 */
export class OutputsWriter {
  /** The write that the next one waits for. */
  private last: Promise<unknown> = Promise.resolve()

  private constructor(
    private readonly path: string,
    private readonly file: string,
    private readonly handle: FileHandle,
    private next: number,
  ) {}

  /** @param records of the whole zoo: where the rows that are in use end */
  static async open(zooPath: string, file: string, records: readonly LedgerRecord[]): Promise<OutputsWriter> {
    const path = join(zooPath, file)
    const rows = records.flatMap(record =>
      record.status === 'finished' && record.outputs?.file === file ? [record.outputs.row + 1] : [],
    )
    try {
      const handle = await open(path, constants.O_RDWR | constants.O_CREAT)
      await syncDirectory(zooPath)
      return new OutputsWriter(
        path,
        file,
        handle,
        rows.reduce((most, row) => Math.max(most, row), 0),
      )
    } catch (error) {
      throw cannotWrite(path, error)
    }
  }

  append(outputs: Float32Array): Promise<StoredOutputs> {
    const turn = this.last.then(() => this.write(outputs))
    this.last = turn.catch(() => {})
    return turn
  }

  private async write(outputs: Float32Array): Promise<StoredOutputs> {
    const bytes = new Uint8Array(outputs.buffer, outputs.byteOffset, outputs.byteLength)
    const start = this.next * bytes.length
    try {
      for (let at = 0; at < bytes.length; )
        at += (await this.handle.write(bytes, at, bytes.length - at, start + at)).bytesWritten
      // What a crash left behind this row ends here, so that the file is whole rows.
      await this.handle.truncate(start + bytes.length)
      await this.handle.datasync()
    } catch (error) {
      throw cannotWrite(this.path, error)
    }
    return { file: this.file, row: this.next++, sha256: weightsHash(outputs) }
  }

  close(): Promise<void> {
    return this.handle.close()
  }
}

function cannotWrite(path: string, error: unknown): ZooError<'zoo'> {
  return new ZooError('zoo', `cannot write ${path}: ${reasonOf(error)}`, { path }, { cause: error })
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
      const handle = this.handles.get(path) ?? (await open(path, 'r'))
      this.handles.set(path, handle)
      let at = 0
      for (let read = 1; at < bytes.length && read > 0; at += read) {
        read = (await handle.read(bytes, at, bytes.length - at, outputs.row * bytes.length + at)).bytesRead
      }
    } catch (error) {
      throw new ZooError('zoo', `cannot read ${path}: ${reasonOf(error)}`, { path }, { cause: error })
    }
    if (weightsHash(row) === outputs.sha256) return row
    const message = `${path}: row ${outputs.row} is not what the ledger lists of ${name} (SHA-256 differs)`
    throw new ZooError('zoo', message, { path })
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
