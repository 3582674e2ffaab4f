import { toCsv } from '../csv.js'
import { draw, standalone, toPng } from './render.js'

/** One row of numbers and names behind a {@link Chart}; `null` where there is no value. */
export type ChartRow = Readonly<Record<string, string | number | boolean | null>>

/** A Vega-Lite specification without its data: plain JSON, see https://vega.github.io/vega-lite/docs/spec.html. */
export type ChartView = Readonly<Record<string, unknown>>

/** What a {@link Chart} is made of. */
export interface ChartParts<Row extends ChartRow> {
  /** Unique among the charts of a report, and good as a file name: `training-loss`. */
  readonly name: string
  readonly title: string
  /** What the marks stand for, in a few words: drawn below the title. */
  readonly key: string
  /** How to read it: a sentence or two. */
  readonly caption: string
  readonly data: readonly Row[]
  readonly view: ChartView
}

/**
 * A chart: first its numbers, then the drawing. Drawing loads Vega (0.3 s) when it is first asked for.
 *
 * Colours of text and lines are those of the page around (`currentColor`), marks are legible on light and on dark, so
 * one SVG serves both.
 *
 * @example
 * const chart = trainingChart(zoo, 'accuracy')
 * chart.data // [{ class: 'all classes', images: 'training', epoch: 1, mean: 0.91, low: 0.90, high: 0.92 }, ...]
 * await writeFile('training.png', await chart.png())
 * tslab.display.html(await chart.svg()) // in a notebook
 */
export class Chart<Row extends ChartRow = ChartRow> implements ChartParts<Row> {
  readonly name: string
  readonly title: string
  readonly key: string
  readonly caption: string
  readonly data: readonly Row[]
  readonly view: ChartView
  private drawing: Promise<string> | undefined

  constructor({ name, title, key, caption, data, view }: ChartParts<Row>) {
    this.name = name
    this.title = title
    this.key = key
    this.caption = caption
    this.data = data
    this.view = view
  }

  /** The whole Vega-Lite specification, data included: for vega-embed, the Vega editor, or changes of one's own. */
  get spec(): Readonly<Record<string, unknown>> {
    return {
      $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
      title: { text: this.title, subtitle: this.key },
      data: { values: this.data },
      ...this.view,
    }
  }

  /**
   * The chart as an `<svg>` element for a page or a notebook, transparent, in the colours of the page around.
   *
   * @param options.standalone for a file that is opened by itself or through `<img>`: brings a background and colours of
   * its own, which follow the viewer's light or dark setting. Default false.
   */
  async svg(options: { standalone?: boolean } = {}): Promise<string> {
    this.drawing ??= draw(this)
    const svg = await this.drawing
    return options.standalone ? standalone(svg) : svg
  }

  /**
   * The chart as a PNG picture.
   *
   * @param options.scale pixels per unit of the drawing; default 2, sharp on paper and on dense screens
   * @param options.theme default `light`
   */
  async png(options: { scale?: number; theme?: 'light' | 'dark' } = {}): Promise<Uint8Array> {
    return toPng(await this.svg(), options)
  }

  /** The rows behind the chart as CSV, with a head line. */
  csv(): string {
    const columns = Object.keys(this.data[0] ?? {})
    return toCsv([columns, ...this.data.map(row => columns.map(column => row[column] ?? null))])
  }

  /** One line in the console and in notebooks, where the whole would be pages. */
  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return `Chart { ${this.name}: ${this.title}, ${this.data.length} rows }`
  }
}
