import type { Dirent } from 'node:fs'
import { readdir, readFile, stat } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import {
  ArchiveError,
  type ArchiveKind,
  archiveEntries,
  archiveKind,
  MAX_ENTRY_BYTES,
  refuseLarge,
} from '../archive.js'
import { reasonOf, ZooError } from '../errors.js'

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
  if (!stats.isFile()) throw sourceError(path, 'cannot read images; neither a file nor a folder')
  const kind = await sniffArchive(path)
  return {
    path,
    name: basename(path).replace(/(\.tar)?\.[^.]+$/, ''),
    identity: [resolve(path), stats.size, stats.mtimeMs],
    listed: false,
    folders: layout.folders,
    files: () => readArchive(path, kind, layout),
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
          const stats = await stat(path).catch(() => undefined)
          const { size = 0, mtimeMs = 0 } = stats ?? {}
          // A pipe would be waited for, and a device never ends.
          const isOther = stats && !stats.isFile()
          return {
            split,
            folder: name,
            file,
            path,
            size,
            changed: mtimeMs,
            read: () => (isOther ? Promise.reject(new Error('no regular file')) : readLimited(path, size)),
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

async function sniffArchive(path: string): Promise<ArchiveKind> {
  const kind = await archiveKind(path).catch(error => {
    throw error instanceof ArchiveError
      ? sourceError(path, error.message)
      : sourceError(path, `cannot read images; ${reasonOf(error)}`, error)
  })
  if (kind === 'zip') throw sourceError(path, 'cannot read a zip archive; unpack it or pack it as .tgz')
  if (kind === undefined) throw sourceError(path, 'not an archive; give a folder, a .tgz, .tar.gz or .tar')
  return kind
}

async function* readArchive(path: string, kind: ArchiveKind, layout: Layout): AsyncGenerator<ImageFile> {
  try {
    for await (const { path: name, parts, isFolder, fraction, size, take } of archiveEntries(path, kind)) {
      const file = isFolder ? '' : (parts.at(-1) ?? '')
      const place = layout.enter(isFolder ? parts : parts.slice(0, -1))
      if (!place || !isImageName(file)) continue
      // The stream goes on after this, so the bytes are taken now; a file too large is an error when it is read.
      const bytes = size > MAX_ENTRY_BYTES ? undefined : await take()
      const read = async () => {
        refuseLarge(size)
        return bytes!
      }
      yield { ...place, file, path: name, fraction, read }
    }
  } catch (error) {
    if (error instanceof ZooError) throw error
    throw sourceError(
      path,
      error instanceof ArchiveError ? error.message : `cannot read archive; ${reasonOf(error)}`,
      error,
    )
  }
}
