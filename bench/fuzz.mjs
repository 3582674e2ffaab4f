// Feeds damaged and hostile files to everything that reads files: `npm run fuzz -- --count 10000 --seed 1`.
//
// Every case follows from (seed, number): a good file is taken, mutated, and read. The outcome has to be success or a
// ZooError of one line, within the time and memory below, no file may be left open, and a good file read afterwards has
// to read as before. The reading process may write into its own folder only, which Node's permission model enforces.
//
//   --only <target>   one of the names in fuzz-targets.mjs      --from <n>   first case      --verbose   every outcome

import { fork } from 'node:child_process'
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

/** Milliseconds for one case, reading a good file afterwards included. */
const TIME_LIMIT = 30_000
/** Bytes that the reading process may hold after a case. */
const MEMORY_LIMIT = 1.5e9

const { values } = parseArgs({
  options: {
    count: { type: 'string', default: '10000' },
    seed: { type: 'string', default: '1' },
    from: { type: 'string', default: '0' },
    only: { type: 'string' },
    verbose: { type: 'boolean', default: false },
  },
})
const [count, seed, from] = [values.count, values.seed, values.from].map(Number)

const base = await mkdtemp(join(tmpdir(), 'weightzoo-fuzz-'))
const box = join(base, 'box')
await mkdir(box)

const tally = new Map()
const findings = []
const started = performance.now()

/** Starts a reader, which may write in `box` (and where HDF5 puts its error texts). */
async function startReader() {
  const flag = process.allowedNodeEnvironmentFlags.has('--permission')
    ? '--permission'
    : '--experimental-permission'
  const child = fork(fileURLToPath(new URL('fuzz-reader.mjs', import.meta.url)), [box, String(seed)], {
    execArgv: [
      flag,
      '--allow-fs-read=*',
      `--allow-fs-write=${box}`,
      '--allow-fs-write=/tmp/tmpfile_*',
      '--allow-addons',
      '--allow-worker',
      '--max-old-space-size=1024',
    ],
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  })
  let noise = ''
  const note = chunk => {
    noise = (noise + chunk).slice(-2000)
  }
  child.stdout.on('data', note)
  child.stderr.on('data', note)
  const ready = await answer(child, 120_000)
  if (!ready.ready) throw new Error(`the reader does not start: ${JSON.stringify(ready)}\n${noise}`)
  return { child, noise: () => noise.replaceAll(/\s*Warning: .*|\(Use .*|\(node:.*/g, '').trim() }
}

function answer(child, limit) {
  return new Promise(resolve => {
    const timer = setTimeout(() => end({ bug: `no answer within ${limit / 1000} s` }), limit)
    const onExit = (code, signal) => end({ bug: `the process ended with ${signal ?? code}` })
    const end = outcome => {
      clearTimeout(timer)
      child.off('message', end)
      child.off('exit', onExit)
      resolve(outcome)
    }
    child.on('message', end)
    child.on('exit', onExit)
  })
}

let reader = await startReader()
for (let number = from; number < from + count; number++) {
  reader.child.send({ number, only: values.only })
  const outcome = await answer(reader.child, TIME_LIMIT)
  const strangers = (await readdir(base)).filter(name => name !== 'box')
  const bug =
    outcome.bug ??
    (strangers.length > 0 ? `wrote ${strangers} outside its folder` : undefined) ??
    (outcome.memory > MEMORY_LIMIT ? `holds ${(outcome.memory / 1e9).toFixed(1)} GB` : undefined) ??
    (reader.noise() !== '' ? `printed: ${reader.noise().slice(0, 300)}` : undefined)
  const target = outcome.target ?? values.only ?? '?'
  const line = tally.get(target) ?? { cases: 0, read: 0, refused: 0, slowest: 0 }
  line.cases++
  if (outcome.refused) line.refused++
  else if (!bug) line.read++
  line.slowest = Math.max(line.slowest, outcome.milliseconds ?? TIME_LIMIT)
  tally.set(target, line)
  if (values.verbose) console.log(number, JSON.stringify(outcome))
  if (bug) {
    findings.push({ number, target, bug })
    console.log(`case ${number} (${target}): ${bug}`)
    reader.child.kill('SIGKILL')
    await rm(box, { recursive: true, force: true })
    await mkdir(box)
    reader = await startReader()
  }
}
reader.child.kill('SIGKILL')
await rm(base, { recursive: true, force: true })

const seconds = (performance.now() - started) / 1000
console.log(`seed ${seed}, cases ${from} to ${from + count - 1}, ${seconds.toFixed(0)} s`)
for (const [target, { cases, read, refused, slowest }] of [...tally].sort())
  console.log(
    `${target.padEnd(12)} ${cases} cases, ${read} read, ${refused} refused, slowest ${slowest.toFixed(0)} ms`,
  )
console.log(`${findings.length} findings`)
process.exitCode = findings.length > 0 ? 1 : 0
