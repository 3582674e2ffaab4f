import { existsSync, readFileSync } from 'node:fs'
import { availableParallelism, cpus } from 'node:os'
import { fileURLToPath } from 'node:url'
import { reasonOf } from '../../errors.js'
import type { EngineName } from '../engine.js'
import { BACKENDS } from './backends.js'
import { INSTRUCTION_SETS } from './compiled.js'
import { loadAddon } from './native.js'
import { openEngine } from './open-engine.js'
import { WASM_PATH } from './wasm.js'

/** What this machine has to train with, as plain data; see {@link diagnose}. */
export interface Diagnosis {
  /** Node's version, e.g. `v20.19.0`. */
  node: string
  /** Operating system and processor family, e.g. `linux-x64`. */
  platform: string
  /** The processor's own name. */
  processor: string
  /** Networks that are trained side by side by default. */
  cores: number
  /** Those of its features that the kernel uses. */
  features: string[]
  /** The fastest first, which is the order in which `auto` tries them. */
  engines: EngineDiagnosis[]
  /** The engine that `auto` takes, and why; absent where none loads. */
  auto?: { engine: EngineName; reason: string }
  /** What would make training faster or possible, a sentence each; often empty. */
  advice: string[]
}

/** One engine on this machine. */
export interface EngineDiagnosis {
  name: EngineName
  loads: boolean
  /** Why it does not load. */
  problem?: string
  /** The file that it was loaded from. */
  path?: string
  /** For `native`: the instruction set in use. */
  instructionSet?: string
  /** What the bits of its networks depend on, as recorded in `zoo.json`. */
  arithmetic?: string
}

const BUILD_SCRIPT = fileURLToPath(new URL('../../../native/build.mjs', import.meta.url))
const USED_FEATURES = ['avx2', 'fma', 'avx512f', 'avx512dq', 'avx512bw', 'avx512vl']

/**
 * Opens every engine once, on a thread of its own, and says what was found. Takes a second or two.
 *
 * @example
 * const { auto, advice } = await diagnose()
 */
export async function diagnose(): Promise<Diagnosis> {
  const engines: EngineDiagnosis[] = []
  for (const name of Object.keys(BACKENDS) as EngineName[]) engines.push(await diagnoseEngine(name))
  const auto = await chooseAuto()
  return {
    node: process.version,
    platform: `${process.platform}-${process.arch}`,
    processor: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    features: processorFeatures(),
    engines,
    ...(auto && { auto }),
    advice: adviseOn(engines),
  }
}

async function diagnoseEngine(name: EngineName): Promise<EngineDiagnosis> {
  try {
    const engine = await openEngine({ engine: name, concurrency: 1 })
    await engine.close()
    return { name, loads: true, ...originOf(name), arithmetic: engine.arithmetic }
  } catch (error) {
    return { name, loads: false, problem: reasonOf(error) }
  }
}

function originOf(name: EngineName): Pick<EngineDiagnosis, 'path' | 'instructionSet'> {
  if (name === 'wasm') return { path: WASM_PATH }
  if (name !== 'native') return {}
  const { addon, path } = loadAddon()
  const forced = process.env['WEIGHTZOO_INSTRUCTION_SET'] as keyof typeof INSTRUCTION_SETS | undefined
  return { path, instructionSet: addon.instructionSetName(INSTRUCTION_SETS[forced || 'auto']) }
}

async function chooseAuto(): Promise<Diagnosis['auto']> {
  try {
    const engine = await openEngine({ concurrency: 1 })
    await engine.close()
    return { engine: engine.name, reason: engine.reason }
  } catch {
    return undefined
  }
}

/** From Linux's own list, else from what the addon sees, where it loads. */
function processorFeatures(): string[] {
  if (process.arch === 'arm64') return ['neon']
  if (existsSync('/proc/cpuinfo')) {
    const flags = /^flags\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1]?.trim().split(' ') ?? []
    return USED_FEATURES.filter(feature => flags.includes(feature))
  }
  try {
    const { addon } = loadAddon()
    return (['avx2', 'avx512'] as const).filter(name => addon.available(INSTRUCTION_SETS[name]))
  } catch {
    return []
  }
}

function adviseOn(engines: EngineDiagnosis[]): string[] {
  const advice: string[] = []
  const lacks = (name: EngineName) => engines.some(engine => engine.name === name && !engine.loads)
  if (lacks('native')) {
    advice.push(
      existsSync(BUILD_SCRIPT)
        ? 'the native engine is the fastest: install a C++ compiler (Debian: apt-get install g++; macOS: xcode-select --install), then npm run build:native'
        : `the native engine is the fastest, but this package has no build for ${process.platform}-${process.arch} that loads: clone the repository on this machine, run npm ci there and install that folder`,
    )
  }
  if (lacks('wasm')) advice.push('the wasm engine is part of the package: install the package again')
  for (const variable of ['WEIGHTZOO_INSTRUCTION_SET', 'WEIGHTZOO_ALGORITHM']) {
    if (process.env[variable]) {
      advice.push(`${variable}=${process.env[variable]} is set, for tests; unset it to get the default`)
    }
  }
  return advice
}
