import { readFileSync } from 'node:fs'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { createImageSet, openZoo, verifyZoo, writeReport } from '../../dist/index.js'
import { sharedFolder, smallImages, temporaryFolder, trainSmallZoo } from '../support.js'

/** Makes of a zoo what the first versions wrote: no checksum of `zoo.json`, of lines or of whole files. */
async function lowerToVersion1(zooPath: string): Promise<void> {
  const manifest = join(zooPath, 'zoo.json')
  const { check: _check, split: _split, ...fields } = JSON.parse(await readFile(manifest, 'utf8'))
  await writeFile(manifest, `${JSON.stringify({ ...fields, formatVersion: 1 }, null, 2)}\n`)
  const lines = linesOf(zooPath).map(line => {
    const { check: _, fileSha256: _f, weightSummary: _w, ...record } = JSON.parse(line)
    return `${JSON.stringify(record)}\n`
  })
  await writeFile(join(zooPath, 'ledger.jsonl'), lines.join(''))
  await rm(join(zooPath, 'compiled.json'))
}

function linesOf(zooPath: string): string[] {
  return readFileSync(join(zooPath, 'ledger.jsonl'), 'utf8').trim().split('\n')
}

const manifestOf = async (zooPath: string) => JSON.parse(await readFile(join(zooPath, 'zoo.json'), 'utf8'))
const bytesOf = (zooPath: string, name: string) => readFile(join(zooPath, 'models', `${name}.weights.h5`))

describe('a zoo of format version 1', () => {
  it('is read, verified, continued and raised to version 2, its weights unchanged', async () => {
    const path = join(await temporaryFolder(), 'zoo')
    const original = await trainSmallZoo(path)
    const model = await bytesOf(path, 'stripes_1')
    const weights = await original.weights('checks', 0)
    await lowerToVersion1(path)

    const old = await openZoo(path)
    expect(old.manifest.formatVersion).toBe(1)
    expect(old.networks.map(({ sha256 }) => sha256)).toEqual(original.networks.map(({ sha256 }) => sha256))
    expect(await old.weights('checks', 0)).toEqual(weights)
    const verified = await verifyZoo(path, { images: smallImages(), retrain: 1, metrics: true })
    expect(verified).toMatchObject({ findings: [], networks: 4, metrics: 4 })
    expect(verified.notes).toEqual([expect.stringMatching(/^format version 1: .* bear no checksums; /)])

    const grown = await trainSmallZoo(path, { perClass: 3 })
    expect(grown.networks).toHaveLength(6)
    expect(await bytesOf(path, 'stripes_1')).toEqual(model)
    expect(await grown.weights('checks', 0)).toEqual(weights)
    expect(await manifestOf(path)).toMatchObject({
      formatVersion: 2,
      check: expect.stringMatching(/^\w{64}$/),
    })
    for (const line of linesOf(path)) {
      expect(JSON.parse(line)).toMatchObject({ fileSha256: expect.any(String), check: expect.any(String) })
    }
    expect(await verifyZoo(path)).toMatchObject({ findings: [], notes: [], networks: 6 })
  })

  it('trains a network again whose weights are not those of its line, instead of vouching for them', async () => {
    const path = join(await temporaryFolder(), 'zoo')
    await trainSmallZoo(path)
    const model = await bytesOf(path, 'stripes_1')
    await lowerToVersion1(path)
    await writeFile(join(path, 'models', 'stripes_1.weights.h5'), await bytesOf(path, 'stripes_0'))
    expect((await verifyZoo(path)).findings.map(({ file }) => file)).toContain('models/stripes_1.weights.h5')

    await trainSmallZoo(path)
    expect(await bytesOf(path, 'stripes_1')).toEqual(model)
    expect((await verifyZoo(path)).findings).toEqual([])
  })
})

describe('training again to compare', () => {
  const path = join(sharedFolder(), 'zoo')
  beforeAll(() => trainSmallZoo(path, { engine: 'wasm' }))

  it('finds the same bits', async () => {
    const options = { images: smallImages(), retrain: 2, metrics: true, engine: 'wasm' } as const
    const { findings, retrained, metrics } = await verifyZoo(path, options)
    expect({ findings, retrained: retrained.length, metrics }).toEqual({
      findings: [],
      retrained: 2,
      metrics: 4,
    })
  })

  it.each([{ retrain: 1 }, { metrics: true }])('refuses other images, naming both: %o', async what => {
    const { name, classNames, shape, train, validation } = smallImages()
    const pixels = train.pixels.slice()
    pixels[0] = 1 - pixels[0]!
    const others = createImageSet({ name, classNames, shape, train: { ...train, pixels }, validation })
    const refused = verifyZoo(path, { ...what, images: others, engine: 'wasm' })
    const [is, was] = [others, smallImages()].map(images => `${name} (${images.fingerprint.slice(0, 12)})`)
    await expect(refused).rejects.toMatchObject({
      tag: 'zoo',
      message: `cannot repeat the networks of ${path}: these are other images: ${is}, not ${was}`,
    })
  })

  it('refuses an engine of another arithmetic, naming both', async () => {
    await expect(verifyZoo(path, { images: smallImages(), retrain: 1, engine: 'tfjs' })).rejects.toThrow(
      /^cannot repeat the networks of [^\n]*: the tfjs engine has another arithmetic: "[^"\n]+", not "[^"\n]+"; choose the engine that trained them$/,
    )
  })

  it('needs the images', async () => {
    await expect(verifyZoo(path, { retrain: 1 })).rejects.toThrow(
      'invalid retrain; needs images, the set that the zoo was trained on: 1',
    )
  })
})

describe('a zoo with its report in it', () => {
  it('has nothing wrong, while any other file in it is named', async () => {
    const path = join(await temporaryFolder(), 'zoo')
    await writeReport(await trainSmallZoo(path), { quick: true })
    await writeFile(join(path, 'stranger.txt'), 'x')
    const { findings } = await verifyZoo(path)
    expect(findings).toMatchObject([{ file: 'stranger.txt' }])
  })
})
