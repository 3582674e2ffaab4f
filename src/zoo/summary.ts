import type { Zoo } from './zoo.js'

/** Smallest, mean and largest of a metric over the networks of a class; `NaN` where it is known of none. */
export interface Spread {
  readonly min: number
  readonly mean: number
  readonly max: number
}

/** One class's line in {@link summarize}. */
export interface ClassSummary {
  readonly class: string
  /** Finished networks. */
  readonly networks: number
  readonly accuracy: Spread
  readonly f1: Spread
  /** `NaN` where the validation split lacks positives or negatives. */
  readonly auc: Spread
}

/**
 * The zoo's metrics by class (paper, table 1), in the image set's order; classes without networks are left out.
 *
 * @example
 * summarize(zoo).map(({ class: name, accuracy }) => `${name}: ${accuracy.mean}`)
 */
export function summarize(zoo: Zoo): ClassSummary[] {
  return zoo.classNames.flatMap(name => {
    const metrics = zoo.networks.filter(network => network.class === name).map(network => network.metrics)
    if (metrics.length === 0) return []
    return [
      {
        class: name,
        networks: metrics.length,
        accuracy: spreadOf(metrics.map(({ accuracy }) => accuracy)),
        f1: spreadOf(metrics.map(({ f1 }) => f1)),
        auc: spreadOf(metrics.map(({ auc }) => auc ?? Number.NaN)),
      },
    ]
  })
}

function spreadOf(all: readonly number[]): Spread {
  const values = all.filter(value => !Number.isNaN(value))
  if (values.length === 0) return { min: Number.NaN, mean: Number.NaN, max: Number.NaN }
  return {
    min: Math.min(...values),
    mean: values.reduce((sum, value) => sum + value, 0) / values.length,
    max: Math.max(...values),
  }
}
