import { close, createReadStream, fstatSync, openSync, type ReadStream, read } from 'node:fs'
import { open } from 'node:fs/promises'
import { pipeline, type Readable, Transform } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { type Entry, fromRandomAccessReaderPromise, RandomAccessReader, type ZipFile } from 'yauzl'
import { reasonOf } from './errors.js'
import { hasTarChecksum, TarError, tarMembers } from './tar.js'

// Archives are read as streams of files and never unpacked: no path in them is ever used as a path on this machine, and
// links and devices are passed over. What could fill the memory or never end is limited below.

/** Largest file that is read out of an archive: 256 MiB, far above any photograph and any small network. */
export const MAX_ENTRY_BYTES = 256 * 2 ** 20
/** Most files and folders in an archive; all of ImageNet is 1.4 million. */
const MAX_ENTRIES = 10_000_000
/** Most bytes unpacked from one packed byte. Images and weights give 1 to 2; gzip's most, for a bomb of zeros, is 1,032. */
const MAX_RATIO = 100
/** The ratio is looked at beyond this: a small archive of empty files may have any. */
const RATIO_MATTERS_BYTES = 64 * 2 ** 20

/** A file or folder in an archive. */
export interface ArchiveEntry {
  /** As the archive has it: for messages, not for the file system. */
  readonly path: string
  /** The parts of the path, without `./` and doubled or trailing slashes. */
  readonly parts: readonly string[]
  readonly isFolder: boolean
  /** How much of the archive has been gone through with this entry, 0 to 1. */
  readonly fraction: number
  /** In bytes. */
  readonly size: number
  /**
   * Takes the bytes out of the stream, which waits for that; not calling it passes over them.
   * @throws Error where there are more than {@link MAX_ENTRY_BYTES}.
   */
  take(): Promise<Uint8Array>
}

/** Which kind of archive a file is, by its first bytes. */
export type ArchiveKind = 'tar' | 'gzip' | 'zip'

/** What is wrong with an archive, as the end of a sentence. */
export class ArchiveError extends Error {}

/**
 * Tells archives from other files by their first bytes, as the extension may lie.
 * @returns `undefined` for a file that is no archive
 * @throws ArchiveError for an archive of a kind that is not read, or a tar without its end.
 */
export async function archiveKind(path: string): Promise<ArchiveKind | undefined> {
  const handle = await open(path)
  try {
    const { size } = await handle.stat()
    const head = Buffer.alloc(512)
    const { bytesRead } = await handle.read(head, 0, 512, 0)
    if (head[0] === 0x1f && head[1] === 0x8b) return 'gzip'
    if (head.subarray(0, 2).equals(Buffer.from('PK'))) return 'zip'
    const kind = OTHER_ARCHIVES.find(([magic]) => head.subarray(0, magic.length).equals(magic))?.[1]
    if (kind) throw new ArchiveError(`cannot read a ${kind} archive; unpack it or pack it as .tgz`)
    if (bytesRead < 512 || !hasTarChecksum(head)) return undefined
    // Nothing else tells a .tar that was cut between two files from a whole one.
    const tail = Buffer.alloc(512)
    await handle.read(tail, 0, 512, Math.max(0, size - 512))
    if (tail.some(byte => byte !== 0))
      throw new ArchiveError('truncated archive (no end mark); download or pack it again')
    return 'tar'
  } finally {
    await handle.close()
  }
}

const OTHER_ARCHIVES: [magic: Buffer, kind: string][] = [
  [Buffer.from('BZh'), 'bzip2'],
  [Buffer.from('\xfd7zXZ', 'latin1'), 'xz'],
  [Buffer.from('\x28\xb5\x2f\xfd', 'latin1'), 'zstd'],
  [Buffer.from('7z\xbc\xaf', 'latin1'), '7z'],
]

/**
 * The files and folders of an archive, in its order.
 * @throws ArchiveError for a damaged or truncated archive, or one beyond the limits.
 */
export function archiveEntries(path: string, kind: ArchiveKind): AsyncGenerator<ArchiveEntry> {
  return kind === 'zip' ? zipEntries(path) : tarEntries(path, kind === 'gzip')
}

async function* tarEntries(path: string, gzip: boolean): AsyncGenerator<ArchiveEntry> {
  const packed = await sizeOf(path)
  const input = createReadStream(path, { highWaterMark: 2 ** 20 })
  const unpacked = gzip ? gunzip(input) : input
  let count = 0
  try {
    for await (const { name, isFolder, size, read } of tarMembers(unpacked)) {
      countEntry(++count)
      const fraction = Math.min(1, input.bytesRead / packed)
      const take = () => {
        refuseLarge(size)
        return read().catch(error => {
          throw tarError(error, true)
        })
      }
      yield { path: name, parts: partsOf(name), isFolder, fraction, size, take }
    }
  } catch (error) {
    throw tarError(error as NodeJS.ErrnoException, count > 0)
  } finally {
    unpacked.destroy()
  }
}

function gunzip(input: ReadStream): Readable {
  // The reader of the last stream meets the error of any.
  const noop = () => {}
  return pipeline(
    input,
    createGunzip({ chunkSize: 2 ** 18 }),
    limitRatio(() => input.bytesRead),
    noop,
  )
}

function countEntry(count: number): void {
  if (count > MAX_ENTRIES) throw new ArchiveError(`refused: an archive of more than ${MAX_ENTRIES} files`)
}

