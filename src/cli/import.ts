import { readFile } from 'node:fs/promises'
import type { Command } from 'commander'
import { type ArchitectureSpec, importZoo, summarize, ZooError } from '../index.js'
import { interruptSignal } from './flags.js'
import { count, filesOf, importStatus, metricsTable, StatusLine } from './output.js'

interface ImportFlags {
  out: string
  architecture?: string
  metrics?: string
  quiet?: boolean
}

/** `weightzoo import`. */
export function addImport(program: Command): void {
  program
    .command('import')
    .description('import the published dataset, or Keras files of your own, as a zoo')
    .argument('<source>', 'folder, .tgz or .zip of Keras .h5 files; or the modelwise or layerwise pickle')
    .requiredOption('--out <directory>', 'the zoo directory; continued where it exists')
    .option('--architecture <file>', "JSON file of the networks' layers (default: LeNet-5)")
    .option('--metrics <file>', 'table of metrics (default: the .csv beside the networks)')
    .option('--quiet', 'print nothing but errors')
    .action(importNetworks)
}

async function importNetworks(source: string, flags: ImportFlags): Promise<void> {
  const { out, architecture, metrics, quiet = false } = flags
  const status = new StatusLine(quiet)
  let warned = false
  const zoo = await importZoo({
    source,
    out,
    metrics,
    architecture: architecture === undefined ? undefined : await readSpec(architecture),
    signal: interruptSignal(),
    onProgress: progress => {
      if (progress.warning && !warned) status.note(`warning: ${progress.warning}`)
      warned = true
      if (progress.stage === 'compiling') status.show(`compiling ${count(progress.compiled)} networks`)
      else status.show(importStatus(progress), progress.fraction === 1)
    },
  }).finally(() => status.end())
  if (!quiet) console.log(`${metricsTable(summarize(zoo))}\n\n${filesOf(zoo)}`)
}

async function readSpec(path: string): Promise<ArchitectureSpec> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as ArchitectureSpec
  } catch (cause) {
    const value = { name: 'architecture', value: path }
    throw new ZooError('option', `cannot read the architecture from ${path}; needs JSON`, value, { cause })
  }
}
