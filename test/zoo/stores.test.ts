import { readdirSync, readFileSync, rmSync } from 'node:fs'
import {
  appendFile,
  mkdir,
  open,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  truncate,
  writeFile,
} from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import {
  binaryMetrics,
  jobFactory,
  openZoo,
  resolveRecipe,
  verifyZoo,
  writeReport,
  type Zoo,
  ZooError,
} from '../../dist/index.js'
import { rewriteLedger } from '../../dist/zoo/ledger.js'
import { lockDirectory } from '../../dist/zoo/lock.js'
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

/** `kind file: message` of all that is wrong with a zoo. */
async function findingsOf(path: string): Promise<string[]> {
  const { findings } = await verifyZoo(path)
  return findings.map(({ kind, file, message }) => `${kind} ${file}: ${message}`)
}

/** Bytes of a network's outputs. */
const ROW = 4 * images.validation.count
const outputsFiles = (path: string) => readdirSync(path).filter(name => name.startsWith('outputs'))

describe('a file of outputs', () => {
  const outputs = { outputs: true } as const
  const shards = [1, 2].map(number => ({ ...outputs, shard: { number, of: 2 } }))

  it('is none where a call has none to write', async () => {
    const out = await temporaryFolder()
    for (const shard of shards) await trainSmallZoo(out, shard)
    await trainSmallZoo(out, outputs)
    expect(outputsFiles(out)).toEqual(['outputs.1-of-2.f32', 'outputs.2-of-2.f32'])
    expect(await findingsOf(out)).toEqual([])

    const failing = await temporaryFolder()
    const failed = await trainSmallZoo(failing, {
      ...outputs,
      optimizer: { kind: 'sgd', learningRate: 1e30 },
    })
    expect(failed.failures).toHaveLength(4)
    expect(outputsFiles(failing)).toEqual([])
    expect(await findingsOf(failing)).toEqual([])
  })

  it.each(['models', 'ledger.2-of-2.jsonl'])(
    "goes when a whole call makes a shard's %s again",
    async lost => {
      const out = await temporaryFolder()
      for (const shard of shards) await trainSmallZoo(out, shard)
      const { networks } = await openZoo(out)
      const moved = networks.filter(network => network.outputs?.file === 'outputs.2-of-2.f32')
      if (lost === 'models')
        for (const { class: name, index } of moved) await rm(join(out, lost, `${name}_${index}.weights.h5`))
      else await rm(join(out, lost))
      // Of no network any more, and a note: nothing that is missed, and the next call removes it.
      if (lost !== 'models') {
        const { findings, notes } = await verifyZoo(out)
        expect(findings.map(({ kind }) => kind)).not.toContain('damaged')
        expect(notes).toEqual([
          'outputs.2-of-2.f32: the outputs of no network are in it; weightzoo train removes it',
        ])
      }
      await trainSmallZoo(out, outputs)
      expect(outputsFiles(out)).toEqual(['outputs.1-of-2.f32', 'outputs.f32'])
      expect(await findingsOf(out)).toEqual([])
    },
  )

  it('does not grow with repairs, and every byte of it is looked at', async () => {
    const out = await temporaryFolder()
    await trainSmallZoo(out, outputs)
    const path = join(out, 'outputs.f32')
    const rows = async () => (await stat(path)).size / ROW
    for (let round = 0; round < 3; round++) {
      await rm(path)
      await trainSmallZoo(out, outputs)
      expect(await rows()).toBe(4)
    }
    for (let round = 0; round < 4; round++) {
      await rm(join(out, 'models', 'stripes_0.weights.h5'))
      await trainSmallZoo(out, outputs)
      expect(await findingsOf(out)).toEqual([])
      expect(await rows()).toBeLessThanOrEqual(5)
    }

    const [network] = (await openZoo(out)).networks
    await rm(join(out, 'models', 'stripes_0.weights.h5'))
    await trainSmallZoo(out, outputs)
    const whole = await readFile(path)
    const flipped = Buffer.from(whole)
    flipped[network!.outputs!.row * ROW + 9]! ^= 1
    for (const [fault, bytes] of [
      ['1 row is of no network', flipped],
      ['13 bytes stand behind its last row', Buffer.concat([whole, Buffer.from('trailing junk')])],
    ] as const) {
      await writeFile(path, bytes)
      expect(await findingsOf(out)).toEqual([
        `unfinished outputs.f32: ${fault}, left by a crash or damage; weightzoo train clears them`,
      ])
      await trainSmallZoo(out, outputs)
      expect(await findingsOf(out)).toEqual([])
      expect(await readFile(path)).toEqual(whole)
    }
  })

  it("has a crash's rows cleared in every shard's file, but not in that of a process at work", async () => {
    const out = await temporaryFolder()
    for (const shard of shards) await trainSmallZoo(out, shard)
    const path = join(out, 'outputs.2-of-2.f32')
    await appendFile(path, new Uint8Array(ROW + 7).fill(1))
    const lock = await lockDirectory(out, { name: 'zoo.2-of-2.lock' })
    await trainSmallZoo(out, outputs)
    await lock.release()
    expect(await findingsOf(out)).toHaveLength(1)
    await trainSmallZoo(out, outputs)
    expect(await findingsOf(out)).toEqual([])
  })

  it.each([1e9, '7'])('stays small whatever row a line names: %s', async row => {
    const out = await temporaryFolder()
    const [first, ...others] = (await trainSmallZoo(out, outputs)).networks
    const changed = { ...first!, outputs: { ...first!.outputs!, row: row as number } }
    await rewriteLedger(join(out, 'ledger.jsonl'), [changed, ...others])
    await trainSmallZoo(out, outputs)
    expect((await stat(join(out, 'outputs.f32'))).size).toBe(4 * ROW)
    expect(await findingsOf(out)).toEqual([])
  })

  it('that is removed while networks are trained stops the call', async () => {
    const out = await temporaryFolder()
    let trained = 0
    const work = trainSmallZoo(out, {
      ...outputs,
      concurrency: 1,
      onProgress: ({ network }) => network && ++trained === 2 && rmSync(join(out, 'outputs.f32')),
    })
    await expect(work).rejects.toThrow(
      `cannot write ${join(out, 'outputs.f32')}: the file was removed while it was open`,
    )
    await trainSmallZoo(out, outputs)
    expect(await findingsOf(out)).toEqual([])
  })

  it('that lacks networks is unfinished, not damaged', async () => {
    const out = await temporaryFolder()
    await trainSmallZoo(out)
    await trainSmallZoo(out, shards[0])
    expect(await findingsOf(out)).toEqual([
      'unfinished ledger.jsonl: 2 networks have no outputs yet, the first checks_0; weightzoo train --outputs adds them',
    ])
  })
})

