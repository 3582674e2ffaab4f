import type { Chart, ChartRow } from './chart.js'
import { BOLD, textWidth } from './text-width.js'
import { CHART_CONFIG, THEME } from './theme.js'

// Only this file knows Vega and sharp. Both are loaded when something is drawn: `import 'weightzoo'` stays quick.

/** Any chart, whatever its rows. */
type AnyChart = Pick<Chart<ChartRow>, 'name' | 'title' | 'spec'>

/** A chart as `<svg>`, transparent, text and lines in the colour of the page around. */
export async function draw(chart: AnyChart): Promise<string> {
  return tidied(await inTurn(() => vegaSvg(chart)), chart)
}

/** A drawing with a background and colours of its own, for light and for dark. */
export function standalone(svg: string): string {
  return svg.replace('>', `>${STANDALONE_STYLE}`)
}

export async function toPng(
  svg: string,
  { scale = 2, theme = 'light' }: { scale?: number; theme?: 'light' | 'dark' },
): Promise<Uint8Array> {
  const { default: sharp } = await import('sharp')
  const { background, ink } = THEME[theme]
  const inked = svg.replace('>', `><style>svg{color:${ink}}</style>`)
  const png = sharp(Buffer.from(inked), { density: 72 * scale }).flatten({ background })
  return new Uint8Array(await png.png({ compressionLevel: 9, palette: true }).toBuffer())
}

let last: Promise<unknown> = Promise.resolve()

/** One drawing after the other: while it draws, Vega measures text in our way. */
function inTurn<T>(work: () => Promise<T>): Promise<T> {
  const turn = last.then(work)
  last = turn.catch(() => {})
  return turn
}

/** Vega's own SVG. */
async function vegaSvg({ name, spec }: AnyChart): Promise<string> {
  const [vega, { compile }] = await Promise.all([import('vega'), import('vega-lite')])
  const logger = vega.logger(vega.Warn)
  logger.warn = logger.error = (...words: unknown[]) => {
    console.warn(`warning: chart ${name}: ${words.map(String).join(' ')}`)
    return logger
  }
  // Without a canvas Vega takes 0.8 em a character, with one it depends on the machine's fonts; this does neither.
  const { textMetrics } = vega as unknown as { textMetrics: { width: typeof measure } }
  const { width } = textMetrics
  textMetrics.width = measure
  try {
    const { spec: compiled } = compile(spec as never, { logger, config: CHART_CONFIG as never })
    const view = new vega.View(vega.parse(compiled), { renderer: 'none', logger })
    const svg = await view.toSVG()
    view.finalize()
    return svg
  } finally {
    textMetrics.width = width
  }
}

function measure(
  item: { fontSize?: number; fontWeight?: number | string; limit?: number },
  text: unknown,
): number {
  const size = (item.fontSize ?? 11) * (Number(item.fontWeight) >= 600 ? BOLD : 1)
  const lines = [text].flat().map(line => textWidth(String(line ?? ''), size))
  const width = Math.max(0, ...lines)
  return item.limit && item.limit > 0 ? Math.min(width, item.limit) : width
}

/**
 * Makes Vega's SVG small and fit to stand beside others: numbers rounded to a hundredth of a pixel, identifiers that
 * are unique to the chart, alpha as an attribute (not all viewers know `rgba()`), the title for screen readers.
 */
function tidied(svg: string, { name, title }: AnyChart): string {
  // Vega counts on from chart to chart; ours start anew, so that equal charts are equal bytes.
  const ids = new Map<string, string>()
  const ownId = (id: string) => {
    if (!ids.has(id)) ids.set(id, `${name}-${ids.size + 1}`)
    return ids.get(id)!
  }
  return svg
    .replace(/<[^>]+>/g, tag =>
      tag.replace(/-?\d+\.\d{3,}(e-\d+)?/g, number => String(rounded(Number(number)))),
    )
    .replace(/\b(id="|url\(#)([^")]+)/g, (_, before: string, id: string) => `${before}${ownId(id)}`)
    .replace(
      /\b(fill|stroke|stop)(-color)?="rgba\(([^)]*), ([\d.]+)\)"/g,
      (_, paint, color = '', rgb, alpha) => `${paint}${color}="rgb(${rgb})" ${paint}-opacity="${alpha}"`,
    )
    .replace(/^<svg /, `<svg role="img" aria-label="${escapeAttribute(title)}" `)
}

function rounded(value: number): number {
  return Math.round(100 * value) / 100 || 0
}

function escapeAttribute(text: string): string {
  return text.replace(/[&<>"]/g, character => `&#${character.charCodeAt(0)};`)
}

const STANDALONE_STYLE = `<style>svg{color:${THEME.light.ink};background:${THEME.light.background}}@media(prefers-color-scheme:dark){svg{color:${THEME.dark.ink};background:${THEME.dark.background}}}</style>`
