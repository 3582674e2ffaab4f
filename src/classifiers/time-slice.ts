import { setImmediate } from 'node:timers/promises'
import { ZooError } from '../errors.js'

/** Long enough to cost nothing, short enough to keep a progress line and Ctrl-C alive. */
const SLICE_MS = 50

/** Lets others run every 50 ms of a long computation, and stops when asked to. */
export class TimeSlice {
  private since = performance.now()

  constructor(private readonly signal: AbortSignal | undefined) {}

  /** Whether it is time to let others run. */
  get isOver(): boolean {
    return performance.now() - this.since > SLICE_MS
  }

  /** @throws ZooError `interrupted` once the signal is aborted. */
  async pause(): Promise<void> {
    await setImmediate()
    if (this.signal?.aborted) {
      throw new ZooError('interrupted', 'interrupted while fitting a classifier', {})
    }
    this.since = performance.now()
  }
}
