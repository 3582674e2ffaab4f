import { describeArchitecture } from '../architecture/architecture.js'
import { initialWeights } from '../architecture/initial-weights.js'
import { type ImageSet, type ImageSets, imageSetsOf } from '../images/image-set.js'
import { invalidOption } from '../options.js'
import { OneVsAllSampler } from '../sampling/one-vs-all-sampler.js'
import type { TrainingJob } from './engine.js'
import type { Recipe } from './recipe.js'
import { type Hyperparameters, networkRecipe } from './vary.js'

/** A job and what was drawn for it. */
export interface NetworkJob {
  readonly job: TrainingJob
  /** Share of positives in the network's training set. */
  readonly positiveFraction: number
  /** What the network drew of the recipe's `vary`; `undefined` where the recipe varies nothing. */
  readonly hyperparameters: Hyperparameters | undefined
}

/**
 * Returns the function that makes the job of network `index` of a class: a pure function of recipe, images, class and
 * index, so that any network can be made again on its own, in any order. Of several image sets, it takes the one whose
 * name the network draws.
 *
 * Each network has random streams of its own, named by (seed, class, index) and their use: `vary`, `sampling`,
 * `initialisation` and, for every epoch, `order`.
 *
 * @example
 * const { job } = jobFactory(resolveRecipe({ seed: 7 }, images), images)('church', 3)
 * const engine = await openEngine()
 * const { weights } = await engine.train(job) // what trainZoo trains as church_3
 *
 * @throws ZooError `option`, from the function, when none of the image sets has the name that a network draws.
 */
export function jobFactory(
  recipe: Recipe,
  images: ImageSets,
): (className: string, index: number) => NetworkJob {
  const sets = imageSetsOf(images)
  return (className, index) => {
    const { recipe: own, hyperparameters, stream } = networkRecipe(recipe, className, index)
    const images = imagesOf(hyperparameters, sets)
    const architecture = describeArchitecture(own.architecture)
    const { epochs } = own
    const { indices, positiveFraction } = samplerOf(own, images).sample(className, stream('sampling'))
    const order = new Uint32Array(epochs * indices.length)
    for (let epoch = 0; epoch < epochs; epoch++) {
      order.set(stream('order', epoch).shuffle(indices.slice()), epoch * indices.length)
    }
    const label = images.classNames.indexOf(className)
    const job: TrainingJob = {
      name: `${className}_${index}`,
      architecture,
      initialWeights: initialWeights(architecture, stream('initialisation'), own.initializer),
      images,
      order,
      trainTargets: images.train.labels.map(l => Number(l === label)),
      validationTargets: images.validation.labels.map(l => Number(l === label)),
      loss: own.loss,
      optimizer: own.optimizer,
      batchSize: own.batchSize,
      epochs,
      keep: own.keep,
    }
    return { job, positiveFraction, hyperparameters }
  }
}

/** The image set that a network has drawn; the first one where they do not vary. */
export function imagesOf(hyperparameters: Hyperparameters | undefined, sets: readonly ImageSet[]): ImageSet {
  const name = hyperparameters?.images
  const drawn = name === undefined ? sets[0] : sets.find(set => set.name === name)
  if (drawn) return drawn
  const names = sets.map(set => set.name)
  throw invalidOption('images', names, `lacks "${name}", which a network of the recipe draws`)
}

/**
 * Refuses a class of whose first `count` networks one cannot be sampled as the recipe says, before any is trained.
 * @throws ZooError `images` with the numbers.
 */
export function checkSampling(
  recipe: Recipe,
  sets: readonly ImageSet[],
  className: string,
  count: number,
): void {
  const { samplesPerNetwork, positiveFraction, images } = recipe.vary ?? {}
  const different = (samplesPerNetwork ?? positiveFraction ?? images) ? count : 1
  for (let index = 0; index < different; index++) {
    const { recipe: own, hyperparameters } = networkRecipe(recipe, className, index)
    samplerOf(own, imagesOf(hyperparameters, sets)).check(className)
  }
}

function samplerOf({ samplesPerNetwork, positiveFraction }: Recipe, images: ImageSet): OneVsAllSampler {
  return new OneVsAllSampler({ images, samplesPerNetwork, positiveFraction })
}
