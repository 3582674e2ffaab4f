#!/usr/bin/env node
import { readFileSync } from 'node:fs'
import { Command, CommanderError } from 'commander'
import { addClassify } from './cli/classify.js'
import { addCompile } from './cli/compile.js'
import { addDoctor } from './cli/doctor.js'
import { EXIT } from './cli/exit.js'
import { addExport } from './cli/export.js'
import { addImport } from './cli/import.js'
import { addInspect } from './cli/inspect.js'
import { addMerge } from './cli/merge.js'
import { addReport } from './cli/report.js'
import { addSlurm } from './cli/slurm.js'
import { addStats } from './cli/stats.js'
import { addTrain } from './cli/train.js'
import { addVerify } from './cli/verify.js'
import { isZooError } from './index.js'

// The command line: every command is a file in cli/, and knows the public API only (and csv.ts, and oneLine of errors.ts).

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
  version: string
}

const program = new Command('weightzoo')
  .description('Make, store and study datasets of trained neural networks (model zoos).')
  .version(version)
  .showSuggestionAfterError()
  .configureOutput({ outputError: (text, write) => write(`${text.trim().replaceAll('\n', ' ')}\n`) })
  .exitOverride()
  .addHelpText(
    'after',
    `
Examples:
  weightzoo demo                                            a small zoo in a minute, nothing else needed
  weightzoo train --images imagenette2-320.tgz --per-class 10
  weightzoo train --images 320px --out zoo                  download Imagenette, then the paper's whole dataset
  weightzoo inspect zoo
  weightzoo export zoo --format huggingface --out dataset
  weightzoo stats zoo                                       how the weights are spread, how different classes are
  weightzoo classify zoo                                    tell a network's class from its weights
  weightzoo report zoo                                      charts and tables of it, in one page

Interrupt with Ctrl-C at any time: the same command goes on where it stopped.`,
  )

addTrain(program)
addCompile(program)
addImport(program)
addInspect(program)
addMerge(program)
addVerify(program)
addSlurm(program)
addExport(program)
addStats(program)
addClassify(program)
addReport(program)
addDoctor(program)

try {
  await program.parseAsync()
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? 0 : EXIT.usage
  } else if (isZooError(error)) {
    console.error(`error: ${error.message}`)
    process.exitCode =
      error.tag === 'interrupted' ? EXIT.interrupted : error.tag === 'option' ? EXIT.usage : EXIT.failure
  } else {
    // A bug: one line for the user, the whole of it for who reports it.
    const { message, stack } = error instanceof Error ? error : new Error(String(error))
    console.error(
      process.env['WEIGHTZOO_DEBUG']
        ? stack
        : `unexpected error: ${message.split('\n', 1)[0]} (WEIGHTZOO_DEBUG=1 shows where)`,
    )
    process.exitCode = EXIT.failure
  }
}
