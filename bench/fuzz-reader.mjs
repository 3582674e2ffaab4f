// The reading process of fuzz.mjs: makes the case of a number, reads it, says what came of it.

import './fuzz-shim.mjs'
import { readdirSync, readlinkSync } from 'node:fs'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { isZooError, RandomStream } from '../dist/index.js'
import { prepareTargets } from './fuzz-targets.mjs'

const [box, seed] = [process.argv[2], Number(process.argv[3])]
/** Milliseconds in which streams of a case that failed close their files. */
const CLOSING = 2000

/** The files that are open, by descriptor; none where the system does not tell. */
function openFiles() {
  const found = []
  try {
    for (const fd of readdirSync('/proc/self/fd')) {
      const file = linkOf(fd)
      if (file?.startsWith('/') && !file.startsWith('/dev/')) found.push(`${fd} ${file}`)
    }
  } catch {}
  return found
}

/** `undefined` for the descriptor that the listing itself had. */
function linkOf(fd) {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`)
  } catch {
    return undefined
  }
}

async function filesLeftOpen() {
  const end = performance.now() + CLOSING
  for (;;) {
    const left = openFiles().filter(file => !openAtStart.includes(file))
    if (left.length === 0 || performance.now() > end) return left
    await wait(10)
  }
}

const targets = await prepareTargets(join(box, 'good'))
const names = Object.keys(targets)
const openAtStart = openFiles()

process.on('message', async ({ number, only }) => {
  const target = only ?? names[number % names.length]
  const started = performance.now()
  const folder = join(box, 'case')
  await rm(folder, { recursive: true, force: true })
  await mkdir(folder)
  const outcome = { target }
  try {
    await targets[target].run(new RandomStream(seed, `fuzz ${number}`), folder)
  } catch (error) {
    const { message = '' } = error ?? {}
    if (!isZooError(error))
      outcome.bug = `${error?.name}: ${error?.stack?.split('\n').slice(0, 6).join(' | ')}`
    else if (/[\n\r]/.test(message))
      outcome.bug = `a message of several lines: ${JSON.stringify(message.slice(0, 300))}`
    else outcome.refused = message
  }
  try {
    await targets[target].check?.()
  } catch (error) {
    outcome.bug ??= `a good file can no longer be read: ${error?.message?.slice(0, 300)}`
  }
  const left = await filesLeftOpen()
  if (left.length > 0) outcome.bug ??= `${left.length} files are left open, ${left[0]}`
  outcome.memory = process.memoryUsage().rss
  outcome.milliseconds = performance.now() - started
  process.send(outcome)
})
process.on('unhandledRejection', error => {
  process.send({ bug: `an unhandled rejection: ${error?.stack?.slice(0, 500)}` })
})
process.send({ ready: true })
