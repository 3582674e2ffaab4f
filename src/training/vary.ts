import { type Activation, withActivation } from '../architecture/architecture.js'
import type { Initializer } from '../architecture/initial-weights.js'
import { checkOptionNames, invalidOption, suggestion } from '../options.js'
import { RandomStream } from '../random.js'
import { resolveOptimizer } from './optimizer.js'
import type { Recipe } from './recipe.js'

/** A number drawn for every network: `low` to `high`, both included where `integer`. */
export type Distribution =
  | { readonly uniform: readonly [low: number, high: number] }
  | { readonly logUniform: readonly [low: number, high: number] }
  | { readonly integer: readonly [low: number, high: number] }

/** The values of a hyperparameter: one of a list (a value given twice is drawn twice as often), or a distribution. */
export type Variation<Value extends number | string> =
  | readonly Value[]
  | (Value extends number ? Distribution : never)

/**
 * Hyperparameters that differ from network to network; each network draws its own. What is drawn changes no shape, so
 * that all networks of a zoo have one parameter table. Drawn numbers are rounded to six significant digits.
 *
 * @example
 * { learningRate: { logUniform: [1e-4, 1e-2] }, activation: ['tanh', 'relu'], epochs: { integer: [5, 25] } }
 */
export interface VaryOptions {
  /**
   * A network that draws seed `s` is network 0 of its class in a zoo of seed `s`: networks of one class that draw the
   * same seed start from the same weights and see the same images in the same order, so that they differ in their other
   * hyperparameters alone. Without it, every network has weights, images and order of its own.
   */
  readonly seed?: Variation<number> | undefined
  readonly initializer?: readonly Initializer[] | undefined
  /** With the recipe's settings where it is of the same kind, else Keras's. */
  readonly optimizer?: readonly Recipe['optimizer']['kind'][] | undefined
  readonly learningRate?: Variation<number> | undefined
  /** Of networks that are trained with `sgd`; the others draw none. */
  readonly momentum?: Variation<number> | undefined
  /** Of every layer but the last. */
  readonly activation?: readonly Exclude<Activation, 'softmax'>[] | undefined
  readonly epochs?: Variation<number> | undefined
  readonly batchSize?: Variation<number> | undefined
  /** Training images of the network. */
  readonly samplesPerNetwork?: Variation<number> | undefined
  /** Share of positives, rounded to whole images. */
  readonly positiveFraction?: Variation<number> | undefined
  /**
   * Name of the image set to train and validate on, of those that are given. Default, where several are given: each of
   * them as often as the others.
   */
  readonly images?: readonly string[] | undefined
}

/** A hyperparameter that may vary. */
export type HyperparameterName = keyof VaryOptions

/** What a network has drawn, by name. */
export type Hyperparameters = Readonly<Partial<Record<HyperparameterName, number | string>>>

interface Hyperparameter {
  readonly values: 'words' | 'numbers' | 'whole numbers'
  /** Whether it means anything to a recipe; default always. */
  readonly appliesTo?: (recipe: Recipe) => boolean
  /** The recipe with this value in the place of its own; default as it is. */
  readonly apply?: (recipe: Recipe, value: never) => Recipe
}

/** Applied in this order. */
const HYPERPARAMETERS: Readonly<Record<HyperparameterName, Hyperparameter>> = {
  seed: {
    values: 'whole numbers',
    apply: (recipe, seed: number) => ({ ...recipe, seed }),
  },
  initializer: {
    values: 'words',
    apply: (recipe, initializer: Initializer) => ({ ...recipe, initializer }),
  },
  optimizer: {
    values: 'words',
    apply: (recipe, kind: Recipe['optimizer']['kind']) =>
      kind === recipe.optimizer.kind ? recipe : { ...recipe, optimizer: resolveOptimizer(kind) },
  },
  learningRate: {
    values: 'numbers',
    apply: (recipe, learningRate: number) => ({
      ...recipe,
      optimizer: { ...recipe.optimizer, learningRate },
    }),
  },
  momentum: {
    values: 'numbers',
    appliesTo: ({ optimizer }) => optimizer.kind === 'sgd',
    apply: (recipe, momentum: number) => ({
      ...recipe,
      optimizer: { ...recipe.optimizer, momentum } as Recipe['optimizer'],
    }),
  },
  activation: {
    values: 'words',
    apply: (recipe, activation: Activation) => ({
      ...recipe,
      architecture: withActivation(recipe.architecture, activation),
    }),
  },
  epochs: {
    values: 'whole numbers',
    apply: (recipe, epochs: number) => ({ ...recipe, epochs }),
  },
  batchSize: {
    values: 'whole numbers',
    apply: (recipe, batchSize: number) => ({ ...recipe, batchSize }),
  },
  samplesPerNetwork: {
    values: 'whole numbers',
    apply: (recipe, samplesPerNetwork: number) => ({ ...recipe, samplesPerNetwork }),
  },
  positiveFraction: {
    values: 'numbers',
    apply: (recipe, share: number) => {
      const whole = Math.round(share * recipe.samplesPerNetwork) / recipe.samplesPerNetwork
      return { ...recipe, positiveFraction: [whole, whole] }
    },
  },
  images: { values: 'words' },
}

const NAMES = Object.keys(HYPERPARAMETERS) as HyperparameterName[]

const same = (recipe: Recipe) => recipe

