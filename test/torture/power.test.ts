import { execFileSync } from 'node:child_process'
import { mkdirSync, truncateSync, writeFileSync } from 'node:fs'
import { copyFile, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openZoo, RandomStream, verifyZoo } from '../../dist/index.js'
import {
  EVERYTHING,
  engines,
  expectEqualZoos,
  LONG,
  NETWORKS_PER_CLASS,
  SEED,
  say,
  TIMEOUT,
  train,
  trainToTheEnd,
} from './support.js'

// Power failures: a zoo is trained on a small file system of its own, and what its disk holds at a random instant is
// kept, without what was still in memory. After the reboot (the copy is mounted, its journal replayed) every network
// that had been told finished has to be there, and training has to end with the zoo of an undisturbed run.
//
// The disk is a loop device over a file on XFS, which copies a file at one instant, whatever writes to it: a reflink.

const RUNS = LONG ? 6 : 1
const FAILURES_PER_RUN = 3
/** Bytes of the disk; XFS takes 300 MiB at least. */
const DISK = 512 * 2 ** 20

const FILE_SYSTEMS = [
  { name: 'ext4', format: ['mkfs.ext4', '-q'], options: 'commit=1' },
  { name: 'ext4 with data=writeback', format: ['mkfs.ext4', '-q'], options: 'commit=1,data=writeback' },
  { name: 'xfs', format: ['mkfs.xfs', '-q', '-K'], options: 'defaults' },
].slice(0, LONG ? undefined : 1)

const run = ([command, ...args]: string[]) => execFileSync(command!, args, { stdio: 'pipe' })
const mounted: string[] = []

function mount(options: string, what: string, at: string): void {
  mkdirSync(at, { recursive: true })
  run(['mount', '-o', options, what, at])
  mounted.push(at)
}

function unmount(at: string): void {
  run(['umount', at])
  mounted.splice(mounted.indexOf(at), 1)
}

/** A folder on XFS in memory, or what is lacking for it. */
function startHost(folder: string): string | Error {
  if (process.platform !== 'linux') return new Error('not Linux')
  try {
    const [memory, host] = [join(folder, 'memory'), join(folder, 'host')]
    mkdirSync(memory)
    run(['mount', '-t', 'tmpfs', 'tmpfs', memory])
    mounted.push(memory)
    format(['mkfs.xfs', '-q', '-K'], join(memory, 'host.img'), 8 * DISK)
    mount('loop', join(memory, 'host.img'), host)
    return host
  } catch (error) {
    return error as Error
  }
}

function format(command: string[], image: string, bytes: number): void {
  writeFileSync(image, '')
  truncateSync(image, bytes)
  run([...command, image])
}

const [engine = 'wasm'] = engines
const folder = await mkdtemp(join(tmpdir(), 'weightzoo-power-'))
const host = startHost(folder)
const able = typeof host === 'string'
if (!able) {
  const why = host.message.trim().split('\n').at(-1)
  console.warn(`skipped: power failures need root on Linux, loop devices and xfsprogs (${why})`)
}

const undisturbed = join(folder, 'undisturbed')
const whole = { ...EVERYTHING, engine, perClass: NETWORKS_PER_CLASS }
beforeAll(async () => {
  if (able) await trainToTheEnd({ ...whole, out: undisturbed })
}, TIMEOUT)

afterAll(async () => {
  for (const at of [...mounted].reverse()) unmount(at)
  await rm(folder, { recursive: true, force: true })
})

/** What was on the disk at an instant, and what the trainer had told by then. */
interface Failure {
  image: string
  stage: string
  networks: string[]
}

describe.skipIf(!able).each(FILE_SYSTEMS)('$name', fileSystem => {
  const disk = join(folder, 'disk')
  const out = join(disk, 'zoo')
  const image = join(String(host), 'disk.img')
  const use = (file: string) => mount(`loop,${fileSystem.options}`, file, disk)

  it(
    `survives ${RUNS * FAILURES_PER_RUN} power failures at random instants`,
    async () => {
      const random = new RandomStream(SEED, 'power', fileSystem.name)
      format(fileSystem.format, image, DISK)
      const stages: Record<string, number> = {}
      let told = 0
      let span = 1500
      for (let at = 0; at < RUNS; at++) {
        // The zoo grows with every run, and each run goes on with what the last failure of the one before left.
        const perClass = Math.ceil((NETWORKS_PER_CLASS * (at + 1)) / RUNS)
        use(image)
        const { failures, seconds } = await failSeveralTimes(perClass, random, span)
        unmount(disk)
        await copyFile(failures.at(-1)!.image, image)
        for (const failure of failures) {
          use(failure.image)
          await expectRecovery(failure)
          unmount(disk)
          await rm(failure.image)
          told += failure.networks.length
          stages[failure.stage] = (stages[failure.stage] ?? 0) + 1
        }
        span = (span + seconds * 1000) / 2
      }
      say(
        `${fileSystem.name}: ${RUNS * FAILURES_PER_RUN} power failures (${JSON.stringify(stages)}), ${told} networks told finished before, none lost, all files equal afterwards`,
      )
    },
    TIMEOUT,
  )

  async function failSeveralTimes(perClass: number, random: RandomStream, span: number) {
    const started = performance.now()
    const { child, told, ended } = train({ ...whole, out, perClass })
    let seconds = span / 1000
    const done = ended.then(() => {
      seconds = (performance.now() - started) / 1000
    })
    await told.ready
    const failures: Failure[] = []
    const instants = Array.from({ length: FAILURES_PER_RUN }, () => random.uniform() * span).sort(
      (a, b) => a - b,
    )
    const ready = performance.now()
    for (const [number, instant] of instants.entries()) {
      await sleep(instant - (performance.now() - ready))
      // However slow the machine is, the last failure finds something that may be lost.
      const last = number === instants.length - 1
      while (last && told.networks.length === 0 && child.exitCode === null) await sleep(5)
      const failure = {
        image: `${image}.${number}`,
        stage: told.stage.replace(/\d+/, 'all'),
        networks: [...told.networks],
      }
      run(['cp', '--reflink=always', image, failure.image])
      failures.push(failure)
    }
    child.kill('SIGKILL')
    await done
    expect(told.stderr).toBe('')
    return { failures, seconds }
  }

  async function expectRecovery({ stage, networks }: Failure): Promise<void> {
    if (networks.length > 0) {
      const present = (await openZoo(out)).networks.map(({ class: name, index }) => `${name}_${index}`)
      expect(networks.filter(name => !present.includes(name))).toEqual([])
    }
    if (stage.startsWith('finished')) expect((await verifyZoo(out)).findings).toEqual([])
    await trainToTheEnd({ ...whole, out })
    // A network with a line in the ledger was whole on the disk: none had to be trained a second time.
    const again = (await openZoo(out)).networks.filter(({ attempt = 1 }) => attempt > 1)
    expect(again).toEqual([])
    await expectEqualZoos(out, undisturbed)
    expect((await verifyZoo(out)).findings).toEqual([])
  }
})
