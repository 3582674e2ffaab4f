import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ExportJob } from './export-job.js'
import { kerasLegacyModel } from './keras-model.js'

/**
 * `models/<network>.json` and, beside it, its weights as `<network>.bin`: what `tf.loadLayersModel` opens in a browser or
 * in Node.
 */
export async function exportTfjs(job: ExportJob): Promise<void> {
  const { parameters } = job.zoo.architecture
  const models = join(job.folder, 'models')
  await mkdir(models)
  const weights = parameters.map(({ layer, part, shape }) => ({
    name: `${layer}/${part}`,
    shape,
    dtype: 'float32',
  }))
  for await (const { architecture, fileName, record, weights: values } of job.networks()) {
    const { class: name, index, seed, sha256, metrics } = record
    const model = {
      format: 'layers-model',
      generatedBy: 'weightzoo',
      convertedBy: null,
      modelTopology: kerasLegacyModel(architecture),
      weightsManifest: [{ paths: [`${fileName}.bin`], weights }],
      userDefinedMetadata: { class: name, index, seed, sha256, metrics },
    }
    await writeFile(join(models, `${fileName}.json`), `${JSON.stringify(model)}\n`)
    await writeFile(join(models, `${fileName}.bin`), values)
  }
}
