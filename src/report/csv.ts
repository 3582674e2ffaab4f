import type { ChartRow } from './chart.js'

/** Rows as CSV (RFC 4180) with `\n` line ends; columns are those of the first row, `null` is an empty field. */
export function toCsv(rows: readonly ChartRow[]): string {
  const columns = Object.keys(rows[0] ?? {})
  const lines = [columns, ...rows.map(row => columns.map(column => row[column] ?? null))]
  return lines.map(line => `${line.map(field).join(',')}\n`).join('')
}

function field(value: string | number | boolean | null): string {
  const text = value === null ? '' : String(value)
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}
