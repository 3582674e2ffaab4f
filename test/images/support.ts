import { createWriteStream } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'
import sharp from 'sharp'
import { pack } from 'tar-stream'
import { RandomStream } from '../../dist/random.js'

export { temporaryFolder } from '../support.js'

/** Paths and contents, as an archive or a folder holds them. */
export type Files = Record<string, Uint8Array | string>

export async function writeFolder(root: string, files: Files): Promise<string> {
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(root, path)), { recursive: true })
    await writeFile(join(root, path), content)
  }
  return root
}

/** Writes a .tar, or a .tgz where the name says so; links are pairs of name and target. */
export async function writeArchive(
  file: string,
  files: Files | [string, Uint8Array | string][],
  links: [string, string][] = [],
) {
  const tar = pack()
  for (const [name, content] of Array.isArray(files) ? files : Object.entries(files))
    tar.entry({ name }, Buffer.from(content))
  for (const [name, linkname] of links) tar.entry({ name, type: 'symlink', linkname })
  tar.finalize()
  const bytes = Readable.from(tar as AsyncIterable<Uint8Array>)
  if (file.endsWith('.tar')) await pipeline(bytes, createWriteStream(file))
  else await pipeline(bytes, createGzip(), createWriteStream(file))
  return file
}

/** Random pixels, `[height, width, channels]`. */
export function noise(height: number, width: number, channels: number, seed = 1): Uint8Array {
  const random = new RandomStream(seed, 'test pixels')
  return Uint8Array.from({ length: height * width * channels }, () => random.integer(256))
}

export interface Picture {
  data: Uint8Array
  height: number
  width: number
  channels: 1 | 2 | 3 | 4
}

export function picture(height: number, width: number, channels: 1 | 2 | 3 | 4, seed = 1): Picture {
  return { data: noise(height, width, channels, seed), height, width, channels }
}

/** Encodes pixels; grey stays grey in the file. */
export async function encode(
  { data, height, width, channels }: Picture,
  format: 'png' | 'jpeg' | 'webp' = 'png',
): Promise<Buffer> {
  const image = sharp(data, { raw: { width, height, channels } })
  if (channels < 3) image.toColourspace('b-w')
  return image
    .toFormat(format, format === 'webp' ? { lossless: true } : format === 'jpeg' ? { quality: 95 } : {})
    .toBuffer()
}

/** Two classes, two splits, small noise pictures in all formats; `top` goes before every path. */
export async function smallSet(top = ''): Promise<Record<string, Buffer>> {
  const files: Record<string, Buffer> = {}
  let seed = 1
  for (const split of ['train', 'val'])
    for (const folder of ['cat', 'dog'])
      for (const [name, format] of [
        ['b.png', 'png'],
        ['a.JPEG', 'jpeg'],
        ['B.webp', 'webp'],
        ['10.jpg', 'jpeg'],
      ] as const)
        files[`${top}${split}/${folder}/${name}`] = await encode(
          picture(20 + seed, 31, seed % 3 ? 3 : 1, seed++),
          format,
        )
  return files
}

/** The error that a promise ends with; none is a failure of the test. */
export async function errorOf(promise: Promise<unknown> | (() => unknown)): Promise<Error> {
  try {
    await (typeof promise === 'function' ? promise() : promise)
  } catch (error) {
    return error as Error
  }
  throw new Error('expected an error, but there was none')
}
