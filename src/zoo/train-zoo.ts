import { join } from 'node:path'
import { isZooError, reasonOf } from '../errors.js'
import { type ImageSets, imageSetsOf } from '../images/image-set.js'
import { checkOptionNames, invalidOption } from '../options.js'
import type { CheckpointRule } from '../training/checkpoints.js'
import type { EngineName } from '../training/engine.js'
import { openEngine } from '../training/engines/open-engine.js'
import { RECIPE_OPTION_NAMES, type RecipeOptions, resolveRecipe } from '../training/recipe.js'
import { ensureCompiled } from './compile.js'
import { modelPath } from './files.js'
import { ledgerFiles } from './ledger.js'
import { type Lock, lockDirectory } from './lock.js'
import { inTurns, interruptedAfter, type NetworkId, planOf, totalOf } from './plan.js'
import { makeDirectory, manifestOf, prepareDirectory, storesOf } from './prepare.js'
import type { TrainingProgress } from './progress.js'
import { checkShard, ledgerName, lockName, type Shard, shareOf } from './shard.js'
import { trainMissing } from './train-networks.js'
import { openDirectory, type Zoo } from './zoo.js'

/** Options of {@link trainZoo}: where, how many and how fast, beside the recipe. */
export interface TrainZooOptions extends RecipeOptions {
  /** What to train on; of several image sets, of one shape and with the same classes, every network draws one. */
  images: ImageSets
  /** The zoo directory; made where it is missing, continued where it holds a zoo of the same recipe. */
  out: string
  /** Networks of each class; default 1,000, the paper's. A zoo may grow: the first ones stay as they are. */
  perClass?: number | undefined
  /** Names of the classes to train; default all of the image set. */
  classes?: string | readonly string[] | undefined
  /** Default `auto`: the fastest engine that loads. */
  engine?: EngineName | 'auto' | undefined
  /** Networks trained side by side, one thread each. Default: the processor's cores. Changes no weight. */
  concurrency?: number | undefined
  /** Train networks again that failed in an earlier call. Default false. */
  retryFailed?: boolean | undefined
  /**
   * Trains only this part of the zoo, e.g. `{ number: 3, of: 8 }`, so that 8 processes or machines share the work, all
   * into one directory. The shard that ends last compiles; where another's file is missing or damaged by then, it leaves
   * that, with a warning to `onProgress`, to the shard whose file it is. Shards with directories of their own (machines
   * without a common disk) are for `mergeZoos` to join.
   */
  shard?: Shard | undefined
  /**
   * Keep the weights of other epochs too, the initialisation included, in a file beside the network's: 4 bytes a weight
   * and checkpoint, 9.5 MB for all 26 of a LeNet-5. Default: as the zoo has it, for a new one none. Changes no weight.
   */
  checkpoints?: CheckpointRule | undefined
  /**
   * Keep every network's probabilities on the validation split, for {@link Zoo.outputs}: 16 kB a network with
   * Imagenette. Default: as the zoo has it, for a new one false.
   * Changes no weight. Networks of earlier calls that lack them are given theirs.
   */
  outputs?: boolean | undefined
  /** Stops within a batch; what is finished stays, and a second call goes on. */
  signal?: AbortSignal | undefined
  /** Called when work starts, after every epoch of any network, after every network, and while compiling. */
  onProgress?: ((progress: TrainingProgress) => void) | undefined
}

/**
 * Trains a zoo: `perClass` one-versus-all networks of every class, each with a training set, initialisation and order
 * of its own, all following from the seed. Writes every network as it is finished, then the compiled files.
 *
 * The weights are a pure function of recipe, seed, images and the engine's arithmetic; the number of threads, and
 * whether the work was done in one call or in ten, change no byte of them.
 *
 * @example
 * const images = await new ImagenetteLoader({ source: 'imagenette2-320.tgz' }).load()
 * const zoo = await trainZoo({ images, out: 'zoo', perClass: 2, seed: 7 })
 * zoo.networks.map(network => network.metrics.accuracy)
 *
 * @returns the zoo; networks that could not be trained are in `zoo.failures`
 * @throws ZooError `option` for a wrong option; `images` when a class has too few images; `zoo` when `out` holds another
 * recipe's zoo or cannot be written; `engine` when no engine loads; `interrupted` when `signal` is aborted.
 */
