import { execFile, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, onTestFinished } from 'vitest'
import { generateImages, type ImageSet, type TrainZooOptions, trainZoo } from '../dist/index.js'

/** A path from the root of the repository. */
export function fromRoot(path: string): string {
  return fileURLToPath(new URL(`../${path}`, import.meta.url))
}

/** A folder that goes away with the test. */
export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'weightzoo-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  return folder
}

/** A folder for all tests of a file, called where the file starts. */
export function sharedFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'weightzoo-'))
  afterAll(() => rm(folder, { recursive: true, force: true }))
  return folder
}

/** Ten classes of 30 + 8 generated images. */
export function smallImages(): ImageSet {
  return generateImages({ classes: 10, trainPerClass: 30, validationPerClass: 8, seed: 3 })
}

/** Trains a small zoo: one epoch, networks of two classes, unless told otherwise. */
export function trainSmallZoo(out: string, options: Partial<TrainZooOptions> = {}) {
  const images = options.images ?? smallImages()
  const classes = options.classes ?? [images].flat()[0]!.classNames.slice(0, 2)
  return trainZoo({
    perClass: 2,
    epochs: 1,
    batchSize: 64,
    seed: 7,
    concurrency: 2,
    ...options,
    images,
    classes,
    out,
  })
}

/** What a child process printed, and how it ended. */
export interface Outcome {
  code: number | null
  stdout: string
  stderr: string
}

/** Runs the command line as a user does, in a process of its own. */
export function weightzoo(args: string[], { cwd = fromRoot('.') } = {}): Promise<Outcome> {
  return new Promise(resolve => {
    execFile(
      process.execPath,
      [fromRoot('dist/cli.js'), ...args],
      { cwd, timeout: 110_000 },
      (error, stdout, stderr) => {
        resolve({ code: error ? ((error.code as unknown as number) ?? null) : 0, stdout, stderr })
      },
    )
  })
}

/** Looks for modules without importing them, which takes some of them many seconds. */
const HAS_MODULES = `
import importlib.util, sys
sys.exit(any(importlib.util.find_spec(name) is None for name in sys.argv[1:]))`

/**
 * A Python that has the given modules (`WEIGHTZOO_PYTHON`, a virtual environment here, or the system's), or `undefined`
 * after printing why its tests are skipped.
 */
export function pythonWith(modules: string): string | undefined {
  const candidates = [
    process.env['WEIGHTZOO_PYTHON'] ?? [],
    fromRoot('.venv/bin/python'),
    fromRoot('bench/peers/.venv/bin/python'),
    'python3',
    'python',
  ].flat()
  const found = candidates.find(
    python =>
      (!python.includes('/') || existsSync(python)) &&
      spawnSync(python, ['-c', HAS_MODULES, ...modules.split(', ')]).status === 0,
  )
  if (!found) console.warn(`skipped: no Python with ${modules} here`)
  return found
}
