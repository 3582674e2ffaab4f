import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ExportJob } from './export-job.js'
import { kerasLegacyModel } from './keras-model.js'

/**
 * `models/<network>.json` and, beside it, its weights as `<network>.bin`: what `tf.loadLayersModel` opens in a browser or
 * in Node.
 */
export async function exportTfjs(job: ExportJob): Promise<void> {
  const { architecture } = job.zoo
  const models = join(job.folder, 'models')
  await mkdir(models)
  const modelTopology = kerasLegacyModel(architecture)
  const weights = architecture.parameters.map(({ layer, part, shape }) => ({
    name: `${layer}/${part}`,
    shape,
    dtype: 'float32',
  }))
  for await (const { fileName, record, weights: values } of job.networks()) {
    const { class: name, index, seed, sha256, metrics } = record
    const model = {
      format: 'layers-model',
      generatedBy: 'weightzoo',
      convertedBy: null,
      modelTopology,
      weightsManifest: [{ paths: [`${fileName}.bin`], weights }],
      userDefinedMetadata: { class: name, index, seed, sha256, metrics },
    }
    await writeFile(join(models, `${fileName}.json`), `${JSON.stringify(model)}\n`)
    await writeFile(join(models, `${fileName}.bin`), values)
  }
}
