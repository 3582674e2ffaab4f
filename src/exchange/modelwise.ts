import { networkName } from '../zoo/files.js'
import type { Zoo } from '../zoo/zoo.js'
import type { ExportJob } from './export-job.js'

// A zoo as arrays with one row for each network, as npy and safetensors hold it.

/** Columns of the array of metrics. */
export const METRICS = ['accuracy', 'precision', 'recall', 'f1', 'auc'] as const

/** Rows of the matrix of weights, one after the other. */
export async function* weightsOf(job: ExportJob): AsyncGenerator<Float32Array> {
  for await (const { weights } of job.networks()) yield weights
}

/** `[N]`, indices into the zoo's class names. */
export function labelsOf({ networks, classNames }: Zoo): Int32Array {
  return Int32Array.from(networks, network => classNames.indexOf(network.class))
}

/** Flat `[N, 5]`; NaN where a metric is not defined. */
export function metricsOf({ networks }: Zoo): Float64Array {
  return Float64Array.from(
    networks.flatMap(({ metrics }) => METRICS.map(name => metrics[name] ?? Number.NaN)),
  )
}

/** `church_3`, … */
export function namesOf({ networks }: Zoo): string[] {
  return networks.map(network => networkName(network.class, network.index))
}
