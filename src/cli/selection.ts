import type { Command } from 'commander'
import type { Selection } from '../index.js'
import { list, share, wholeNumber } from './flags.js'

/** Flags of every command that takes some of a zoo's networks; see `Zoo.select`. */
export interface SelectionFlags {
  class?: string[]
  minAccuracy?: number
  maxAccuracy?: number
  minF1?: number
  minAuc?: number
  perClass?: number
}

export function withSelectionFlags(command: Command): Command {
  return command
    .option('--class <names>', 'networks of these classes only, separated by commas', list)
    .option('--min-accuracy <x>', 'networks of at least this accuracy', share)
    .option('--max-accuracy <x>', 'networks of at most this accuracy', share)
    .option('--min-f1 <x>', 'networks of at least this F1 score', share)
    .option('--min-auc <x>', 'networks of at least this AUC', share)
    .option('--per-class <n>', 'at most this many networks of each class, the first ones', wholeNumber(1))
}

export function selectionOf(flags: SelectionFlags): Selection {
  const { class: names, minAccuracy, maxAccuracy, minF1, minAuc, perClass } = flags
  return { class: names, minAccuracy, maxAccuracy, minF1, minAuc, perClass }
}
