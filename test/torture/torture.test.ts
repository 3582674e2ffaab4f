import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { existsSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { copyFile, mkdtemp, rename, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { RandomStream, verifyZoo } from '../../dist/index.js'
import { fromRoot, temporaryFolder } from '../support.js'
import {
  EVERYTHING,
  engines,
  expectEqualZoos,
  filesOf,
  LONG,
  NETWORKS_PER_CLASS,
  SEED,
  say,
  TIMEOUT,
  train,
  trainToTheEnd,
} from './support.js'

// What happens to a zoo in the wild: kills, full disks, vanished directories, other processes, flipped bytes. A few of
// each in `npm test`; `npm run torture` does it in earnest and prints the counts.

const FLIPS = LONG ? 300 : 24
const LOCKERS = LONG ? 120 : 8
/** Processes that want the directory which another is training into. */
const RIVALS = LONG ? 12 : 1

/** Kinds of zoos to kill the trainers of; `first` without outputs, to the end. */
const KINDS = [
  { kind: 'weights alone', options: {}, kills: LONG ? 50 : 3 },
  { kind: 'all that a zoo can keep', options: EVERYTHING, kills: LONG ? 30 : 2 },
  { kind: 'outputs given later', first: true, options: { outputs: true }, kills: LONG ? 20 : 1 },
]

const [engine = 'wasm'] = engines
let folder: string
let undisturbed: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'weightzoo-torture-'))
  undisturbed = join(folder, 'undisturbed')
  await trainToTheEnd({ out: undisturbed, perClass: NETWORKS_PER_CLASS, engine })
}, TIMEOUT)

afterAll(() => rm(folder, { recursive: true, force: true }))

const disturbances = engines.flatMap(engine => KINDS.map(kind => ({ engine, ...kind })))
describe.each(disturbances)('$engine, $kind', ({ engine, kind, first, options, kills: wanted }) => {
  it(
    `survives ${wanted} kills at random instants`,
    async () => {
      const random = new RandomStream(SEED, 'kills', engine, kind)
      const [alone, out] = [`${kind} undisturbed ${engine}`, `${kind} killed ${engine}`].map(name =>
        join(folder, name),
      ) as [string, string]
      const whole = { ...options, perClass: NETWORKS_PER_CLASS, engine }
      await trainToTheEnd({ ...whole, out: alone })
      if (first) await trainToTheEnd({ ...whole, outputs: false, out })
      const stages: Record<string, number> = {}
      let span = 1000
      for (let kills = 0; kills < wanted; ) {
        // The zoo grows a little with every kill, so that starting, training and compiling are hit alike.
        const perClass = Math.ceil((NETWORKS_PER_CLASS * (kills + 1)) / wanted)
        const { child, told, ended } = train({ ...whole, out, perClass })
        await told.ready
        await sleep(random.uniform() * span)
        child.kill('SIGKILL')
        const { signal } = await ended
        expect(told.stderr).toBe('')
        if (signal === 'SIGKILL') {
          kills++
          stages[told.stage] = (stages[told.stage] ?? 0) + 1
        }
        span *= signal === 'SIGKILL' ? 1.1 : 0.9
      }
      await trainToTheEnd({ ...whole, out })
      await expectEqualZoos(out, alone)
      expect((await verifyZoo(out)).findings).toEqual([])
      say(
        `${engine}, ${kind}: ${wanted} kills (${JSON.stringify(stages)}), ${2 * NETWORKS_PER_CLASS} networks, all files equal`,
      )
    },
    TIMEOUT,
  )
})

describe('two processes', () => {
  it(
    `on one directory: ${RIVALS} that come second are told, and spoil nothing`,
    async () => {
      const out = join(folder, 'together')
      const perClass = NETWORKS_PER_CLASS + 60 * RIVALS
      const first = train({ out, perClass, engine })
      while (first.told.stage !== 'training') await sleep(5)
      const rivals = Array.from({ length: RIVALS }, () => train({ out, perClass, engine }))
      await Promise.all(rivals.map(({ ended }) => ended))
      for (const { told } of rivals) {
        expect(told.stderr).toMatch(
          new RegExp(`^${out} is being trained by process ${first.child.pid} on .*; wait for it, or delete `),
        )
      }
      first.child.kill('SIGKILL')
      await first.ended
      const { findings, networks } = await verifyZoo(out)
      expect(findings.filter(({ kind }) => kind === 'damaged')).toEqual([])
      say(`${RIVALS} rivals for one directory, all told; ${networks} networks there, none damaged`)
    },
    TIMEOUT,
  )

  it('with a shard each make the zoo together, whichever ends last', async () => {
    const out = join(folder, 'shards')
    const shards = [1, 2, 3].map(number =>
      trainToTheEnd({ out, perClass: NETWORKS_PER_CLASS, engine, shard: { number, of: 3 } }),
    )
    await Promise.all(shards)
    await expectEqualZoos(out, undisturbed)
    say(`${shards.length} shards at the same time, all files equal`)
  })

  it(
    `of ${LOCKERS} that find a dead lock, one at a time gets it`,
    async () => {
      const place = await temporaryFolder()
      const running = Array.from({ length: LOCKERS }, async () => {
        const child = spawn(process.execPath, [fromRoot('test/torture/locker.mjs'), place])
        let stdout = ''
        child.stdout.on('data', data => {
          stdout += data
        })
        const signal = await new Promise(resolve => child.on('close', (_, signal) => resolve(signal)))
        return signal ? `${stdout}died` : stdout
      })
      const ends = await Promise.all(running)
      const died = ends.filter(end => end === 'died').length
      expect(ends.filter(end => end !== 'died' && end !== 'left\n')).toEqual([])
      say(`${LOCKERS} processes took one lock in turn, ${died} died holding it, none met another`)
    },
    TIMEOUT,
  )
})

