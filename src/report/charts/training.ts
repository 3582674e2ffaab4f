import { invalidOption } from '../../options.js'
import type { NetworkRecord, TrainingHistory } from '../../zoo/ledger.js'
import type { Zoo } from '../../zoo/zoo.js'
import { Chart } from '../chart.js'
import { COLOR } from '../theme.js'
import { ALL_CLASSES, drawnClasses, inPanels } from './panels.js'

/** Row of {@link trainingChart}. */
export type TrainingRow = {
  /** `all classes` for all together. */
  class: string
  networks: number
  images: 'training' | 'validation'
  /** From 1. */
  epoch: number
  mean: number
  /** 5 % of the networks lie below, 5 % above. */
  low: number
  high: number
}

const SERIES = {
  loss: { training: 'loss', validation: 'validationLoss' },
  accuracy: { training: 'accuracy', validation: 'validationAccuracy' },
} as const satisfies Record<string, Record<string, keyof TrainingHistory>>

/**
 * Loss or accuracy by epoch, on training and validation images: mean over networks and the band that holds nine tenths
 * of them, for all classes and for each.
 *
 * @throws ZooError `option` for another quantity, or a zoo without networks.
 *
 * @example
 * await writeFile('accuracy.png', await trainingChart(zoo, 'accuracy').png())
 */
export function trainingChart(zoo: Zoo, quantity: 'loss' | 'accuracy'): Chart<TrainingRow> {
  const series = SERIES[quantity]
  if (!series) throw invalidOption('quantity', quantity, 'needs loss or accuracy')
  if (!hasHistory(zoo))
    throw invalidOption('networks', zoo.networks.length, 'none has a history of its training')
  const present = zoo.classNames.filter(name => zoo.networks.some(network => network.class === name))
  const groups = [
    { name: ALL_CLASSES, networks: zoo.networks },
    ...present.map(name => ({ name, networks: zoo.networks.filter(network => network.class === name) })),
  ]
  const data = groups.flatMap(({ name, networks }) =>
    (['training', 'validation'] as const).flatMap(images => byEpoch(name, images, networks, series[images])),
  )
  const { panels, note } = drawnClasses(present)
  const x = {
    field: 'epoch',
    type: 'quantitative',
    title: 'epoch',
    axis: { tickMinStep: 1, grid: false, tickCount: 5 },
  }
  const scale = quantity === 'loss' ? { zero: true } : { zero: false }
  const color = {
    field: 'images',
    type: 'nominal',
    scale: { domain: ['training', 'validation'], range: [COLOR.first, COLOR.second] },
    legend: { title: null, orient: 'top' },
  }
  return new Chart({
    name: `training-${quantity}`,
    title: quantity === 'loss' ? 'Loss by epoch' : 'Accuracy by epoch',
    key: 'line: mean over networks, band: nine tenths of them',
    caption: `${quantity === 'loss' ? 'Binary cross-entropy, in nats' : 'Share of images judged right'}: training images as they are learned from, validation images after the epoch.${note}`,
    data,
    view: inPanels([ALL_CLASSES, ...panels], {
      layer: [
        {
          mark: { type: 'area', opacity: 0.22 },
          encoding: {
            x,
            y: { field: 'low', type: 'quantitative', scale, title: quantity },
            y2: { field: 'high' },
            color,
          },
        },
        {
          mark: { type: 'line', strokeWidth: 1.8 },
          encoding: { x, y: { field: 'mean', type: 'quantitative', scale, title: quantity }, color },
        },
      ],
    }),
  })
}

/** Whether anything is known of the training: imported networks have no history. */
export function hasHistory({ networks }: Zoo): boolean {
  return networks.some(({ history }) => history.loss.length > 0)
}

function byEpoch(
  name: string,
  images: 'training' | 'validation',
  networks: readonly NetworkRecord[],
  field: keyof TrainingHistory,
): TrainingRow[] {
  const epochs = Math.max(...networks.map(({ history }) => history[field].length))
  return Array.from({ length: epochs }, (_, epoch) => {
    const values = networks.flatMap(({ history }) => history[field][epoch] ?? []).sort((a, b) => a - b)
    return {
      class: name,
      networks: values.length,
      images,
      epoch: epoch + 1,
      mean: values.reduce((sum, value) => sum + value, 0) / values.length,
      low: quantile(values, 0.05),
      high: quantile(values, 0.95),
    }
  })
}

/** Of ascending values, between neighbours linearly (numpy's default). */
function quantile(values: readonly number[], p: number): number {
  const at = p * (values.length - 1)
  const below = Math.floor(at)
  const next = values[below + 1] ?? values[below]!
  return values[below]! + (at - below) * (next - values[below]!)
}
