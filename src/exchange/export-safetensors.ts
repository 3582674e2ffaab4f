import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { METRIC_COLUMNS, metricsOf, rowInfo } from '../zoo/compile.js'
import { type ExportedNetwork, type ExportJob, weightsOf } from './export-job.js'
import { type TensorToWrite, writeSafetensors } from './safetensors.js'

/**
 * `zoo.safetensors`: `parameters` [N, P] float32, `labels` [N] int32, `metrics` [N, 5] float64; its metadata has the
 * names of rows and classes and the parameter table, each as JSON.
 */
export async function exportSafetensors(job: ExportJob): Promise<void> {
  const { zoo, folder } = job
  const { parameters, parameterCount } = zoo.architecture
  const count = zoo.networks.length
  const { labels, names, classNames } = rowInfo(zoo, zoo.networks)
  await writeSafetensors(
    join(folder, 'zoo.safetensors'),
    [
      { name: 'metrics', type: 'F64', shape: [count, METRIC_COLUMNS.length], data: metricsOf(zoo.networks) },
      { name: 'parameters', type: 'F32', shape: [count, parameterCount], data: weightsOf(job) },
      { name: 'labels', type: 'I32', shape: [count], data: labels },
    ],
    {
      format: 'weightzoo',
      names: JSON.stringify(names),
      class_names: JSON.stringify(classNames),
      metrics: JSON.stringify(METRIC_COLUMNS),
      parameter_table: JSON.stringify(parameters),
    },
  )
}

/** `models/<network>.safetensors`, a tensor for every layer and part as Keras has it: `conv2d.kernel`, `conv2d.bias`, … */
export async function exportSafetensorsNetworks(job: ExportJob): Promise<void> {
  const { parameters } = job.zoo.architecture
  await writeStateDicts(job, ({ weights }) =>
    parameters.map(({ layer, part, shape, offset, size }) => ({
      name: `${layer}.${part}`,
      type: 'F32',
      shape,
      data: weights.subarray(offset, offset + size),
    })),
  )
}

/** One file a network, with what the ledger says of it as metadata. */
export async function writeStateDicts(
  job: ExportJob,
  tensorsOf: (network: ExportedNetwork) => TensorToWrite[],
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  const models = join(job.folder, 'models')
  await mkdir(models)
  for await (const network of job.networks()) {
    const { class: name, index, seed, sha256, metrics, hyperparameters } = network.record
    await writeSafetensors(join(models, `${network.fileName}.safetensors`), tensorsOf(network), {
      ...metadata,
      class: name,
      index: String(index),
      seed: String(seed),
      sha256,
      metrics: JSON.stringify(metrics),
      ...(hyperparameters && { hyperparameters: JSON.stringify(hyperparameters) }),
    })
  }
}
