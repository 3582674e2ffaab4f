import { type ClassSummary, type Spread, summarize } from '../../zoo/summary.js'
import type { Zoo } from '../../zoo/zoo.js'
import { Chart } from '../chart.js'
import { PAPER, resemblesPaper } from '../paper.js'
import { COLOR, INK } from '../theme.js'

/** Row of {@link metricsChart}. */
export type MetricsRow = {
  class: string
  networks: number
  metric: string
  min: number
  mean: number
  max: number
  /** The paper's mean; `null` for other classes and metrics. */
  paper: number | null
}

const METRICS = ['accuracy', 'F1', 'AUC'] as const
const pick = {
  accuracy: line => line.accuracy,
  F1: line => line.f1,
  AUC: line => line.auc,
} satisfies Record<(typeof METRICS)[number], (line: ClassSummary) => Spread>

/**
 * Accuracy, F1 and AUC of every class on the validation images: smallest, mean and largest over its networks (paper,
 * table 1). Where the zoo has the paper's classes, the paper's means stand beside them.
 *
 * @example
 * await writeFile('metrics.csv', metricsChart(zoo).csv())
 */
export function metricsChart(zoo: Zoo): Chart<MetricsRow> {
  const paper = resemblesPaper(zoo)
  const data = METRICS.flatMap(metric =>
    summarize(zoo)
      .filter(line => !Number.isNaN(pick[metric](line).mean))
      .map(line => ({
        class: line.class,
        networks: line.networks,
        metric,
        ...pick[metric](line),
        paper: paper ? paperMean(line.class, metric) : null,
      })),
  )
  const y = {
    field: 'class',
    type: 'nominal',
    sort: null,
    title: null,
    axis: { grid: true, tickSize: 0, labelPadding: 8 },
  }
  const x = (field: string) => ({ field, type: 'quantitative', scale: { zero: false }, title: null })
  return new Chart({
    name: 'metrics',
    title: 'Accuracy, F1 and AUC by class',
    key: `bar: worst to best network, dot: mean${paper ? ", diamond: the paper's mean" : ''}`,
    caption: `Every network on all validation images, at threshold 0.5.${paper ? " The paper's means are those of its Table 1, over 1,061 networks a class; it gives no AUC." : ''}`,
    data,
    view: {
      facet: { column: { field: 'metric', sort: [...METRICS], title: null } },
      spec: {
        width: 270,
        height: { step: 20 },
        layer: [
          {
            mark: { type: 'rule', strokeWidth: 5, strokeCap: 'round', color: COLOR.first, opacity: 0.35 },
            encoding: { y, x: x('min'), x2: { field: 'max' } },
          },
          {
            mark: { type: 'point', filled: true, size: 55, color: COLOR.first, opacity: 1 },
            encoding: { y, x: x('mean') },
          },
          ...(paper
            ? [
                {
                  // Without a value the diamond hides at the mean: an axis cannot be made of no values.
                  transform: [{ calculate: 'isValid(datum.paper) ? datum.paper : datum.mean', as: 'beside' }],
                  mark: { type: 'point', shape: 'diamond', size: 60, color: INK, strokeWidth: 1.3 },
                  encoding: {
                    y,
                    x: x('beside'),
                    opacity: { condition: { test: 'isValid(datum.paper)', value: 1 }, value: 0 },
                  },
                },
              ]
            : []),
        ],
      },
      resolve: { scale: { x: 'independent' } },
    },
  })
}

function paperMean(className: string, metric: (typeof METRICS)[number]): number | null {
  const { accuracy, f1 } = PAPER.classes[className]!
  return { accuracy: accuracy.mean, F1: f1, AUC: null }[metric]
}
