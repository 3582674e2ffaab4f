import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { reasonOf, ZooError } from '../errors.js'
import { checkOptionNames, invalidOption } from '../options.js'
import { makeFolder, refuseLink, writeWhole, ZOO_FILES } from '../zoo/files.js'
import { summarize } from '../zoo/summary.js'
import type { Zoo } from '../zoo/zoo.js'
import type { Chart } from './chart.js'
import { costOf } from './cost.js'
import { reportPage } from './page.js'
import { chartsOf } from './report-charts.js'
import { type LeftOut, type ReportProgress, studyWeights, type WeightStudy } from './study.js'

/** Options of {@link writeReport}. */
export interface ReportOptions {
  /** Directory to write to. Default `report` inside the zoo's directory. */
  out?: string
  /** Leave out the MLP, which takes most of the time. Default false. */
  quick?: boolean
  /** Of the split into training and test networks, and of the MLP. Default 0. */
  seed?: number
  onProgress?: ((progress: ReportProgress) => void) | undefined
  /** Stops the report; what was written stays. */
  signal?: AbortSignal | undefined
}

/** What {@link writeReport} wrote. */
export interface Report {
  /** The page: `<out>/index.html`. */
  readonly path: string
  /** Every file, the page first. */
  readonly files: readonly string[]
  readonly charts: readonly Chart[]
  /** What was found out; `results.json` has the same. */
  readonly study: WeightStudy
  /** What this zoo does not allow, and why. */
  readonly leftOut: readonly LeftOut[]
}

/**
 * Writes a report on a zoo: one self-contained HTML page with quality by class, training curves, weight distributions,
 * Jensen-Shannon distances, classifiers of networks, cost and provenance; beside it `results.json` and, in `charts/`,
 * every chart as SVG, PNG and CSV.
 *
 * Weights are read a few megabytes at a time, in eight passes; the compiled files are made first where they are missing. What a zoo does not allow (a single class, too few networks for
 * a classifier) is left out and said so on the page.
 *
 * @example
 * const report = await writeReport(zoo, { out: 'report', onProgress: ({ stage }) => console.log(stage) })
 * report.path // 'report/index.html'
 *
 * @throws ZooError `zoo` for a zoo without networks, a damaged file, or a directory that cannot be written;
 * `option` for an unknown option; `interrupted`.
 */
export async function writeReport(zoo: Zoo, options: ReportOptions = {}): Promise<Report> {
  checkOptionNames(options, ['out', 'quick', 'seed', 'onProgress', 'signal'], 'writeReport')
  const { out = join(zoo.path, ZOO_FILES.report), quick = false, seed = 0, onProgress, signal } = options
  if (!Number.isSafeInteger(seed) || seed < 0)
    throw invalidOption('seed', seed, 'needs a whole number of at least 0')
  // First, so that a place that cannot be written to shows before an hour of work.
  if (options.out === undefined) for (const folder of [out, join(out, 'charts')]) await refuseLink(folder)
  await makeReportFolder(join(out, 'charts'))
  const study = await studyWeights(zoo, { quick, seed, onProgress, signal })
  const charts = chartsOf(zoo, study)
  const all = Object.values(charts).flat()
  const files = new Map<string, string | Uint8Array>()
  const svgs = new Map<string, string>()
  for (const [done, chart] of all.entries()) {
    if (signal?.aborted)
      throw new ZooError('interrupted', `interrupted after ${done} of ${all.length} charts`, {})
    onProgress?.({ stage: 'charts', done, total: all.length })
    svgs.set(chart.name, await chart.svg())
    files.set(`charts/${chart.name}.svg`, await chart.svg({ standalone: true }))
    files.set(`charts/${chart.name}.png`, await chart.png())
    files.set(`charts/${chart.name}.csv`, chart.csv())
  }
  onProgress?.({ stage: 'charts', done: all.length, total: all.length })
  files.set('results.json', `${JSON.stringify({ metrics: summarize(zoo), cost: costOf(zoo), ...study })}\n`)
  files.set('index.html', reportPage({ zoo, study, charts, svgs }))
  // The page last: where it is, everything that it names is.
  for (const [name, content] of files) {
    await writeWhole(join(out, name), temporary => writeFile(temporary, content))
  }
  return {
    path: join(out, 'index.html'),
    files: [...files.keys()].reverse().map(name => join(out, name)),
    charts: all,
    study,
    leftOut: study.leftOut,
  }
}

async function makeReportFolder(path: string): Promise<void> {
  try {
    await makeFolder(path)
  } catch (error) {
    throw new ZooError('zoo', `cannot write ${path}: ${reasonOf(error)}`, { path }, { cause: error })
  }
}
