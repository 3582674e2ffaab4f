import { availableParallelism } from 'node:os'
import { isZooError, reasonOf, ZooError } from '../../errors.js'
import { checkOptionNames, invalidOption, isCount, suggestion } from '../../options.js'
import type { Engine, EngineName } from '../engine.js'
import { BACKENDS } from './backends.js'
import { WorkerEngine } from './worker-engine.js'

/** Options of {@link openEngine}. */
export interface OpenEngineOptions {
  /** Which engine; default `auto`, the fastest that loads. */
  engine?: EngineName | 'auto' | undefined
  /** Networks trained side by side, one thread each. Default: the processor's cores. */
  concurrency?: number | undefined
}

/**
 * Opens a training engine. `auto` tries them from the fastest to the slowest and says in `engine.reason` which one it
 * took and why.
 *
 * @throws ZooError `option` for an unknown name; `engine` when nothing loads, with every engine's reason.
 *
 * @example
 * const engine = await openEngine({ engine: 'wasm', concurrency: 1 })
 * engine.arithmetic // what the bits of its networks depend on
 * await engine.close()
 */
export async function openEngine(options: OpenEngineOptions = {}): Promise<Engine> {
  checkOptionNames(options, ['engine', 'concurrency'], 'openEngine')
  const { engine = 'auto', concurrency = availableParallelism() } = options
  const names = Object.keys(BACKENDS) as EngineName[]
  if (!isCount(concurrency)) throw invalidOption('concurrency', concurrency, 'needs a positive integer')
  if (engine !== 'auto') {
    if (!names.includes(engine)) {
      throw invalidOption('engine', engine, suggestion(String(engine), ['auto', ...names]))
    }
    return WorkerEngine.open(engine, concurrency, 'asked for')
  }
  const failures: string[] = []
  for (const name of names) {
    try {
      const reason =
        failures.length === 0
          ? 'the fastest engine'
          : `the fastest engine that loads (${failures.join('; ')})`
      return await WorkerEngine.open(name, concurrency, reason)
    } catch (error) {
      if (isZooError(error, 'option')) throw error
      failures.push(reasonOf(error))
    }
  }
  throw new ZooError('engine', `no engine loads: ${failures.join('; ')}`, { engine: 'auto' })
}
