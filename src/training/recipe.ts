import {
  type Architecture,
  type ArchitectureSpec,
  describeArchitecture,
} from '../architecture/architecture.js'
import { checkInitializer, type Initializer } from '../architecture/initial-weights.js'
import { lenet5Architecture } from '../architecture/lenet5.js'
import { type ImageSet, type ImageSets, imageSetsOf } from '../images/image-set.js'
import { checkOptionNames, invalidOption, isCount, suggestion } from '../options.js'
import { OneVsAllSampler } from '../sampling/one-vs-all-sampler.js'
import type { OptimizerSettings } from './engine.js'
import { type OptimizerOptions, resolveOptimizer } from './optimizer.js'
import { resolveVary, type VaryOptions } from './vary.js'

/** What a user may say about how networks are trained; everything left out is the paper's recipe. */
export interface RecipeOptions {
  /** Default: LeNet-5 on the images' shape. Must end in one sigmoid unit. */
  architecture?: Architecture | ArchitectureSpec | undefined
  /** How kernels start; default `glorotUniform`, Keras's default, which the published code keeps. */
  initializer?: Initializer | undefined
  /** Training images per network; default 9,000 (see `OneVsAllSampler`). */
  samplesPerNetwork?: number | undefined
  /** Smallest and largest share of positives; default `[0.09, 0.10]`, the paper's. */
  positiveFraction?: readonly [min: number, max: number] | undefined
  /** Passes over a network's training set; default 25, the paper's (its published code says 20). */
  epochs?: number | undefined
  /** Images per optimiser step; default 128, the published code's. */
  batchSize?: number | undefined
  /** Default `adam`: Adam at 1e-3, 0.9, 0.999, epsilon 1e-7, Keras's defaults, which the published code keeps. */
  optimizer?: 'adam' | 'sgd' | OptimizerOptions | undefined
  /** Which epoch's weights a network keeps: `last` (default, the paper's) or `best`, the lowest validation loss. */
  keep?: 'last' | 'best' | undefined
  /** Every random draw follows from it; a whole number from 0 to 2^53 - 1, default 0. */
  seed?: number | undefined
  /** Hyperparameters that every network draws for itself, in the place of the fixed ones above. Default: none. */
  vary?: VaryOptions | undefined
}

/** The complete recipe of a zoo's networks, as `zoo.json` holds it: two zoos of one recipe, image set and arithmetic are equal. */
export interface Recipe {
  readonly architecture: ArchitectureSpec
  readonly initializer: Initializer
  readonly samplesPerNetwork: number
  readonly positiveFraction: readonly [min: number, max: number]
  readonly epochs: number
  readonly batchSize: number
  readonly loss: 'binaryCrossentropy'
  readonly optimizer: OptimizerSettings
  readonly keep: 'last' | 'best'
  readonly seed: number
  /** Absent where all networks have the same hyperparameters. */
  readonly vary?: VaryOptions
}

/** Names of {@link RecipeOptions}, for callers that take them among other options. */
export const RECIPE_OPTION_NAMES = [
  'architecture',
  'initializer',
  'samplesPerNetwork',
  'positiveFraction',
  'epochs',
  'batchSize',
  'optimizer',
  'keep',
  'seed',
  'vary',
] as const

/**
 * Fills in and checks a recipe for an image set, or for several, of which `vary` then says that networks draw one.
 *
 * @throws ZooError `option` naming the option and its value.
 *
 * @example
 * resolveRecipe({ seed: 7 }, images).epochs // 25, the paper's
 */
export function resolveRecipe(options: RecipeOptions, images: ImageSets): Recipe {
  const sets = imageSetsOf(images)
  checkOptionNames(options, RECIPE_OPTION_NAMES, 'the recipe')
  const { epochs = 25, batchSize = 128, optimizer = 'adam', keep = 'last', seed = 0 } = options
  const { initializer = 'glorotUniform' } = options
  checkInitializer(initializer)
  if (!isCount(epochs)) throw invalidOption('epochs', epochs, 'needs a positive integer')
  if (!isCount(batchSize)) throw invalidOption('batchSize', batchSize, 'needs a positive integer')
  if (keep !== 'last' && keep !== 'best') throw invalidOption('keep', keep, 'is not one of last, best')
  if (!Number.isSafeInteger(seed) || seed < 0) {
    throw invalidOption('seed', seed, 'needs a whole number from 0 to 2^53 - 1')
  }
  const samplers = sets.map(
    set =>
      new OneVsAllSampler({
        images: set,
        samplesPerNetwork: options.samplesPerNetwork,
        positiveFraction: options.positiveFraction,
      }),
  )
  const recipe: Recipe = {
    architecture: resolveArchitecture(options.architecture, sets[0]!),
    initializer,
    samplesPerNetwork: Math.min(...samplers.map(sampler => sampler.samplesPerNetwork)),
    positiveFraction: samplers[0]!.positiveFraction,
    epochs,
    batchSize,
    loss: 'binaryCrossentropy',
    optimizer: resolveOptimizer(optimizer),
    keep,
    seed,
  }
  const vary = resolveVary(varyOf(options, sets), recipe, ({ loss, ...fixed }) =>
    resolveRecipe(fixed, sets[0]!),
  )
  return vary === undefined ? recipe : { ...recipe, vary }
}

/** Several image sets vary even where nobody says how. */
function varyOf({ vary }: RecipeOptions, sets: readonly ImageSet[]): VaryOptions | undefined {
  const names = sets.map(({ name }) => name)
  const unknown = vary?.images && [vary.images].flat().find(name => !names.includes(name))
  if (unknown !== undefined)
    throw invalidOption(
      'vary.images',
      unknown,
      `is none of the image sets; ${suggestion(String(unknown), names)}`,
    )
  return sets.length > 1 ? { ...vary, images: vary?.images ?? names } : vary
}

function resolveArchitecture(
  given: Architecture | ArchitectureSpec | undefined,
  images: ImageSet,
): ArchitectureSpec {
  const architecture =
    given === undefined
      ? lenet5Architecture({ inputShape: images.shape })
      : describeArchitecture((given as Partial<Architecture> | null)?.spec ?? (given as ArchitectureSpec))
  const wanted = images.shape.join('x')
  const has = architecture.inputShape.join('x')
  if (has !== wanted) {
    throw invalidOption('architecture.inputShape', has, `the images are ${wanted}`)
  }
  const last = architecture.layers.at(-1)!
  if (last.kind !== 'dense' || last.units !== 1 || last.activation !== 'sigmoid') {
    throw invalidOption(
      'architecture',
      architecture.name,
      'a one-versus-all classifier ends in a dense layer of 1 sigmoid unit',
    )
  }
  return architecture.spec
}
