import type { Engine } from '../training/engine.js'
import type { NetworkRecord } from './ledger.js'

/** How far {@link trainZoo} is. */
export interface TrainingProgress {
  /**
   * The networks of earlier calls are checked first (where that takes more than a second) and evaluated (where they lack
   * the outputs that they are to have), the others trained, then all compiled into the files of all networks.
   */
  readonly stage: 'checking' | 'evaluating' | 'training' | 'compiling'
  /** Networks checked, in that stage. */
  readonly checked?: number
  /** Networks evaluated, in that stage. */
  readonly evaluated?: number
  /** Networks compiled; 0 while training. */
  readonly compiled: number
  /** Networks finished, those of earlier calls included. */
  readonly finished: number
  /** Networks that failed, in this call or an earlier one. */
  readonly failed: number
  /** Networks planned in all, or for this shard. */
  readonly total: number
  /** Epochs done in the networks now in training, in networks: 1.5 is one and a half network's work. */
  readonly underWay: number
  /** Networks an hour, over this call; 0 until it can be told. */
  readonly networksPerHour: number
  /** Seconds that the rest will take at this rate; `undefined` until it can be told. */
  readonly secondsLeft: number | undefined
  /** The engine at work. */
  readonly engine: Pick<Engine, 'name' | 'arithmetic' | 'reason' | 'concurrency'>
  /** The network that has just been finished, if that is what happened. */
  readonly network?: NetworkRecord
  /** Why a shard has left the compiling to others. */
  readonly warning?: string
}

/** Counts what is done and tells it, with the rate since it was made. */
export class ProgressMeter {
  private readonly settled = { finished: 0, failed: 0 }
  private doneHere = 0
  /** Share done of every network now in training. */
  private readonly shares = new Map<string, number>()
  private readonly started = performance.now()

  constructor(
    private readonly engine: Engine,
    private readonly total: number,
  ) {}

  get finished(): number {
    return this.settled.finished
  }

  /** A network was finished, or failed, in an earlier call. */
  settle(outcome: 'finished' | 'failed'): void {
    this.settled[outcome]++
  }

  /** A network in training has done this share of its epochs. */
  advance(name: string, share: number): void {
    this.shares.set(name, share)
  }

  /** A network is no longer in training: it finished, failed, or was given up. */
  end(name: string, outcome?: 'finished' | 'failed'): void {
    this.shares.delete(name)
    if (!outcome) return
    this.settle(outcome)
    this.doneHere++
  }

  now(network?: NetworkRecord): TrainingProgress {
    const { finished, failed } = this.settled
    const underWay = [...this.shares.values()].reduce((sum, share) => sum + share, 0)
    const hours = (performance.now() - this.started) / 3.6e6
    const networksPerHour = hours > 0 ? (this.doneHere + underWay) / hours : 0
    const left = this.total - finished - failed - underWay
    const { name, arithmetic, reason, concurrency } = this.engine
    return {
      stage: 'training',
      compiled: 0,
      finished,
      failed,
      total: this.total,
      underWay,
      networksPerHour,
      secondsLeft: networksPerHour > 0 ? (left / networksPerHour) * 3600 : undefined,
      engine: { name, arithmetic, reason, concurrency },
      ...(network && { network }),
    }
  }
}
