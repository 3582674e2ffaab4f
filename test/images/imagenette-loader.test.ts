import { copyFile, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { isZooError } from '../../dist/errors.js'
import type { ImageProgress } from '../../dist/images/image-folder-loader.js'
import { IMAGENETTE_CLASSES } from '../../dist/images/imagenette-classes.js'
import { ImagenetteLoader, type ImagenetteOptions } from '../../dist/images/imagenette-loader.js'
import { encode, errorOf, picture, temporaryFolder, writeArchive, writeFolder } from './support.js'

const NAMES = [
  'tench',
  'english_springer',
  'cassette_player',
  'chain_saw',
  'church',
  'french_horn',
  'garbage_truck',
  'gas_pump',
  'golf_ball',
  'parachute',
]

/** One image in each class and split. */
async function tinyImagenette(top = 'imagenette2/') {
  const files: Record<string, Buffer> = {}
  for (const [i, folder] of Object.keys(IMAGENETTE_CLASSES).entries())
    for (const split of ['train', 'val'])
      files[`${top}${split}/${folder}/x.JPEG`] = await encode(picture(40, 50, 3, i), 'jpeg')
  return files
}

test('has the ten classes in the order of their ImageNet identifiers', async () => {
  const folder = await temporaryFolder()
  const source = await writeArchive(join(folder, 'tiny.tgz'), await tinyImagenette())
  const images = await new ImagenetteLoader({ source, cache: false }).load()
  expect(images.classNames).toEqual(NAMES)
  expect(images.shape).toEqual([32, 32, 3])
  expect([...images.train.labels]).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
  const small = await new ImagenetteLoader({ source, cache: false, size: [28, 20], channels: 1 }).load()
  expect(small.shape).toEqual([28, 20, 1])
})

test('a named archive that lies in the cache is not downloaded again', async () => {
  const folder = await temporaryFolder()
  const archive = await writeArchive(join(folder, 'tiny.tgz'), await tinyImagenette('imagenette2-160/'))
  await copyFile(archive, join(folder, 'imagenette2-160.tgz'))
  const loader = new ImagenetteLoader({ source: '160px', cacheDir: folder, baseUrl: 'http://127.0.0.1:9/' })
  expect((await loader.load()).name).toBe('imagenette2-160')
})

test('names the missing classes', async () => {
  const folder = await temporaryFolder()
  const files = await tinyImagenette('')
  for (const folder of ['n03028079', 'n03445777']) {
    for (const split of ['train', 'val']) delete files[`${split}/${folder}/x.JPEG`]
  }
  const source = await writeFolder(folder, files)
  const error = await errorOf(new ImagenetteLoader({ source, cache: false }).load())
  expect(isZooError(error, 'images')).toBe(true)
  expect(error.message).toMatch(
    /^missing class folders n03028079, n03445777 in split "train"; found n01440764, /,
  )
})

test.each<[string, object]>([
  ['no such folder, archive or Imagenette name: "320p"; did you mean "320px"?', { source: '320p' }],
  ['no such folder, archive or Imagenette name: "Full"; did you mean "full"?', { source: 'Full' }],
  [
    'no such folder, archive or Imagenette name: "imagewoof"; known are 320px, 160px, full',
    { source: 'imagewoof' },
  ],
  ['cannot read images; no such file or folder: ./320px', { source: './320px' }],
  ['unknown option of ImagenetteLoader: "sise"; did you mean "size"?', { sise: 32 }],
  ['unknown option of ImagenetteLoader: "classNames"; known are ', { classNames: {} }],
  ['invalid baseUrl; needs a URL: mirror', { baseUrl: 'mirror' }],
  ['invalid size; needs a positive integer or [height, width]: -1', { size: -1 }],
])('%s', async (message, options) => {
  const error = await errorOf(async () => new ImagenetteLoader(options as ImagenetteOptions).load())
  expect(isZooError(error)).toBe(true)
  expect(error.message.startsWith(message), error.message).toBe(true)
})

const ARCHIVE = fileURLToPath(new URL('../../../shared/data/imagenette2-224.tgz', import.meta.url))
const present = await stat(ARCHIVE).then(
  () => true,
  () => false,
)
if (!present) console.log(`skipped: loading all of Imagenette, as there is no ${ARCHIVE}`)

test.skipIf(!present)(
  'loads all of Imagenette, the second time from its cache',
  { timeout: 240_000 },
  async () => {
    const cacheDir = await temporaryFolder()
    const events: ImageProgress[] = []
    const loader = () =>
      new ImagenetteLoader({ source: ARCHIVE, cacheDir, onProgress: event => events.push(event) })
    const started = performance.now()
    const images = await loader().load()
    const cold = performance.now() - started
    expect(images).toMatchObject({ name: basename(ARCHIVE, '.tgz'), classNames: NAMES, shape: [32, 32, 3] })
    expect(images.train.count).toBe(9469)
    expect(images.validation.count).toBe(3925)
    expect(images.train.pixels).toHaveLength(9469 * 3072)
    expect(events.at(-1)).toEqual({ stage: 'decode', images: 13394, fraction: 1 })

    // From `tar tzf`: images of each class in label order.
    const counts = [963, 955, 993, 858, 941, 956, 961, 931, 951, 960]
    for (const [label, count] of counts.entries())
      expect(images.train.labels.filter(own => own === label)).toHaveLength(count)

    const isGrey = (_: number, i: number) => {
      const pixels = images.train.pixels.subarray(i * 3072, (i + 1) * 3072)
      for (let at = 0; at < 3072; at += 3)
        if (pixels[at] !== pixels[at + 1] || pixels[at] !== pixels[at + 2]) return false
      return true
    }
    // 173 grey JPEGs (data/README.md), and colour JPEGs of black-and-white pictures.
    expect(images.train.labels.filter(isGrey).length).toBeGreaterThanOrEqual(173)
    expect(images.train.pixels.every(pixel => pixel >= 0 && pixel <= 1)).toBe(true)

    const again = performance.now()
    const cached = await loader().load()
    const warm = performance.now() - again
    expect(events.at(-1)!.stage).toBe('cache')
    expect(cached.fingerprint).toBe(images.fingerprint)
    console.log(`Imagenette: cold ${(cold / 1000).toFixed(1)} s, cached ${(warm / 1000).toFixed(2)} s`)
  },
)
