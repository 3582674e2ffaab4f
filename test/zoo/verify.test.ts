import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { createImageSet, openZoo, verifyZoo, writeReport } from '../../dist/index.js'
import { seal } from '../../dist/zoo/seal.js'
import { sharedFolder, smallImages, temporaryFolder, trainSmallZoo, weightzoo } from '../support.js'

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

/** `kind file: message` of all that is wrong with a zoo. */
async function findingsOf(path: string): Promise<string[]> {
  const { findings } = await verifyZoo(path)
  return findings.map(({ kind, file, message }) => `${kind} ${file}: ${message}`)
}

/** Writes a sealed file of a zoo anew, its checksum fitting whatever is in it. */
async function editSealed(path: string, edit: (fields: Record<string, unknown>) => void): Promise<void> {
  const { check: _, ...fields } = JSON.parse(await readFile(path, 'utf8'))
  edit(fields)
  await writeFile(path, seal(fields, 2))
}

describe('what is no file', () => {
  // Windows has no pipes among its files.
  it.skipIf(process.platform === 'win32')('is named and not waited for', async () => {
    const path = join(await temporaryFolder(), 'zoo')
    const { networks } = await trainSmallZoo(path, { checkpoints: 'all', outputs: true })
    const files = [
      'models/stripes_0.weights.h5',
      'checkpoints/checks_1.h5',
      'outputs.f32',
      'metrics.csv',
      'modelwise.h5',
    ]
    for (const file of files) {
      await rm(join(path, file))
      execFileSync('mkfifo', [join(path, file)])
    }
    const { findings } = await verifyZoo(path)
    for (const file of files) {
      const message = expect.stringContaining('it is a pipe or a device, not a file')
      expect(findings).toContainEqual({ file, kind: 'damaged', message })
    }
    await rm(join(path, 'outputs.f32'))
    const mended = await trainSmallZoo(path, { checkpoints: 'all', outputs: true })
    expect(mended.networks.map(({ sha256 }) => sha256)).toEqual(networks.map(({ sha256 }) => sha256))
    expect(await findingsOf(path)).toEqual([])

    for (const file of ['compiled.json', 'ledger.jsonl', 'zoo.json']) {
      await rm(join(path, file))
      execFileSync('mkfifo', [join(path, file)])
      expect(await findingsOf(path)).toContainEqual(
        expect.stringMatching(`${file}: .*it is a pipe or a device`),
      )
    }
    await expect(trainSmallZoo(path)).rejects.toThrow('zoo.json: it is a pipe or a device, not a file')
  })

  it('is a folder, which training says to remove', async () => {
    const path = join(await temporaryFolder(), 'zoo')
    await trainSmallZoo(path)
    const model = join(path, 'models', 'stripes_0.weights.h5')
    await rm(model)
    await mkdir(model)
    expect(await findingsOf(path)).toContain(
      'damaged models/stripes_0.weights.h5: cannot be read: it is a folder, not a file: remove it; weightzoo train makes it again',
    )
    await expect(trainSmallZoo(path)).rejects.toThrow(
      `cannot write ${model}: it is a folder, not a file: remove it`,
    )
  })
})

describe('compiled.json with a fitting checksum', () => {
  it.each<[string, Record<string, unknown>]>([
    ['without files', { files: undefined }],
    ['with files as text', { files: 'all' }],
    ['with null for a file', { files: { 'metrics.csv': null } }],
    ['with a number for a hash', { networks_sha256: 5 }],
  ])('%s is named, and made again', async (_, fields) => {
    const path = join(await temporaryFolder(), 'zoo')
    await trainSmallZoo(path)
    await editSealed(join(path, 'compiled.json'), state => Object.assign(state, fields))
    expect(await findingsOf(path)).toEqual([
      'damaged compiled.json: is not what weightzoo compile writes; weightzoo compile makes it again',
    ])
    await trainSmallZoo(path)
    expect(await findingsOf(path)).toEqual([])
  })
})

describe('verifying', () => {
  it('without zoo.json names that alone, and not every file beside it', async () => {
    const path = join(await temporaryFolder(), 'zoo')
    await trainSmallZoo(path, { checkpoints: 'all', outputs: true })
    await writeFile(join(path, 'zoo.json'), '{')
    await writeFile(join(path, 'stranger.txt'), 'x')
    const { findings } = await verifyZoo(path)
    expect(findings.map(({ kind, file }) => `${kind} ${file}`)).toEqual([
      'damaged zoo.json',
      'unknown stranger.txt',
    ])
  })

  it('counts what a plan of millions lacks', async () => {
    const path = join(await temporaryFolder(), 'zoo')
    await trainSmallZoo(path)
    await editSealed(join(path, 'zoo.json'), fields => Object.assign(fields['plan']!, { stripes: 9e6 }))
    expect(await findingsOf(path)).toEqual([
      'unfinished ledger.jsonl: 8999998 of 9000000 planned networks have no line, the first stripes_2; not trained yet, or lost: weightzoo train makes them',
    ])
  })

  it('needs to know how long a row of outputs is', async () => {
    const path = join(await temporaryFolder(), 'zoo')
    await trainSmallZoo(path, { outputs: true })
    await editSealed(join(path, 'zoo.json'), fields => Object.assign(fields['images']!, { validation: 0 }))
    expect(await findingsOf(path)).toEqual(['damaged zoo.json: lacks images, or has it in another form'])
  })

  it('notes how many networks failed, and why the first did', async () => {
    const path = join(await temporaryFolder(), 'zoo')
    const vary = { learningRate: [1e-3, 1e30] }
    const { failures } = await trainSmallZoo(path, { perClass: 4, optimizer: 'sgd', vary })
    expect(failures.length).toBeGreaterThan(1)
    const [{ class: name, index, reason }] = failures as [(typeof failures)[0]]
    expect(await verifyZoo(path)).toMatchObject({
      findings: [],
      notes: [
        `${failures.length} networks failed, the first ${name}_${index}: ${reason}; weightzoo train --retry-failed trains them again`,
      ],
    })
  })

  it('shows no control character of a file name or a ledger to the terminal', async () => {
    const path = join(await temporaryFolder(), 'zoo')
    await trainSmallZoo(path)
    const name = 'a\u001b[2Jb\u009bc\u202ed'
    await copyFile(join(path, 'zoo.json'), join(path, name))
    const [line] = linesOf(path)
    const { check: _, ...record } = JSON.parse(line!)
    const { class: className, index, seed, seconds, engine } = record
    const failure = {
      class: className,
      index,
      seed,
      seconds,
      engine,
      status: 'failed',
      attempt: 2,
      reason: name,
    }
    await writeFile(join(path, 'ledger.jsonl'), [...linesOf(path), seal(failure)].join('\n'))
    for (const command of ['verify', 'inspect']) {
      const { stdout } = await weightzoo([command, path])
      expect(stdout).toContain('a\\u001b[2Jb\\u009bc\\u202ed')
      expect(stdout).not.toMatch(/[^\n\P{Cc}]|\u202e/u)
    }
  })
})
