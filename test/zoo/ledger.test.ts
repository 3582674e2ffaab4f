import { rm, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { verifyZoo } from '../../dist/index.js'
import { type LedgerLine, ledgerFiles, ledgerLines, type NetworkRecord } from '../../dist/zoo/ledger.js'
import { seal } from '../../dist/zoo/seal.js'
import { temporaryFolder, trainSmallZoo } from '../support.js'

const HASH = '0'.repeat(64)

const LINE = {
  class: 'church',
  index: 0,
  seed: 7,
  status: 'finished',
  sha256: HASH,
  fileSha256: HASH,
  metrics: { accuracy: 1, precision: 1, recall: 1, f1: 1, auc: null },
  hyperparameters: { learningRate: 1e-3, activation: 'relu' },
  positiveFraction: 0.1,
  epoch: 0,
  checkpoints: { epochs: [0, 1], fileSha256: HASH },
  outputs: { file: 'outputs.1-of-2.f32', row: 3, sha256: HASH },
  history: { loss: [1], accuracy: [1], validationLoss: [1], validationAccuracy: [1] },
  seconds: 1,
  engine: 'native',
  attempt: 2,
}

async function linesOf(path: string): Promise<LedgerLine[]> {
  const lines: LedgerLine[] = []
  for await (const line of ledgerLines(path)) lines.push(line)
  return lines
}

describe('a line that is sealed, but says what no network has, is no ledger line:', () => {
  const { outputs, checkpoints } = LINE
  it.each<[string, object]>([
    ['an index past the compiled files', { index: 2 ** 31 }],
    ['attempt 0', { attempt: 0 }],
    ['an attempt that no other follows', { attempt: 1e308 }],
    ['an attempt in words', { attempt: '9' }],
    ['no hash of its file', { fileSha256: 'x' }],
    ['outputs that are a word', { outputs: 'x' }],
    ['no outputs', { outputs: null }],
    ['outputs in another directory', { outputs: { ...outputs, file: '../outputs.f32' } }],
    ['outputs in a list', { outputs: { ...outputs, file: ['outputs.f32'] } }],
    ['no row', { outputs: { ...outputs, row: undefined } }],
    ['a row past any disk', { outputs: { ...outputs, row: Number.MAX_SAFE_INTEGER } }],
    ['no hash of its outputs', { outputs: { ...outputs, sha256: undefined } }],
    ['no checkpoints', { checkpoints: null }],
    ['half an epoch', { checkpoints: { ...checkpoints, epochs: [0.5] } }],
    ['epochs in words', { checkpoints: { ...checkpoints, epochs: 'all' } }],
    ['no hash of its checkpoints', { checkpoints: { ...checkpoints, fileSha256: undefined } }],
    ['hyperparameters that are a word', { hyperparameters: 'abc' }],
    ['a list of hyperparameters', { hyperparameters: [1] }],
    ['a hyperparameter that is a list', { hyperparameters: { seed: [1, 2] } }],
    ['a hyperparameter that is a path', { hyperparameters: { '../x': 1 } }],
  ])('%s', async (_, wrong) => {
    const path = join(await temporaryFolder(), 'ledger.jsonl')
    const { attempt, fileSha256, outputs, checkpoints, hyperparameters, ...least } = LINE
    await writeFile(path, [LINE, least, { ...LINE, ...wrong }].map(line => seal(line)).join(''))
    const lines = await linesOf(path)
    expect(lines.map(({ record }) => record !== undefined)).toEqual([true, true, false])
  })
})

/** Changes the first line of a zoo's ledger, with a seal that fits. */
async function forge(out: string, change: (record: NetworkRecord) => object): Promise<NetworkRecord> {
  const path = join(out, 'ledger.jsonl')
  const [first, ...rest] = (await linesOf(path)).map(({ record }) => record as NetworkRecord)
  await writeFile(path, [change(first!), ...rest].map(line => seal(line)).join(''))
  return first!
}

describe('trains again', () => {
  it('what a sealed line with a row past any disk is of, and writes no row there', async () => {
    const out = await temporaryFolder()
    await trainSmallZoo(out, { outputs: true })
    await forge(out, record => ({ ...record, outputs: { ...record.outputs, row: 2 ** 40 } }))
    await trainSmallZoo(out, { outputs: true })
    expect((await verifyZoo(out)).findings).toEqual([])
    expect((await stat(join(out, 'outputs.f32'))).size).toBeLessThan(10_000)
  })

  it('a network whose file is gone, with its hash', async () => {
    const out = await temporaryFolder()
    await trainSmallZoo(out)
    const { class: name, index } = await forge(out, ({ fileSha256: _, ...record }) => record)
    await rm(join(out, 'models', `${name}_${index}.weights.h5`))
    await trainSmallZoo(out)
    expect((await verifyZoo(out)).findings).toEqual([])
  })
})

it('a line that is too long is none, however long, and what follows it is read', async () => {
  const out = await temporaryFolder()
  const path = join(out, 'ledger.jsonl')
  await writeFile(path, '')
  // Zeros that take no disk; quadratic reading needs half a minute.
  await truncate(path, 2 ** 28)
  await writeFile(path, `\n${seal(LINE)}${' '.repeat(17 * 2 ** 20)}${seal(LINE)}`, { flag: 'a' })
  const lines = await linesOf(path)
  expect(lines.map(({ record }) => record?.class)).toEqual([undefined, 'church', undefined])
})

it('a directory that cannot be listed is not an empty one', async () => {
  const folder = await temporaryFolder()
  expect(await ledgerFiles(join(folder, 'missing'))).toEqual([])
  const file = join(folder, 'file')
  await writeFile(file, '')
  await expect(ledgerFiles(file)).rejects.toMatchObject({
    tag: 'zoo',
    message: expect.stringMatching(/^cannot list .*file: ENOTDIR/),
    fields: { path: file },
  })
})
