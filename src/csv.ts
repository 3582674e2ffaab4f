/** A field of a table; `null` is an empty one. */
export type CsvField = string | number | boolean | null

/** Lines of fields as CSV (RFC 4180, but with `\n` line ends): what needs quotes gets them. */
export function toCsv(lines: readonly (readonly CsvField[])[]): string {
  return lines.map(line => `${line.map(field).join(',')}\n`).join('')
}

function field(value: CsvField): string {
  const text = value === null ? '' : String(value)
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}
