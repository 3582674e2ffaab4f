import { spawn, spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { readFile, rename, stat, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, expect, it, onTestFinished, vi } from 'vitest'
import { isAbandoned, temporaryName } from '../../dist/zoo/files.js'
import { lockDirectory } from '../../dist/zoo/lock.js'
import { isRunning, thisProcess } from '../../dist/zoo/process-identity.js'
import { temporaryFolder, trainSmallZoo } from '../support.js'

vi.mock('node:fs/promises', async importOriginal => {
  const real = await importOriginal<typeof import('node:fs/promises')>()
  return { ...real, rename: vi.fn(real.rename) }
})

afterEach(() => {
  vi.useRealTimers()
})

it('a lock gives its signs of life by the clock of the file system, however wrong that of its machine is', async () => {
  const folder = await temporaryFolder()
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'Date'], now: 0 })
  const lock = await lockDirectory(folder)
  const path = join(folder, 'zoo.lock')
  const [text, { mtimeMs: before }] = [await readFile(path, 'utf8'), await stat(path)]
  vi.advanceTimersByTime(15_000)
  await vi.waitFor(async () => expect((await stat(path)).mtimeMs).not.toBe(before))
  await writeFile(join(folder, 'now'), '')
  const age = (await stat(join(folder, 'now'))).mtimeMs - (await stat(path)).mtimeMs
  expect(age).toBeGreaterThanOrEqual(0)
  expect(age).toBeLessThan(10_000)
  expect(await readFile(path, 'utf8')).toBe(text)
  await lock.release()
})

it.runIf(process.platform === 'linux')(
  'a process that has ended does not run, also where nobody has asked how',
  async () => {
    // The shell becomes a program that never asks how its child has ended.
    const parent = spawn('sh', ['-c', 'sleep 0.3 & echo $!; exec sleep 60'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    onTestFinished(() => void parent.kill())
    const pid = await new Promise<number>(resolve => parent.stdout.on('data', data => resolve(Number(data))))
    const stateOf = async () => (await readFile(`/proc/${pid}/stat`, 'utf8')).split(') ')[1]!
    await vi.waitFor(async () => expect(await stateOf()).toMatch(/^Z/))
    const zombie = { ...thisProcess(), pid, started: (await stateOf()).split(' ')[19] }
    expect(isRunning(zombie)).toBe(false)
    expect(isRunning(thisProcess())).toBe(true)
    const folder = await temporaryFolder()
    const unfinished = temporaryName(join(folder, 'zoo.json')).replace(`-${process.pid}.`, `-${pid}.`)
    await writeFile(unfinished, '')
    expect(await isAbandoned(unfinished)).toBe(true)
    await writeFile(join(folder, 'zoo.lock'), JSON.stringify({ ...zombie, token: '00ff' }))
    const lock = await lockDirectory(folder)
    await lock.check()
    await lock.release()
  },
)

const endsFirstThread = [
  'import ctypes, threading, time',
  'threading.Thread(target=lambda: time.sleep(60)).start()',
  'print("ready", flush=True)',
  'ctypes.CDLL(None).pthread_exit(None)',
]

it.skipIf(process.platform !== 'linux' || spawnSync('python3', ['-c', 'import ctypes']).status !== 0)(
  'a process runs as long as any of its threads does',
  async () => {
    const child = spawn('python3', ['-c', endsFirstThread.join('\n')], {
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    onTestFinished(() => void child.kill('SIGKILL'))
    const pid = child.pid!
    const stateOf = async () => (await readFile(`/proc/${pid}/stat`, 'utf8')).split(') ')[1]!
    await vi.waitFor(async () => expect(await stateOf()).toMatch(/^Z/), 5000)
    expect(isRunning({ ...thisProcess(), pid, started: (await stateOf()).split(' ')[19] })).toBe(true)
  },
)

it('who comes while a lock is held for a moment waits for its turn, and can be stopped', async () => {
  const out = await temporaryFolder()
  const moment = await lockDirectory(out, { brief: true })
  const stop = new AbortController()
  const stopped = trainSmallZoo(out, { signal: stop.signal })
  const waiting = trainSmallZoo(out)
  await sleep(300)
  stop.abort()
  await expect(stopped).rejects.toMatchObject({ tag: 'interrupted' })
  expect(existsSync(join(out, 'zoo.json'))).toBe(false)
  await moment.release()
  expect((await waiting).networks).toHaveLength(4)
})

it('a lock that is taken over just as it is given back stays with who took it', async () => {
  const folder = await temporaryFolder()
  const path = join(folder, 'zoo.lock')
  const lock = await lockDirectory(folder)
  const taker = JSON.stringify({ pid: 4711, host: `not ${hostname()}`, token: '00ff' })
  const real = vi.mocked(rename).getMockImplementation()!
  vi.mocked(rename).mockImplementationOnce(async (from, to) => {
    await writeFile(path, taker)
    await real(from, to)
  })
  await lock.release()
  expect(await readFile(path, 'utf8')).toBe(taker)
  expect(readdirSync(folder)).toEqual(['zoo.lock'])
})
