import { readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Architecture } from '../architecture/architecture.js'
import { type ArchiveKind, archiveEntries } from '../archive.js'
import { ZooError } from '../errors.js'
import { temporaryName } from '../zoo/files.js'
import { type ImportedNetwork, importError, parseFileName } from './import-network.js'
import { readKerasFile } from './keras-files.js'

// Folders and archives of Keras files, one network a file.

/** Folders in folders that are looked through; links are not followed, so none can be without end. */
const MAX_DEPTH = 16

/** The networks in a folder and those below it, by name. */
export async function* kerasFolder(
  root: string,
  architecture: Architecture,
): AsyncGenerator<ImportedNetwork> {
  const files = await listFiles(root)
  for (const [i, { path, file }] of files.entries()) {
    const name = parseFileName(file)
    if (!name) continue
    const fraction = (i + 1) / files.length
    yield { ...name, origin: path, fraction, weights: () => readKerasFile(path, architecture) }
  }
}

/** One Keras file. */
export async function* kerasFile(
  path: string,
  file: string,
  architecture: Architecture,
): AsyncGenerator<ImportedNetwork> {
  const name = parseFileName(file)
  if (!name)
    throw importError(
      path,
      new Error('the file name says no class and number, e.g. binary_oneVall_church_3_model.h5'),
    )
  yield { ...name, origin: path, fraction: 1, weights: () => readKerasFile(path, architecture) }
}

async function listFiles(root: string, depth = 0): Promise<{ path: string; file: string }[]> {
  if (depth > MAX_DEPTH) throw importError(root, new Error(`folders more than ${MAX_DEPTH} deep`))
  const entries = await readdir(root, { withFileTypes: true }).catch(error => {
    throw importError(root, error)
  })
  const found: { path: string; file: string }[] = []
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = join(root, entry.name)
    if (entry.isDirectory()) found.push(...(await listFiles(path, depth + 1)))
    else if (entry.isFile()) found.push({ path, file: entry.name })
  }
  return found
}

/**
 * The networks in an archive. HDF5 is read from files only, so each is written into `scratch` under a name of our own,
 * read, and removed.
 */
export async function* kerasArchive(
  path: string,
  kind: ArchiveKind,
  architecture: Architecture,
  scratch: string,
): AsyncGenerator<ImportedNetwork> {
  const temporary = temporaryName(join(scratch, 'import.h5'))
  try {
    for await (const entry of archiveEntries(path, kind)) {
      const name = entry.isFolder ? undefined : parseFileName(entry.parts.at(-1) ?? '')
      if (!name) continue
      const origin = `${path}/${entry.parts.join('/')}`
      const weights = async () => {
        try {
          await writeFile(temporary, await entry.take())
          return await readKerasFile(temporary, architecture)
        } catch (error) {
          throw inArchive(error, temporary, origin)
        }
      }
      yield { ...name, origin, fraction: entry.fraction, weights }
    }
  } catch (error) {
    throw importError(path, error)
  } finally {
    await rm(temporary, { force: true })
  }
}

/** Errors name the file in the archive, not where it was read from. */
function inArchive(error: unknown, temporary: string, origin: string): ZooError {
  if (!(error instanceof ZooError)) return importError(origin, error)
  const message = error.message.replaceAll(temporary, origin)
  return new ZooError('zoo', message, { path: origin }, { cause: error })
}
