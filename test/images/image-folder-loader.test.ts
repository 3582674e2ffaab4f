import { readdir, readFile, stat, symlink, truncate, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import sharp from 'sharp'
import { expect, test } from 'vitest'
import { isZooError } from '../../dist/errors.js'
import {
  ImageFolderLoader,
  type ImageFolderOptions,
  type ImageProgress,
} from '../../dist/images/image-folder-loader.js'
import { resizeBilinear } from '../../dist/images/resize.js'
import {
  encode,
  errorOf,
  type Files,
  picture,
  smallSet,
  temporaryFolder,
  writeArchive,
  writeFolder,
} from './support.js'

const load = (options: ImageFolderOptions) => new ImageFolderLoader({ cache: false, ...options }).load()

/** One line of lower case, as every error of the library has it. */
async function imagesError(
  options: ImageFolderOptions,
  tag: 'images' | 'option' = 'images',
): Promise<string> {
  const error = await errorOf(load(options))
  if (!isZooError(error, tag)) throw error
  expect(error.message).not.toMatch(/\n|^[A-Z]/)
  return error.message
}

test('decodes PNG, WebP and JPEG in all their kinds to the pixels that stand in the file', async () => {
  const folder = await temporaryFolder()
  const rgb = picture(21, 34, 3)
  const grey = picture(21, 34, 1)
  const rgba = picture(21, 34, 4)
  const greyAlpha = picture(21, 34, 2)
  const jpeg = await encode(rgb, 'jpeg')
  // Orientation 6 would turn the picture; profiles would change its colours.
  const turned = await sharp(jpeg).withMetadata({ orientation: 6 }).jpeg({ quality: 100 }).toBuffer()
  const profiled = await sharp(rgb.data, { raw: rgb }).withIccProfile('p3').png().toBuffer()
  const files = {
    'a-rgb.png': await encode(rgb),
    'b-grey.png': await encode(grey),
    'c-rgba.png': await encode(rgba),
    'd-grey-alpha.png': await encode(greyAlpha),
    'e-rgb.webp': await encode(rgb, 'webp'),
    'f-rgb.jpg': jpeg,
    'g-turned.jpg': turned,
    'h-profiled.png': profiled,
    'i-png-named.jpeg': await encode(rgb),
  }
  await writeFolder(folder, {
    ...Object.fromEntries(Object.entries(files).map(([name, bytes]) => [`train/x/${name}`, bytes])),
    'val/x/a.png': files['a-rgb.png'],
  })
  const images = await load({ source: folder, size: [11, 13] })
  expect(images.shape).toEqual([11, 13, 3])
  const n = 11 * 13 * 3
  const loaded = (i: number) => images.train.pixels.slice(i * n, (i + 1) * n)
  const expected = (image: Parameters<typeof resizeBilinear>[0]) => resizeBilinear(image, [11, 13], 3)

  for (const [i, image] of [rgb, grey, rgba, greyAlpha, rgb].entries())
    expect(loaded(i), Object.keys(files)[i]).toEqual(expected(image))
  const raw = async (bytes: Buffer) => ({
    ...rgb,
    data: new Uint8Array(await sharp(bytes).raw().toBuffer()),
  })
  expect(loaded(5)).toEqual(expected(await raw(jpeg)))
  expect(loaded(6)).toEqual(expected(await raw(turned)))
  expect((await sharp(profiled).metadata()).icc).toBeDefined()
  const profiledData = await sharp(profiled, { ignoreIcc: true }).raw().toBuffer()
  expect(loaded(7)).toEqual(expected({ ...rgb, data: profiledData }))
  expect(loaded(8)).toEqual(expected(rgb))
})

test('channels: 1 gives grey files as they are, and size a number for both sides', async () => {
  const folder = await temporaryFolder()
  const grey = picture(28, 28, 1)
  await writeFolder(folder, { 'train/7/a.png': await encode(grey), 'val/7/a.png': await encode(grey) })
  const images = await load({ source: folder, size: 28, channels: 1 })
  expect(images.shape).toEqual([28, 28, 1])
  expect(images.train.pixels.slice()).toEqual(Float32Array.from(grey.data, value => value / 255))
})

test('CMYK files load as RGB', async () => {
  const folder = await temporaryFolder()
  const cmyk = await sharp(Buffer.alloc(300, 200), { raw: { width: 10, height: 10, channels: 3 } })
    .toColourspace('cmyk')
    .jpeg({ quality: 100 })
    .toBuffer()
  expect((await sharp(cmyk).metadata()).space).toBe('cmyk')
  await writeFolder(folder, { 'train/x/a.jpg': cmyk, 'val/x/a.jpg': cmyk })
  const { train } = await load({ source: folder })
  // Through a press's profile and back: near, not equal.
  for (const pixel of train.pixels) expect(Math.abs(pixel * 255 - 200)).toBeLessThan(16)
})

test('orders by class, then by file name in code units', async () => {
  const folder = await temporaryFolder()
  const names = ['a.png', 'B.png', '10.png', '9.png', 'é.png', 'a.JPG']
  const files: Files = {
    'val/x/a.png': await encode(picture(1, 1, 1)),
    'val/10/a.png': await encode(picture(1, 1, 1)),
  }
  const flat = (value: number) => encode({ data: Uint8Array.of(value), height: 1, width: 1, channels: 1 })
  for (const [i, name] of names.entries()) files[`train/x/${name}`] = await flat(i)
  files['train/10/z.png'] = await flat(100)
  await writeFolder(folder, files)
  const { train, classNames } = await load({ source: folder, size: 1, channels: 1 })
  expect(classNames).toEqual(['10', 'x'])
  expect([...train.labels]).toEqual([0, 1, 1, 1, 1, 1, 1])
  expect([...train.pixels].map(pixel => Math.round(pixel * 255))).toEqual([100, 2, 3, 1, 5, 0, 4])
})

test('folder, .tgz and .tar, in any order and at any concurrency, give the same set', async () => {
  const folder = await temporaryFolder()
  const files = await smallSet()
  const below = await smallSet('pets/')
  const shuffled = Object.entries(below).sort(([a], [b]) =>
    a.split('').reverse() < b.split('').reverse() ? 1 : -1,
  )
  expect(shuffled.map(([name]) => name)).not.toEqual(Object.keys(below))
  const sources = [
    await writeFolder(join(folder, 'extracted'), files),
    await writeFolder(join(folder, 'below'), below),
    await writeArchive(join(folder, 'a.tgz'), files),
    await writeArchive(join(folder, 'b.tar.gz'), shuffled),
    await writeArchive(
      join(folder, 'c.tar'),
      shuffled.map(([name, bytes]): [string, Buffer] => [`./${name}`, bytes]),
    ),
  ]
  const seen = new Set<string>()
  for (const source of sources)
    for (const concurrency of [1, 8]) {
      const images = await load({ source, concurrency })
      expect(images.train.count).toBe(8)
      expect(images.validation.count).toBe(8)
      seen.add(images.fingerprint)
    }
  expect(seen.size).toBe(1)
  expect((await load({ source: sources[3]! })).name).toBe('b')
  expect((await load({ source: sources[0]! })).name).toBe('extracted')
})

test('passes over hidden files, other files, links and deeper folders', async () => {
  const folder = await temporaryFolder()
  const files = await smallSet('pets/')
  const more: Files = {
    'pets/train/cat/._a.JPEG': 'resource fork',
    'pets/train/cat/.hidden.png': 'x',
    'pets/train/.cache/a.png': 'x',
    'pets/train/cat/readme.txt': 'x',
    'pets/train/LICENSE.png': 'x',
    'pets/train/cat/deeper/a.png': 'x',
    '__MACOSX/pets/train/cat/a.png': 'x',
    'pets/noise.csv': 'x',
  }
  const plain = await load({ source: await writeArchive(join(folder, 'plain.tgz'), files) })
  const links: [string, string][] = [
    ['pets/train/cat/link.png', '/etc/passwd'],
    ['pets/train/linked', '/etc'],
  ]
  const archive = await writeArchive(join(folder, 'more.tgz'), { ...more, ...files }, links)
  expect((await load({ source: archive })).fingerprint).toBe(plain.fingerprint)
  const extracted = await writeFolder(join(folder, 'more'), { ...more, ...files })
  expect((await load({ source: extracted })).fingerprint).toBe(plain.fingerprint)
})

test('where a path stands twice in an archive, the later file counts', async () => {
  const folder = await temporaryFolder()
  const files = await smallSet()
  const first = Object.keys(files)[0]!
  const other = await encode(picture(9, 9, 3, 99))
  const twice = await writeArchive(join(folder, 'twice.tgz'), [[first, other], ...Object.entries(files)])
  const once = await writeArchive(join(folder, 'once.tgz'), files)
  expect((await load({ source: twice })).fingerprint).toBe((await load({ source: once })).fingerprint)
})

test('classNames name, order and choose the classes; splits name the folders', async () => {
  const folder = await temporaryFolder()
  const file = await encode(picture(3, 3, 3))
  await writeFolder(folder, {
    'training/n2/a.png': file,
    'training/n1/a.png': file,
    'training/n3/a.png': 'never read',
    'test/n1/a.png': file,
    'test/n2/a.png': file,
  })
  const images = await load({
    source: folder,
    name: 'mine',
    splits: { train: 'training', validation: 'test' },
    classNames: { n2: 'two', n1: 'one' },
  })
  expect(images).toMatchObject({ name: 'mine', classNames: ['two', 'one'] })
  expect([...images.train.labels]).toEqual([0, 1])
})

test('a damaged image is named; with skipBadImages it is left out and listed', async () => {
  const folder = await temporaryFolder()
  const files = await smallSet('pets/')
  const jpeg = await encode(picture(40, 40, 3), 'jpeg')
  const png = await encode(picture(40, 40, 3))
  const bad: Record<string, Uint8Array> = {
    'pets/train/cat/cut.jpg': jpeg.subarray(0, jpeg.length / 2),
    'pets/train/cat/cut.png': png.subarray(0, png.length / 2),
    'pets/val/dog/empty.jpg': new Uint8Array(),
    'pets/val/dog/text.jpg': Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'),
  }
  for (const [name, bytes] of Object.entries(bad)) {
    const source = await writeArchive(join(folder, 'one.tgz'), { ...files, [name]: bytes })
    const message = await imagesError({ source })
    expect(message).toMatch(/^cannot decode image \(.+\); .*--skip-bad-images/)
    expect(message).toContain(name)
  }
  const source = await writeArchive(join(folder, 'all.tgz'), { ...files, ...bad })
  const events: ImageProgress[] = []
  const images = await load({ source, skipBadImages: true, onProgress: event => events.push(event) })
  const clean = await load({ source: await writeArchive(join(folder, 'clean.tgz'), files) })
  expect(images.fingerprint).toBe(clean.fingerprint)
  expect(clean.skipped).toBeUndefined()
  expect(images.skipped?.map(({ path }) => path)).toEqual(Object.keys(bad))
  for (const { reason } of images.skipped!) expect(reason).toMatch(/\w/)
  expect(events.filter(({ stage }) => stage === 'skip')).toHaveLength(4)
  expect(events.filter(({ stage }) => stage === 'decode')).toHaveLength(16)
})

test('an image of too many pixels is refused before it is decoded', async () => {
  const folder = await temporaryFolder()
  const bomb = await sharp({ create: { width: 12_000, height: 9_000, channels: 3, background: 'black' } })
    .png()
    .toBuffer()
  expect(bomb.length).toBeLessThan(2_000_000)
  await writeFolder(folder, { 'train/x/bomb.png': bomb, 'val/x/a.png': bomb })
  expect(await imagesError({ source: folder })).toContain('more than 100000000 pixels')
})

test('a file of more than 256 MiB is not read', async () => {
  const folder = await temporaryFolder()
  const image = await encode(picture(3, 3, 3))
  const extracted = await writeFolder(join(folder, 'extracted'), {
    'train/x/large.png': image,
    'val/x/a.png': image,
  })
  await truncate(join(extracted, 'train', 'x', 'large.png'), 257 * 2 ** 20)
  const tooLarge =
    /^cannot decode image \(269484032 bytes are more than the limit of 268435456\).*large\.png$/
  expect(await imagesError({ source: extracted })).toMatch(tooLarge)
  const large = await readFile(join(extracted, 'train', 'x', 'large.png'))
  const archive = await writeArchive(join(folder, 'a.tar'), {
    'train/x/large.png': large,
    'val/x/a.png': image,
  })
  expect(await imagesError({ source: archive })).toMatch(tooLarge)
  expect(await imagesError({ source: archive, skipBadImages: true })).toMatch(
    /^class without images, train\/x/,
  )
})

test('a link to nowhere is named as a file that cannot be read', async () => {
  const folder = await writeFolder(await temporaryFolder(), await smallSet())
  await symlink(join(folder, 'nowhere'), join(folder, 'train', 'cat', 'link.png'))
  expect(await imagesError({ source: folder })).toMatch(/^cannot decode image \(ENOENT.*link\.png$/)
  await symlink(join(folder, 'train', 'dog', 'b.png'), join(folder, 'train', 'cat', 'other.png'))
  const images = await load({ source: folder, skipBadImages: true })
  expect(images.train.count).toBe(9)
})

test('says what is wrong with a source', async () => {
  const folder = await temporaryFolder()
  const files = await smallSet('pets/')
  const good = await readFile(await writeArchive(join(folder, 'good.tgz'), files))
  const tar = await readFile(await writeArchive(join(folder, 'good.tar'), files))
  const write = async (name: string, bytes: Uint8Array | string) => {
    await writeFile(join(folder, name), bytes)
    return join(folder, name)
  }
  const cases: [string, RegExp][] = [
    [join(folder, 'absent.tgz'), /^cannot read images; no such file or folder: .*absent\.tgz$/],
    [await write('text.tgz', 'these are words, not an archive'), /^not an archive; .*: .*text\.tgz$/],
    [await write('empty.tgz', ''), /^not an archive; .*: .*empty\.tgz$/],
    [await write('long.tgz', 'words '.repeat(500)), /^not an archive; /],
    [await write('zip.tgz', 'PK\x03\x04 and so on'), /^cannot read a zip archive; /],
    [
      await write('words.tgz', gzipSync('words '.repeat(500))),
      /^not an archive; compressed, but no tar inside: /,
    ],
    [await write('short.tgz', gzipSync('words')), /^not an archive; compressed, but no tar inside: /],
    [await write('half.tgz', good.subarray(0, good.length / 2)), /^truncated archive; .*: .*half\.tgz$/],
    [await write('almost.tgz', good.subarray(0, good.length - 4)), /^truncated archive; /],
    [await write('half.tar', tar.subarray(0, tar.length / 2)), /^truncated archive/],
    [await write('unfinished.tar', tar.subarray(0, tar.length - 1024)), /^truncated archive/],
    [await write('inner.tgz', gzipSync(tar.subarray(0, 3000))), /^truncated archive; /],
    [
      await write(
        'damaged.tgz',
        Buffer.concat([good.subarray(0, 2000), Buffer.alloc(500, 7), good.subarray(2500)]),
      ),
      /^damaged archive \(.*: .*damaged\.tgz$/,
    ],
  ]
  for (const [source, message] of cases) expect(await imagesError({ source }), source).toMatch(message)
})

test('says which split or class is missing or without images', async () => {
  const image = await encode(picture(3, 3, 3))
  const cases: [Files, RegExp, Partial<ImageFolderOptions>?][] = [
    [{ 'train/a/1.png': image }, /^no images in split "val"; needs val\/<class>\//],
    [{ 'readme.png': image }, /^no images in split "train"; needs train\/<class>\//],
    [
      { 'train/a/1.png': image, 'train/b/1.png': image, 'val/a/1.png': image },
      /^class folder b in split "train" but not in "val"/,
    ],
    [
      { 'train/a/1.png': image, 'val/a/1.png': image, 'val/b/1.png': image, 'val/c/1.png': image },
      /^class folders b, c in split "val" but not in "train"/,
    ],
    [
      { 'train/a/1.png': image, 'train/b/note.txt': 'x', 'val/a/1.png': image, 'val/b/1.png': image },
      /^class without images, train\/b/,
    ],
    [
      { 'train/a/1.png': image, 'val/a/1.png': image },
      /^missing class folders n1, n2 in split "train"; found a/,
      { classNames: { a: 'A', n1: 'B', n2: 'C' } },
    ],
    [
      { 'x/train/a/1.png': image, 'y/train/a/1.png': image, 'x/val/a/1.png': image },
      /in two places|both in "x" and in "y"/,
    ],
  ]
  for (const [files, message, options] of cases) {
    const folder = await temporaryFolder()
    const extracted = await writeFolder(join(folder, 'extracted'), files)
    expect(await imagesError({ source: extracted, ...options })).toMatch(message)
    const archive = await writeArchive(join(folder, 'archive.tgz'), files)
    const fromArchive = await imagesError({ source: archive, ...options })
    expect(fromArchive).toMatch(message)
    expect(fromArchive).toContain(archive)
  }
})

test.each<[string, object]>([
  ['unknown option of ImageFolderLoader: "chanels"; did you mean "channels"?', { chanels: 1 }],
  ['invalid source; needs a path: ', { source: '' }],
  ['invalid size; needs a positive integer or [height, width]: 0', { size: 0 }],
  ['invalid size; needs a positive integer or [height, width]: [32]', { size: [32] }],
  ['invalid channels; needs 1 or 3: 4', { channels: 4 }],
  ['invalid concurrency; needs a positive integer: 0', { concurrency: 0 }],
  ['invalid cache; needs true or false: yes', { cache: 'yes' }],
  [
    'invalid splits.train; needs the name of a folder: ../x',
    { splits: { train: '../x', validation: 'val' } },
  ],
  ['unknown option of splits: "test"; known are train, validation', { splits: { train: 'a', test: 'b' } }],
  ['invalid classNames[1]; each name may stand only once: A', { classNames: { a: 'A', b: 'A' } }],
])('%s', async (message, options) => {
  const error = await errorOf(() => new ImageFolderLoader({ source: 'x', ...options } as ImageFolderOptions))
  expect(error).toMatchObject({ name: 'ZooError', tag: 'option', message })
})

test('an AbortSignal stops it, before and in the middle', async () => {
  const folder = await temporaryFolder()
  const source = await writeArchive(join(folder, 'a.tgz'), await smallSet())
  const before = await errorOf(load({ source, signal: AbortSignal.abort() }))
  expect(isZooError(before, 'interrupted')).toBe(true)
  const stopper = new AbortController()
  let decoded = 0
  const middle = errorOf(
    load({
      source,
      concurrency: 1,
      signal: stopper.signal,
      onProgress: () => {
        if (++decoded === 3) stopper.abort()
      },
    }),
  )
  expect(isZooError(await middle, 'interrupted')).toBe(true)
  expect(decoded).toBe(3)
})

test('an error thrown by onProgress comes out as it is', async () => {
  const folder = await temporaryFolder()
  const source = await writeArchive(join(folder, 'a.tgz'), await smallSet())
  const own = new Error('my bug')
  const onProgress = () => {
    throw own
  }
  expect(await errorOf(load({ source, onProgress, skipBadImages: true }))).toBe(own)
})

test('the second load comes from the cache; changed files, options or bytes make it anew', async () => {
  const folder = await temporaryFolder()
  const cacheDir = join(folder, 'cache', 'not there yet')
  const source = await writeFolder(join(folder, 'pets'), await smallSet())
  const run = async (options: Partial<ImageFolderOptions> = {}) => {
    const stages = new Set<string>()
    const onProgress = ({ stage }: ImageProgress) => stages.add(stage)
    const images = await load({ source, cache: true, cacheDir, onProgress, ...options })
    return { images, cached: stages.has('cache') && !stages.has('decode') }
  }
  const first = await run()
  expect(first.cached).toBe(false)
  const second = await run()
  expect(second.cached).toBe(true)
  expect(second.images).toEqual(first.images)
  expect(second.images.train.pixels.buffer).toBeInstanceOf(SharedArrayBuffer)
  expect((await run({ name: 'renamed' })).images).toMatchObject({ name: 'renamed' })
  expect((await run({ concurrency: 3 })).cached).toBe(true)

  for (const options of [
    { size: 16 },
    { channels: 1 },
    { skipBadImages: true },
    { classNames: { dog: 'd', cat: 'c' } },
  ] as const) {
    expect((await run(options)).cached, JSON.stringify(options)).toBe(false)
    expect((await run(options)).cached, JSON.stringify(options)).toBe(true)
  }

  const names = await readdir(cacheDir)
  expect(names.every(name => name.endsWith('.bin'))).toBe(true)
  const damages: Record<string, (bytes: Buffer) => Buffer> = {
    flipped: bytes => Buffer.concat([bytes.subarray(0, -1), Buffer.of(bytes.at(-1)! ^ 1)]),
    cut: bytes => bytes.subarray(0, -1),
    grown: bytes => Buffer.concat([bytes, bytes]),
    empty: () => Buffer.alloc(0),
    'other version': bytes => Buffer.from(bytes.toString('latin1').replace('images 1', 'images 9'), 'latin1'),
    'no JSON': bytes => Buffer.from(bytes.toString('latin1').replace('{', '('), 'latin1'),
  }
  for (const [damage, change] of Object.entries(damages)) {
    for (const name of names)
      await writeFile(join(cacheDir, name), change(await readFile(join(cacheDir, name))))
    const again = await run()
    expect(again.cached, damage).toBe(false)
    expect(again.images, damage).toEqual(first.images)
    expect((await run()).cached, damage).toBe(true)
  }

  const touched = join(source, 'train', 'cat', 'b.png')
  await utimes(touched, new Date(), new Date((await stat(touched)).mtimeMs + 5000))
  expect((await run()).cached).toBe(false)
  await writeFolder(source, { 'train/cat/new.png': await encode(picture(3, 3, 3)) })
  const grown = await run()
  expect(grown.cached).toBe(false)
  expect(grown.images.train.count).toBe(9)
})

test('the cache remembers which images were skipped', async () => {
  const folder = await temporaryFolder()
  const source = await writeArchive(join(folder, 'a.tgz'), { ...(await smallSet()), 'val/cat/bad.jpg': 'x' })
  const options = { source, cache: true, cacheDir: join(folder, 'cache'), skipBadImages: true }
  const first = await load(options)
  expect(first.skipped).toHaveLength(1)
  expect(await load(options)).toEqual(first)
})

test('a cache that cannot be written is a warning', async () => {
  const folder = await temporaryFolder()
  const source = await writeArchive(join(folder, 'a.tgz'), await smallSet())
  await writeFile(join(folder, 'file'), 'in the way')
  const warnings: string[] = []
  const onProgress = (event: ImageProgress) => {
    if (event.stage === 'warning') warnings.push(event.message)
  }
  const images = await load({ source, cache: true, cacheDir: join(folder, 'file', 'cache'), onProgress })
  expect(images.train.count).toBe(8)
  expect(warnings).toHaveLength(1)
  expect(warnings[0]).toMatch(/^cannot write the cache/)
})
