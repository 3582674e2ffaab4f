import { resolve } from 'node:path'
import { type Command, Option } from 'commander'
import { EXPORT_FORMATS, type ExportFormat, exportZoo } from '../index.js'
import { interruptSignal } from './flags.js'
import { count, duration, StatusLine } from './output.js'
import { openSelected, type SelectionFlags, withSelectionFlags } from './selection.js'

interface ExportFlags extends SelectionFlags {
  format: ExportFormat
  out: string
  quiet?: boolean
}

/** `weightzoo export`. */
export function addExport(program: Command): void {
  withSelectionFlags(
    program
      .command('export')
      .description(
        "write a zoo's networks, or some of them, for Keras, PyTorch, the Hugging Face hub and others",
      )
      .argument('<zoo>', 'the zoo directory')
      .addOption(
        new Option('--format <name>', 'what to write, see below')
          .choices(Object.keys(EXPORT_FORMATS))
          .makeOptionMandatory(),
      )
      .requiredOption('--out <folder>', 'the folder to make; it appears whole or not at all'),
  )
    .option('--quiet', 'print nothing but errors')
    .addHelpText('after', `\nFormats:\n${formatList()}`)
    .action(runExport)
}

function formatList(): string {
  const formats = Object.entries(EXPORT_FORMATS)
  const width = Math.max(...formats.map(([name]) => name.length))
  return formats.map(([name, about]) => `  ${name.padEnd(width)}  ${about}`).join('\n')
}

async function runExport(path: string, flags: ExportFlags): Promise<void> {
  const { format, out, quiet = false } = flags
  const zoo = await openSelected(path, flags)
  const status = new StatusLine(quiet)
  const started = performance.now()
  try {
    const { networks, files, bytes } = await exportZoo(zoo, {
      format,
      out,
      signal: interruptSignal(),
      onProgress: (done, total) =>
        status.show(`exporting ${count(done)}/${count(total)} networks`, done === total),
    })
    status.end()
    if (quiet) return
    const took = duration((performance.now() - started) / 1000)
    console.log(
      `${resolve(out)}/: ${count(networks)} networks, ${count(files)} files, ${(bytes / 1e6).toFixed(1)} MB, in ${took}`,
    )
  } catch (error) {
    status.end()
    throw error
  }
}