describe('the output directory', () => {
  it(
    'vanishes: a clear line, nothing written elsewhere, nothing lost',
    async () => {
      const out = join(folder, 'vanishing')
      const { told, ended } = train({ out, perClass: NETWORKS_PER_CLASS + 40, engine })
      while (told.stage !== 'training' || !existsSync(join(out, 'ledger.jsonl'))) await sleep(5)
      await sleep(300)
      renameSync(out, `${out} elsewhere`)
      expect((await ended).code).toBe(1)
      expect(told.stderr).toMatch(
        /has vanished while it was being trained \(deleted, moved or unmounted\); bring it back/,
      )
      expect(existsSync(out)).toBe(false)
      renameSync(`${out} elsewhere`, out)
      await trainToTheEnd({ out, perClass: NETWORKS_PER_CLASS + 40, engine })
      expect((await verifyZoo(out)).findings).toEqual([])
    },
    TIMEOUT,
  )

  it(
    'runs full at any file: a clear line each time, and a whole zoo once there is room',
    async context => {
      const out = await temporaryFolder()
      const mount = (options: string) => spawnSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', out])
      if (process.platform !== 'linux' || mount('size=64k').status !== 0) {
        console.warn('skipped: a full disk needs root on Linux, to mount a small one')
        return context.skip()
      }
      onTestFinished(() => {
        execFileSync('umount', [out])
      })
      const whole = execFileSync('du', ['-sb', undisturbed])
      const bytes = Number.parseInt(String(whole), 10) + 400_000
      const steps = LONG ? 40 : 4
      let failures = 0
      const lines = new Set<string>()
      for (let step = 1; step <= steps; step++) {
        execFileSync('mount', ['-o', `remount,size=${Math.ceil((bytes * step) / steps / 4096) * 4}k`, out])
        const { told, ended } = train({ out, perClass: NETWORKS_PER_CLASS, engine })
        if ((await ended).code === 0) continue
        failures++
        expect(told.stderr).toMatch(
          /^(cannot write|cannot make the directory) [^\n]*(no space left|No space left)[^\n]*\n$/,
        )
        lines.add(/[\w.]+(?=: )/.exec(told.stderr)?.[0].replace(/\w+_\d+/, '<network>') ?? told.stderr)
      }
      execFileSync('mount', ['-o', 'remount,size=1g', out])
      await trainToTheEnd({ out, perClass: NETWORKS_PER_CLASS, engine })
      expect(failures).toBeGreaterThan(0)
      await expectEqualZoos(out, undisturbed)
      say(`disk full at ${failures} of ${steps} sizes (${[...lines].join(', ')}), all files equal afterwards`)
    },
    TIMEOUT,
  )
})

describe('damage', () => {
  it(
    `of ${FLIPS} kinds, at random offsets of every file in turn, is named`,
    async () => {
      const zoo = undisturbed
      const random = new RandomStream(SEED, 'flips')
      const files = Object.keys(filesOf(zoo)).concat('ledger.jsonl')
      // Of many model files a few are enough; every other file has its turns.
      const turns = files
        .filter(name => !name.startsWith('models'))
        .concat(files.filter(name => name.startsWith('models')).slice(0, 4))
      const spare = join(folder, 'spare')
      const counts = { flip: 0, truncation: 0, loss: 0 }
      for (let i = 0; i < FLIPS; i++) {
        const file = turns[i % turns.length]!
        const path = join(zoo, file)
        await copyFile(path, spare)
        const kind = (['flip', 'flip', 'truncation', 'loss'] as const)[Math.floor(i / turns.length) % 4]!
        const size = statSync(path).size
        const at = Math.floor(random.uniform() * size)
        if (kind === 'loss') rmSync(path)
        else if (kind === 'truncation') await truncate(path, at)
        else {
          const bytes = readFileSync(path)
          bytes[at]! ^= 1 << Math.floor(random.uniform() * 8)
          await writeFile(path, bytes)
        }
        const { findings } = await verifyZoo(zoo)
        const named = findings.some(finding => finding.file === file)
        expect({ file, kind, at, named, findings: named ? [] : findings }).toEqual({
          file,
          kind,
          at,
          named: true,
          findings: [],
        })
        counts[kind]++
        await rename(spare, path)
      }
      expect((await verifyZoo(zoo)).findings).toEqual([])
      say(
        `${counts.flip} flipped bits, ${counts.truncation} truncations, ${counts.loss} lost files: every file named`,
      )
    },
    TIMEOUT,
  )

  it(
    'of any file but zoo.json is mended by training again',
    async () => {
      const out = join(folder, 'mended')
      await trainToTheEnd({ out, perClass: NETWORKS_PER_CLASS, engine })
      const random = new RandomStream(SEED, 'mending')
      for (const file of Object.keys(filesOf(out)).concat('ledger.jsonl')) {
        if (file === 'zoo.json') continue
        const path = join(out, file)
        const bytes = readFileSync(path)
        bytes[Math.floor(random.uniform() * bytes.length)]! ^= 1 << Math.floor(random.uniform() * 8)
        writeFileSync(path, bytes)
      }
      expect((await verifyZoo(out)).findings).not.toEqual([])
      await trainToTheEnd({ out, perClass: NETWORKS_PER_CLASS, engine })
      await expectEqualZoos(out, undisturbed)
      expect((await verifyZoo(out)).findings).toEqual([])
    },
    TIMEOUT,
  )
})
