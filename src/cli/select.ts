import type { Command } from 'commander'
import { flattenModelwise, openZoo, type WeightMatrix, type Zoo } from '../index.js'
import { interruptSignal, list, wholeNumber } from './flags.js'
import { count, type StatusLine } from './output.js'

// Which networks of a zoo a command studies, and their weights.

export interface SelectionFlags {
  classes?: string[]
  perClass?: number
  minAccuracy?: number
}

export function withSelection(command: Command): Command {
  return command
    .argument('<zoo>', 'the zoo directory')
    .option('--classes <names>', 'only these classes, separated by commas', list)
    .option('--per-class <n>', 'only the first n networks of each class', wholeNumber(1))
    .option('--min-accuracy <x>', 'only networks of at least this accuracy, e.g. 0.9', Number)
}

/** Opens the networks asked for, and compiles the zoo where that is due. */
export async function openSelected(
  path: string,
  { classes, perClass, minAccuracy }: SelectionFlags,
  status: StatusLine,
): Promise<{ zoo: Zoo; rows: WeightMatrix }> {
  const zoo = (await openZoo(path)).select({ class: classes, perClass, minAccuracy })
  const rows = await flattenModelwise(zoo, {
    signal: interruptSignal(),
    onProgress: (done, total) => status.show(`compiling ${count(done)}/${count(total)} networks`),
  })
  return { zoo, rows }
}
