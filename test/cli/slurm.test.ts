import { spawn, spawnSync } from 'node:child_process'
import { chmod, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { beforeAll, describe, expect, it } from 'vitest'
import { openZoo, verifyZoo } from '../../dist/index.js'
import { encode, writeFolder } from '../images/support.js'
import { sharedFolder, smallImages, temporaryFolder, weightzoo } from '../support.js'
import { expectEqualZoos } from '../torture/support.js'

// The printed script is run as Slurm would run it: bash, with the variables of an array's task. `scontrol` is a stand-in
// that writes down what it is told; test/slurm/prove.sh is the same on a real Slurm.

const folder = sharedFolder()
/** A path that only stays one word when it is quoted. */
const images = join(folder, "images of O'Hara")
const train = ['--images', images, '--cache-dir', join(folder, 'cache'), '--batch-size', '32', '--quiet']
const SMALL = ['--per-class', '2', '--epochs', '1']
/** Long enough to be stopped in the middle, also on a busy machine. */
const LARGER = ['--per-class', '15', '--epochs', '16']

beforeAll(async () => {
  const { train, validation, classNames } = smallImages()
  const files: Record<string, Buffer> = {}
  for (const [split, { pixels, labels }] of Object.entries({ train, val: validation })) {
    for (const [i, label] of labels.entries()) {
      if (label > 1) continue
      const data = Uint8Array.from(pixels.subarray(i * 3072, (i + 1) * 3072), value =>
        Math.round(value * 255),
      )
      files[`${split}/${classNames[label]}/${i}.png`] = await encode({
        data,
        height: 32,
        width: 32,
        channels: 3,
      })
    }
  }
  await writeFolder(images, files)
  await writeFile(join(folder, 'scontrol'), `#!/bin/sh\necho "$@" >>"${folder}/$SLURM_ARRAY_JOB_ID.asked"\n`)
  await chmod(join(folder, 'scontrol'), 0o755)
})

async function slurm(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await weightzoo(['slurm', ...args])
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  expect(spawnSync('bash', ['-n'], { input: stdout }).stderr.toString()).toBe('')
  return stdout
}

interface Task {
  job: number
  number: number
  cpus?: string
  restarts?: number
}

/** Starts a script as one task of an array. */
async function start(script: string, { job, number, cpus = 'SLURM_CPUS_PER_TASK', restarts = 0 }: Task) {
  // A copy for each task, as Slurm makes: bash reads a script while it runs it.
  const path = join(folder, `job ${job} task ${number}`)
  await writeFile(path, script)
  const env = {
    ...process.env,
    PATH: `${folder}:${process.env.PATH}`,
    SLURM_ARRAY_JOB_ID: String(job),
    SLURM_ARRAY_TASK_ID: String(number),
    [cpus]: '1',
    // As Slurm has it: only a task that was started again has the variable.
    ...(restarts > 0 && { SLURM_RESTART_COUNT: String(restarts) }),
  }
  const child = spawn('bash', [path], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  let stderr = ''
  child.stderr.on('data', data => {
    stderr += data
  })
  const ended = new Promise<{ code: number | null; stderr: string }>(resolve =>
    child.on('close', code => resolve({ code, stderr })),
  )
  return { child, ended }
}

async function run(script: string, task: Task) {
  return (await start(script, task)).ended
}

/** What a job's tasks have asked of Slurm. */
async function asked(job: number): Promise<string> {
  return readFile(join(folder, `${job}.asked`), 'utf8').catch(() => '')
}

/** The process that trains a task's share, as soon as it has finished a network. */
async function trainerOf(out: string, part: string): Promise<number> {
  for (;;) {
    const lines = await readFile(join(out, `ledger.${part}.jsonl`), 'utf8').catch(() => '')
    if (lines.includes('\n')) return JSON.parse(await readFile(join(out, `zoo.${part}.lock`), 'utf8')).pid
    await sleep(2)
  }
}

/** The zoo of one call. */
async function undisturbed(size: string[]): Promise<string> {
  const out = join(folder, size.join(' '))
  expect(await weightzoo(['train', ...train, ...size, '--out', out])).toMatchObject({ code: 0, stderr: '' })
  return out
}

describe.skipIf(process.platform === 'win32')('weightzoo slurm', () => {
  it('asks for what its flags say', async () => {
    const directives = async (...flags: string[]) =>
      (await slurm(...flags, ...train))
        .split('\n')
        .filter(line => line.startsWith('#SBATCH '))
        .map(line => line.slice('#SBATCH '.length))
    expect(await directives()).toEqual([
      '--job-name=weightzoo',
      '--array=1-16',
      '--ntasks=1',
      '--cpus-per-task=4',
      '--requeue',
      '--open-mode=append',
      '--output=weightzoo-%A_%a.log',
      '--signal=B:TERM@60',
    ])
    const some = ['--tasks', '9', '--at-once', '3', '--cpus', '2', '--memory', '4G', '--log', 'logs/%a']
    expect(await directives(...some, '--time', '1-12:00:00', '--partition', 'long')).toEqual([
      '--job-name=weightzoo',
      '--array=1-9%3',
      '--ntasks=1',
      '--cpus-per-task=2',
      '--mem=4G',
      '--time=1-12:00:00',
      '--partition=long',
      '--requeue',
      '--open-mode=append',
      '--output=logs/%a',
      '--signal=B:TERM@60',
    ])
  })

  it('prints a script whose tasks, on a node each, make the zoo of one call', async () => {
    const out = join(await temporaryFolder(), '$zoo "of" tasks')
    const script = await slurm('--nodes', '3', ...train, ...SMALL, '--out', out)
    expect(script).toMatch(
      /^#SBATCH --array=1-3%3\n#SBATCH --ntasks=1\n#SBATCH --nodes=1\n#SBATCH --exclusive\n/m,
    )
    for (const number of [1, 2, 3]) {
      const task = { job: 1, number, cpus: 'SLURM_CPUS_ON_NODE' }
      expect(await run(script, task)).toEqual({ code: 0, stderr: '' })
    }
    await expectEqualZoos(out, await undisturbed(SMALL))
    expect((await verifyZoo(out)).findings).toEqual([])
    expect(await asked(1)).toBe('')
  })

  it.each([
    // A shell's code for a process that a signal ended is 128 and the signal's number.
    { signal: 'SIGKILL', target: 'the trainer', job: 3, code: 137 },
    { signal: 'SIGTERM', target: 'the script', job: 4, code: 130 },
  ] as const)('goes on where $signal to $target ended a task', async ({ signal, target, job, code }) => {
    const out = join(await temporaryFolder(), 'zoo')
    const script = await slurm('--tasks', '2', '--restarts', '1', ...train, ...LARGER, '--out', out)
    const first = await start(script, { job, number: 1 })
    const second = await start(script, { job, number: 2 })
    const trainer = await trainerOf(out, '2-of-2')
    if (target === 'the trainer') process.kill(trainer, signal)
    else second.child.kill(signal)
    const { stderr } = await second.ended
    expect(stderr).toContain(`task 2 ended with code ${code}; it goes on as restart 1\n`)
    expect(await asked(job)).toBe(`requeue ${job}_2\n`)
    expect(await first.ended).toEqual({ code: 0, stderr: '' })
    const kept = (await openZoo(out)).networks.length
    expect(kept).toBeGreaterThan(15)
    expect(kept).toBeLessThan(30)
    expect(await run(script, { job, number: 2, restarts: 1 })).toEqual({ code: 0, stderr: '' })
    await expectEqualZoos(out, await undisturbed(LARGER))
    expect((await verifyZoo(out)).findings).toEqual([])
  })

  it('gives up after the last restart, with the code of what went wrong', async () => {
    const out = join(folder, 'file')
    await writeFile(out, '')
    const script = await slurm('--tasks', '1', '--restarts', '2', ...train, ...SMALL, '--out', out)
    expect(await run(script, { job: 5, number: 1, restarts: 1 })).toMatchObject({ code: 0 })
    expect(await asked(5)).toBe('requeue 5_1\n')
    expect(await run(script, { job: 5, number: 1, restarts: 2 })).toEqual({
      code: 1,
      stderr: `error: not a directory: ${out}\ntask 1 ended with code 1 after 2 restarts; submit again to go on\n`,
    })
    expect(await asked(5)).toBe('requeue 5_1\n')
  })

  it('does not start again for networks that failed', async () => {
    const out = join(await temporaryFolder(), 'zoo')
    const failing = ['--optimizer', 'sgd', '--learning-rate', '1e38', '--epochs', '5', '--per-class', '1']
    const script = await slurm('--tasks', '1', ...train, ...failing, '--out', out)
    expect(await run(script, { job: 6, number: 1 })).toMatchObject({ code: 3 })
    expect(await asked(6)).toBe('')
  })

  it.each([
    {
      args: ['--tasks', '0'],
      line: /^error: option '--tasks <n>' argument '0' is invalid\. needs a whole number/,
    },
    { args: ['--partition', 'a b'], line: /^error: option '--partition <name>' .* needs one word\.$/ },
    {
      args: ['--nodes', '2', '--cpus', '4'],
      line: /^error: option '--nodes <n>' cannot be used with option '--cpus <n>'$/,
    },
    { args: ['--epoch', '3'], line: /^error: unknown option '--epoch' \(Did you mean --epochs\?\)$/ },
    {
      args: ['--shard', '1/2'],
      line: /^error: --shard and --concurrency are set by the tasks; leave them out$/,
    },
    { args: ['--per-class', 'ten'], line: /^error: option '--per-class <n>' argument 'ten' is invalid/ },
  ])('refuses $args in one line', async ({ args, line }) => {
    const { code, stdout, stderr } = await weightzoo(['slurm', ...train, ...args])
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr.trimEnd()).toMatch(line)
    expect(stderr.trimEnd()).not.toContain('\n')
  })

  it('refuses a call without images', async () => {
    const { code, stderr } = await weightzoo(['slurm', '--tasks', '3'])
    expect({ code, stderr }).toEqual({
      code: 2,
      stderr: "error: required option '--images <source>' not specified\n",
    })
  })
})
