import { readdirSync, readFileSync } from 'node:fs'
import { appendFile, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { createImageSet, openZoo, type TrainingProgress, trainZoo } from '../../dist/index.js'
import { smallImages, temporaryFolder, trainSmallZoo } from '../support.js'

/** Every file of a zoo that must not depend on how the work was done. */
function bytesOf(zooPath: string): Record<string, string> {
  const models = readdirSync(join(zooPath, 'models')).map(name => join('models', name))
  const files = [...models, 'modelwise.h5', 'layerwise.h5', 'metrics.csv', 'zoo.json']
  return Object.fromEntries(files.map(name => [name, readFileSync(join(zooPath, name)).toString('base64')]))
}

describe('trainZoo', () => {
  it('trains the networks asked for and says how good they are', async () => {
    const zoo = await trainSmallZoo(join(await temporaryFolder(), 'zoo'), { epochs: 3 })
    expect(zoo.networks.map(({ class: name, index }) => `${name}_${index}`)).toEqual([
      'stripes_0',
      'stripes_1',
      'checks_0',
      'checks_1',
    ])
    for (const network of zoo.networks) {
      expect(network.metrics.accuracy).toBeGreaterThan(0.5)
      expect(network.history.loss).toHaveLength(3)
      expect(network.history.loss.at(-1)!).toBeLessThan(network.history.loss[0]!)
      expect(network.positiveFraction).toBeGreaterThanOrEqual(0.09)
      expect(network.positiveFraction).toBeLessThanOrEqual(0.1)
    }
    expect(new Set(zoo.networks.map(({ sha256 }) => sha256)).size).toBe(4)
  })

  it('gives equal bytes for equal seeds, whatever the concurrency, and others for another seed', async () => {
    const folder = await temporaryFolder()
    await trainSmallZoo(join(folder, 'a'), { concurrency: 1 })
    await trainSmallZoo(join(folder, 'b'), { concurrency: 3 })
    const other = await trainSmallZoo(join(folder, 'c'), { seed: 8 })
    expect(bytesOf(join(folder, 'a'))).toEqual(bytesOf(join(folder, 'b')))
    const hashes = (await openZoo(join(folder, 'a'))).networks.map(({ sha256 }) => sha256)
    expect(other.networks.map(({ sha256 }) => sha256)).not.toEqual(hashes)
  })

  it('grows: more networks and more classes leave the first ones as they are', async () => {
    const folder = await temporaryFolder()
    const grown = join(folder, 'grown')
    const first = await trainSmallZoo(grown, { perClass: 1, classes: ['stripes'] })
    await trainSmallZoo(grown, { perClass: 2, classes: ['checks'] })
    const zoo = await trainSmallZoo(grown, { perClass: 2, classes: ['stripes', 'checks'] })
    expect(zoo.network('stripes', 0)).toEqual(first.network('stripes', 0))
    await trainSmallZoo(join(folder, 'at once'))
    const { 'zoo.json': _a, ...grownFiles } = bytesOf(grown)
    const { 'zoo.json': _b, ...filesAtOnce } = bytesOf(join(folder, 'at once'))
    expect(grownFiles).toEqual(filesAtOnce)
    expect(zoo.manifest.plan).toEqual({ stripes: 2, checks: 2 })
  })

  it('does not train what is there already', async () => {
    const out = await temporaryFolder()
    await trainSmallZoo(out)
    const seen: TrainingProgress[] = []
    await trainSmallZoo(out, { onProgress: progress => seen.push(progress) })
    expect(seen.map(({ finished, total }) => `${finished}/${total}`)).toEqual(['4/4'])
  })

  it('stops on a signal and goes on later as if nothing had happened', async () => {
    const folder = await temporaryFolder()
    const out = join(folder, 'interrupted')
    const controller = new AbortController()
    const work = trainSmallZoo(out, {
      signal: controller.signal,
      concurrency: 1,
      onProgress: ({ finished }) => finished === 1 && controller.abort(),
    })
    await expect(work).rejects.toMatchObject({ tag: 'interrupted', fields: { finished: 1 } })
    expect((await openZoo(out)).networks).toHaveLength(1)
    await trainSmallZoo(out)
    await trainSmallZoo(join(folder, 'undisturbed'))
    expect(bytesOf(out)).toEqual(bytesOf(join(folder, 'undisturbed')))
  })

  it('goes on after a crash between a model file and its ledger line, and after half a line', async () => {
    const folder = await temporaryFolder()
    const out = join(folder, 'crashed')
    await trainSmallZoo(out)
    const ledger = join(out, 'ledger.jsonl')
    const lines = (await readFile(ledger, 'utf8')).split('\n').slice(0, -1)
    await writeFile(ledger, `${lines.slice(0, 2).join('\n')}\n${lines[2]!.slice(0, 40)}`)
    expect((await openZoo(out)).networks).toHaveLength(2)
    await trainSmallZoo(out)
    await trainSmallZoo(join(folder, 'undisturbed'))
    expect(bytesOf(out)).toEqual(bytesOf(join(folder, 'undisturbed')))
  })

  it('reports progress: networks, work under way, rate and time left', async () => {
    const seen: TrainingProgress[] = []
    await trainSmallZoo(await temporaryFolder(), { epochs: 2, onProgress: progress => seen.push(progress) })
    expect(seen[0]).toMatchObject({ finished: 0, total: 4, underWay: 0, secondsLeft: undefined })
    expect(seen.some(({ underWay }) => underWay > 0 && underWay <= 2)).toBe(true)
    expect(seen.at(-1)).toMatchObject({ finished: 4, failed: 0 })
    expect(seen.at(-1)!.networksPerHour).toBeGreaterThan(0)
    expect(seen.filter(({ network }) => network).map(({ finished }) => finished)).toEqual([1, 2, 3, 4])
  })

  it('records a network whose loss is not finite, trains the others, and tries again only when told', async () => {
    const out = await temporaryFolder()
    const broken = { optimizer: { kind: 'sgd', learningRate: 1e38, momentum: 0.9 } as const, epochs: 5 }
    const zoo = await trainSmallZoo(out, broken)
    expect(zoo.failures).toHaveLength(4)
    expect(zoo.failures[0]!.reason).toMatch(/^loss of \w+_\d is not finite in epoch \d/)
    const again: TrainingProgress[] = []
    await trainSmallZoo(out, { ...broken, onProgress: progress => again.push(progress) })
    expect(again).toHaveLength(1)
    const retried: TrainingProgress[] = []
    await trainSmallZoo(out, { ...broken, retryFailed: true, onProgress: progress => retried.push(progress) })
    expect(retried.at(-1)).toMatchObject({ failed: 4, total: 4 })
    expect((await openZoo(out)).failures).toHaveLength(4)
  })
})

describe('trainZoo refuses', () => {
  it.each([
    [{ perClass: 0 }, 'invalid perClass; needs a positive integer: 0'],
    [{ perclass: 2 }, 'unknown option of trainZoo: "perclass"; did you mean "perClass"?'],
    [{ classes: ['stripe'] }, 'invalid classes; is not in the image set; did you mean "stripes"?: stripe'],
    [{ concurrency: 0.5 }, 'invalid concurrency; needs a positive integer: 0.5'],
    [{ engine: 'nativ' }, 'invalid engine; did you mean "native"?: nativ'],
    [{ out: '' }, 'invalid out; needs the path of the zoo directory: '],
  ])('%j', async (options, message) => {
    const work = trainZoo({ images: smallImages(), out: 'never-made', ...options } as never)
    await expect(work).rejects.toThrow(message)
  })

  it('a directory with a zoo of another recipe, saying what differs', async () => {
    const out = await temporaryFolder()
    await trainSmallZoo(out)
    await expect(trainSmallZoo(out, { epochs: 4, seed: 8 })).rejects.toMatchObject({
      tag: 'zoo',
      message: `${out} holds a zoo of another recipe: epochs is 4, was 1; seed is 8, was 7. Choose another directory`,
    })
  })

  it('other images under the same name', async () => {
    const out = await temporaryFolder()
    await trainSmallZoo(out)
    const { name, classNames, shape, train, validation } = smallImages()
    const pixels = train.pixels.slice()
    pixels[0] = 0.123
    const altered = createImageSet({
      name,
      classNames,
      shape,
      train: { pixels, labels: train.labels },
      validation,
    })
    await expect(trainSmallZoo(out, { images: altered })).rejects.toThrow(
      /another recipe: images is "\w{12}", was "\w{12}"/,
    )
  })

  it('a directory that cannot be written', async () => {
    const file = join(await temporaryFolder(), 'file')
    await writeFile(file, 'not a directory')
    await expect(trainSmallZoo(file)).rejects.toThrow(`not a directory: ${file}`)
  })
})

describe('a damaged zoo', () => {
  it('names the truncated model file', async () => {
    const out = await temporaryFolder()
    const zoo = await trainSmallZoo(out)
    const path = join(out, 'models', 'stripes_1.weights.h5')
    await truncate(path, 100_000)
    await expect(zoo.weights('stripes', 1)).rejects.toThrow(
      `${path} is truncated, corrupt or no HDF5 file (100000 bytes; `,
    )
  })

  it('names the model file whose weights were altered', async () => {
    const out = await temporaryFolder()
    const zoo = await trainSmallZoo(out)
    const path = join(out, 'models', 'stripes_1.weights.h5')
    const bytes = await readFile(path)
    bytes[200_000]! ^= 1
    await writeFile(path, bytes)
    await expect(zoo.weights('stripes', 1)).rejects.toThrow(
      `${path} does not hold the weights that the ledger lists (SHA-256 differs)`,
    )
  })

  it('names the missing model file, the broken ledger line and the broken manifest', async () => {
    const out = await temporaryFolder()
    const zoo = await trainSmallZoo(out)
    const path = join(out, 'models', 'stripes_1.weights.h5')
    await rm(path)
    await expect(zoo.weights('stripes', 1)).rejects.toThrow(`no such file: ${path}`)
    await appendFile(join(out, 'ledger.jsonl'), 'garbage\n')
    await expect(openZoo(out)).rejects.toThrow(`${join(out, 'ledger.jsonl')}:5 is not a ledger line`)
    await writeFile(join(out, 'zoo.json'), '{"format":')
    await expect(openZoo(out)).rejects.toThrow(`${join(out, 'zoo.json')} is not readable JSON`)
    await expect(openZoo(join(out, 'nowhere'))).rejects.toThrow(
      `no such zoo directory: ${join(out, 'nowhere')}`,
    )
  })
})
