import { readdirSync, readFileSync } from 'node:fs'
import { open, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import {
  binaryMetrics,
  jobFactory,
  openZoo,
  resolveRecipe,
  verifyZoo,
  type Zoo,
  ZooError,
} from '../../dist/index.js'
import { rewriteLedger } from '../../dist/zoo/ledger.js'
import { smallImages, temporaryFolder, trainSmallZoo } from '../support.js'

const kept = { checkpoints: 'all', outputs: true, epochs: 2 } as const
const images = smallImages()

/** Model and checkpoint files, and the outputs by network: what may not depend on how the work was done. */
async function contentOf(zoo: Zoo): Promise<Record<string, unknown>> {
  const files = ['models', 'checkpoints'].flatMap(folder =>
    readdirSync(join(zoo.path, folder)).map(name => join(folder, name)),
  )
  return {
    ...Object.fromEntries(files.map(name => [name, readFileSync(join(zoo.path, name)).toString('base64')])),
    outputs: await zoo.outputs(),
  }
}

let zoo: Zoo
let content: Record<string, unknown>
beforeAll(async () => {
  const { mkdtemp } = await import('node:fs/promises')
  const { tmpdir } = await import('node:os')
  const folder = await mkdtemp(join(tmpdir(), 'weightzoo-'))
  zoo = await trainSmallZoo(join(folder, 'zoo'), kept)
  content = await contentOf(zoo)
  return () => rm(folder, { recursive: true, force: true })
})

describe('checkpoints', () => {
  it('go from the initial weights to the last ones', async () => {
    const { epochs, at, weights } = await zoo.checkpoints('checks', 1)
    expect(epochs).toEqual([0, 1, 2])
    expect(weights).toHaveLength(3 * 91481)
    const recipe = resolveRecipe({ epochs: 2, batchSize: 64, seed: 7 }, images)
    expect(at(0)).toEqual(jobFactory(recipe, images)('checks', 1).job.initialWeights)
    expect(at(1)).not.toEqual(at(0))
    expect(at(2)).toEqual(await zoo.weights('checks', 1))
    expect(() => at(3)).toThrow('invalid epochs; this network has checkpoints after 0, 1, 2 epochs: 3')
  })

  it('may be of some epochs only', async () => {
    const some = await trainSmallZoo(await temporaryFolder(), {
      ...kept,
      checkpoints: { every: 2 },
      perClass: 1,
    })
    const { epochs, at } = await some.checkpoints('stripes', 0)
    expect(epochs).toEqual([0, 2])
    expect(at(0)).toEqual((await zoo.checkpoints('stripes', 0)).at(0))
  })

  it.each<[string, unknown, object?]>([
    ['invalid checkpoints; needs "all", a list of epochs or { every: n }: some', 'some'],
    ['invalid checkpoints; networks are trained for 2 epochs: [0,3]', [0, 3]],
    [
      'invalid checkpoints; needs an epoch that every network reaches, and some are trained for 1: [2]',
      [2],
      { vary: { epochs: [1, 2] } },
    ],
    ['invalid checkpoints; needs whole numbers of epochs, 0 being the initialisation: [-1]', [-1]],
    ['invalid checkpoints; needs at least one epoch; leave the option out for none: []', []],
    ['invalid checkpoints; needs a positive whole number of epochs: {"every":0}', { every: 0 }],
    ['unknown option of checkpoints: "evry"; did you mean "every"?', { evry: 2 }],
  ])('refuses: %s', async (message, checkpoints, more) => {
    const options = { ...kept, checkpoints, ...more } as never
    await expect(trainSmallZoo('never-made', options)).rejects.toThrow(message)
  })
})

describe('outputs', () => {
  it('are the probabilities that the metrics come from', async () => {
    const outputs = await zoo.outputs()
    expect(outputs.shape).toEqual([4, images.validation.count])
    expect(outputs.names).toEqual(['stripes_0', 'stripes_1', 'checks_0', 'checks_1'])
    expect(outputs.imageLabels).toEqual(images.validation.labels)
    for (const [row, { metrics }] of zoo.networks.entries()) {
      expect(binaryMetrics(outputs.row(row), outputs.targets(row))).toEqual(metrics)
    }
    const selected = await zoo.select({ class: 'checks', where: ({ index }) => index === 1 }).outputs()
    expect(selected.row(0)).toEqual(outputs.row(3))
  })
})

describe('what is kept', () => {
  it('changes no weight, and neither do threads, interruption, shards or growth', async () => {
    const folder = await temporaryFolder()
    const plain = await trainSmallZoo(join(folder, 'plain'), { epochs: 2 })
    expect(plain.networks.map(({ sha256 }) => sha256)).toEqual(zoo.networks.map(({ sha256 }) => sha256))
    expect(plain.manifest).not.toHaveProperty('stores')
    await expect(plain.outputs()).rejects.toThrow('has no stored outputs; trainZoo with outputs: true')
    await expect(plain.checkpoints('stripes', 0)).rejects.toThrow('has no checkpoints; train one with')

    const out = join(folder, 'interrupted')
    const controller = new AbortController()
    const work = trainSmallZoo(out, {
      ...kept,
      perClass: 1,
      concurrency: 1,
      signal: controller.signal,
      onProgress: ({ finished }) => finished === 1 && controller.abort(),
    })
    await expect(work).rejects.toMatchObject({ tag: 'interrupted' })
    await trainSmallZoo(out, { ...kept, shard: { number: 1, of: 2 }, concurrency: 1 })
    const whole = await trainSmallZoo(out, { ...kept, shard: { number: 2, of: 2 } })
    expect(await contentOf(whole)).toEqual(content)
    expect((await verifyZoo(whole)).findings).toEqual([])
    expect(readdirSync(out).filter(name => name.startsWith('outputs')).length).toBeGreaterThan(1)
  })

  it('is mended where it was damaged, and the damage is named', async () => {
    const out = await temporaryFolder()
    await trainSmallZoo(out, kept)
    const outputs = join(out, 'outputs.f32')
    await truncate(outputs, (await readFile(outputs)).length - 5)
    const bytes = await readFile(join(out, 'checkpoints', 'stripes_1.h5'))
    bytes[100_000]! ^= 1
    await writeFile(join(out, 'checkpoints', 'stripes_1.h5'), bytes)
    await rm(join(out, 'checkpoints', 'checks_0.h5'))

    const damaged = await openZoo(out)
    await expect(damaged.outputs()).rejects.toThrow(
      /outputs\.f32: row 3 is not what the ledger lists of \w+_\d/,
    )
    await expect(damaged.checkpoints('stripes', 1)).rejects.toThrow(ZooError)
    await expect(damaged.checkpoints('checks', 0)).rejects.toThrow('no such file')
    const { findings } = await verifyZoo(out)
    expect(findings.map(({ kind, file }) => `${kind} ${file}`).sort()).toEqual([
      'damaged checkpoints/stripes_1.h5',
      'damaged outputs.f32',
      'missing checkpoints/checks_0.h5',
    ])
    const mended = await trainSmallZoo(out, kept)
    expect(await contentOf(mended)).toEqual(content)
    expect((await verifyZoo(mended)).findings).toEqual([])
  })

  it('by a crash between a row and its ledger line is written over', async () => {
    const out = await temporaryFolder()
    await trainSmallZoo(out, { ...kept, perClass: 1 })
    const handle = await open(join(out, 'outputs.f32'), 'a')
    await handle.write(new Uint8Array(4 * images.validation.count + 7))
    await handle.close()
    const grown = await trainSmallZoo(out, kept)
    expect(await contentOf(grown)).toEqual(content)
    expect((await readFile(join(out, 'outputs.f32'))).length).toBe(4 * 4 * images.validation.count)
  })

  it('may be outputs that a zoo is given later, without training anything again', async () => {
    const out = await temporaryFolder()
    const before = await trainSmallZoo(out, { ...kept, outputs: false, shard: { number: 1, of: 2 } })
    const trained: string[] = []
    const controller = new AbortController()
    const interrupted = trainSmallZoo(out, {
      ...kept,
      signal: controller.signal,
      onProgress: ({ stage }) => stage === 'training' && controller.abort(),
    })
    await expect(interrupted).rejects.toMatchObject({ tag: 'interrupted', fields: { finished: 0 } })
    await expect((await openZoo(out)).outputs()).rejects.toThrow(
      /the ledger lists no outputs of \w+_\d; weightzoo train --outputs with the recipe of the zoo adds them/,
    )
    const whole = await trainSmallZoo(out, {
      ...kept,
      onProgress: ({ network }) => network && trained.push(`${network.class}_${network.index}`),
    })
    expect(await contentOf(whole)).toEqual(content)
    expect(trained).toHaveLength(2)
    for (const { class: name, index } of before.networks) expect(trained).not.toContain(`${name}_${index}`)
    expect(await verifyZoo(whole, { images, metrics: true })).toMatchObject({ findings: [], metrics: 4 })
  })

  it('is computed again where a row of outputs is damaged, and found out where a row is of other weights', async () => {
    const out = await temporaryFolder()
    await trainSmallZoo(out, kept)
    await truncate(join(out, 'outputs.f32'), 0)
    const trained: unknown[] = []
    const mended = await trainSmallZoo(out, {
      ...kept,
      onProgress: ({ network }) => network && trained.push(network),
    })
    expect(trained).toEqual([])
    expect(await contentOf(mended)).toEqual(content)

    const [first, second, ...others] = mended.networks
    const swapped = [
      { ...first!, outputs: second!.outputs! },
      { ...second!, outputs: first!.outputs! },
    ]
    await rewriteLedger(join(out, 'ledger.jsonl'), [...swapped, ...others])
    expect((await verifyZoo(out)).findings).toEqual([])
    const { findings } = await verifyZoo(out, { images, metrics: true })
    expect(findings.map(({ kind, message }) => `${kind}: ${message}`)).toEqual(
      Array(2).fill('differs: its weights give other outputs than those that are stored'),
    )
  })

  it('is kept by every call from then on, whether it says so or not', async () => {
    const out = await temporaryFolder()
    await trainSmallZoo(out, { ...kept, perClass: 1 })
    const whole = await trainSmallZoo(out, { epochs: 2 })
    expect(await contentOf(whole)).toEqual(content)
    await expect(trainSmallZoo(out, { ...kept, checkpoints: [0, 2] })).rejects.toThrow(
      'another recipe: checkpoints is [0,2], was "all".',
    )
  })

  it('cannot be checkpoints that are asked for later', async () => {
    const out = await temporaryFolder()
    await trainSmallZoo(out, { epochs: 2, perClass: 1 })
    await expect(trainSmallZoo(out, { ...kept, checkpoints: [0, 2] })).rejects.toThrow(
      'another recipe: checkpoints is [0,2], was "none".',
    )
  })

  it('is never looked for outside the zoo', async () => {
    const out = await temporaryFolder()
    const small = await trainSmallZoo(out, { ...kept, perClass: 1, classes: ['stripes'] })
    const [network] = small.networks
    Object.assign(network!.outputs!, { file: '../../etc/passwd' })
    await expect(small.outputs()).rejects.toThrow('the ledger lists no outputs of stripes_0')
  })
})
