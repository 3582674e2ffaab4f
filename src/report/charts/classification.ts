import type { Evaluation } from '../../classifiers/scoring.js'
import { Chart } from '../chart.js'
import { chartName } from '../text.js'
import { COLOR, HEAT, INK } from '../theme.js'

/** A classifier on one choice of weights, and how well it told the classes apart. */
export interface ClassifierResult {
  /** `Naive Bayes on weights` */
  readonly classifier: string
  /** `whole network`, or the layer whose weights it saw. */
  readonly weights: string
  /** Features that it sees of a network. */
  readonly columns: number
  readonly evaluation: Evaluation
}

/** Row of {@link classifierChart}. */
export type ClassifierRow = {
  classifier: string
  weights: string
  columns: number
  networks: number
  accuracy: number
  low: number
  high: number
  chance: number
  majority: number
}

/**
 * Accuracies of classifiers with their 95 % intervals, whole networks and layer by layer, beside chance.
 *
 * @example
 * const evaluation = await evaluate(new GaussianNaiveBayes(), zoo)
 * const result = { classifier: 'Naive Bayes', weights: 'whole network', columns: 91481, evaluation }
 * await writeFile('classifiers.svg', await classifierChart([result]).svg({ standalone: true }))
 */
export function classifierChart(results: readonly ClassifierResult[]): Chart<ClassifierRow> {
  const data = results.map(({ classifier, weights, columns, evaluation }) => ({
    classifier,
    weights,
    columns,
    networks: evaluation.count,
    accuracy: evaluation.accuracy,
    low: evaluation.interval[0],
    high: evaluation.interval[1],
    chance: evaluation.chance,
    majority: evaluation.majority.accuracy,
  }))
  const classifiers = [...new Set(data.map(({ classifier }) => classifier))]
  const y = {
    field: 'weights',
    type: 'nominal',
    sort: [...new Set(data.map(({ weights }) => weights))],
    title: null,
    axis: { tickSize: 0, labelPadding: 8 },
  }
  const offset = { field: 'classifier', sort: classifiers }
  const x = { field: 'accuracy', type: 'quantitative', title: 'accuracy', axis: { format: '~%' } }
  const color = {
    field: 'classifier',
    type: 'nominal',
    scale: { domain: classifiers, range: [COLOR.first, COLOR.second, COLOR.third] },
    legend: { title: null, orient: 'top' },
  }
  return new Chart({
    name: 'classifiers',
    title: 'Telling the class of a network from its weights',
    key: 'accuracy on networks not learned from, with its 95 % interval; dashed: guessing',
    caption:
      'Every classifier learns from the same networks and is tested on the same others. An interval covers the choice of tested networks.',
    data,
    view: {
      width: 380,
      height: { step: 18 },
      layer: [
        {
          mark: { type: 'rule', strokeWidth: 1.6 },
          encoding: { y, yOffset: offset, x: { ...x, field: 'low' }, x2: { field: 'high' }, color },
        },
        {
          mark: { type: 'point', filled: true, size: 60, opacity: 1 },
          encoding: {
            y,
            yOffset: offset,
            x,
            color,
            shape: { field: 'classifier', type: 'nominal', scale: { domain: classifiers } },
          },
        },
        {
          mark: { type: 'rule', strokeDash: [4, 4], color: INK, opacity: 0.7 },
          encoding: { x: { ...x, field: 'chance', aggregate: 'mean' } },
        },
      ],
    },
  })
}

/** Row of {@link confusionChart}. */
export type ConfusionRow = {
  class: string
  calledAs: string
  networks: number
  /** Of the networks of the class. */
  share: number
}

/**
 * Which classes a classifier takes for which.
 *
 * @example
 * const evaluation = await evaluate(new GaussianNaiveBayes(), zoo)
 * confusionChart({ classifier: 'Naive Bayes', weights: 'whole network', columns: 91481, evaluation }).data
 */
export function confusionChart({ classifier, weights, evaluation }: ClassifierResult): Chart<ConfusionRow> {
  const { classNames, confusion, count } = evaluation
  const data = classNames.flatMap((name, i) => {
    const networks = confusion[i]!.reduce((sum, n) => sum + n, 0)
    return classNames.map((calledAs, j) => ({
      class: name,
      calledAs,
      networks: confusion[i]![j]!,
      share: networks === 0 ? 0 : confusion[i]![j]! / networks,
    }))
  })
  const axis = { domain: false, ticks: false, labelPadding: 6 }
  const size = { step: classNames.length <= 16 ? 34 : 12 }
  return new Chart({
    name: `confusion-${chartName(`${classifier} ${weights}`)}`,
    title: `${classifier}, ${weights}`,
    key: 'networks by true class (row) and by the answer (column)',
    caption: `${evaluation.correct} of ${count} networks told right.`,
    data,
    view: {
      width: size,
      height: size,
      encoding: {
        x: {
          field: 'calledAs',
          type: 'nominal',
          sort: classNames,
          title: null,
          axis: { ...axis, labelAngle: -45 },
        },
        y: { field: 'class', type: 'nominal', sort: classNames, title: null, axis },
      },
      layer: [
        {
          mark: { type: 'rect', cornerRadius: 2 },
          encoding: {
            color: {
              field: 'share',
              type: 'quantitative',
              scale: { range: [...HEAT], domain: [0, 1], interpolate: 'rgb' },
              legend: { title: 'share of class', format: '.0%', gradientLength: 120, tickCount: 4 },
            },
          },
        },
        ...(classNames.length <= 16
          ? [
              {
                transform: [{ filter: 'datum.networks > 0' }],
                mark: { type: 'text', fontSize: 10.5, color: INK },
                encoding: { text: { field: 'networks', type: 'quantitative' } },
              },
            ]
          : []),
      ],
    },
  })
}
