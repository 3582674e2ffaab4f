import * as tf from '@tensorflow/tfjs-core'
import { silenceCpuBackend } from '../architecture/to-layers-model.js'
import { reasonOf, ZooError } from '../errors.js'
import { TimeSlice } from './time-slice.js'

/**
 * Runs tfjs work on a backend, and leaves tfjs to its user as it was: the active backend is switched only while work is
 * running, never while others run (but for the moment in which a backend is loaded for the first time).
 *
 * @param name default: the active backend, but `wasm` where that is tfjs's slow `cpu`
 * @param work does its steps between `yield`s; its `finally` runs also when it is stopped
 */
export async function onBackend<T>(
  name: string | undefined,
  work: () => Generator<void, T>,
  signal?: AbortSignal,
): Promise<T> {
  const own = await prepare(name)
  const steps = work()
  const slice = new TimeSlice(signal)
  try {
    for (;;) {
      const result = switched(own, () => {
        for (;;) {
          const step = steps.next()
          if (step.done || slice.isOver) return step
        }
      })
      if (result.done) return result.value
      await slice.pause()
    }
  } catch (error) {
    switched(own, () => steps.return(undefined as T))
    throw error
  }
}

/** Loads and initialises a backend without making it the active one. */
async function prepare(name: string | undefined): Promise<string> {
  // Settles the user's own backend first: a newly registered one would otherwise be taken for it.
  await tf.ready()
  const active = tf.getBackend()
  silenceCpuBackend()
  const wanted = name ?? (active === 'cpu' ? 'wasm' : active)
  if (wanted === active) return wanted
  try {
    if (wanted === 'wasm') await import('@tensorflow/tfjs-backend-wasm')
    const ready = await tf.setBackend(wanted)
    if (!ready) throw new Error('it does not initialise')
  } catch (error) {
    const message = `the tfjs backend "${wanted}" cannot be used: ${reasonOf(error)}`
    throw new ZooError('engine', message, { engine: `tfjs ${wanted}` }, { cause: error })
  } finally {
    await tf.setBackend(active)
  }
  return wanted
}

/** Runs work on an initialised backend. setBackend returns a promise, but is done at once for such a backend. */
function switched<T>(name: string, work: () => T): T {
  const before = tf.getBackend()
  if (before !== name) void tf.setBackend(name)
  try {
    return work()
  } finally {
    if (before !== name) void tf.setBackend(before)
  }
}
