import { spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { expect } from 'vitest'
import { diagnose, openZoo, type TrainZooOptions } from '../../dist/index.js'
import { fromRoot } from '../support.js'

// Training processes to be disturbed, and whether the zoo that comes of it is that of an undisturbed one. A few
// disturbances of each kind in `npm test`; `npm run torture` does it in earnest. All random draws follow from SEED.

export const LONG = process.env.WEIGHTZOO_TORTURE === 'long'
export const SEED = Number(process.env.WEIGHTZOO_TORTURE_SEED ?? 1)
export const NETWORKS_PER_CLASS = LONG ? 25 : 2
/** Milliseconds that the long run may take. */
export const TIMEOUT = LONG ? 1_800_000 : 120_000

export const say = (text: string) => console.log(`torture, seed ${SEED}: ${text}`)

export const engines = (await diagnose()).engines
  .filter(({ name, loads }) => loads && name !== 'tfjs')
  .map(({ name }) => name)

/** What the trainer's zoo is to be. */
export type Train = { out: string } & Pick<
  TrainZooOptions,
  'perClass' | 'engine' | 'shard' | 'checkpoints' | 'outputs' | 'vary'
>

/** All that a zoo can keep, and networks that differ in more than their draw. */
export const EVERYTHING: Partial<Train> = {
  checkpoints: 'all',
  outputs: true,
  vary: {
    learningRate: { logUniform: [1e-4, 1e-2] },
    activation: ['tanh', 'relu'],
    seed: { integer: [0, 99] },
  },
}

/** A training process, with the last stage that it told, and the networks that it told finished. */
export function train(options: Train) {
  const child = spawn(process.execPath, [fromRoot('test/torture/trainer.mjs'), JSON.stringify(options)])
  const told = { stage: 'starting', networks: [] as string[], stderr: '', ready: Promise.resolve() }
  let onReady = () => {}
  told.ready = new Promise(resolve => {
    onReady = resolve
  })
  createInterface(child.stdout).on('line', line => {
    if (line.startsWith('network ')) told.networks.push(line.slice('network '.length))
    else told.stage = line
    onReady()
  })
  child.stderr.on('data', data => {
    told.stderr += data
  })
  const ended = new Promise<{ code: number | null; signal: string | null }>(resolve =>
    child.on('close', (code, signal) => {
      onReady()
      resolve({ code, signal })
    }),
  )
  return { child, told, ended }
}

export async function trainToTheEnd(options: Train): Promise<void> {
  const { told, ended } = train(options)
  expect({ ...(await ended), stderr: told.stderr }).toEqual({ code: 0, signal: null, stderr: '' })
}

/**
 * Every file of a zoo by its path, but for those whose content stands in the order in which networks ended: ledgers and
 * outputs.
 */
export function filesOf(zoo: string): Record<string, string> {
  const names = readdirSync(zoo, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile() && !/^(ledger|outputs)\./.test(entry.name))
    .map(entry => join(entry.parentPath, entry.name))
  return Object.fromEntries(
    names.sort().map(name => [name.slice(zoo.length + 1), readFileSync(name).toString('base64')]),
  )
}

/** The last line of every network, without what depends on how the work was done. */
function ledgerOf(zoo: string): unknown[] {
  const lines = readdirSync(zoo)
    .filter(name => name.startsWith('ledger'))
    .flatMap(name => readFileSync(join(zoo, name), 'utf8').trim().split('\n'))
  const records = new Map(
    lines.map(line => {
      const { seconds: _s, attempt: _a, check: _c, outputs, ...record } = JSON.parse(line)
      return [`${record.class}_${record.index}`, { ...record, outputs: outputs?.sha256 }]
    }),
  )
  return [...records.keys()].sort().map(name => records.get(name))
}

/** Every network's outputs by its name, each read against its hash; `undefined` for a zoo that keeps none. */
async function outputsOf(path: string): Promise<unknown> {
  const zoo = await openZoo(path)
  if (!zoo.manifest.stores?.outputs) return undefined
  const outputs = await zoo.outputs()
  return outputs.names.map((name, row) => [
    name,
    Buffer.from(outputs.row(row).slice().buffer).toString('hex'),
  ])
}

export async function expectEqualZoos(zoo: string, undisturbed: string): Promise<void> {
  const [files, wanted] = [filesOf(zoo), filesOf(undisturbed)]
  expect(Object.keys(files)).toEqual(Object.keys(wanted))
  expect(Object.keys(wanted).filter(name => files[name] !== wanted[name])).toEqual([])
  expect(ledgerOf(zoo)).toEqual(ledgerOf(undisturbed))
  expect(await outputsOf(zoo)).toEqual(await outputsOf(undisturbed))
}
