import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { METRIC_COLUMNS, metricsOf, rowInfo } from '../zoo/compile.js'
import { type ExportJob, weightsOf } from './export-job.js'
import { writeNpy } from './npy.js'

/**
 * `parameters.npy` [N, P] float32, `labels.npy` [N] int32, `metrics.npy` [N, 5] float64, and `names.json` with what the
 * rows, the labels and the columns of the metrics are called.
 */
export async function exportNpy(job: ExportJob): Promise<void> {
  const { zoo, folder } = job
  const count = zoo.networks.length
  const { labels, names, classNames } = rowInfo(zoo, zoo.networks)
  await writeNpy(
    join(folder, 'parameters.npy'),
    '<f4',
    [count, zoo.architecture.parameterCount],
    weightsOf(job),
  )
  await writeNpy(join(folder, 'labels.npy'), '<i4', [count], labels)
  await writeNpy(join(folder, 'metrics.npy'), '<f8', [count, METRIC_COLUMNS.length], metricsOf(zoo.networks))
  const meanings = { names, class_names: classNames, metrics: METRIC_COLUMNS }
  await writeFile(join(folder, 'names.json'), `${JSON.stringify(meanings)}\n`)
}
