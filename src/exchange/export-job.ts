import { type FileHandle, open } from 'node:fs/promises'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Architecture } from '../architecture/architecture.js'
import { ZooError } from '../errors.js'
import { networkName, safeName } from '../zoo/files.js'
import type { NetworkRecord } from '../zoo/ledger.js'
import type { Zoo } from '../zoo/zoo.js'

/** One network on its way out. */
export interface ExportedNetwork {
  readonly record: NetworkRecord
  /** The zoo's, with the activation that this network drew where the recipe varies it. */
  readonly architecture: Architecture
  /** Its row in everything that is written by row. */
  readonly row: number
  /** `church_3`, fit for a file name. */
  readonly fileName: string
  /** Flat, in the order of the parameter table, checked against the ledger's hash. `[parameterCount]` */
  readonly weights: Float32Array<ArrayBuffer>
}

/** What a format writes, and where to. */
export interface ExportJob {
  readonly zoo: Zoo
  /** An empty folder, which takes its final name once everything is in it. */
  readonly folder: string
  /** Every network once, in the order of `zoo.networks`: counts them, and stops when told to. */
  networks(): AsyncGenerator<ExportedNetwork>
}

/** How far an export is, and how to stop it. */
export interface ExportControl {
  /** Called after every network. */
  onProgress?: ((done: number, total: number) => void) | undefined
  /** Stops before the next network; nothing stays behind. */
  signal?: AbortSignal | undefined
}

/** Reads networks one by one, so that a zoo of any size needs the memory of one. */
export async function* readNetworks(
  zoo: Zoo,
  { onProgress, signal }: ExportControl,
): AsyncGenerator<ExportedNetwork> {
  const { networks } = zoo
  for (const [row, record] of networks.entries()) {
    // HDF5 is read synchronously: without a turn of the event loop, no signal, timer or redraw ever comes through.
    await nextTurn()
    if (signal?.aborted) {
      throw new ZooError(
        'interrupted',
        `interrupted after ${row} of ${networks.length} networks; nothing was exported`,
        { finished: row },
      )
    }
    const { class: name, index } = record
    const weights = await zoo.weights(name, index)
    const architecture = zoo.architectureOf(name, index)
    yield { record, architecture, row, fileName: networkName(safeName(name), index), weights }
    onProgress?.(row + 1, networks.length)
  }
}

/** Rows of the matrix of weights, one after the other. */
export async function* weightsOf(job: ExportJob): AsyncGenerator<Float32Array> {
  for await (const { weights } of job.networks()) yield weights
}

/** Writes a file from pieces that come one after the other. */
export async function writePieces(
  path: string,
  pieces: AsyncIterable<ArrayBufferView> | Iterable<ArrayBufferView>,
): Promise<void> {
  const file: FileHandle = await open(path, 'w')
  try {
    for await (const { buffer, byteOffset, byteLength } of pieces) {
      await file.writeFile(new Uint8Array(buffer, byteOffset, byteLength))
    }
  } finally {
    await file.close()
  }
}
