import { describeArchitecture } from '../architecture/architecture.js'
import { initialWeights } from '../architecture/initial-weights.js'
import type { ImageSet } from '../images/image-set.js'
import { RandomStream } from '../random.js'
import { OneVsAllSampler } from '../sampling/one-vs-all-sampler.js'
import type { TrainingJob } from './engine.js'
import type { Recipe } from './recipe.js'

/** A job and what was drawn for it. */
export interface NetworkJob {
  readonly job: TrainingJob
  /** Share of positives in the network's training set. */
  readonly positiveFraction: number
}

/**
 * Returns the function that makes the job of network `index` of a class: a pure function of recipe, images, class and
 * index, so that any network can be made again on its own, in any order.
 *
 * Each network has random streams of its own, named by (seed, class, index) and their use: `sampling`,
 * `initialisation` and, for every epoch, `order`.
 *
 * @example
 * const { job } = jobFactory(resolveRecipe({ seed: 7 }, images), images)('church', 3)
 * const engine = await openEngine()
 * const { weights } = await engine.train(job) // what trainZoo trains as church_3
 */
export function jobFactory(
  recipe: Recipe,
  images: ImageSet,
): (className: string, index: number) => NetworkJob {
  const architecture = describeArchitecture(recipe.architecture)
  const { samplesPerNetwork, positiveFraction: range, seed, epochs } = recipe
  const sampler = new OneVsAllSampler({ images, samplesPerNetwork, positiveFraction: range })

  return (className, index) => {
    const stream = (...use: (string | number)[]) => new RandomStream(seed, className, index, ...use)
    const { indices, positiveFraction } = sampler.sample(className, stream('sampling'))
    const order = new Uint32Array(epochs * indices.length)
    for (let epoch = 0; epoch < epochs; epoch++) {
      order.set(stream('order', epoch).shuffle(indices.slice()), epoch * indices.length)
    }
    const label = images.classNames.indexOf(className)
    const job: TrainingJob = {
      name: `${className}_${index}`,
      architecture,
      initialWeights: initialWeights(architecture, stream('initialisation')),
      images,
      order,
      trainTargets: images.train.labels.map(l => Number(l === label)),
      validationTargets: images.validation.labels.map(l => Number(l === label)),
      loss: recipe.loss,
      optimizer: recipe.optimizer,
      batchSize: recipe.batchSize,
      epochs,
      keep: recipe.keep,
    }
    return { job, positiveFraction }
  }
}
