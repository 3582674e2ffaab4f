import { resolve } from 'node:path'
import { oneLine } from '../errors.js'
import type { ClassSummary, ImageProgress, ImportProgress, TrainingProgress, Zoo } from '../index.js'

/** Columns of the drawn part of a progress bar. */
const BAR_WIDTH = 24
/** Milliseconds between redraws: smooth to the eye on a terminal, rare in a log file. */
const REDRAW = { terminal: 100, log: 10_000 }

/** One line that is redrawn on a terminal, and printed now and then where the output goes to a file. */
export class StatusLine {
  private readonly stream = process.stderr
  private last = 0
  private drawn = false

  constructor(private readonly quiet: boolean) {}

  /** Shows `text`, but not more often than a person can read; `force` shows it in any case. */
  show(text: string, force = false): void {
    if (this.quiet) return
    const now = performance.now()
    const { isTTY, columns = 80 } = this.stream
    if (!force && this.last > 0 && now - this.last < (isTTY ? REDRAW.terminal : REDRAW.log)) return
    this.last = now
    this.stream.write(isTTY ? `\r\x1b[K${text.slice(0, columns - 1)}` : `${text}\n`)
    this.drawn = isTTY
  }

  /** Prints a line that stays. */
  note(text: string): void {
    if (this.quiet) return
    this.stream.write(`${this.drawn ? '\r\x1b[K' : ''}${oneLine(text)}\n`)
    this.drawn = false
  }

  /** Ends the redrawn line. */
  end(): void {
    if (this.drawn) this.stream.write('\n')
    this.drawn = false
    this.last = 0
  }
}

/** `images   ▕██████      ▏ 45 %  6,012 images` */
export function imageStatus(progress: ImageProgress): string | undefined {
  switch (progress.stage) {
    case 'download': {
      const megabytes = `${(progress.bytes / 1e6).toFixed(0)} MB`
      return progress.total
        ? `download ${bar(progress.bytes / progress.total)}  ${megabytes} of ${(progress.total / 1e6).toFixed(0)} MB`
        : `download ${megabytes}`
    }
    case 'decode':
      return `images   ${bar(progress.fraction)}  ${count(progress.images)} images`
    default:
      return undefined
  }
}

/** `training ▕██████      ▏ 45 %  9/20 networks  1,234 networks/hour  0:32 left` */
export function trainingStatus(progress: TrainingProgress): string {
  const { finished, failed, total, underWay, networksPerHour, secondsLeft } = progress
  return [
    `training ${bar((finished + failed + underWay) / total)}`,
    `${count(finished)}/${count(total)} networks`,
    ...(failed > 0 ? [`${count(failed)} failed`] : []),
    ...(networksPerHour > 0 ? [`${count(Math.round(networksPerHour))} networks/hour`] : []),
    ...(secondsLeft !== undefined && secondsLeft > 0 ? [`${duration(secondsLeft)} left`] : []),
  ].join('  ')
}

/** `importing ▕██████      ▏ 45 %  4,774 networks` */
export function importStatus({ fraction, imported }: ImportProgress): string {
  return `importing ${bar(fraction)}  ${count(imported)} networks`
}

export function bar(fraction: number): string {
  const share = Math.min(1, Math.max(0, fraction))
  const filled = Math.round(share * BAR_WIDTH)
  const percent = Math.floor(share * 100).toString()
  return `▕${'█'.repeat(filled)}${' '.repeat(BAR_WIDTH - filled)}▏${percent.padStart(3)} %`
}

/** `1:02:03`, or `2:03` below an hour. */
export function duration(seconds: number): string {
  const whole = Math.round(seconds)
  const hours = Math.floor(whole / 3600)
  const minutes = Math.floor(whole / 60) % 60
  const rest = (whole % 60).toString().padStart(2, '0')
  return hours > 0 ? `${hours}:${minutes.toString().padStart(2, '0')}:${rest}` : `${minutes}:${rest}`
}

/** `9,469` */
export function count(n: number): string {
  return n.toLocaleString('en-US')
}

/** The metrics by class as a table of text, with a last line over all. */
export function metricsTable(summary: readonly ClassSummary[]): string {
  const decimals = (value: number) => (Number.isNaN(value) ? '-' : value.toFixed(3))
  const head = ['class', 'networks', 'accuracy min', 'mean', 'max', 'F1 mean', 'AUC mean']
  const networks = summary.reduce((sum, line) => sum + line.networks, 0)
  const overAll = (pick: (line: ClassSummary) => number) =>
    summary.reduce((sum, line) => sum + pick(line) * line.networks, 0) / networks
  const lines = summary.map(({ class: name, networks, accuracy, f1, auc }) => [
    name,
    count(networks),
    ...[accuracy.min, accuracy.mean, accuracy.max, f1.mean, auc.mean].map(decimals),
  ])
  const all = [
    'all',
    count(networks),
    ...[
      Math.min(...summary.map(line => line.accuracy.min)),
      overAll(line => line.accuracy.mean),
      Math.max(...summary.map(line => line.accuracy.max)),
      overAll(line => line.f1.mean),
      overAll(line => line.auc.mean),
    ].map(decimals),
  ]
  return alignColumns([head, ...lines, ...(summary.length > 1 ? [all] : [])])
}

/** Prints lines, and nothing of the names and reasons in them, which may be anybody's, that moves a terminal's cursor. */
export function printLines(lines: readonly string[]): void {
  console.log(lines.map(oneLine).join('\n'))
}

/** The first column to the left, the others to the right; cells are shown as {@link printLines} shows lines. */
export function alignColumns(table: readonly (readonly string[])[]): string {
  const rows = table.map(row => row.map(oneLine))
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map(row => row[column]!.length)))
  return rows
    .map(row =>
      row
        .map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!)))
        .join('  '),
    )
    .join('\n')
}

/** What lies in a zoo directory, a line a file. */
export function filesOf(zoo: Zoo): string {
  const { stores } = zoo.manifest
  const rows = [
    ['zoo.json', 'recipe, parameter table, fingerprint of the images'],
    ['models/', `${count(zoo.allNetworks.length)} networks, Keras 3 .weights.h5`],
    ...(stores?.checkpoints ? [['checkpoints/', 'weights of other epochs, a file a network']] : []),
    ...(stores?.outputs ? [['outputs.f32', 'probabilities on the validation images, a row a network']] : []),
    ['ledger.jsonl', 'metrics, history and hash of every network'],
    ['metrics.csv', "the paper's table, one line a network"],
    [
      'modelwise.h5',
      `parameters [${zoo.allNetworks.length}, ${zoo.architecture.parameterCount}], labels, names, metrics`,
    ],
    ['layerwise.h5', '<class>/<layer> [networks, parameters of the layer]'],
  ]
  const width = Math.max(...rows.map(([name]) => name!.length))
  return [`${resolve(zoo.path)}/`, ...rows.map(([name, what]) => `  ${name!.padEnd(width)}  ${what}`)].join(
    '\n',
  )
}
