import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ExportJob } from './export-job.js'
import { writeStateDicts } from './export-safetensors.js'
import { pytorchModule, pytorchTensors } from './pytorch-layout.js'

/**
 * `models/<network>.safetensors`, state_dicts in PyTorch's layout and names (`conv1.weight` [out, in, height, width], …),
 * and `network.py` with the nn.Module that they are of. Where networks have drawn their activations, it takes one: that of
 * the file's metadata `hyperparameters`.
 */
export async function exportPytorch(job: ExportJob): Promise<void> {
  const { architecture, networks } = job.zoo
  const varied = networks.some(({ hyperparameters }) => hyperparameters?.activation !== undefined)
  const tensors = pytorchTensors(architecture)
  await writeFile(join(job.folder, 'network.py'), pytorchModule(architecture, varied))
  await writeStateDicts(
    job,
    ({ weights }) =>
      tensors.map(({ name, shape, from }) => ({
        name,
        type: 'F32',
        shape,
        data: gather(weights, from),
      })),
    // What transformers and others look for.
    { format: 'pt' },
  )
}

/** `weights` in the order of `from`. */
function gather(weights: Float32Array, from: Uint32Array): Float32Array {
  const out = new Float32Array(from.length)
  for (let i = 0; i < from.length; i++) out[i] = weights[from[i]!]!
  return out
}
