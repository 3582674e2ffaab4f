import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { access, type FileHandle, mkdir, open, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { reasonOf, ZooError } from '../errors.js'

/** Attempts in a row that bring no byte before giving up: about seven seconds of no network, with the default pauses. */
const FRUITLESS_ATTEMPTS = 4

/** What to download, and where to. */
export interface Download {
  url: string
  /** Where the file is to lie; until it is whole and checked, it is `<file>.part` instead. */
  file: string
  /** MD5 of the whole file, in hex. */
  md5: string
  /** Milliseconds before the next attempt, doubled for each in a row that brought nothing. Default 500. */
  pause?: number
  onBytes?: ((bytes: number, total: number | undefined) => void) | undefined
  onWarning?: ((message: string) => void) | undefined
  signal?: AbortSignal | undefined
}

/**
 * Downloads a file, unless it is there already. A cut connection is taken up where it broke off, in this call and in
 * the next one.
 *
 * @throws ZooError `images` where the server refuses, the network stays away, the disk cannot be written or the file is
 * not what its checksum says (then it is deleted). Where `signal` is aborted, whatever error that gives.
 */
export async function download({
  url,
  file,
  md5,
  pause = 500,
  onBytes,
  onWarning,
  signal,
}: Download): Promise<void> {
  if (await exists(file)) return
  const part = `${file}.part`
  await mkdir(dirname(file), { recursive: true }).catch(cause => {
    throw downloadError(url, `cannot write ${dirname(file)}; ${reasonOf(cause)}`, cause)
  })
  for (let fruitless = 0; ; ) {
    const before = await sizeOf(part)
    try {
      await fetchRest({ url, part, onBytes, signal })
      break
    } catch (error) {
      if (error instanceof ZooError || signal?.aborted) throw error
      const bytes = await sizeOf(part)
      fruitless = bytes > before ? 0 : fruitless + 1
      const reason = `${networkReason(error)} after ${bytes} bytes`
      if (fruitless >= FRUITLESS_ATTEMPTS)
        throw downloadError(url, `cannot download; ${reason}; run again to go on from there`, error)
      onWarning?.(`download interrupted (${reason}); going on`)
      await sleep(pause * 2 ** fruitless, undefined, signal && { signal })
    }
  }
  const actual = await md5Of(part)
  await rm(etagFile(part), { force: true })
  if (actual !== md5) {
    await rm(part, { force: true })
    throw downloadError(url, `wrong checksum, file deleted; MD5 ${actual}, expected ${md5}; run again`)
  }
  await rename(part, file).catch(async error => {
    if (!(await exists(file))) throw error // else another process has just finished the same download
  })
}

/** Fetches what `part` lacks; from the start where the server's file has changed or it sends no ranges. */
async function fetchRest({
  url,
  part,
  onBytes,
  signal,
}: Pick<Download, 'url' | 'onBytes' | 'signal'> & { part: string }): Promise<void> {
  const have = await sizeOf(part)
  const etag = have > 0 ? await readFile(etagFile(part), 'utf8').catch(() => '') : ''
  const headers: Record<string, string> = { 'accept-encoding': 'identity' }
  // Without an ETag nothing says that both halves are of one file, but the checksum will.
  if (have > 0) headers['range'] = `bytes=${have}-`
  if (etag) headers['if-range'] = etag
  const response = await fetch(url, { headers, ...(signal && { signal }) })
  const range = /^bytes (?:(\d+)-\d+|\*)\/(\d+)$/.exec(response.headers.get('content-range') ?? '')
  if (response.status === 416) {
    await response.body?.cancel()
    if (have > 0 && range?.[2] === String(have)) return // it was whole already
    await rm(part, { force: true })
    throw new Error(`server has no byte ${have}`)
  }
  if (!response.ok || !response.body) {
    await response.body?.cancel()
    const message = `server answered ${response.status} ${response.statusText}`
    if (response.status >= 500 || response.status === 429) throw new Error(message)
    throw downloadError(url, `cannot download; ${message}`)
  }
  const resumed = response.status === 206
  if (resumed && range?.[1] !== String(have)) {
    await response.body.cancel()
    await rm(part, { force: true })
    throw new Error('server sent another range')
  }
  const total = Number(resumed ? range?.[2] : response.headers.get('content-length')) || undefined
  let bytes = resumed ? have : 0
  const cannotWrite = (cause: unknown) => {
    throw downloadError(url, `cannot write ${part}; ${reasonOf(cause)}`, cause)
  }
  const handle = await open(part, resumed ? 'r+' : 'w').catch(cannotWrite)
  try {
    const newEtag = response.headers.get('etag')
    // A weak ETag may not be sent in If-Range.
    if (!resumed) await writeFile(etagFile(part), newEtag?.startsWith('"') ? newEtag : '')
    onBytes?.(bytes, total)
    for await (const chunk of response.body) {
      // Written at its own place: a second process that downloads the same file writes the same bytes.
      await writeAt(handle, chunk, bytes).catch(cannotWrite)
      bytes += chunk.length
      onBytes?.(bytes, total)
    }
  } finally {
    await handle.close()
  }
  if (total !== undefined && bytes < total) throw new Error('connection closed')
}

async function writeAt(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    const { bytesWritten } = await handle.write(bytes, at, bytes.length - at, position + at)
    at += bytesWritten
  }
}

function etagFile(part: string): string {
  return `${part}.etag`
}

async function exists(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  )
}

/** Bytes in a file, 0 where there is none. */
async function sizeOf(file: string): Promise<number> {
  return stat(file).then(
    ({ size }) => size,
    () => 0,
  )
}

async function md5Of(file: string): Promise<string> {
  const hash = createHash('md5')
  for await (const chunk of createReadStream(file, { highWaterMark: 2 ** 20 })) hash.update(chunk)
  return hash.digest('hex')
}

/** `fetch` says only "fetch failed" or "terminated"; its cause says why. */
function networkReason(error: unknown): string {
  const { cause } = error as { cause?: NodeJS.ErrnoException }
  return cause ? cause.message || String(cause.code) : reasonOf(error)
}

function downloadError(url: string, message: string, cause?: unknown): ZooError<'images'> {
  return new ZooError('images', `${message}: ${url}`, { path: url }, { cause })
}
