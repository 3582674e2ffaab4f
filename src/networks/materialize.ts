import type { LayersModel } from '@tensorflow/tfjs-layers'
import type { Architecture } from '../architecture/architecture.js'
import { lenet5Architecture } from '../architecture/lenet5.js'
import { toLayersModel } from '../architecture/to-layers-model.js'
import { invalidOption } from '../options.js'
import { arrayRows, finiteRows } from '../zoo/rows.js'
import { flatBatch, type WeightBatch } from './weight-batch.js'

/**
 * A network of weights: the tfjs model that a generated (or any other) weight vector is. For scores of many networks
 * `evaluateWeights` is a thousand times faster than tfjs's default backend.
 *
 * @param weights one network's, in the order of the parameter table: a Float32Array, a plain array or a tfjs tensor;
 * `[parameterCount]`
 * @param architecture default LeNet-5; a zoo's is `zoo.architecture`
 *
 * @example
 * const model = await materialize(generator.predict(noise)) // a tensor [1, 91481]
 * model.predict(images) // [n, 1]
 *
 * @throws ZooError `option` where the number of weights does not fit, or naming the first that is not finite.
 */
export async function materialize(
  weights: WeightBatch | readonly number[],
  architecture: Architecture = lenet5Architecture(),
): Promise<LayersModel> {
  const { parameterCount, parameters } = architecture
  const batch = await flatBatch(isOneArray(weights) ? [weights] : weights, parameterCount)
  if (batch.count !== 1) {
    throw invalidOption('weights', batch.count, 'needs those of one network; for several, call it for each')
  }
  const rows = { ...arrayRows(batch.data, parameterCount, ['the generated network']), parameters }
  return toLayersModel(architecture, finiteRows(rows, 0, 1))
}

function isOneArray(weights: WeightBatch | readonly number[]): weights is readonly number[] {
  return Array.isArray(weights) && typeof weights[0] === 'number'
}
