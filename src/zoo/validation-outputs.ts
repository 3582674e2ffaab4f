import type { ImageSet } from '../images/image-set.js'
import { imagesOf } from '../training/create-job.js'
import type { Engine } from '../training/engine.js'
import type { NetworkRecord } from './ledger.js'
import type { Zoo } from './zoo.js'

/** Networks evaluated at a time: 23 MB of LeNet-5. */
const BLOCK = 64

/** A network run over the validation images of its image set. */
export interface ValidatedNetwork {
  readonly record: NetworkRecord
  readonly images: ImageSet
  /** Probabilities, the bits that training gave; `[validation.count]`. */
  readonly outputs: Float32Array<ArrayBuffer>
}

/**
 * Runs a zoo's networks over their validation images again, 64 in memory.
 *
 * @param sets the zoo's image sets, by the names that its networks draw
 * @param weightsOf a network's weights; `undefined` to leave it out
 */
export async function* validationOutputs(
  zoo: Zoo,
  sets: readonly ImageSet[],
  engine: Engine,
  weightsOf: (record: NetworkRecord) => Promise<Float32Array | undefined>,
  signal?: AbortSignal,
): AsyncGenerator<ValidatedNetwork> {
  for (let start = 0; start < zoo.networks.length; start += BLOCK) {
    const readable: Readable[] = []
    for (const record of zoo.networks.slice(start, start + BLOCK)) {
      const weights = await weightsOf(record)
      if (weights) readable.push({ record, weights })
    }
    for (const networks of alike(readable)) {
      const [{ record: first }] = networks
      const architecture = zoo.architectureOf(first.class, first.index)
      const { parameterCount } = architecture
      const images = imagesOf(first.hyperparameters, sets)
      const { pixels, count } = images.validation
      const weights = new Float32Array(networks.length * parameterCount)
      for (const [i, network] of networks.entries()) weights.set(network.weights, i * parameterCount)
      const outputs = await engine.evaluate({ architecture, weights, pixels }, { signal })
      for (const [i, { record }] of networks.entries())
        yield { record, images, outputs: outputs.slice(i * count, (i + 1) * count) }
    }
  }
}

interface Readable {
  readonly record: NetworkRecord
  readonly weights: Float32Array
}

/** Networks of one activation function and image set are run together: these may vary within a zoo, shapes may not. */
function alike(networks: readonly Readable[]): [Readable, ...Readable[]][] {
  const groups = new Map<string, [Readable, ...Readable[]]>()
  for (const network of networks) {
    const { activation, images } = network.record.hyperparameters ?? {}
    const key = JSON.stringify([activation, images])
    const group = groups.get(key)
    if (group) group.push(network)
    else groups.set(key, [network])
  }
  return [...groups.values()]
}
