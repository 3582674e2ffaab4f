import { type Command, Option } from 'commander'
import { flattenModelwise, openZoo, type WeightMatrix, type Zoo } from '../index.js'
import { interruptSignal, list, share, wholeNumber } from './flags.js'
import { count, type StatusLine } from './output.js'

/** Flags of every command that takes some of a zoo's networks; see `Zoo.select`. */
export interface SelectionFlags {
  classes?: string[]
  /** The same in the singular. */
  class?: string[]
  minAccuracy?: number
  maxAccuracy?: number
  minF1?: number
  minAuc?: number
  perClass?: number
}

export function withSelectionFlags(command: Command): Command {
  return command
    .option('--classes <names>', 'networks of these classes only, separated by commas', list)
    .addOption(new Option('--class <names>').argParser(list).hideHelp())
    .option('--min-accuracy <x>', 'networks of at least this accuracy', share)
    .option('--max-accuracy <x>', 'networks of at most this accuracy', share)
    .option('--min-f1 <x>', 'networks of at least this F1 score', share)
    .option('--min-auc <x>', 'networks of at least this AUC', share)
    .option('--per-class <n>', 'at most this many networks of each class, the first ones', wholeNumber(1))
}

/** Opens a zoo and selects the networks asked for. */
export async function openSelected(path: string, flags: SelectionFlags): Promise<Zoo> {
  const { class: one, classes = one, minAccuracy, maxAccuracy, minF1, minAuc, perClass } = flags
  return (await openZoo(path)).select({ class: classes, minAccuracy, maxAccuracy, minF1, minAuc, perClass })
}

/** The weights of the networks asked for; the zoo is compiled where that is due. */
export async function openSelectedRows(
  path: string,
  flags: SelectionFlags,
  status: StatusLine,
): Promise<{ zoo: Zoo; rows: WeightMatrix }> {
  const zoo = await openSelected(path, flags)
  const rows = await flattenModelwise(zoo, {
    signal: interruptSignal(),
    onProgress: (done, total) => status.show(`compiling ${count(done)}/${count(total)} networks`),
  })
  return { zoo, rows }
}
