import sharp from 'sharp'
import { beforeAll, describe, expect, it, vi } from 'vitest'
import {
  Chart,
  classDifferenceChart,
  classifierChart,
  classWeightsChart,
  confusionChart,
  divergenceByLayerChart,
  divergenceChart,
  jensenShannon,
  layerDivergence,
  layerWeightsChart,
  nearZeroChart,
  score,
  weightDistributions,
  weightsChart,
} from '../../dist/index.js'

const CLASSES = ['cat & mouse', 'dogs', 'a "quoted", name']

/** Three classes of four networks of two layers; each class a little wider than the one before. */
const weights = {
  data: Array.from({ length: 12 }, (_, row) =>
    Float32Array.from({ length: 600 }, (_, i) => (0.05 + 0.01 * (row % 3)) * Math.sin(1 + 7.3 * i + row)),
  ),
  labels: Array.from({ length: 12 }, (_, row) => row % 3),
  classNames: CLASSES,
  parameters: [
    { layer: 'first', part: 'kernel' as const, shape: [20, 20], offset: 0, size: 400 },
    { layer: 'second', part: 'kernel' as const, shape: [200], offset: 400, size: 200 },
  ],
}

let charts: Chart[]
let warnings: ReturnType<typeof vi.spyOn>

beforeAll(async () => {
  const distributions = await weightDistributions(weights)
  const byLayer = await layerDivergence(weights, { preset: 'paper' })
  const expected = [0, 0, 0, 1, 1, 1, 2, 2, 2]
  const result = {
    classifier: 'Naive Bayes',
    weights: 'whole network',
    columns: 600,
    evaluation: score(expected, [0, 0, 1, 1, 1, 1, 2, 0, 2], { classNames: CLASSES }),
  }
  charts = [
    weightsChart(distributions),
    nearZeroChart(distributions),
    layerWeightsChart(distributions),
    classWeightsChart(distributions),
    classDifferenceChart(distributions),
    divergenceByLayerChart(byLayer),
    divergenceChart('first', byLayer['first']!),
    classifierChart([result]),
    confusionChart(result),
  ]
  warnings = vi.spyOn(console, 'warn')
})

describe('charts', () => {
  it('are drawn without a warning, with rounded numbers and identifiers of their own', async () => {
    const ids = new Set<string>()
    for (const chart of charts) {
      const svg = await chart.svg()
      expect(svg, chart.name).toMatch(/^<svg [^>]*role="img"[^>]*>/)
      const marks = [...svg.matchAll(/<path [^>]*d="([^"]+)"/g)].map(([, path]) => path!)
      expect(marks.length, chart.name).toBeGreaterThan(0)
      const tags = [...svg.matchAll(/<[^>]+>/g)].join('')
      expect(tags.match(/\d\.\d{3,}/), chart.name).toBeNull()
      expect(tags, chart.name).not.toMatch(/NaN|undefined|Infinity|rgba\(/)
      for (const [, id] of svg.matchAll(/ id="([^"]+)"/g)) {
        expect(ids.has(id!), id).toBe(false)
        ids.add(id!)
      }
      for (const [, id] of svg.matchAll(/url\(#([^)]+)\)/g)) expect(ids.has(id!), id).toBe(true)
    }
    expect(warnings).not.toHaveBeenCalled()
  })

  it('take text and lines from the page, or bring both colours with them', async () => {
    const [chart] = charts
    const svg = await chart!.svg()
    expect(svg).toContain('fill="currentColor"')
    expect(svg).not.toContain('<style>')
    expect(await chart!.svg({ standalone: true })).toContain('prefers-color-scheme:dark')
    const inkOf = async (theme: 'light' | 'dark') => {
      const { channels } = await sharp(await chart!.png({ theme })).stats()
      return channels[0]!.mean
    }
    expect(await inkOf('light')).toBeGreaterThan(200)
    expect(await inkOf('dark')).toBeLessThan(60)
    const size = await sharp(await chart!.png({ scale: 1 })).metadata()
    expect(size.width).toBe(Math.round(Number(/ width="([\d.]+)"/.exec(svg)![1])))
  })

  it('show class names, whatever they hold', async () => {
    const confusion = charts.at(-1)!
    const svg = await confusion.svg()
    expect(svg).toContain('cat &amp; mouse')
    expect(svg).toContain('a "quoted", name')
  })

  it('have their rows as CSV, number for number', () => {
    for (const chart of charts) {
      const [head, ...lines] = parseCsv(chart.csv())
      expect(head, chart.name).toEqual(Object.keys(chart.data[0]!))
      expect(lines, chart.name).toHaveLength(chart.data.length)
      for (const [i, line] of lines.entries()) {
        expect(line).toEqual(
          Object.values(chart.data[i]!).map(value => (value === null ? '' : String(value))),
        )
      }
    }
  })

  it('are of the numbers that the analyses give', async () => {
    const { all, byClass } = await weightDistributions(weights)
    const rows = charts.find(({ name }) => name === 'weights-by-class')!.data
    const own = rows.filter(row => row['class'] === 'dogs')
    const inZoom = byClass[1]!.zoom.counts.reduce((sum, count) => sum + count, 0)
    expect(own.reduce((sum, row) => sum + (row['count'] as number), 0)).toBe(inZoom)
    const area = own.reduce(
      (sum, { density, from, to }) => sum + Number(density) * (Number(to) - Number(from)),
      0,
    )
    expect(area).toBeCloseTo(inZoom / byClass[1]!.count, 12)
    expect(charts[0]!.data.reduce((sum, row) => sum + (row['count'] as number), 0)).toBe(all.count)

    const { first } = await layerDivergence(weights, { preset: 'paper' })
    const pair = charts
      .find(({ name }) => name === 'divergence-first')!
      .data.find(row => row['class'] === CLASSES[0] && row['other'] === CLASSES[2])!
    const [a, , c] = first!.histograms
    expect(pair['divergence']).toBeCloseTo(jensenShannon(a!.counts, c!.counts), 8)
    expect(pair['distance']).toBe(Math.sqrt(pair['divergence'] as number))
  })

  it("are Vega-Lite specifications with their data, for changes of one's own", () => {
    const [chart] = charts
    expect(JSON.parse(JSON.stringify(chart!.spec))).toMatchObject({
      $schema: expect.stringContaining('vega-lite/v6'),
      data: { values: JSON.parse(JSON.stringify(chart!.data)) },
    })
  })

  it('warn through the console when Vega does', async () => {
    const odd = new Chart({
      name: 'odd',
      title: 'odd',
      key: '',
      caption: '',
      data: [{ a: 1 }],
      view: { mark: 'bar', encoding: { x: { field: 'a', type: 'quantitative' }, nothing: { field: 'a' } } },
    })
    warnings.mockImplementation(() => {})
    await odd.svg()
    expect(warnings.mock.calls.flat().join()).toMatch(/^warning: chart odd: .*nothing/)
    warnings.mockRestore()
  })
})

/** RFC 4180. */
function parseCsv(text: string): string[][] {
  return text
    .slice(0, -1)
    .split('\n')
    .map(line =>
      [...line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g)].map(([, quoted, plain]) =>
        quoted === undefined ? plain! : quoted.replaceAll('""', '"'),
      ),
    )
}
