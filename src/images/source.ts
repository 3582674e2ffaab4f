import { createReadStream, type Dirent } from 'node:fs'
import { open, readdir, readFile, stat } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { createGunzip } from 'node:zlib'
import { extract as createExtract, type Header } from 'tar-stream'
import { reasonOf, ZooError } from '../errors.js'

/** Largest image file that is read: 256 MiB, far above any photograph, so that no entry can fill the memory. */
const MAX_FILE_BYTES = 256 * 2 ** 20

/** Whether a file name is that of an image, and not hidden. */
function isImageName(name: string): boolean {
  return /^[^.].*\.(jpe?g|png|webp)$/i.test(name)
}

/** One image file, found at `<split>/<folder>/<file>`. */
export interface ImageFile {
  readonly split: string
  /** The class, as its folder is named. */
  readonly folder: string
  readonly file: string
  /** The file, or its path inside the archive: what a message names. */
  readonly path: string
  /** How much of the source has been gone through with this file, 0 to 1. */
  readonly fraction: number
  /** Its bytes; throws where they cannot be had. */
  read(): Promise<Uint8Array>
}

/** A folder or an archive of images. */
export interface ImageSource {
  /** As the user wrote it: what a message names. */
  readonly path: string
  /** The file's or folder's name without its extension. */
  readonly name: string
  /** Absolute path, sizes and times of change: part of the cache's key. */
  readonly identity: unknown
  /** The image files in any order; where one path comes twice, the later one counts. */
  files(): AsyncIterable<ImageFile>
  /** Whether `folders` is complete from the start (a folder), or only after `files` has ended (an archive). */
  readonly listed: boolean
  /** The class folders of each split, those without images too. */
  readonly folders: ReadonlyMap<string, ReadonlySet<string>>
}

/**
 * Opens a folder or an archive whose images lie in the given split folders, at its root or below one top folder.
 * Hidden files and folders (also macOS's `._*`) are passed over.
 *
 * @throws ZooError `images` where there is no such path or it is neither a folder nor an archive.
 */
export async function openSource(path: string, splits: readonly string[]): Promise<ImageSource> {
  const stats = await stat(path).catch((cause: NodeJS.ErrnoException) => {
    const missing = cause.code === 'ENOENT' || cause.code === 'ENOTDIR'
    throw sourceError(
      path,
      `cannot read images; ${missing ? 'no such file or folder' : reasonOf(cause)}`,
      cause,
    )
  })
  const layout = new Layout(path, splits)
  if (stats.isDirectory()) return openFolder(path, layout)
  const file = await sniffArchive(path)
  return {
    path,
    name: basename(path).replace(/(\.tar)?\.[^.]+$/, ''),
    identity: [resolve(path), stats.size, stats.mtimeMs],
    listed: false,
    folders: layout.folders,
    files: () => readArchive(path, file, layout),
  }
}

function sourceError(path: string, message: string, cause?: unknown): ZooError<'images'> {
  return new ZooError('images', `${message}: ${path}`, { path }, { cause })
}

/** Sorts paths into splits and class folders, and remembers which of them there are. */
class Layout {
  readonly folders: Map<string, Set<string>>
  private top: string | undefined

  constructor(
    private readonly source: string,
    readonly splits: readonly string[],
  ) {
    this.folders = new Map(splits.map(split => [split, new Set<string>()]))
  }

  /** Notes the class folder that a folder's path goes through; returns it where the path ends there. */
  enter(parts: readonly string[]): { split: string; folder: string } | undefined {
    if (parts.some(part => part.startsWith('.'))) return undefined
    const depth = this.splits.includes(parts[0]!) ? 0 : 1
    const [split, folder, ...deeper] = parts.slice(depth)
    const folders = this.folders.get(split ?? '')
    if (split === undefined || folder === undefined || folders === undefined) return undefined
    const top = parts.slice(0, depth).join() || '.'
    this.top ??= top
    if (this.top !== top)
      throw sourceError(
        this.source,
        `split folders stand both in "${this.top}" and in "${top}"; keep one of them`,
      )
    folders.add(folder)
    return deeper.length === 0 ? { split, folder } : undefined
  }
}