describe.skipIf(process.platform === 'win32')('a link in a zoo', () => {
  const refusal = (path: string) =>
    `cannot write ${path}: it is a link, and nothing is written outside the zoo; remove it, or put there what it points to`

  it.each(['outputs.f32', 'ledger.jsonl'])('is not written through: %s', async name => {
    const folder = await temporaryFolder()
    const out = join(folder, 'zoo')
    await trainSmallZoo(out)
    const precious = join(folder, 'precious.txt')
    if (name === 'ledger.jsonl') await rename(join(out, name), precious)
    else await writeFile(precious, 'precious')
    const before = await readFile(precious)
    await symlink('../precious.txt', join(out, name))
    await expect(trainSmallZoo(out, { outputs: true })).rejects.toThrow(refusal(join(out, name)))
    expect(await readFile(precious)).toEqual(before)
  })

  it('is not followed to a file that is not there', async () => {
    const folder = await temporaryFolder()
    const out = join(folder, 'zoo')
    await trainSmallZoo(out)
    await symlink('../new.txt', join(out, 'ledger.1-of-1.jsonl'))
    const work = trainSmallZoo(out, { shard: { number: 1, of: 1 }, perClass: 3 })
    await expect(work).rejects.toThrow(refusal(join(out, 'ledger.1-of-1.jsonl')))
    expect(readdirSync(folder)).toEqual(['zoo'])
  })

  it.each(['models', 'checkpoints'])('is not written into: %s', async name => {
    const folder = await temporaryFolder()
    const out = join(folder, 'zoo')
    await trainSmallZoo(out, { checkpoints: 'all' })
    const away = join(folder, 'away')
    await rename(join(out, name), away)
    await symlink('../away', join(out, name))
    const before = readdirSync(away)
    const work = trainSmallZoo(out, { checkpoints: 'all', perClass: 3 })
    await expect(work).rejects.toThrow(refusal(join(out, name)))
    expect(readdirSync(away)).toEqual(before)
  })

  it('is not where its report is put, unless it is asked for', async () => {
    const folder = await temporaryFolder()
    const small = await trainSmallZoo(join(folder, 'zoo'), { perClass: 1 })
    await mkdir(join(folder, 'away'))
    await symlink('../away', join(small.path, 'report'))
    await expect(writeReport(small)).rejects.toThrow(refusal(join(small.path, 'report')))
    expect(readdirSync(join(folder, 'away'))).toEqual([])
  })

  it('may be the zoo itself', async () => {
    const folder = await temporaryFolder()
    await trainSmallZoo(join(folder, 'zoo'), { perClass: 1 })
    await symlink('zoo', join(folder, 'link'))
    const { networks } = await trainSmallZoo(join(folder, 'link'), { outputs: true })
    expect(networks).toHaveLength(4)
    expect(await findingsOf(join(folder, 'link'))).toEqual([])
  })
})
