import { invalidOption, isCount } from '../options.js'
import { ZOO_FILES } from './files.js'

/** A part of a zoo's work, e.g. the third of eight: every eighth network, from the third on. */
export interface Shard {
  /** From 1 to `of`. */
  readonly number: number
  readonly of: number
}

/** Names of shards' ledgers. */
export const SHARD_LEDGER = /^ledger\.\d+-of-\d+\.jsonl$/

/** Each shard appends to a ledger of its own: even on network file systems no two processes write one file. */
export function ledgerName(shard?: Shard): string {
  return shard ? `ledger.${shard.number}-of-${shard.of}.jsonl` : ZOO_FILES.ledger
}

/** The file of networks' outputs that goes with a ledger. */
export function outputsName(shard?: Shard): string {
  return ledgerName(shard)
    .replace(/^ledger/, 'outputs')
    .replace(/jsonl$/, 'f32')
}

/** The ledger that a file of outputs goes with. */
export function ledgerOf(outputs: string): string {
  return outputs.replace(/^outputs/, 'ledger').replace(/f32$/, 'jsonl')
}

/** The lock of who appends to a ledger file. */
export function lockName(ledger: string): string {
  return ledger === ZOO_FILES.ledger
    ? ZOO_FILES.lock
    : ledger.replace(/^ledger/, 'zoo').replace(/jsonl$/, 'lock')
}

/** Every `of`-th of a list, from the shard's own on; all of it without a shard. */
export function shareOf<T>(list: readonly T[], shard?: Shard): T[] {
  return shard ? list.filter((_, position) => position % shard.of === shard.number - 1) : [...list]
}

/** @throws ZooError `option` when it is no shard. */
export function checkShard(shard: Shard | undefined): void {
  if (shard === undefined) return
  const { number, of } = shard ?? {}
  if (!isCount(number) || !isCount(of) || number > of) {
    throw invalidOption('shard', shard, 'needs { number, of } with a number from 1 to of')
  }
}