async function openFolder(root: string, layout: Layout): Promise<ImageSource> {
  const found: (Omit<ImageFile, 'fraction'> & { size: number; changed: number })[] = []
  const tops = [[], ...(await subfolders(root)).map(name => [name])]
  for (const top of tops) {
    for (const split of layout.splits) {
      for (const name of await subfolders(join(root, ...top, split))) {
        if (!layout.enter([...top, split, name])) continue
        const folder = join(root, ...top, split, name)
        const files = (await list(folder)).map(entry => entry.name).filter(isImageName)
        const described = files.sort().map(async file => {
          const path = join(folder, file)
          // What cannot be looked at (a link to nowhere) is named when it is read, or skipped with the bad images.
          const { size, mtimeMs } = await stat(path).catch(() => ({ size: 0, mtimeMs: 0 }))
          return {
            split,
            folder: name,
            file,
            path,
            size,
            changed: mtimeMs,
            read: () => readLimited(path, size),
          }
        })
        found.push(...(await Promise.all(described)))
      }
    }
  }
  const folders = [...layout.folders].map(([split, names]) => [split, ...names])
  return {
    path: root,
    name: basename(resolve(root)),
    identity: [resolve(root), folders, found.map(({ path, size, changed }) => [path, size, changed])],
    listed: true,
    folders: layout.folders,
    async *files() {
      for (const [i, file] of found.entries()) yield { ...file, fraction: (i + 1) / found.length }
    },
  }
}

/** What a folder holds; nothing where it does not exist. */
async function list(path: string): Promise<Dirent[]> {
  return readdir(path, { withFileTypes: true }).catch(error => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return []
    throw sourceError(path, `cannot read folder; ${reasonOf(error)}`, error)
  })
}

/** Names of the folders (and links to folders) in a folder. */
async function subfolders(path: string): Promise<string[]> {
  const entries = await list(path)
  const isFolder = await Promise.all(
    entries.map(async entry =>
      entry.isSymbolicLink()
        ? stat(join(path, entry.name)).then(
            stats => stats.isDirectory(),
            () => false,
          )
        : entry.isDirectory(),
    ),
  )
  return entries
    .filter((_, i) => isFolder[i])
    .map(entry => entry.name)
    .sort()
}

async function readLimited(path: string, size: number): Promise<Uint8Array> {
  refuseLarge(size)
  return readFile(path)
}

function refuseLarge(size: number): void {
  if (size > MAX_FILE_BYTES) throw new Error(`${size} bytes are more than the limit of ${MAX_FILE_BYTES}`)
}

interface ArchiveFile {
  gzip: boolean
  size: number
}

/** Tells archives from other files by their first bytes, as the extension may lie. */
async function sniffArchive(path: string): Promise<ArchiveFile> {
  const handle = await open(path).catch(cause => {
    throw sourceError(path, `cannot read images; ${reasonOf(cause)}`, cause)
  })
  try {
    const { size } = await handle.stat()
    const head = Buffer.alloc(512)
    const { bytesRead } = await handle.read(head, 0, 512, 0)
    if (head[0] === 0x1f && head[1] === 0x8b) return { gzip: true, size }
    const kind = OTHER_ARCHIVES.find(([magic]) => head.subarray(0, magic.length).equals(magic))?.[1]
    if (kind) throw sourceError(path, `cannot read a ${kind} archive; unpack it or pack it as .tgz`)
    if (bytesRead < 512 || !hasTarChecksum(head))
      throw sourceError(path, 'not an archive; give a folder, a .tgz, .tar.gz or .tar')
    // Nothing else tells a .tar that was cut between two files from a whole one.
    const tail = Buffer.alloc(512)
    await handle.read(tail, 0, 512, Math.max(0, size - 512))
    if (tail.some(byte => byte !== 0))
      throw sourceError(path, 'truncated archive (no end mark); download or pack it again')
    return { gzip: false, size }
  } finally {
    await handle.close()
  }
}

