import type { Zoo } from '../zoo/zoo.js'
import type { Chart } from './chart.js'
import { type ClassifierResult, classifierChart, confusionChart } from './charts/classification.js'
import {
  classDifferenceChart,
  classWeightsChart,
  layerWeightsChart,
  nearZeroChart,
  weightsChart,
} from './charts/distributions.js'
import { divergenceByLayerChart, divergenceChart } from './charts/divergence.js'
import { metricsChart } from './charts/metrics.js'
import { hasHistory, trainingChart } from './charts/training.js'
import { type WeightStudy, WHOLE_NETWORK } from './study.js'

/** The charts of a report, by section. */
export type ReportCharts = Readonly<
  Record<'quality' | 'training' | 'weights' | 'divergence' | 'classifiers', readonly Chart[]>
>

export function chartsOf(zoo: Zoo, { distributions, divergence, classifiers }: WeightStudy): ReportCharts {
  const severalClasses = (distributions?.byClass.length ?? 0) > 1
  return {
    quality: zoo.networks.some(({ metrics }) => Number.isFinite(metrics.accuracy)) ? [metricsChart(zoo)] : [],
    training: hasHistory(zoo) ? [trainingChart(zoo, 'loss'), trainingChart(zoo, 'accuracy')] : [],
    weights: distributions
      ? [
          weightsChart(distributions),
          nearZeroChart(distributions),
          layerWeightsChart(distributions),
          ...(severalClasses ? [classWeightsChart(distributions), classDifferenceChart(distributions)] : []),
        ]
      : [],
    divergence: divergence
      ? [
          divergenceByLayerChart(divergence.layers),
          divergenceChart(WHOLE_NETWORK, divergence.network),
          ...Object.entries(divergence.layers).map(([layer, found]) => divergenceChart(layer, found)),
        ]
      : [],
    classifiers:
      classifiers.length > 0
        ? [classifierChart(classifiers), ...shownConfusions(classifiers).map(confusionChart)]
        : [],
  }
}

/** Of every classifier the one on whole networks and, where another is better, its best. */
function shownConfusions(results: readonly ClassifierResult[]): ClassifierResult[] {
  const names = [...new Set(results.map(({ classifier }) => classifier))]
  return names.flatMap(name => {
    const own = results.filter(({ classifier }) => classifier === name)
    const whole = own.find(({ weights }) => weights === WHOLE_NETWORK)!
    const best = bestOf(own)
    return best.evaluation.correct > whole.evaluation.correct ? [whole, best] : [whole]
  })
}

/** The most accurate result, the first of equals. */
export function bestOf(results: readonly ClassifierResult[]): ClassifierResult {
  return results.reduce((best, result) =>
    result.evaluation.accuracy > best.evaluation.accuracy ? result : best,
  )
}
