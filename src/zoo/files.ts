import { createHash } from 'node:crypto'
import { mkdir, open, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { reasonOf, ZooError } from '../errors.js'

/** Names of what a zoo directory holds. */
export const ZOO_FILES = {
  manifest: 'zoo.json',
  ledger: 'ledger.jsonl',
  models: 'models',
  metrics: 'metrics.csv',
  modelwise: 'modelwise.h5',
  layerwise: 'layerwise.h5',
  lock: 'zoo.lock',
} as const

/** `church_3`: a network's name in messages, files and compiled datasets. */
export function networkName(className: string, index: number): string {
  return `${className}_${index}`
}

/** Where a network's weights lie in a zoo directory. */
export function modelPath(zooPath: string, className: string, index: number): string {
  return join(zooPath, ZOO_FILES.models, `${networkName(safeName(className), index)}.weights.h5`)
}

/**
 * A class name as part of a file or HDF5 path: everything but letters, digits, `_`, `-` and `.`, and a dot in front, as
 * %XX of its UTF-8.
 */
export function safeName(name: string): string {
  return name.replace(/^\.|[^A-Za-z0-9_.-]/gu, character =>
    [...Buffer.from(character)].map(byte => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join(''),
  )
}

/** SHA-256 (hex) of weights as little-endian float32, the layout of every typed array here. */
export function weightsHash(weights: Float32Array): string {
  return createHash('sha256')
    .update(new Uint8Array(weights.buffer, weights.byteOffset, weights.byteLength))
    .digest('hex')
}

/** End of the names of unfinished files; each process has its own, so that two of them cannot mix their bytes. */
export const TEMPORARY = /\.\d+\.tmp$/

/**
 * Makes a file appear whole or not at all: written under a temporary name beside it, synced to the disk, renamed.
 *
 * @throws ZooError `zoo` naming the file when it cannot be written.
 */
export async function writeWhole(path: string, write: (temporary: string) => Promise<void>): Promise<void> {
  const temporary = `${path}.${process.pid}.tmp`
  try {
    await mkdir(dirname(path), { recursive: true })
    await write(temporary)
    await syncFile(temporary)
    await rename(temporary, path)
    await syncDirectory(dirname(path))
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {})
    // Errors of the file system have a code; anything else is not about this file.
    if (!(error instanceof Error && 'code' in error)) throw error
    throw new ZooError('zoo', `cannot write ${path}: ${reasonOf(error)}`, { path }, { cause: error })
  }
}

async function syncFile(path: string): Promise<void> {
  const handle = await open(path, 'r+')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Makes a rename last. Windows cannot sync a directory, and need not. */
async function syncDirectory(path: string): Promise<void> {
  if (process.platform === 'win32') return
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
