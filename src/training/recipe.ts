import {
  type Architecture,
  type ArchitectureSpec,
  describeArchitecture,
} from '../architecture/architecture.js'
import { lenet5Architecture } from '../architecture/lenet5.js'
import type { ImageSet } from '../images/image-set.js'
import { checkOptionNames, invalidOption, isCount } from '../options.js'
import { OneVsAllSampler } from '../sampling/one-vs-all-sampler.js'
import type { OptimizerSettings } from './engine.js'

/** What a user may say about how networks are trained; everything left out is the paper's recipe. */
export interface RecipeOptions {
  /** Default: LeNet-5 on the images' shape. Must end in one sigmoid unit. */
  architecture?: Architecture | ArchitectureSpec | undefined
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
}

/** An optimiser with some of its settings; the rest are Keras's defaults. */
export type OptimizerOptions =
  | {
      kind: 'adam'
      learningRate?: number | undefined
      beta1?: number | undefined
      beta2?: number | undefined
      epsilon?: number | undefined
    }
  | { kind: 'sgd'; learningRate?: number | undefined; momentum?: number | undefined }

/** The complete recipe of a zoo's networks, as `zoo.json` holds it: two zoos of one recipe, image set and arithmetic are equal. */
export interface Recipe {
  readonly architecture: ArchitectureSpec
  readonly initializer: 'glorotUniform'
  readonly samplesPerNetwork: number
  readonly positiveFraction: readonly [min: number, max: number]
  readonly epochs: number
  readonly batchSize: number
  readonly loss: 'binaryCrossentropy'
  readonly optimizer: OptimizerSettings
  readonly keep: 'last' | 'best'
  readonly seed: number
}

/** Names of {@link RecipeOptions}, for callers that take them among other options. */
export const RECIPE_OPTION_NAMES = [
  'architecture',
  'samplesPerNetwork',
  'positiveFraction',
  'epochs',
  'batchSize',
  'optimizer',
  'keep',
  'seed',
] as const

/**
 * Fills in and checks a recipe for an image set.
 *
 * @throws ZooError `option` naming the option and its value.
 *
 * @example
 * resolveRecipe({ seed: 7 }, images).epochs // 25, the paper's
 */
export function resolveRecipe(options: RecipeOptions, images: ImageSet): Recipe {
  checkOptionNames(options, RECIPE_OPTION_NAMES, 'the recipe')
  const { epochs = 25, batchSize = 128, optimizer = 'adam', keep = 'last', seed = 0 } = options
  if (!isCount(epochs)) throw invalidOption('epochs', epochs, 'needs a positive integer')
  if (!isCount(batchSize)) throw invalidOption('batchSize', batchSize, 'needs a positive integer')
  if (keep !== 'last' && keep !== 'best') throw invalidOption('keep', keep, 'is not one of last, best')
  if (!Number.isSafeInteger(seed) || seed < 0) {
    throw invalidOption('seed', seed, 'needs a whole number from 0 to 2^53 - 1')
  }
  const { samplesPerNetwork, positiveFraction } = new OneVsAllSampler({
    images,
    samplesPerNetwork: options.samplesPerNetwork,
    positiveFraction: options.positiveFraction,
  })
  return {
    architecture: resolveArchitecture(options.architecture, images),
    initializer: 'glorotUniform',
    samplesPerNetwork,
    positiveFraction,
    epochs,
    batchSize,
    loss: 'binaryCrossentropy',
    optimizer: resolveOptimizer(optimizer),
    keep,
    seed,
  }
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

function resolveOptimizer(given: 'adam' | 'sgd' | OptimizerOptions): OptimizerSettings {
  const options = typeof given === 'string' ? ({ kind: given } as OptimizerOptions) : given
  if (options?.kind === 'adam') {
    checkOptionNames(options, ['kind', 'learningRate', 'beta1', 'beta2', 'epsilon'], 'optimizer adam')
    const { learningRate = 1e-3, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-7 } = options
    for (const [name, value] of Object.entries({ learningRate, epsilon })) checkPositive(name, value)
    for (const [name, value] of Object.entries({ beta1, beta2 })) checkShare(name, value)
    return { kind: 'adam', learningRate, beta1, beta2, epsilon }
  }
  if (options?.kind === 'sgd') {
    checkOptionNames(options, ['kind', 'learningRate', 'momentum'], 'optimizer sgd')
    const { learningRate = 1e-2, momentum = 0 } = options
    checkPositive('learningRate', learningRate)
    checkShare('momentum', momentum)
    return { kind: 'sgd', learningRate, momentum }
  }
  throw invalidOption('optimizer', given, 'is not one of adam, sgd')
}

function checkPositive(name: string, value: number): void {
  if (!(Number.isFinite(value) && value > 0))
    throw invalidOption(`optimizer.${name}`, value, 'needs a number above 0')
}

function checkShare(name: string, value: number): void {
  if (!(Number.isFinite(value) && value >= 0 && value < 1))
    throw invalidOption(`optimizer.${name}`, value, 'not in [0, 1)')
}
