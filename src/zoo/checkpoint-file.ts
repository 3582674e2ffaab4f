import type { Architecture } from '../architecture/architecture.js'
import { ZooError } from '../errors.js'
import { digestFile, writeWhole } from './files.js'
import { openHdf5, writeHdf5 } from './hdf5.js'
import type { NetworkRecord, StoredCheckpoints } from './ledger.js'
import { attachTable } from './parameter-table.js'

/** A network on its way: its weights after some of its epochs. */
export interface Checkpoints {
  /** Epochs trained, ascending: 0 is the initialisation. */
  readonly epochs: readonly number[]
  /** Flat `[epochs.length, parameterCount]`. */
  readonly weights: Float32Array<ArrayBuffer>
  /** Weights after so many epochs; `[parameterCount]`. @throws ZooError `option` for an epoch that was not kept. */
  at(epochs: number): Float32Array<ArrayBuffer>
}

/** HDF5 chunks of one row each: a checkpoint can be read alone. */
const ROW_CHUNK_BYTES = 4

/** Writes a network's checkpoints, and returns what the ledger keeps of the file. */
export async function writeCheckpoints(
  path: string,
  { parameters, parameterCount }: Architecture,
  epochs: readonly number[],
  weights: Float32Array,
  { class: className, index, seed }: Pick<NetworkRecord, 'class' | 'index' | 'seed'>,
): Promise<StoredCheckpoints> {
  let fileSha256 = ''
  await writeWhole(path, async temporary => {
    await writeHdf5(temporary, file => {
      file.attribute('class', className)
      file.attribute('index', index)
      file.attribute('seed', BigInt(seed))
      file.dataset('epochs', Int32Array.from(epochs), [epochs.length])
      const matrix = file.matrix('parameters', epochs.length, parameterCount, ROW_CHUNK_BYTES)
      attachTable(file, 'parameters', parameters)
      for (const row of epochs.keys())
        matrix.writeRows(row, weights.subarray(row * parameterCount, (row + 1) * parameterCount))
    })
    fileSha256 = (await digestFile(temporary)).sha256
  })
  return { epochs, fileSha256 }
}

/** @throws ZooError `zoo` naming the file when it is missing, damaged, or not the one that the ledger lists. */
export async function readCheckpoints(
  path: string,
  { parameterCount }: Architecture,
  { epochs, fileSha256 }: StoredCheckpoints,
): Promise<Checkpoints> {
  const file = await openHdf5(path)
  let weights: Float32Array<ArrayBuffer>
  try {
    weights = file.floats('parameters')
  } finally {
    file.close()
  }
  const whole = weights.length === epochs.length * parameterCount
  if (!whole || (await digestFile(path)).sha256 !== fileSha256) {
    throw new ZooError('zoo', `${path} is not the file that the ledger lists (SHA-256 differs)`, { path })
  }
  return {
    epochs,
    weights,
    at(count) {
      const row = epochs.indexOf(count)
      if (row >= 0) return weights.slice(row * parameterCount, (row + 1) * parameterCount)
      const message = `invalid epochs; this network has checkpoints after ${epochs.join(', ')} epochs: ${count}`
      throw new ZooError('option', message, { name: 'epochs', value: count })
    },
  }
}
