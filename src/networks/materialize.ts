import type { LayersModel } from '@tensorflow/tfjs-layers'
import type { Architecture } from '../architecture/architecture.js'
import { toLayersModel } from '../architecture/to-layers-model.js'
import { invalidOption } from '../options.js'
import { arrayRows, finiteRows } from '../zoo/rows.js'
import { architecturesOf } from './architectures.js'
import { flatBatch, type WeightBatch } from './weight-batch.js'

/**
 * A network of weights: the tfjs model that a generated (or any other) weight vector is. For scores of many networks
 * `evaluateWeights` is a thousand times faster than tfjs's default backend.
 *
 * @param weights one network's, in the order of the parameter table: a Float32Array, a plain array or a tfjs tensor;
 * or a row of a zoo, e.g. `subsetRows(rows, [3])`; `[parameterCount]`
 * @param architecture default: of a zoo's row its network's own; else LeNet-5. That of a zoo's network is
 * `zoo.architectureOf(class, index)`: its activation may be its own.
 *
 * @example
 * const model = await materialize(generator.predict(noise)) // a tensor [1, 91481]
 * model.predict(images) // [n, 1]
 *
 * @throws ZooError `option` where the number of weights does not fit, or naming the first that is not finite.
 */
export async function materialize(
  weights: WeightBatch | readonly number[],
  architecture?: Architecture,
): Promise<LayersModel> {
  const given = isOneArray(weights) ? [weights] : weights
  const { all, of } = architecturesOf(given, architecture)
  const [{ parameterCount, parameters }] = all
  const batch = await flatBatch(given, parameterCount)
  if (batch.count !== 1) {
    throw invalidOption('weights', batch.count, 'needs those of one network; for several, call it for each')
  }
  const rows = { ...arrayRows(batch.data, parameterCount, ['the generated network']), parameters }
  return toLayersModel(of(0), finiteRows(rows, 0, 1))
}

function isOneArray(weights: WeightBatch | readonly number[]): weights is readonly number[] {
  return Array.isArray(weights) && typeof weights[0] === 'number'
}
