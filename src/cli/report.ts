import { join, resolve } from 'node:path'
import type { Command } from 'commander'
import { openZoo, type Report, writeReport, type Zoo } from '../index.js'
import { interruptSignal, wholeNumber } from './flags.js'
import { bar, count, StatusLine } from './output.js'

interface ReportFlags {
  out?: string
  quick?: boolean
  seed: number
  quiet?: boolean
}

/** `weightzoo report`. */
export function addReport(program: Command): void {
  program
    .command('report')
    .description(
      'write a report on a zoo: one HTML page, its charts as SVG and PNG, its numbers as CSV and JSON',
    )
    .argument('<zoo>', 'the zoo directory')
    .option('--out <directory>', 'where to write it (default: report in the zoo directory)')
    .option('--quick', 'leave out the MLP, which takes most of the time')
    .option('--seed <n>', 'of the split into training and test networks, and of the MLP', wholeNumber(0), 0)
    .option('--quiet', 'print nothing but errors')
    .action(async (path: string, { quiet = false, ...flags }: ReportFlags) => {
      const report = await reportOn(await openZoo(path), { ...flags, quiet })
      if (!quiet) console.log(filesOfReport(report))
    })
}

/** Writes the report and shows how far it is. */
export async function reportOn(
  zoo: Zoo,
  { out, quick = false, seed = 0, quiet }: Partial<ReportFlags> & { quiet: boolean },
): Promise<Report> {
  const status = new StatusLine(quiet)
  try {
    const report = await writeReport(zoo, {
      ...(out !== undefined && { out }),
      quick,
      seed,
      signal: interruptSignal(),
      onProgress: ({ stage, done, total }) => status.show(`report   ${bar(done / total)}  ${stage}`),
    })
    status.end()
    for (const { reason } of report.leftOut) status.note(`left out ${reason}`)
    return report
  } finally {
    status.end()
  }
}

/** What lies in a report's directory, a line a kind of file. */
export function filesOfReport({ path, charts }: Report): string {
  const folder = resolve(path, '..')
  return [
    `${folder}/`,
    '  index.html    the report: open it in a browser',
    `  charts/       ${count(charts.length)} charts as .svg, .png and .csv`,
    '  results.json  every number',
    '',
    `file://${join(folder, 'index.html')}`,
  ].join('\n')
}
