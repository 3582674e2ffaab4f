import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, expect, it, vi } from 'vitest'
import { lockDirectory } from '../../dist/zoo/lock.js'
import { temporaryFolder } from '../support.js'

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