const OTHER_ARCHIVES: [magic: Buffer, kind: string][] = [
  [Buffer.from('PK'), 'zip'],
  [Buffer.from('BZh'), 'bzip2'],
  [Buffer.from('\xfd7zXZ', 'latin1'), 'xz'],
  [Buffer.from('\x28\xb5\x2f\xfd', 'latin1'), 'zstd'],
  [Buffer.from('7z\xbc\xaf', 'latin1'), '7z'],
]

/** A tar header holds, in octal at byte 148, the sum of its own bytes with that field taken as spaces. */
function hasTarChecksum(header: Buffer): boolean {
  const stored = Number.parseInt(header.toString('latin1', 148, 156).trim(), 8)
  const sum = header.reduce((total, byte, i) => total + (i >= 148 && i < 156 ? 32 : byte), 0)
  return stored === sum
}

async function* readArchive(
  path: string,
  { gzip, size }: ArchiveFile,
  layout: Layout,
): AsyncGenerator<ImageFile> {
  const input = createReadStream(path, { highWaterMark: 2 ** 20 })
  const entries = createExtract({ allowUnknownFormat: true } as object) // pre-POSIX archives too
  const stages = gzip ? [input, createGunzip({ chunkSize: 2 ** 18 }), entries] : [input, entries]
  const feeding = pipeline(stages as unknown as [NodeJS.ReadableStream, NodeJS.WritableStream])
  feeding.catch(() => {}) // the loop below meets the same error
  let anyEntry = false
  try {
    for await (const entry of entries) {
      anyEntry = true
      const { name, type } = entry.header
      const parts = partsOf(name)
      const file = type === 'directory' ? '' : parts.pop()!
      const place = type === 'directory' || type === 'file' ? layout.enter(parts) : undefined
      if (!place || !isImageName(file)) {
        entry.resume()
        continue
      }
      const read = await collect(entry)
      yield { ...place, file, path: name, fraction: Math.min(1, input.bytesRead / size), read }
    }
    await feeding
  } catch (error) {
    if (error instanceof ZooError) throw error
    throw archiveError(path, anyEntry, error as NodeJS.ErrnoException)
  } finally {
    input.destroy()
  }
}

/** The parts of a path in an archive, without `./` and doubled or trailing slashes. */
function partsOf(name: string): string[] {
  return name.split('/').filter(part => part !== '' && part !== '.')
}

/** Takes an entry's bytes out of the stream, which waits for that; the result gives them back once. */
async function collect(
  entry: AsyncIterable<unknown> & { header: Header; resume(): void },
): Promise<() => Promise<Uint8Array>> {
  const size = entry.header.size ?? 0
  if (size > MAX_FILE_BYTES) {
    entry.resume()
    return async () => {
      refuseLarge(size)
      return new Uint8Array()
    }
  }
  const chunks: Uint8Array[] = []
  for await (const chunk of entry) chunks.push(chunk as Uint8Array)
  return async () => (chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks))
}

function archiveError(path: string, anyEntry: boolean, error: NodeJS.ErrnoException): ZooError<'images'> {
  const cut = error.code === 'Z_BUF_ERROR' || error.message === 'Unexpected end of data'
  if (cut && (anyEntry || error.code === 'Z_BUF_ERROR'))
    return sourceError(path, 'truncated archive; download or pack it again', error)
  if (error.code === 'Z_DATA_ERROR')
    return sourceError(path, `damaged archive (${reasonOf(error)}); download or pack it again`, error)
  if (!anyEntry) return sourceError(path, 'not an archive; compressed, but no tar inside', error)
  return sourceError(path, `cannot read archive; ${reasonOf(error)}`, error)
}
