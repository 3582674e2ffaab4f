import type { Command } from 'commander'
import { mergeZoos, summarize } from '../index.js'
import { interruptSignal } from './flags.js'
import { bar, count, filesOf, metricsTable, StatusLine } from './output.js'

/** `weightzoo merge`. */
export function addMerge(program: Command): void {
  program
    .command('merge')
    .description('join zoos of one recipe, e.g. shards trained in directories of their own, into one')
    .argument('<zoo...>', 'the zoo directories to join; they stay as they are')
    .requiredOption('--out <zoo>', 'the zoo directory to merge into; made, or added to where it exists')
    .option('--quiet', 'print nothing but errors')
    .action(merge)
}

async function merge(
  sources: string[],
  { out, quiet = false }: { out: string; quiet?: boolean },
): Promise<void> {
  const status = new StatusLine(quiet)
  const zoo = await mergeZoos(sources, {
    out,
    signal: interruptSignal(),
    onProgress: ({ stage, done, total }) =>
      status.show(
        `${stage.padEnd(9)} ${bar(total === 0 ? 1 : done / total)}  ${count(done)}/${count(total)} networks`,
        done === total,
      ),
  }).finally(() => status.end())
  if (quiet) return
  if (zoo.networks.length > 0) console.log(`${metricsTable(summarize(zoo))}\n`)
  console.log(filesOf(zoo))
}
