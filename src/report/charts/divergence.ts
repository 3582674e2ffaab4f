import type { ClassDivergence } from '../../analysis/divergence.js'
import { Chart } from '../chart.js'
import { chartName, threeDigits } from '../text.js'
import { COLOR, HEAT, INK } from '../theme.js'

/** Row of {@link divergenceChart}: a pair of classes. */
export type DivergenceRow = {
  layer: string
  class: string
  other: string
  divergence: number
  distance: number
}

/** Side of a cell that a number of three digits fits into; smaller ones hold none. */
const CELL = { withNumber: 34, without: 12 } as const
const MOST_NUMBERED = 16

/**
 * Jensen-Shannon distance between the weights of every two classes, of one layer.
 *
 * @example
 * const byLayer = await layerDivergence(zoo, { preset: 'paper' })
 * divergenceChart('conv2d_2', byLayer.conv2d_2)
 */
export function divergenceChart(layer: string, found: ClassDivergence): Chart<DivergenceRow> {
  const { classNames, divergence, distance } = found
  const data = pairsOf(layer, found)
  const numbered = classNames.length <= MOST_NUMBERED
  const size = { step: numbered ? CELL.withNumber : CELL.without }
  const axis = { domain: false, ticks: false, labelPadding: 6 }
  const encoding = {
    x: { field: 'other', type: 'nominal', sort: classNames, title: null, axis: { ...axis, labelAngle: -45 } },
    y: { field: 'class', type: 'nominal', sort: classNames, title: null, axis },
  }
  return new Chart({
    name: `divergence-${chartName(layer)}`,
    title: `${layer}: distance between classes`,
    key: `Jensen-Shannon distance; mean ${threeDigits(distance.mean)}, by chance alone ${threeDigits(Math.sqrt(found.byChance))}`,
    caption: `Most alike are ${distance.min.names.join(' and ')} (${threeDigits(distance.min.value)}), most different ${distance.max.names.join(' and ')} (${threeDigits(distance.max.value)}). The distance is the square root of the divergence, whose mean is ${threeDigits(divergence.mean)} ${found.unit}.`,
    data,
    view: {
      width: size,
      height: size,
      transform: [{ filter: 'datum.class !== datum.other' }],
      encoding,
      layer: [
        {
          mark: { type: 'rect', cornerRadius: 2 },
          encoding: {
            color: {
              field: 'distance',
              type: 'quantitative',
              scale: { range: [...HEAT], domainMin: 0, interpolate: 'rgb' },
              legend: { title: 'distance', gradientLength: 120, format: '~g', tickCount: 4 },
            },
          },
        },
        ...(numbered
          ? [
              {
                mark: { type: 'text', fontSize: 10.5, color: INK },
                encoding: { text: { field: 'distance', type: 'quantitative', format: '.3f' } },
              },
            ]
          : []),
      ],
    },
  })
}

function pairsOf(layer: string, { classNames, divergence, distance }: ClassDivergence): DivergenceRow[] {
  return classNames.flatMap((name, i) =>
    classNames.map((other, j) => ({
      layer,
      class: name,
      other,
      divergence: divergence.values[i]![j]!,
      distance: distance.values[i]![j]!,
    })),
  )
}

/** Row of {@link divergenceByLayerChart}. */
export type LayerDivergenceRow = DivergenceRow & {
  /** Distance to be expected between samples of so many weights from one distribution. */
  byChance: number
}

/**
 * Jensen-Shannon distances of all pairs of classes, layer by layer, beside what chance alone would give.
 *
 * @example
 * divergenceByLayerChart(await layerDivergence(zoo, { preset: 'paper' })).csv()
 */
export function divergenceByLayerChart(
  byLayer: Readonly<Record<string, ClassDivergence>>,
): Chart<LayerDivergenceRow> {
  const layers = Object.keys(byLayer)
  const data = layers.flatMap(layer => {
    const found = byLayer[layer]!
    const position = new Map(found.classNames.map((name, i) => [name, i]))
    return pairsOf(layer, found)
      .filter(({ class: name, other }) => position.get(name)! < position.get(other)!)
      .map(row => ({ ...row, byChance: Math.sqrt(found.byChance) }))
  })
  const y = {
    field: 'layer',
    type: 'nominal',
    sort: layers,
    title: null,
    axis: { tickSize: 0, labelPadding: 8 },
  }
  const x = {
    field: 'distance',
    type: 'quantitative',
    title: 'Jensen-Shannon distance',
    scale: { zero: true },
    axis: { tickCount: 8 },
  }
  return new Chart({
    name: 'divergence-by-layer',
    title: 'How different the classes are, layer by layer',
    key: 'tick: a pair of classes, dot: mean of all pairs, diamond: by chance alone',
    caption:
      'Samples of so many weights from one and the same distribution would lie at the diamond: only what lies clearly to its right is a difference between classes.',
    data,
    view: {
      width: 420,
      height: { step: 44 },
      encoding: { y },
      layer: [
        {
          mark: { type: 'tick', color: COLOR.first, opacity: 0.45, thickness: 1.2, size: 16 },
          encoding: { x },
        },
        {
          mark: { type: 'point', filled: true, size: 70, color: COLOR.first, opacity: 1 },
          encoding: { x: { ...x, aggregate: 'mean' } },
        },
        {
          mark: { type: 'point', shape: 'diamond', size: 75, color: INK, strokeWidth: 1.4, opacity: 1 },
          encoding: { x: { ...x, field: 'byChance', aggregate: 'mean' } },
        },
      ],
    },
  })
}
