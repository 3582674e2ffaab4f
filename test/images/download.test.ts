import { createHash } from 'node:crypto'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { isZooError } from '../../dist/errors.js'
import { type Download, download } from '../../dist/images/download.js'
import { ImagenetteLoader } from '../../dist/images/imagenette-loader.js'
import { errorOf, noise, temporaryFolder } from './support.js'

const content = Buffer.from(noise(1000, 1000, 1))
const md5 = createHash('md5').update(content).digest('hex')

/** A server on this machine; `requests` are the range headers it was sent. */
async function serve(answer: (request: IncomingMessage, response: ServerResponse, attempt: number) => void) {
  const requests: (string | undefined)[] = []
  const server = createServer((request, response) => {
    requests.push(request.headers.range)
    answer(request, response, requests.length)
  })
  await new Promise<void>(done => server.listen(0, '127.0.0.1', done))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return { baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, requests }
}

/** As a file server answers, but after `limit` bytes of the body the connection is cut. */
function answerFile(
  request: IncomingMessage,
  response: ServerResponse,
  { bytes = content, etag = '"one"', limit = Number.POSITIVE_INFINITY, ranges = true } = {},
) {
  const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0)
  const ifRange = request.headers['if-range']
  const partial = ranges && from > 0 && (ifRange === undefined || ifRange === etag)
  if (partial && from >= bytes.length) {
    response.writeHead(416, { 'content-range': `bytes */${bytes.length}` }).end()
    return
  }
  const body = partial ? bytes.subarray(from) : bytes
  response.writeHead(partial ? 206 : 200, {
    etag,
    'content-length': body.length,
    ...(partial && { 'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` }),
  })
  if (body.length <= limit) response.end(body)
  else response.write(body.subarray(0, limit), () => setTimeout(() => response.destroy(), 50))
}

async function target(baseUrl: string, more: Partial<Download> = {}) {
  const folder = await temporaryFolder()
  const warnings: string[] = []
  const options = { url: `${baseUrl}a.tgz`, file: join(folder, 'cache', 'a.tgz'), md5, pause: 10, ...more }
  return { ...options, warnings, onWarning: (message: string) => warnings.push(message) }
}

test('downloads, tells its progress and leaves nothing but the file', async () => {
  const { baseUrl, requests } = await serve((request, response) => answerFile(request, response))
  const progress: [number, number | undefined][] = []
  const to = await target(baseUrl, { onBytes: (...event) => progress.push(event) })
  await download(to)
  expect((await readFile(to.file)).equals(content)).toBe(true)
  expect(await readdir(join(to.file, '..'))).toEqual(['a.tgz'])
  expect(progress.at(0)).toEqual([0, content.length])
  expect(progress.at(-1)).toEqual([content.length, content.length])
  await download(to)
  expect(requests).toEqual([undefined])
})

test('goes on where the connection was cut', async () => {
  const { baseUrl, requests } = await serve((request, response, attempt) =>
    answerFile(request, response, attempt < 3 ? { limit: 300_000 } : {}),
  )
  const progress: number[] = []
  const to = await target(baseUrl, { onBytes: bytes => progress.push(bytes) })
  await download(to)
  expect((await readFile(to.file)).equals(content)).toBe(true)
  expect(requests).toEqual([undefined, 'bytes=300000-', 'bytes=600000-'])
  expect(progress).toEqual(progress.toSorted((a, b) => a - b))
  expect(to.warnings).toHaveLength(2)
  expect(to.warnings[0]).toMatch(/^download interrupted \(.+ after 300000 bytes\); going on$/)
})

test('goes on where an earlier run stopped, also with a whole .part file', async () => {
  const { baseUrl, requests } = await serve((request, response) => answerFile(request, response))
  const to = await target(baseUrl)
  const stopper = new AbortController()
  const stopped = download({
    ...to,
    signal: stopper.signal,
    onBytes: bytes => {
      if (bytes > 0) stopper.abort()
    },
  })
  await expect(stopped).rejects.toThrow()
  const begun = (await readFile(`${to.file}.part`)).length
  expect(begun).toBeGreaterThan(0)
  expect(begun).toBeLessThan(content.length)
  await download(to)
  expect((await readFile(to.file)).equals(content)).toBe(true)
  expect(requests).toEqual([undefined, `bytes=${begun}-`])

  const whole = await target(baseUrl, { file: `${to.file}.second` })
  await writeFile(`${whole.file}.part`, content)
  await download(whole)
  expect((await readFile(whole.file)).equals(content)).toBe(true)
})

test.each([
  ['ignores ranges', { ranges: false }],
  ['has another file by now', { etag: '"two"' }],
])('starts again where the server %s', async (_, later) => {
  const old = Buffer.from(noise(1100, 1000, 1, 2))
  const { baseUrl, requests } = await serve((request, response, attempt) =>
    answerFile(request, response, attempt === 1 ? { bytes: old, limit: 400_000 } : later),
  )
  const to = await target(baseUrl)
  await download(to)
  expect((await readFile(to.file)).equals(content)).toBe(true)
  expect(requests).toEqual([undefined, 'bytes=400000-'])
})

test('a .part file longer than the server has is thrown away', async () => {
  const { baseUrl } = await serve((request, response) => answerFile(request, response))
  const to = await target(baseUrl, { file: join(await temporaryFolder(), 'a.tgz') })
  await writeFile(`${to.file}.part`, Buffer.concat([content, content]))
  await download(to)
  expect((await readFile(to.file)).equals(content)).toBe(true)
})

test('a wrong checksum deletes the file and says so', async () => {
  const { baseUrl } = await serve((request, response) => answerFile(request, response))
  const to = await target(baseUrl, { md5: '0'.repeat(32) })
  const error = await errorOf(download(to))
  expect(isZooError(error, 'images')).toBe(true)
  expect(error.message).toBe(
    `wrong checksum, file deleted; MD5 ${md5}, expected ${'0'.repeat(32)}; run again: ${to.url}`,
  )
  expect(await readdir(join(to.file, '..'))).toEqual([])
})

test('says what the server answered, and that a network that stays away ends it', async () => {
  const { baseUrl, requests } = await serve((_, response) => response.writeHead(404).end())
  const missing = await target(baseUrl)
  expect((await errorOf(download(missing))).message).toBe(
    `cannot download; server answered 404 Not Found: ${missing.url}`,
  )
  expect(requests).toHaveLength(1)

  const closed = await target('http://127.0.0.1:9/')
  const error = await errorOf(download(closed))
  expect(isZooError(error, 'images')).toBe(true)
  expect(error.message).toMatch(/^cannot download; .+ after 0 bytes; run again to go on from there: http/)
  expect(closed.warnings).toHaveLength(3)
})

test('a folder that cannot be written ends it at once', async () => {
  const { baseUrl } = await serve((request, response) => answerFile(request, response))
  const folder = await temporaryFolder()
  await writeFile(join(folder, 'in-the-way'), '')
  const to = await target(baseUrl, { file: join(folder, 'in-the-way', 'a.tgz') })
  expect((await errorOf(download(to))).message).toMatch(/^cannot write .*in-the-way/)
})

test('ImagenetteLoader fetches the named archive from its base and refuses one that is not the published one', async () => {
  const paths: (string | undefined)[] = []
  const { baseUrl } = await serve((request, response) => {
    paths.push(request.url)
    answerFile(request, response)
  })
  const cacheDir = await temporaryFolder()
  const files = { '320px': 'imagenette2-320.tgz', '160px': 'imagenette2-160.tgz', full: 'imagenette2.tgz' }
  for (const [source, file] of Object.entries(files)) {
    const error = await errorOf(
      new ImagenetteLoader({ source, baseUrl: `${baseUrl}mirror`, cacheDir }).load(),
    )
    expect(error.message).toMatch(/^wrong checksum, file deleted; /)
    expect(error.message).toContain(`${baseUrl}mirror/${file}`)
  }
  expect(paths).toEqual(Object.values(files).map(file => `/mirror/${file}`))
  expect(await readdir(cacheDir)).toEqual([])

  const stopped = await errorOf(
    new ImagenetteLoader({
      baseUrl,
      cacheDir,
      signal: AbortSignal.timeout(20),
      onProgress: () => {
        // Longer than the signal waits.
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 40)
      },
    }).load(),
  )
  expect(isZooError(stopped, 'interrupted')).toBe(true)
})
