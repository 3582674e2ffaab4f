import { createHash } from 'node:crypto'
import { constants, createReadStream, type Stats } from 'node:fs'
import { type FileHandle, lstat, mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { reasonOf, ZooError } from '../errors.js'
import { type ProcessIdentity, placeTag, runsHere } from './process-identity.js'

/** Names of what a zoo directory holds. */
export const ZOO_FILES = {
  manifest: 'zoo.json',
  ledger: 'ledger.jsonl',
  models: 'models',
  checkpoints: 'checkpoints',
  metrics: 'metrics.csv',
  modelwise: 'modelwise.h5',
  layerwise: 'layerwise.h5',
  /** Made from the zoo for people, at any time again; nothing reads or checks it. */
  report: 'report',
  compiled: 'compiled.json',
  lock: 'zoo.lock',
  manifestLock: 'zoo.json.lock',
  compileLock: 'compile.lock',
} as const

/** `church_3`: a network's name in messages, files and compiled datasets. */
export function networkName(className: string, index: number): string {
  return `${className}_${index}`
}

/** Where a network's weights lie in a zoo directory. */
export function modelPath(zooPath: string, className: string, index: number): string {
  return join(zooPath, ZOO_FILES.models, `${networkName(safeName(className), index)}.weights.h5`)
}

/** Where a network's checkpoints lie. */
export function checkpointPath(zooPath: string, className: string, index: number): string {
  return join(zooPath, ZOO_FILES.checkpoints, `${networkName(safeName(className), index)}.h5`)
}

/**
 * A class name as part of a file or HDF5 path: everything but letters, digits, `_`, `-` and `.`, and a dot in front, as
 * %XX of its UTF-8.
 */
export function safeName(name: string): string {
  // With a dot behind it, Windows takes a device's name for the device.
  return name.replace(/^\.|^(?:con|prn|aux|nul|com\d|lpt\d)(?=\.)|[^A-Za-z0-9_.-]/giu, character =>
    [...Buffer.from(character)].map(byte => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join(''),
  )
}

/** SHA-256 (hex) of weights as little-endian float32, the layout of every typed array here. */
export function weightsHash(weights: Float32Array): string {
  return createHash('sha256')
    .update(new Uint8Array(weights.buffer, weights.byteOffset, weights.byteLength))
    .digest('hex')
}

/** Size and SHA-256 (hex) of a file. */
export interface FileDigest {
  readonly bytes: number
  readonly sha256: string
}

/** @throws Error for what is no file: whoever reads a pipe or a device waits for ever. */
export async function checkIsFile(path: string): Promise<void> {
  refuseOthers(await stat(path))
}

function refuseOthers(found: Stats): void {
  if (found.isDirectory()) throw new Error(IS_FOLDER)
  if (!found.isFile()) throw new Error('it is a pipe or a device, not a file')
}

const IS_FOLDER = 'it is a folder, not a file: remove it'
const IS_LINK =
  'it is a link, and nothing is written outside the zoo; remove it, or put there what it points to'

/** The text of a file. */
export async function readText(path: string): Promise<string> {
  await checkIsFile(path)
  return readFile(path, 'utf8')
}

/** Opens a file of a zoo to write in it, and makes it where there is none. */
export async function openToWrite(path: string): Promise<FileHandle> {
  // Not for appending: Windows cannot truncate what is open for that. It has no flag against links, either.
  const flags = constants.O_RDWR | constants.O_CREAT | (constants.O_NOFOLLOW ?? 0)
  const handle = await open(path, flags).catch(error => {
    throw error.code === 'ELOOP' ? new Error(IS_LINK, { cause: error }) : error
  })
  try {
    refuseOthers(await handle.stat())
    await syncDirectory(dirname(path))
    return handle
  } catch (error) {
    await handle.close()
    throw error
  }
}

/** @throws Error when an open file has been removed: what is written into it would be lost. */
export async function checkIsLinked(handle: FileHandle): Promise<void> {
  if ((await handle.stat()).nlink === 0) throw new Error('the file was removed while it was open')
}

/** @throws ZooError `zoo` for a folder of a zoo that is a link: what is written into it would lie elsewhere. */
export async function refuseLink(path: string): Promise<void> {
  if (!(await lstat(path).catch(() => undefined))?.isSymbolicLink()) return
  throw new ZooError('zoo', `cannot write ${path}: ${IS_LINK}`, { path })
}

/** Reads a file through, and nothing of it stays in memory. */
export async function digestFile(path: string): Promise<FileDigest> {
  await checkIsFile(path)
  const hash = createHash('sha256')
  let bytes = 0
  for await (const chunk of createReadStream(path, { highWaterMark: 2 ** 20 })) {
    hash.update(chunk as Buffer)
    bytes += (chunk as Buffer).length
  }
  return { bytes, sha256: hash.digest('hex') }
}

/** Name of a file while it is being written: each process has its own, so that two of them cannot mix their bytes. */
export function temporaryName(path: string): string {
  return `${path}.${placeTag()}-${process.pid}.tmp`
}

const TEMPORARY = /\.(?:([0-9a-f]{8})-)?(\d+)\.tmp$/
/** Milliseconds after which an unfinished file that nobody writes to is nobody's. */
const ABANDONED = 10 * 60_000

/** Whether a file name is that of an unfinished file. */
export function isTemporary(name: string): boolean {
  return TEMPORARY.test(name)
}

/** An error for a directory that is there, but cannot be listed. */
export function cannotList(path: string, cause: unknown): ZooError<'zoo'> {
  return new ZooError('zoo', `cannot list ${path}: ${reasonOf(cause)}`, { path }, { cause })
}

/** Paths of all unfinished files in a zoo directory. */
export async function temporaryFiles(zooPath: string): Promise<string[]> {
  const folders = [zooPath, join(zooPath, ZOO_FILES.models), join(zooPath, ZOO_FILES.checkpoints)]
  const lists = folders.map(async folder => {
    const names: string[] = await readdir(folder).catch(() => [])
    return names.filter(isTemporary).map(name => join(folder, name))
  })
  return (await Promise.all(lists)).flat()
}

/** Whether a process, of whatever machine, was writing an unfinished file. */
export function isTemporaryOf(path: string, owner: ProcessIdentity): boolean {
  return path.endsWith(`.${placeTag(owner)}-${owner.pid}.tmp`)
}

/** Whether a crash left an unfinished file: its process has ended, or nobody has written to it for long. */
export async function isAbandoned(path: string): Promise<boolean> {
  const [, place, pid] = TEMPORARY.exec(path) ?? []
  if (pid === undefined) return false
  if ((place === placeTag() || place === undefined) && !runsHere(Number(pid))) return true
  const written = await stat(path).catch(() => undefined)
  return written !== undefined && Date.now() - written.mtimeMs > ABANDONED
}

/**
 * Makes a file appear whole or not at all: written under a temporary name beside it, synced to the disk, renamed. Its
 * folder has to be there: one that has vanished is not made again behind the user's back.
 *
 * @throws ZooError `zoo` naming the file when it cannot be written.
 */
export async function writeWhole(path: string, write: (temporary: string) => Promise<void>): Promise<void> {
  const temporary = temporaryName(path)
  try {
    await write(temporary)
    await syncFile(temporary)
    await rename(temporary, path)
    await syncDirectory(dirname(path))
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {})
    if (error instanceof ZooError && error.message.includes(temporary)) {
      throw new ZooError('zoo', error.message.replaceAll(temporary, path), { path }, { cause: error })
    }
    // Errors of the file system have a code; anything else is not about this file.
    if (!(error instanceof Error && 'code' in error)) throw error
    const isFolder = (await lstat(path).catch(() => undefined))?.isDirectory()
    const reason = isFolder ? IS_FOLDER : reasonOf(error)
    throw new ZooError('zoo', `cannot write ${path}: ${reason}`, { path }, { cause: error })
  }
}

/** Makes a folder and those above it, so that they outlast a power failure. */
export async function makeFolder(path: string): Promise<void> {
  const first = await mkdir(path, { recursive: true })
  if (first === undefined) return
  const top = dirname(resolve(first))
  for (let folder = dirname(resolve(path)); ; folder = dirname(folder)) {
    await syncDirectory(folder)
    if (folder === top) return
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

/** Makes a rename, or a new file, last. Windows cannot sync a directory, and need not. */
export async function syncDirectory(path: string): Promise<void> {
  if (process.platform === 'win32') return
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
