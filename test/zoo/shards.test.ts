import { existsSync } from 'node:fs'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { openZoo, verifyZoo } from '../../dist/index.js'
import { lockDirectory } from '../../dist/zoo/lock.js'
import { temporaryFolder, trainSmallZoo } from '../support.js'

// What one shard's files suffer is not the others' misfortune.

/** Trains one of two shards; returns what it warned of. */
async function train(out: string, number: number, perClass = 2): Promise<string[]> {
  const warnings: string[] = []
  const onProgress = ({ warning }: { warning?: string }) => {
    if (warning) warnings.push(warning)
  }
  await trainSmallZoo(out, { shard: { number, of: 2 }, perClass, onProgress })
  return warnings
}

async function trainedInTwo(): Promise<string> {
  const out = await temporaryFolder()
  for (const number of [1, 2]) expect(await train(out, number)).toEqual([])
  return out
}

async function damage(ledger: string): Promise<void> {
  const text = await readFile(ledger, 'utf8')
  await writeFile(ledger, text.replace('"seconds":', '"secondz":'))
}

it("a damaged line in another shard's ledger is taken out, and that shard trains its network again", async () => {
  const out = await trainedInTwo()
  await damage(join(out, 'ledger.2-of-2.jsonl'))
  expect(await train(out, 1)).toEqual([])
  expect((await openZoo(out)).networks).toHaveLength(3)
  expect(await train(out, 2)).toEqual([])
  expect((await verifyZoo(out)).findings).toEqual([])
})

it("a damaged line in a ledger that is being written is its shard's, and holds no other up", async () => {
  const out = await trainedInTwo()
  const ledger = join(out, 'ledger.2-of-2.jsonl')
  await damage(ledger)
  const damaged = await readFile(ledger, 'utf8')
  const lock = await lockDirectory(out, { name: 'zoo.2-of-2.lock' })
  expect(await train(out, 1, 3)).toEqual([])
  expect(await readFile(ledger, 'utf8')).toBe(damaged)
  await lock.release()
  expect(await train(out, 2, 3)).toEqual([])
  expect((await openZoo(out)).networks).toHaveLength(6)
  expect((await verifyZoo(out)).findings).toEqual([])
})

it.each(['missing', 'damaged'])(
  "weights of another shard's that are %s are left to it, and a warning tells",
  async how => {
    const out = await trainedInTwo()
    const { networks } = await openZoo(out)
    const inSecond = await readFile(join(out, 'ledger.2-of-2.jsonl'), 'utf8')
    const { class: name, index } = networks.find(network => inSecond.includes(network.sha256))!
    const model = join(out, 'models', `${name}_${index}.weights.h5`)
    await (how === 'missing' ? rm(model) : writeFile(model, 'x'))
    await rm(join(out, 'compiled.json'))
    const [warning, ...more] = await train(out, 1)
    expect(more).toEqual([])
    expect(warning).toContain(`${out} is not compiled yet: `)
    expect(warning).toContain(`${model}`)
    expect(existsSync(join(out, 'compiled.json'))).toBe(false)
    expect(await train(out, 2)).toEqual([])
    expect((await verifyZoo(out)).findings).toEqual([])
  },
)

it('what is in the way of compiling for all fails a shard as it fails a whole call', async () => {
  const out = await trainedInTwo()
  await rm(join(out, 'modelwise.h5'))
  await mkdir(join(out, 'modelwise.h5'))
  await expect(train(out, 1)).rejects.toThrow(`cannot write ${join(out, 'modelwise.h5')}: `)
})
