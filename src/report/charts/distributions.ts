import type { WeightDistribution, WeightDistributions } from '../../analysis/distributions.js'
import type { Histogram } from '../../analysis/histogram.js'
import { Chart } from '../chart.js'
import { COLOR } from '../theme.js'
import { drawnClasses, inPanels } from './panels.js'

/** A bin of a histogram; `density` is the share of weights in it over its width. */
export type DensityRow = {
  from: number
  to: number
  count: number
  density: number
}

const WEIGHT = { type: 'quantitative', title: 'weight' } as const
const DENSITY = { field: 'density', type: 'quantitative', title: 'density' } as const
/** Bins as steps around their middles. */
const STEPS = { type: 'area', interpolate: 'step', color: COLOR.first, opacity: 0.75, line: false } as const
const MIDDLE = [{ calculate: '(datum.from + datum.to) / 2', as: 'middle' }] as const

/** In a small panel labels stay inside it, or they meet those of the next. */
const SMALL_AXIS = { tickCount: 3, grid: false, labelFlush: true } as const

/** Per cent, with zero drawn stronger. */
const ZERO_LINE = {
  format: '~%',
  tickCount: 5,
  gridOpacity: { condition: { test: 'datum.value === 0', value: 0.7 }, value: 0.12 },
} as const

/**
 * How all weights are spread, on a logarithmic scale that shows the tails.
 *
 * @example
 * await writeFile('weights.png', await weightsChart(await weightDistributions(zoo)).png())
 */
export function weightsChart({ all }: WeightDistributions): Chart<DensityRow> {
  const data = occupied(densities(all.histogram, all.count))
  // A logarithm needs a bottom: the power of ten below the least dense bin.
  const least = Math.min(...data.filter(({ count }) => count > 0).map(({ density }) => density))
  const floor = 10 ** Math.floor(Math.log10(least))
  return new Chart({
    name: 'weights',
    title: 'All weights',
    key: 'share of weights per unit of weight, logarithmic',
    caption:
      'Weights and biases of all networks together, on a logarithmic scale, so that the few large ones show.',
    data,
    view: {
      width: 440,
      height: 210,
      transform: [...MIDDLE, { calculate: `max(datum.density, ${floor})`, as: 'shown' }],
      mark: STEPS,
      encoding: {
        x: { field: 'middle', ...WEIGHT, axis: { grid: false } },
        y: {
          ...DENSITY,
          field: 'shown',
          scale: { type: 'log', domainMin: floor },
          axis: { format: '~g', values: powersOfTen(floor, Math.max(...data.map(({ density }) => density))) },
        },
        y2: { datum: floor },
      },
    },
  })
}

/**
 * How weights near zero are spread.
 *
 * @example
 * nearZeroChart(await weightDistributions(zoo, { zoom: { range: [-0.01, 0.01] } }))
 */
export function nearZeroChart({ all }: WeightDistributions): Chart<DensityRow> {
  const [low, high] = [all.zoom.edges[0]!, all.zoom.edges.at(-1)!]
  return new Chart({
    name: 'weights-near-zero',
    title: 'Weights near zero',
    key: 'share of weights per unit of weight',
    caption: `The same from ${low} to ${high} on a linear scale. ${percent(all.sparsity)} of all weights are nearer to zero than 0.001.`,
    data: densities(all.zoom, all.count),
    view: {
      width: 440,
      height: 210,
      transform: MIDDLE,
      mark: STEPS,
      encoding: { x: { field: 'middle', ...WEIGHT, axis: { grid: false, tickCount: 10 } }, y: DENSITY },
    },
  })
}

/**
 * How the weights of every layer are spread.
 *
 * @example
 * await layerWeightsChart(await weightDistributions(zoo)).svg()
 */
export function layerWeightsChart({ byLayer }: WeightDistributions): Chart<DensityRow & { layer: string }> {
  const data = byLayer.flatMap(({ layer, histogram, count }) =>
    occupied(densities(histogram, count)).map(row => ({ layer: layer!, ...row })),
  )
  return new Chart({
    name: 'weights-by-layer',
    title: 'Weights by layer',
    key: 'share of weights per unit of weight, each layer on a scale of its own',
    caption:
      'Biases and kernel of a layer together, in all networks. Sides thinner than a thousandth of the peak are cut off.',
    data,
    view: {
      transform: MIDDLE,
      facet: {
        field: 'layer',
        type: 'nominal',
        sort: byLayer.map(({ layer }) => layer),
        title: null,
        header: { labelAnchor: 'start', labelOrient: 'top' },
      },
      columns: 1,
      spec: {
        width: 440,
        height: 60,
        mark: { ...STEPS, clip: true },
        encoding: {
          x: { field: 'middle', ...WEIGHT, scale: { domain: visibleRange(data) }, axis: { tickCount: 8 } },
          y: { ...DENSITY, axis: { tickCount: 3, minExtent: 34 } },
        },
      },
      resolve: { scale: { y: 'independent' } },
      spacing: 10,
    },
  })
}

/** Row of {@link classWeightsChart}. */
export type ClassDensityRow = DensityRow & {
  class: string
  /** Density over all classes. */
  allClasses: number
  /** How much denser than all classes together: 0.01 is 1 % more. `null` where no class has a weight. */
  difference: number | null
  /** How large a difference counting alone gives, 95 %: the weights of a bin are so few. */
  byChance: number | null
}

