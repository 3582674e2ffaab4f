import { createHash, randomUUID } from 'node:crypto'
import { mkdir, open, rename, rm } from 'node:fs/promises'
import { homedir } from 'node:os'
import { isAbsolute, join } from 'node:path'
import { payloadOf, startFingerprint } from './fingerprint.js'
import { allocateSplit, type ImageSet } from './image-set.js'

/** First bytes of a cache file; the digit is the format's version. */
const MAGIC = 'weightzoo images 1\n'

/** Bytes handed to one read or write; larger ones are slower and above 2 GiB refused by the operating system. */
const BLOCK_BYTES = 2 ** 24

/**
 * Where decoded images and downloads are kept: `WEIGHTZOO_CACHE` where it is set, else the platform's place for caches:
 * `$XDG_CACHE_HOME/weightzoo` or `~/.cache/weightzoo`, `~/Library/Caches/weightzoo` on macOS,
 * `%LOCALAPPDATA%\weightzoo\cache` on Windows. It may be deleted at any time.
 */
export function defaultCacheDir(): string {
  const { WEIGHTZOO_CACHE, XDG_CACHE_HOME, LOCALAPPDATA } = process.env
  if (WEIGHTZOO_CACHE) return WEIGHTZOO_CACHE
  if (XDG_CACHE_HOME && isAbsolute(XDG_CACHE_HOME)) return join(XDG_CACHE_HOME, 'weightzoo')
  if (process.platform === 'darwin') return join(homedir(), 'Library', 'Caches', 'weightzoo')
  if (process.platform === 'win32')
    return join(LOCALAPPDATA || join(homedir(), 'AppData', 'Local'), 'weightzoo', 'cache')
  return join(homedir(), '.cache', 'weightzoo')
}

/** The cache file for images that depend on `key` and nothing else. */
export function cacheFile(cacheDir: string, key: unknown): string {
  const digest = createHash('sha256').update(JSON.stringify(key)).digest('hex')
  return join(cacheDir, `images-${digest.slice(0, 32)}.bin`)
}

type Header = Pick<ImageSet, 'name' | 'classNames' | 'shape' | 'fingerprint' | 'skipped'> & {
  train: number
  validation: number
}

/** Writes an image set to a temporary file and renames it, so that no reader ever meets half a file. */
export async function writeCache(file: string, cacheDir: string, images: ImageSet): Promise<void> {
  const { train, validation, ...rest } = images
  const header: Header = { ...rest, train: train.count, validation: validation.count }
  const temporary = `${file}.${randomUUID()}.tmp`
  await mkdir(cacheDir, { recursive: true })
  try {
    const handle = await open(temporary, 'wx')
    try {
      await handle.writeFile(`${MAGIC}${JSON.stringify(header)}\n`)
      for (const bytes of payloadOf(images))
        for (let at = 0; at < bytes.length; at += BLOCK_BYTES)
          await handle.writeFile(bytes.subarray(at, at + BLOCK_BYTES))
    } finally {
      await handle.close()
    }
    await rename(temporary, file)
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
}

/**
 * Reads what {@link writeCache} wrote, straight into shared memory. Nothing is returned where the file is missing or
 * is not, byte for byte, what its fingerprint says: then it is to be made again.
 */
export async function readCache(file: string): Promise<ImageSet | undefined> {
  try {
    const handle = await open(file)
    try {
      const { size } = await handle.stat()
      const head = Buffer.alloc(Math.min(size, 2 ** 20))
      await handle.read(head, 0, head.length, 0)
      const headerEnd = head.indexOf('\n', MAGIC.length) + 1
      if (!head.subarray(0, MAGIC.length).equals(Buffer.from(MAGIC)) || headerEnd === 0) return undefined
      const header: Header = JSON.parse(head.toString('utf8', MAGIC.length, headerEnd))
      const { train, validation, fingerprint, ...rest } = header
      const perImage = header.shape[0] * header.shape[1] * header.shape[2]
      if (size !== headerEnd + (train + validation) * (1 + perImage * 4)) return undefined
      const images = {
        ...rest,
        train: allocateSplit(train, perImage),
        validation: allocateSplit(validation, perImage),
      }
      const hash = startFingerprint(images)
      let position = headerEnd
      for (const bytes of payloadOf(images)) {
        for (let at = 0; at < bytes.length; ) {
          const block = Math.min(BLOCK_BYTES, bytes.length - at)
          const { bytesRead } = await handle.read(bytes, at, block, position)
          if (bytesRead === 0) return undefined
          hash.update(bytes.subarray(at, at + bytesRead))
          at += bytesRead
          position += bytesRead
        }
      }
      return hash.digest('hex') === fingerprint ? { ...images, fingerprint } : undefined
    } finally {
      await handle.close()
    }
  } catch {
    return undefined
  }
}
