import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import {
  createImageSet,
  generateImages,
  type ImageSet,
  mergeZoos,
  type TrainZooOptions,
  verifyZoo,
  type Zoo,
} from '../../dist/index.js'
import { sharedFolder, smallImages, trainSmallZoo } from '../support.js'

const folder = sharedFolder()
const plain = smallImages()

/** The same photographs as a negative: other pixels, the same classes and labels. */
function negativeOf(images: ImageSet, name = 'negative'): ImageSet {
  const { classNames, shape } = images
  const negative = ({ pixels, labels }: ImageSet['train']) => ({ pixels: pixels.map(p => 1 - p), labels })
  const [train, validation] = [negative(images.train), negative(images.validation)]
  return createImageSet({ name, classNames, shape, train, validation })
}

const negative = negativeOf(plain)
const both = { images: [plain, negative], perClass: 4, outputs: true } satisfies Partial<TrainZooOptions>
const nameOf = ({ hyperparameters }: Zoo['networks'][number]) => hyperparameters?.images

let zoo: Zoo
beforeAll(async () => {
  zoo = await trainSmallZoo(join(folder, 'both'), both)
})

describe('a zoo of several image sets', () => {
  it('lists them, and every network says which it has drawn', async () => {
    const { images, imageSets, recipe } = zoo.manifest
    expect(recipe!.vary).toEqual({ images: [plain.name, 'negative'] })
    expect(imageSets!.map(({ name, fingerprint }) => [name, fingerprint])).toEqual([
      [plain.name, plain.fingerprint],
      ['negative', negative.fingerprint],
    ])
    expect(images).toEqual(imageSets![0])
    expect(new Set(zoo.networks.map(nameOf))).toEqual(new Set([plain.name, 'negative']))
    expect((await verifyZoo(zoo.path)).findings).toEqual([])
  })

  it('has, of each, the networks that a zoo of this set alone has', async () => {
    for (const images of both.images) {
      const alone = await trainSmallZoo(join(folder, `only ${images.name}`), { images, perClass: 4 })
      for (const network of zoo.networks) {
        const { sha256, metrics } = alone.network(network.class, network.index)
        if (nameOf(network) === images.name) expect(network).toMatchObject({ sha256, metrics })
        else expect(network.sha256).not.toBe(sha256)
      }
    }
  })

  it('is the same however the work was done', async () => {
    const shards = ['shard 1', 'shard 2'].map(name => join(folder, name))
    for (const [i, out] of shards.entries())
      await trainSmallZoo(out, { ...both, shard: { number: i + 1, of: 2 }, concurrency: 1 })
    const merged = await mergeZoos(shards, { out: join(folder, 'merged') })
    for (const file of ['modelwise.h5', 'layerwise.h5', 'zoo.json'])
      expect(readFileSync(join(merged.path, file)).equals(readFileSync(join(zoo.path, file)))).toBe(true)
    expect(await merged.outputs()).toEqual(await zoo.outputs())
  })

  it('is trained and evaluated again on the sets, whatever their names and order are by now', async () => {
    const renamed = [negativeOf(plain, plain.name), { ...plain, name: 'original' }]
    const verified = await verifyZoo(zoo, { images: renamed, retrain: 4, metrics: true })
    expect(verified).toMatchObject({ findings: [], metrics: 8, retrained: { length: 4 } })
    const known = `${plain.name} (${plain.fingerprint.slice(0, 12)})`
    await expect(verifyZoo(zoo, { images: plain, metrics: true })).rejects.toThrow(
      `these are other images: ${known}, not negative (${negative.fingerprint.slice(0, 12)})`,
    )
  })

  it('goes on with the same sets only, by the names that its networks draw', async () => {
    const out = zoo.path
    await expect(trainSmallZoo(out, { ...both, images: plain })).rejects.toThrow(
      /another recipe: vary is undefined, was .*; images is "\w{12}", was \["generated-3 \w{12}","negative \w{12}"\]/,
    )
    const other = {
      ...generateImages({ classes: 10, trainPerClass: 30, validationPerClass: 8, seed: 4 }),
      name: 'negative',
    }
    await expect(trainSmallZoo(out, { ...both, images: [plain, other] })).rejects.toThrow(
      /another recipe: images is/,
    )
    const vary = { images: [plain.name, 'negative'] }
    const swapped = [negativeOf(plain, plain.name), { ...plain, name: 'negative' }]
    await expect(trainSmallZoo(out, { ...both, vary, images: swapped })).rejects.toThrow(
      /another recipe: images is/,
    )
    const manifest = readFileSync(join(out, 'zoo.json'), 'utf8')
    await trainSmallZoo(out, { ...both, vary, images: [negative, plain] })
    expect(readFileSync(join(out, 'zoo.json'), 'utf8')).toBe(manifest)
  })

  it('draws from all sets, also where what varies says nothing of them', async () => {
    const out = join(folder, 'rates')
    const vary = { images: undefined, learningRate: [0.001] }
    const { manifest } = await trainSmallZoo(out, { ...both, vary, perClass: 1 })
    expect(manifest.recipe!.vary).toEqual({ learningRate: [0.001], images: [plain.name, 'negative'] })
    expect(manifest.imageSets).toHaveLength(2)
  })

  it('may draw one set more often than another', async () => {
    const vary = { images: ['negative', 'negative', 'negative', plain.name] }
    const odd = await trainSmallZoo(join(folder, 'odd'), {
      ...both,
      vary,
      classes: ['stripes'],
      perClass: 12,
    })
    expect(odd.networks.filter(network => nameOf(network) === 'negative').length).toBeGreaterThan(6)
  })
})

describe('image sets that do not go together', () => {
  const two = (other: ImageSet) => trainSmallZoo('never-made', { ...both, images: [plain, other] })

  it('are refused by name', async () => {
    await expect(two({ ...negative, name: plain.name })).rejects.toThrow(
      `invalid images; two image sets have this name; each needs one of its own: ${plain.name}`,
    )
    const small = generateImages({ classes: 10, trainPerClass: 30, validationPerClass: 8, size: 28 })
    await expect(two({ ...small, name: 'small' })).rejects.toThrow(
      'invalid images; "small" has another shape than 32x32x3: 28x28x3',
    )
    const fewer = generateImages({ classes: 9, trainPerClass: 30, validationPerClass: 8 })
    await expect(two({ ...fewer, name: 'fewer' })).rejects.toThrow(
      `"fewer" has other classes than "${plain.name}", or in another order`,
    )
    await expect(trainSmallZoo('never-made', { images: [], classes: ['stripes'] })).rejects.toThrow(
      'invalid images; needs at least one image set: []',
    )
    await expect(trainSmallZoo('never-made', { ...both, vary: { images: ['negativ'] } })).rejects.toThrow(
      'invalid vary.images; is none of the image sets; did you mean "negative"?: negativ',
    )
  })

  it('cannot keep outputs where their validation images are of other classes', async () => {
    const more = generateImages({ classes: 10, trainPerClass: 30, validationPerClass: 9, seed: 3 })
    await expect(two({ ...more, name: 'more' })).rejects.toThrow(
      `needs validation images of the same classes in the same order; "more" has others than "${plain.name}"`,
    )
  })

  it('are refused where one has too few images for a network that draws it', async () => {
    const few = generateImages({ classes: 10, trainPerClass: 12, validationPerClass: 8, seed: 3 })
    const samplesPerNetwork = 280
    await expect(
      trainSmallZoo('never-made', { ...both, images: [plain, { ...few, name: 'few' }], samplesPerNetwork }),
    ).rejects.toThrow('there are 120 training images, not 280')
  })
})
