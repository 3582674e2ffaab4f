// How numbers and names are written in charts and tables.

/** Three significant digits: `0.0740`, `12.3`, `1,234`. */
export function threeDigits(value: number): string {
  if (!Number.isFinite(value)) return '-'
  const size = Math.abs(value)
  if (size >= 1000) return count(Math.round(value))
  return size === 0 ? '0' : value.toPrecision(3)
}

/** A metric between 0 and 1: `0.915`. */
export function decimals(value: number): string {
  return Number.isFinite(value) ? value.toFixed(3) : '-'
}

/** `16.7 %` */
export function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`
}

/** `9,469` */
export function count(n: number): string {
  return n.toLocaleString('en-US')
}

/** A name as part of a chart's name: lower case, anything unusual as a hyphen. */
export function chartName(text: string): string {
  return text.toLowerCase().replaceAll(/[^a-z0-9_]+/g, '-')
}
