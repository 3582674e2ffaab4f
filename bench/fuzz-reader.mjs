// The reading process of fuzz.mjs: makes the case of a number, reads it, says what came of it.

import './fuzz-shim.mjs'
import { readdirSync } from 'node:fs'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { isZooError, RandomStream } from '../dist/index.js'
import { prepareTargets } from './fuzz-targets.mjs'

const [box, seed] = [process.argv[2], Number(process.argv[3])]
/** Files left open in all before it counts as a leak. */
const DESCRIPTORS = 60

const descriptors = () => {
  try {
    return readdirSync('/proc/self/fd').length
  } catch {
    return 0
  }
}

const targets = await prepareTargets(join(box, 'good'))
const names = Object.keys(targets)
const openAtStart = descriptors()

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
  const left = descriptors() - openAtStart
  if (left > DESCRIPTORS) outcome.bug ??= `${left} files are left open`
  outcome.memory = process.memoryUsage().rss
  outcome.milliseconds = performance.now() - started
  process.send(outcome)
})
process.on('unhandledRejection', error => {
  process.send({ bug: `an unhandled rejection: ${error?.stack?.slice(0, 500)}` })
})
process.send({ ready: true })
