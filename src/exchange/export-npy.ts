import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ExportJob } from './export-job.js'
import { labelsOf, METRICS, metricsOf, namesOf, weightsOf } from './modelwise.js'
import { writeNpy } from './npy.js'

/**
 * `parameters.npy` [N, P] float32, `labels.npy` [N] int32, `metrics.npy` [N, 5] float64, and `names.json` with what the
 * rows, the labels and the columns of the metrics are called.
 */
export async function exportNpy(job: ExportJob): Promise<void> {
  const { zoo, folder } = job
  const count = zoo.networks.length
  await writeNpy(
    join(folder, 'parameters.npy'),
    '<f4',
    [count, zoo.architecture.parameterCount],
    weightsOf(job),
  )
  await writeNpy(join(folder, 'labels.npy'), '<i4', [count], labelsOf(zoo))
  await writeNpy(join(folder, 'metrics.npy'), '<f8', [count, METRICS.length], metricsOf(zoo))
  const names = { names: namesOf(zoo), class_names: zoo.classNames, metrics: METRICS }
  await writeFile(join(folder, 'names.json'), `${JSON.stringify(names)}\n`)
}
