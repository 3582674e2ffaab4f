import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { zipSync } from 'fflate'
import { modelPath } from '../zoo/files.js'
import { writeHdf5 } from '../zoo/hdf5.js'
import type { Zoo } from '../zoo/zoo.js'
import type { ExportedNetwork, ExportJob } from './export-job.js'
import { kerasLegacyModel, kerasModel } from './keras-model.js'

/** `models/<network>.keras`: what Keras 3's `keras.models.load_model` opens. */
export async function exportKeras(job: ExportJob): Promise<void> {
  const text = (value: object) => Buffer.from(JSON.stringify(value))
  const metadata = text({ keras_version: KERAS_3, date_saved: '' })
  await forEachModel(job, 'keras', async (network, path) => {
    const files = {
      'metadata.json': metadata,
      'config.json': text(kerasModel(network.architecture)),
      'model.weights.h5': await modelFile(job, network),
    }
    // Stored, as Keras does; with the zip format's first day as date, so that equal networks are equal files.
    await writeFile(path, zipSync(files, { level: 0, mtime: new Date(1980, 0, 1) }))
  })
}

/**
 * `models/<network>.weights.h5`: the zoo's own files, and `model.json` for `keras.models.model_from_json`; where networks
 * have drawn their activations, `model-relu.json` and so on.
 */
export async function exportKerasWeights(job: ExportJob): Promise<void> {
  const { zoo, folder } = job
  for (const activation of activationsOf(zoo)) {
    const name = activation === undefined ? 'model.json' : `model-${activation}.json`
    const { class: className, index } = zoo.networks.find(
      ({ hyperparameters }) => hyperparameters?.activation === activation,
    )!
    const model = kerasModel(zoo.architectureOf(className, index))
    await writeFile(join(folder, name), `${JSON.stringify(model)}\n`)
  }
  await forEachModel(job, 'weights.h5', ({ record }, path) =>
    copyFile(modelPath(zoo.path, record.class, record.index), path),
  )
}

/** The activations that the networks have drawn; `undefined` is the architecture's own. */
function activationsOf({ networks }: Zoo) {
  return new Set(networks.map(({ hyperparameters }) => hyperparameters?.activation))
}

/** `models/<network>.h5`: the HDF5 format of Keras 2, model and weights, in the layout of the paper's own files. */
export async function exportKerasLegacy(job: ExportJob): Promise<void> {
  await forEachModel(job, 'h5', writeLegacyFile)
}

/** Versions that the files name: those that they were tested with. */
const KERAS_3 = '3.15.1'
const KERAS_2 = '2.15.0'

async function writeLegacyFile(
  { architecture, record, weights }: ExportedNetwork,
  path: string,
): Promise<void> {
  await writeHdf5(path, file => {
    file.attribute('keras_version', KERAS_2)
    file.attribute('backend', 'tensorflow')
    file.attribute('model_config', JSON.stringify(kerasLegacyModel(architecture)))
    file.attribute('class', record.class)
    file.attribute('index', record.index)
    if (!Number.isNaN(record.seed)) file.attribute('seed', BigInt(record.seed))
    file.attribute('sha256', record.sha256)
    const root = 'model_weights'
    file.group(root)
    file.attribute(
      'layer_names',
      architecture.layers.map(({ name }) => name),
      root,
    )
    file.attribute('keras_version', KERAS_2, root)
    file.attribute('backend', 'tensorflow', root)
    for (const { name } of architecture.layers) {
      file.group(`${root}/${name}`)
      // Kernel, then bias: the order in which Keras lists a layer's weights.
      const entries = architecture.parameters.filter(({ layer }) => layer === name).reverse()
      const names = entries.map(({ part }) => `${name}/${part}:0`)
      if (entries.length === 0) continue
      file.group(`${root}/${name}/${name}`)
      file.attribute('weight_names', names, `${root}/${name}`)
      for (const [i, { shape, offset, size }] of entries.entries()) {
        file.dataset(`${root}/${name}/${names[i]}`, weights.slice(offset, offset + size), shape)
      }
    }
  })
}

async function forEachModel(
  job: ExportJob,
  extension: string,
  write: (network: ExportedNetwork, path: string) => Promise<void>,
): Promise<void> {
  const models = join(job.folder, 'models')
  await mkdir(models)
  for await (const network of job.networks()) {
    await write(network, join(models, `${network.fileName}.${extension}`))
  }
}

function modelFile({ zoo }: ExportJob, { record }: ExportedNetwork): Promise<Buffer> {
  return readFile(modelPath(zoo.path, record.class, record.index))
}
