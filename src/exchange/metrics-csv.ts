import { readdir, readFile, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { ZooError } from '../errors.js'
import type { Metrics } from '../training/metrics.js'
import { networkName } from '../zoo/files.js'
import { importError } from './import-network.js'

const HEADER = 'Class,Count,Accuracy,Precision,Recall,F1 Score,AUC'
/** The published table of 10,610 networks has 1 MB. */
const MAX_BYTES = 256 * 2 ** 20

/**
 * Finds the table of metrics that lies beside networks: in the folder itself or the one above it, in the folder of a file.
 * @throws ZooError `zoo` where there are several.
 */
export async function findMetrics(source: string): Promise<string | undefined> {
  const isFolder = (await stat(source)).isDirectory()
  const folders = isFolder ? [source, dirname(source)] : [dirname(source)]
  const found: string[] = []
  for (const folder of folders) {
    const names = await readdir(folder).catch(() => [] as string[])
    for (const name of names.filter(file => file.toLowerCase().endsWith('.csv'))) {
      const path = join(folder, name)
      if (await isTable(path)) found.push(path)
    }
    if (found.length > 0) break
  }
  if (found.length > 1) {
    const why = `several tables of metrics lie beside it, ${found.join(' and ')}; name one with --metrics`
    throw new ZooError('zoo', `cannot import ${source}: ${why}`, { path: source })
  }
  return found[0]
}

async function isTable(path: string): Promise<boolean> {
  const stats = await stat(path).catch(() => undefined)
  if (!stats?.isFile() || stats.size > MAX_BYTES) return false
  return (await readFile(path, 'utf8')).startsWith(HEADER)
}

/**
 * Metrics by network (`church_3`) from the published table's form: `Class,Count,Accuracy,Precision,Recall,F1 Score,AUC`.
 * An empty field is a metric that is not known.
 *
 * @throws ZooError `zoo` naming the file and the line that is not of that form.
 */
export async function readMetrics(path: string): Promise<ReadonlyMap<string, Metrics>> {
  try {
    const { size } = await stat(path)
    if (size > MAX_BYTES) throw new Error(`${size} bytes are more than the limit of ${MAX_BYTES}`)
    const [head, ...lines] = (await readFile(path, 'utf8')).split(/\r?\n/)
    if (head !== HEADER) throw new Error(`its first line is not ${HEADER}`)
    const metrics = new Map<string, Metrics>()
    for (const [i, line] of lines.entries()) {
      if (line === '') continue
      const row = parseRow(line)
      if (!row) throw new Error(`line ${i + 2} is not of the form ${HEADER}`)
      metrics.set(networkName(row.className, row.index), row.metrics)
    }
    return metrics
  } catch (error) {
    throw importError(path, error)
  }
}

function parseRow(line: string): { className: string; index: number; metrics: Metrics } | undefined {
  const [, quoted, plain, rest] = /^(?:"((?:[^"]|"")*)"|([^",]*)),(.*)$/.exec(line) ?? []
  const fields = rest?.split(',') ?? []
  const [index, accuracy, precision, recall, f1, auc] = fields.map(field =>
    field.trim() === '' ? Number.NaN : Number(field),
  )
  const isMetric = (value: number | undefined) => Number.isNaN(value) || (value! >= 0 && value! <= 1)
  const values = [accuracy, precision, recall, f1, auc]
  const readable = fields.slice(1).every(field => field.trim() === '' || !Number.isNaN(Number(field)))
  if (
    fields.length !== 6 ||
    !Number.isSafeInteger(index) ||
    index! < 0 ||
    !readable ||
    !values.every(isMetric)
  )
    return undefined
  const className = quoted?.replaceAll('""', '"') ?? plain!
  return {
    className,
    index: index!,
    metrics: {
      accuracy: accuracy!,
      precision: precision!,
      recall: recall!,
      f1: f1!,
      auc: Number.isNaN(auc) ? null : auc!,
    },
  }
}