/** Bins of the zoom that make one of the charts by class: a hundred steps are as many as a small panel shows. */
const COARSE = 5

/**
 * How the weights of every class are spread near zero, before those of all classes (the paper's figures by class).
 *
 * @example
 * await classWeightsChart(await weightDistributions(zoo)).svg()
 */
export function classWeightsChart(distributions: WeightDistributions): Chart<ClassDensityRow> {
  const { panels, note } = drawnClasses(distributions.byClass.map(({ class: name }) => name!))
  return new Chart({
    name: 'weights-by-class',
    title: 'Weights near zero by class',
    key: 'line: the class, area: all classes together',
    caption: `Where line and area look alike, the next chart shows by how much they differ.${note}`,
    data: classDensities(distributions),
    view: inPanels(panels, {
      transform: MIDDLE,
      encoding: { x: { field: 'middle', ...WEIGHT, axis: SMALL_AXIS } },
      layer: [
        {
          mark: { type: 'area', interpolate: 'step', color: COLOR.reference, opacity: 0.35 },
          encoding: { y: { ...DENSITY, field: 'allClasses' } },
        },
        {
          mark: { type: 'line', interpolate: 'step', color: COLOR.first, strokeWidth: 1.2 },
          encoding: { y: DENSITY },
        },
      ],
    }),
  })
}

/**
 * Where a class has more or fewer weights than all classes together.
 *
 * @example
 * await classDifferenceChart(await weightDistributions(zoo)).svg()
 */
export function classDifferenceChart(distributions: WeightDistributions): Chart<ClassDensityRow> {
  const { panels, note } = drawnClasses(distributions.byClass.map(({ class: name }) => name!))
  return new Chart({
    name: 'weights-class-difference',
    title: 'How each class differs from all classes',
    key: 'density of the class over that of all classes, less 1; grey: what counting alone would give (95 %)',
    caption: `Above zero the class has more weights of that size than all classes together. The grey band takes weights as independent, which those of one network are not quite.${note}`,
    data: classDensities(distributions),
    view: inPanels(panels, {
      transform: [...MIDDLE, { calculate: '-datum.byChance', as: 'minusByChance' }],
      encoding: { x: { field: 'middle', ...WEIGHT, axis: SMALL_AXIS } },
      layer: [
        {
          mark: { type: 'area', color: COLOR.reference, opacity: 0.3 },
          encoding: { y: { field: 'minusByChance', type: 'quantitative' }, y2: { field: 'byChance' } },
        },

        {
          mark: { type: 'line', color: COLOR.first, strokeWidth: 1.4 },
          encoding: {
            y: {
              field: 'difference',
              type: 'quantitative',
              title: 'difference',
              axis: ZERO_LINE,
            },
          },
        },
      ],
    }),
  })
}

function classDensities({ all, byClass }: WeightDistributions): ClassDensityRow[] {
  const together = densities(coarser(all.zoom), all.count)
  return byClass.flatMap(({ class: name, zoom, count }: WeightDistribution) =>
    densities(coarser(zoom), count).map((row, bin) => {
      const { density, count: inAll } = together[bin]!
      const fewer = row.count === 0 ? inAll : row.count
      return {
        class: name!,
        ...row,
        allClasses: density,
        difference: density > 0 ? row.density / density - 1 : null,
        byChance: fewer > 0 ? 1.96 / Math.sqrt(fewer) : null,
      }
    }),
  )
}

function densities({ edges, counts }: Histogram, total: number): DensityRow[] {
  return counts.map((count, bin) => {
    const [from, to] = [edges[bin]!, edges[bin + 1]!]
    return { from, to, count, density: count / (total * (to - from)) }
  })
}

function coarser({ edges, counts, below, above }: Histogram): Histogram {
  const factor = counts.length % COARSE === 0 ? COARSE : 1
  return {
    edges: edges.filter((_, edge) => edge % factor === 0),
    counts: Array.from({ length: counts.length / factor }, (_, bin) =>
      counts.slice(bin * factor, (bin + 1) * factor).reduce((sum, count) => sum + count, 0),
    ),
    below,
    above,
  }
}

/** From where to where some layer is denser than a thousandth of its peak. */
function visibleRange(rows: readonly (DensityRow & { layer: string })[]): [number, number] {
  const peaks = new Map<string, number>()
  for (const { layer, density } of rows) peaks.set(layer, Math.max(density, peaks.get(layer) ?? 0))
  const visible = rows.filter(({ layer, density }) => density > peaks.get(layer)! / 1000)
  return [Math.min(...visible.map(({ from }) => from)), Math.max(...visible.map(({ to }) => to))]
}

function powersOfTen(from: number, to: number): number[] {
  const [first, last] = [from, to].map(value => Math.round(Math.log10(value)))
  return Array.from({ length: last! - first! + 1 }, (_, i) => 10 ** (first! + i))
}

/** Without the empty bins at both ends. */
function occupied(rows: readonly DensityRow[]): DensityRow[] {
  const first = rows.findIndex(({ count }) => count > 0)
  const last = rows.findLastIndex(({ count }) => count > 0)
  return rows.slice(first, last + 1)
}

function percent(share: number): string {
  return `${(100 * share).toPrecision(2)} %`
}