/** Stops a stream that unpacks to more than any archive of images or weights does. */
function limitRatio(packedBytes: () => number): Transform {
  let unpacked = 0
  return new Transform({
    transform(chunk: Buffer, _, done) {
      unpacked += chunk.length
      try {
        checkRatio(packedBytes(), unpacked)
        done(null, chunk)
      } catch (error) {
        done(error as Error)
      }
    },
  })
}

/** @throws ArchiveError where much more is unpacked than any archive of images or weights holds. */
export function checkRatio(packed: number, unpacked: number): void {
  if (unpacked > RATIO_MATTERS_BYTES && unpacked > MAX_RATIO * packed)
    throw new ArchiveError(`refused: it unpacks to more than ${MAX_RATIO} times its size`)
}

function partsOf(name: string): string[] {
  return name.split('/').filter(part => part !== '' && part !== '.')
}

/** @throws Error naming the limit. */
export function refuseLarge(size: number): void {
  if (size > MAX_ENTRY_BYTES) throw new Error(`${size} bytes are more than the limit of ${MAX_ENTRY_BYTES}`)
}

function tarError(error: NodeJS.ErrnoException, anyEntry: boolean): Error {
  if (error instanceof ArchiveError) return error
  const kind = error instanceof TarError ? error.kind : undefined
  if (kind === 'refused') return new ArchiveError(error.message)
  const cut = error.code === 'Z_BUF_ERROR' || kind === 'truncated'
  const words =
    cut && (anyEntry || error.code === 'Z_BUF_ERROR')
      ? 'truncated archive; download or pack it again'
      : error.code === 'Z_DATA_ERROR'
        ? `damaged archive (${reasonOf(error)}); download or pack it again`
        : !anyEntry
          ? 'not an archive; compressed, but no tar inside'
          : `cannot read archive; ${reasonOf(error)}`
  return new ArchiveError(words, { cause: error })
}

async function* zipEntries(path: string): AsyncGenerator<ArchiveEntry> {
  const size = await sizeOf(path)
  const zip = await openZip(path)
  let count = 0
  let packed = 0
  let unpacked = 0
  const take = (entry: Entry) => {
    refuseLarge(entry.uncompressedSize)
    packed += entry.compressedSize
    unpacked += entry.uncompressedSize
    if (packed > size) throw new ArchiveError('refused: its files overlap')
    checkRatio(packed, unpacked)
    return inflate(zip, entry)
  }
  try {
    for await (const entry of zip.eachEntry()) {
      countEntry(++count)
      const { fileName: name } = entry
      yield {
        path: name,
        parts: partsOf(name),
        isFolder: name.endsWith('/'),
        size: entry.uncompressedSize,
        fraction: Math.min(1, entry.relativeOffsetOfLocalHeader / size),
        take: () => take(entry),
      }
    }
  } catch (error) {
    throw zipError(error)
  } finally {
    zip.close()
  }
}

async function inflate(zip: ZipFile, entry: Entry): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  for await (const chunk of await zip.openReadStreamPromise(entry)) chunks.push(chunk as Uint8Array)
  return Buffer.concat(chunks)
}

async function openZip(path: string): Promise<ZipFile> {
  const fd = openSync(path, 'r')
  const options = { lazyEntries: true, autoClose: false }
  const reader = new ZipReader(path, fd)
  return fromRandomAccessReaderPromise(reader, fstatSync(fd).size, options).catch(error => {
    reader.close(() => {})
    throw zipError(error)
  })
}

/**
 * Reads where yauzl wants to. It takes positions as the archive has them, and `fs.read` throws at those that no file can
 * have, in a callback, which would end the process.
 */
class ZipReader extends RandomAccessReader {
  constructor(
    private readonly path: string,
    private readonly fd: number,
  ) {
    super()
  }

  override read(...[buffer, offset, length, position, done]: Parameters<RandomAccessReader['read']>): void {
    if (Number.isSafeInteger(position)) read(this.fd, buffer, offset, length, position, done)
    else process.nextTick(done, new Error(`a part of it at byte ${position}`))
  }

  override createReadStream({ start, end }: { start: number; end: number }): Readable {
    if (start === end) return super.createReadStream({ start, end })
    // The stream of one part, and not the archive, is closed with it.
    const fs = { read, close: (_: number, done: (error: null) => void) => done(null) }
    return createReadStream(this.path, { fd: this.fd, fs, start, end: end - 1 })
  }

  override close(done: (error: Error | null) => void): void {
    close(this.fd, done)
  }
}

/** Where the files of a zip lie that are stored as they are, by name; torch keeps its tensors so. */
export async function storedZipFiles(path: string): Promise<Map<string, { start: number; length: number }>> {
  const zip = await openZip(path)
  const files = new Map<string, { start: number; length: number }>()
  let count = 0
  try {
    for await (const entry of zip.eachEntry()) {
      countEntry(++count)
      if (entry.compressionMethod !== 0 || entry.isEncrypted()) continue
      const { fileDataStart: start } = await zip.readLocalFileHeaderPromise(entry, { minimal: true })
      files.set(entry.fileName, { start, length: entry.uncompressedSize })
    }
    return files
  } catch (error) {
    throw zipError(error)
  } finally {
    zip.close()
  }
}

function zipError(error: unknown): Error {
  if (error instanceof ArchiveError) return error
  return new ArchiveError(`damaged archive (${reasonOf(error)}); download or pack it again`, { cause: error })
}

async function sizeOf(path: string): Promise<number> {
  const handle = await open(path)
  try {
    return (await handle.stat()).size
  } finally {
    await handle.close()
  }
}