/**
 * Checks what varies, and brings it into one order; `undefined` where nothing does. Every value of a list and both ends
 * of a distribution are put into the recipe, which `check` then refuses as it would refuse a fixed one.
 */
export function resolveVary(
  options: VaryOptions | undefined,
  recipe: Recipe,
  check: (recipe: Recipe) => void,
): VaryOptions | undefined {
  if (options === undefined) return undefined
  checkOptionNames(options, NAMES, 'vary')
  const given = NAMES.filter(name => options[name] !== undefined)
  const { optimizer } = options
  const kinds = Array.isArray(optimizer)
    ? optimizer.map(kind => ({ ...recipe, optimizer: resolveOptimizer(kind) }))
    : [recipe]
  const entries = given.map(name => {
    const { appliesTo = () => true, apply = same, values } = HYPERPARAMETERS[name]
    const variation: Variation<number | string> = options[name]!
    const base = kinds.find(appliesTo)
    if (!base)
      throw invalidOption(`vary.${name}`, variation, 'only sgd has it; vary or set the optimizer too')
    for (const value of limitsOf(name, variation, values)) check(apply(base, value as never))
    return [name, variation]
  })
  return entries.length === 0 ? undefined : Object.fromEntries(entries)
}

/** All values of a list, or both ends of a distribution. */
function limitsOf(
  name: HyperparameterName,
  variation: Variation<number | string>,
  values: Hyperparameter['values'],
): readonly (number | string)[] {
  const refuse = (why: string) => invalidOption(`vary.${name}`, variation, why)
  if (Array.isArray(variation)) {
    if (variation.length === 0) throw refuse('needs at least one value')
    return variation
  }
  if (values === 'words') throw refuse('needs a list of names')
  const [kind, range] = distributionOf(name, variation as Distribution)
  if (!Array.isArray(range) || range.length !== 2 || !range.every(Number.isFinite) || range[0] >= range[1])
    throw refuse('needs [low, high] with low below high')
  if (kind === 'logUniform' && range[0] <= 0) throw refuse('needs a low end above 0')
  if (values === 'whole numbers' && kind !== 'integer')
    throw refuse('needs whole numbers: a list, or { integer: [low, high] }')
  if (kind === 'integer' && !(range.every(Number.isSafeInteger) && range[1] - range[0] < 2 ** 32))
    throw refuse('needs two whole numbers less than 2^32 apart')
  return range
}

const DISTRIBUTIONS = ['uniform', 'logUniform', 'integer']

function distributionOf(
  name: string,
  distribution: Distribution,
): [kind: string, range: readonly [low: number, high: number]] {
  const [first, ...rest] = Object.entries(distribution ?? {})
  if (typeof distribution !== 'object' || first === undefined || rest.length > 0) {
    throw invalidOption(
      `vary.${name}`,
      distribution,
      'needs a list, or one of { uniform, logUniform, integer: [low, high] }',
    )
  }
  if (!DISTRIBUTIONS.includes(first[0])) {
    const known = suggestion(first[0], DISTRIBUTIONS)
    throw invalidOption(`vary.${name}`, first[0], `is not a distribution; ${known}`)
  }
  return first
}

/** One network's recipe. */
export interface NetworkRecipe {
  /** With what was drawn in the place of what varies. */
  readonly recipe: Recipe
  /** What was drawn; `undefined` where the recipe varies nothing. */
  readonly hyperparameters: Hyperparameters | undefined
  /** The network's random stream for a use. */
  readonly stream: (...use: readonly (string | number)[]) => RandomStream
}

/**
 * Draws the hyperparameters of network `index` of a class, from the streams (seed, class, index, `vary`, name): a further
 * hyperparameter changes no draw of the others. The network is the one that a zoo of the resulting fixed recipe has at
 * this class and index (index 0 where the seed varies).
 */
export function networkRecipe(recipe: Recipe, className: string, index: number): NetworkRecipe {
  const { vary, ...fixed } = recipe
  if (vary === undefined) {
    const stream = (...use: readonly (string | number)[]) =>
      new RandomStream(recipe.seed, className, index, ...use)
    return { recipe, hyperparameters: undefined, stream }
  }
  let own: Recipe = fixed
  const drawn: Partial<Record<HyperparameterName, number | string>> = {}
  for (const name of NAMES) {
    const { appliesTo = () => true, apply = same } = HYPERPARAMETERS[name]
    const variation = vary[name]
    if (variation === undefined || !appliesTo(own)) continue
    const value = draw(variation, new RandomStream(recipe.seed, className, index, 'vary', name))
    own = apply(own, value as never)
    drawn[name] = value
  }
  const place = vary.seed === undefined ? index : 0
  return {
    recipe: own,
    hyperparameters: drawn,
    stream: (...use) => new RandomStream(own.seed, className, place, ...use),
  }
}

function draw(variation: Variation<number | string>, stream: RandomStream): number | string {
  if ('uniform' in variation) return rounded(stream.uniform(...variation.uniform), variation.uniform)
  if ('logUniform' in variation)
    return rounded(stream.logUniform(...variation.logUniform), variation.logUniform)
  if ('integer' in variation) {
    const [low, high] = variation.integer
    return low + stream.integer(high - low + 1)
  }
  return variation[stream.integer(variation.length)]!
}

/** To six significant digits: enough, and legible in the ledger. */
function rounded(value: number, [low, high]: readonly [number, number]): number {
  return Math.min(high, Math.max(low, Number(value.toPrecision(6))))
}
