import type { Command } from 'commander'
import { compileZoo, openZoo } from '../index.js'
import { interruptSignal } from './flags.js'
import { count, filesOf, StatusLine } from './output.js'

/** `weightzoo compile`. */
export function addCompile(program: Command): void {
  program
    .command('compile')
    .description('write metrics.csv, modelwise.h5 and layerwise.h5 of a zoo from its model files')
    .argument('<zoo>', 'the zoo directory')
    .option('--quiet', 'print nothing but errors')
    .action(async (path: string, { quiet = false }: { quiet?: boolean }) => {
      const zoo = await openZoo(path)
      const status = new StatusLine(quiet)
      await compileZoo(zoo, {
        signal: interruptSignal(),
        onProgress: (done, total) =>
          status.show(`compiling ${count(done)}/${count(total)} networks`, done === total),
      })
      status.end()
      if (!quiet) console.log(filesOf(zoo))
    })
}
