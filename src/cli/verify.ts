import type { Command } from 'commander'
import { Option } from 'commander'
import { type Verification, verifyZoo } from '../index.js'
import { EXIT } from './exit.js'
import { interruptSignal, wholeNumber } from './flags.js'
import { type ImageFlags, loadImages, sources, withImageFlags } from './images.js'
import { count, printLines, StatusLine } from './output.js'

interface VerifyFlags extends ImageFlags {
  retrain?: number
  metrics?: boolean
  seed: number
  engine: 'auto' | 'native' | 'wasm' | 'tfjs'
  concurrency?: number
  json?: boolean
}

/** `weightzoo verify`. */
export function addVerify(program: Command): void {
  withImageFlags(
    program
      .command('verify')
      .description(
        'check every file of a zoo against its checksums, the ledger and, if asked to, by training again',
      )
      .argument('<zoo>', 'the zoo directory')
      .option(
        '--images <source>',
        'the images that the zoo was trained on, for --retrain and --metrics; repeated where they vary',
        sources,
      ),
  )
    .option(
      '--retrain <n>',
      'train so many networks again, drawn at random, and compare their bits',
      wholeNumber(1),
    )
    .option('--metrics', "compute every network's metrics again from its weights and the images")
    .option('--seed <n>', 'which networks --retrain draws', wholeNumber(0), 0)
    .addOption(
      new Option('--engine <name>', 'engine for --retrain and --metrics')
        .choices(['auto', 'native', 'wasm', 'tfjs'])
        .default('auto'),
    )
    .option('--concurrency <n>', 'networks at a time (default: the number of cores)', wholeNumber(1))
    .option('--json', 'print JSON for programs')
    .option('--quiet', 'print nothing but findings')
    .action(verify)
}

async function verify(path: string, flags: VerifyFlags): Promise<void> {
  const { retrain, metrics, seed, engine, concurrency, json = false, quiet = false } = flags
  const images = flags.images ? await loadImages({ ...flags, quiet: quiet || json }) : undefined
  const status = new StatusLine(quiet || json)
  const verification = await verifyZoo(path, {
    retrain,
    metrics,
    images,
    seed,
    engine,
    concurrency,
    signal: interruptSignal(),
    onProgress: (stage, done, total) =>
      status.show(`verifying: ${stage} ${count(done)}/${count(total)}`, done === total),
  })
  status.end()
  if (json) console.log(JSON.stringify(verification))
  else report(verification, quiet)
  if (verification.findings.length > 0) process.exitCode = EXIT.failure
}

/** One line a finding, then what has been looked at. */
function report({ findings, notes, ...checked }: Verification, quiet: boolean): void {
  const lines = findings.map(({ file, kind, message }) => `${file}: ${kind}: ${message}`)
  if (quiet) {
    if (lines.length > 0) printLines(lines)
    return
  }
  const { networks, files, bytes, retrained, metrics } = checked
  const parts = [
    `${count(networks)} networks`,
    `${count(files)} files, ${(bytes / 1e6).toFixed(1)} MB`,
    ...(retrained.length > 0 ? [`trained again: ${retrained.join(', ')}`] : []),
    ...(metrics > 0 ? [`metrics computed again: ${count(metrics)}`] : []),
    findings.length === 0 ? 'nothing wrong' : `${count(findings.length)} findings`,
  ]
  printLines([...lines, ...notes.map(note => `note: ${note}`), parts.join('; ')])
}