export async function trainZoo(options: TrainZooOptions): Promise<Zoo> {
  const { out, shard, signal } = checkOptions(options)
  const sets = imageSetsOf(options.images)
  const recipe = resolveRecipe(pickRecipe(options), sets)
  const plan = planOf(options, sets, recipe)
  const stores = storesOf(options, recipe, sets)
  if (signal?.aborted) throw interruptedAfter(0, shareOf(inTurns(plan), shard).length)
  const engine = await openEngine({ engine: options.engine, concurrency: options.concurrency })
  let lock: Lock | undefined
  try {
    const wanted = manifestOf(recipe, sets, plan, engine, stores)
    await makeDirectory(out)
    lock = await lockDirectory(out, { name: lockName(ledgerName(shard)), signal })
    const manifest = await prepareDirectory(out, wanted, shard)
    const last = await trainMissing(options, manifest, plan, engine, lock)
    // A line of another shard's ledger that has been damaged meanwhile is that shard's to mend.
    const zoo = await openDirectory(out, { lenient: shard !== undefined })
    if (zoo.networks.length === 0 || (shard && !isSettled(zoo))) return zoo
    const tell = (progress: Partial<TrainingProgress>) =>
      options.onProgress?.({ ...last, stage: 'compiling', ...progress })
    try {
      await ensureCompiled(zoo, { signal, onProgress: compiled => tell({ compiled }) }, true)
    } catch (error) {
      if (!shard || !(await isOfOthers(error, zoo, shareOf(inTurns(plan), shard), shard))) throw error
      const rest = 'the shard that it belongs to mends it when it is started again, and compiles'
      tell({ warning: `${out} is not compiled yet: ${reasonOf(error)}; ${rest}` })
    }
    return zoo
  } finally {
    await lock?.release()
    await engine.close()
  }
}

/** Whether an error is about a file that other shards see to: a network's weights, or a ledger. */
async function isOfOthers(
  error: unknown,
  { path, allNetworks }: Zoo,
  share: readonly NetworkId[],
  shard: Shard,
): Promise<boolean> {
  if (!isZooError(error, 'zoo')) return false
  const own = new Set(share.map(({ className, index }) => modelPath(path, className, index)))
  const models = allNetworks.map(network => modelPath(path, network.class, network.index))
  const ledgers = (await ledgerFiles(path)).filter(name => name !== ledgerName(shard))
  const others = [...models.filter(model => !own.has(model)), ...ledgers.map(name => join(path, name))]
  return others.includes(error.fields.path)
}

/** Whether every planned network has been finished or has failed: whether no shard is still at work. */
function isSettled({ manifest, allNetworks, failures }: Zoo): boolean {
  return allNetworks.length + failures.length >= totalOf(manifest.plan)
}

function checkOptions(options: TrainZooOptions): TrainZooOptions {
  const own = [
    'images',
    'out',
    'perClass',
    'classes',
    'engine',
    'concurrency',
    'retryFailed',
    'shard',
    'checkpoints',
    'outputs',
    'signal',
    'onProgress',
  ]
  checkOptionNames(options, [...own, ...RECIPE_OPTION_NAMES], 'trainZoo')
  if (typeof options.out !== 'string' || options.out === '') {
    throw invalidOption('out', options.out, 'needs the path of the zoo directory')
  }
  checkShard(options.shard)
  return options
}

function pickRecipe(options: TrainZooOptions): RecipeOptions {
  const given = Object.entries(options).filter(([name]) =>
    (RECIPE_OPTION_NAMES as readonly string[]).includes(name),
  )
  return Object.fromEntries(given)
}
