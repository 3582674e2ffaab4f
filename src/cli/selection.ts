import { type Command, Option } from 'commander'
import {
  flattenModelwise,
  type NetworkPart,
  openZoo,
  type WeightMatrix,
  withWeightSummaries,
  type Zoo,
} from '../index.js'
import { interruptSignal, list, positiveNumber, share, wholeNumber } from './flags.js'
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
  finite?: boolean
  maxAbsWeight?: number
  split?: NetworkPart
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
    .option('--finite', 'networks all of whose weights are finite')
    .option('--max-abs-weight <x>', 'networks without a larger weight, whatever its sign', positiveNumber)
    .addOption(
      new Option('--split <part>', "networks of this part of the zoo's own split").choices([
        'train',
        'validation',
        'test',
      ]),
    )
    .option('--per-class <n>', 'at most this many networks of each class, the first ones', wholeNumber(1))
}

/** Opens a zoo and selects the networks asked for. */
export async function openSelected(path: string, flags: SelectionFlags): Promise<Zoo> {
  const { class: one, classes = one, split, finite, maxAbsWeight } = flags
  const { minAccuracy, maxAccuracy, minF1, minAuc, perClass } = flags
  const zoo = await openZoo(path)
  // Older and imported zoos lack summaries, which takes reading all their weights.
  const summarized = finite || maxAbsWeight !== undefined ? await withWeightSummaries(zoo) : zoo
  return summarized.select({
    class: classes,
    ...{ minAccuracy, maxAccuracy, minF1, minAuc, finite, maxAbsWeight, perClass },
    where: split && (network => zoo.partOf(network) === split),
  })
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
