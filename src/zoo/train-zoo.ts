import { mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { describeArchitecture } from '../architecture/architecture.js'
import { isZooError, reasonOf, ZooError } from '../errors.js'
import type { ImageSet } from '../images/image-set.js'
import { checkOptionNames, invalidOption, isCount, suggestion } from '../options.js'
import { OneVsAllSampler } from '../sampling/one-vs-all-sampler.js'
import { jobFactory } from '../training/create-job.js'
import type { Engine, EngineName } from '../training/engine.js'
import { openEngine } from '../training/engines/open-engine.js'
import { binaryMetrics } from '../training/metrics.js'
import { RECIPE_OPTION_NAMES, type Recipe, type RecipeOptions, resolveRecipe } from '../training/recipe.js'
import { ensureCompiled } from './compile.js'
import { modelPath, networkName, safeName, TEMPORARY, weightsHash, ZOO_FILES } from './files.js'
import { LedgerWriter, type NetworkRecord, readLedger, toHistory } from './ledger.js'
import { lockDirectory } from './lock.js'
import { differences, FORMAT_VERSION, readManifest, writeManifest, type ZooManifest } from './manifest.js'
import { writeModelFile } from './model-file.js'
import { openZoo, type Zoo } from './zoo.js'

/** Options of {@link trainZoo}: where, how many and how fast, beside the recipe. */
export interface TrainZooOptions extends RecipeOptions {
  images: ImageSet
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
  /** Stops within a batch; what is finished stays, and a second call goes on. */
  signal?: AbortSignal | undefined
  /** Called when work starts, after every epoch of any network, after every network, and while compiling. */
  onProgress?: ((progress: TrainingProgress) => void) | undefined
}

/** How far {@link trainZoo} is. */
export interface TrainingProgress {
  /** The networks are trained first, then compiled into the files of all networks. */
  readonly stage: 'training' | 'compiling'
  /** Networks compiled; 0 while training. */
  readonly compiled: number
  /** Networks finished, those of earlier calls included. */
  readonly finished: number
  /** Networks that failed, in this call or an earlier one. */
  readonly failed: number
  /** Networks planned in all. */
  readonly total: number
  /** Epochs done in the networks now in training, in networks: 1.5 is one and a half network's work. */
  readonly underWay: number
  /** Networks an hour, over this call; 0 until it can be told. */
  readonly networksPerHour: number
  /** Seconds that the rest will take at this rate; `undefined` until it can be told. */
  readonly secondsLeft: number | undefined
  /** The engine at work. */
  readonly engine: Pick<Engine, 'name' | 'arithmetic' | 'reason' | 'concurrency'>
  /** The network that has just been finished, if that is what happened. */
  readonly network?: NetworkRecord
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
  const { images, out, signal } = checkOptions(options)
  const recipe = resolveRecipe(pickRecipe(options), images)
  const plan = planOf(options, images, recipe)
  throwIfAborted(signal, 0, plan)
  const engine = await openEngine({ engine: options.engine, concurrency: options.concurrency })
  let unlock = async () => {}
  try {
    const manifest = manifestOf(recipe, images, plan, engine)
    await makeDirectory(out)
    unlock = await lockDirectory(out)
    await prepareDirectory(out, manifest)
    const last = await trainMissing(options, recipe, plan, engine)
    const zoo = await openZoo(out)
    if (zoo.networks.length > 0) {
      const onProgress = (compiled: number) => options.onProgress?.({ ...last, stage: 'compiling', compiled })
      await ensureCompiled(zoo, { signal, onProgress })
    }
    return zoo
  } finally {
    await unlock()
    await engine.close()
  }
}

function throwIfAborted(
  signal: AbortSignal | undefined,
  finished: number,
  plan: Readonly<Record<string, number>>,
): void {
  if (!signal?.aborted) return
  const total = Object.values(plan).reduce((sum, count) => sum + count, 0)
  const message = `interrupted after ${finished} of ${total} networks; the same call goes on from there`
  throw new ZooError('interrupted', message, { finished })
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
    'signal',
    'onProgress',
  ]
  checkOptionNames(options, [...own, ...RECIPE_OPTION_NAMES], 'trainZoo')
  if (typeof options.out !== 'string' || options.out === '') {
    throw invalidOption('out', options.out, 'needs the path of the zoo directory')
  }
  if (!options.images?.train || !options.images.validation) {
    throw invalidOption(
      'images',
      typeof options.images,
      'needs an ImageSet; a loader gives one with await loader.load()',
    )
  }
  return options
}

function pickRecipe(options: TrainZooOptions): RecipeOptions {
  const given = Object.entries(options).filter(([name]) =>
    (RECIPE_OPTION_NAMES as readonly string[]).includes(name),
  )
  return Object.fromEntries(given)
}

/** How many networks of which class; refuses what the images cannot give, before anything is written. */
function planOf(
  { perClass = 1000, classes }: TrainZooOptions,
  images: ImageSet,
  recipe: Recipe,
): Record<string, number> {
  if (!isCount(perClass)) throw invalidOption('perClass', perClass, 'needs a positive integer')
  const names = classes === undefined ? images.classNames : [classes].flat()
  if (names.length === 0) throw invalidOption('classes', [], 'needs at least one class')
  const { samplesPerNetwork, positiveFraction } = recipe
  const sampler = new OneVsAllSampler({ images, samplesPerNetwork, positiveFraction })
  for (const name of names) {
    if (!images.classNames.includes(name)) {
      throw invalidOption('classes', name, `is not in the image set; ${suggestion(name, images.classNames)}`)
    }
    sampler.check(name)
    checkFileName(name, names)
  }
  return Object.fromEntries(names.map(name => [name, perClass]))
}

/** A class name becomes part of file names: they must fit and stay apart, also where case makes no difference. */
function checkFileName(name: string, names: readonly string[]): void {
  const file = safeName(name)
  if (file.length > 200) {
    throw invalidOption(
      'class name',
      name,
      `makes a file name of ${file.length} characters, of which 200 are allowed`,
    )
  }
  const twin = names.find(other => other !== name && safeName(other).toLowerCase() === file.toLowerCase())
  if (twin !== undefined) throw invalidOption('class name', name, `differs only in case from "${twin}"`)
}

function manifestOf(
  recipe: Recipe,
  images: ImageSet,
  plan: Record<string, number>,
  engine: Engine,
): ZooManifest {
  const { parameters, parameterCount } = describeArchitecture(recipe.architecture)
  return {
    format: 'weightzoo',
    formatVersion: FORMAT_VERSION,
    recipe,
    parameters,
    parameterCount,
    classNames: images.classNames,
    plan,
    images: {
      name: images.name,
      shape: images.shape,
      train: images.train.count,
      validation: images.validation.count,
      fingerprint: images.fingerprint,
    },
    arithmetic: engine.arithmetic,
  }
}

/** Starts a zoo, or checks that the one there is of the same recipe and lets it grow. */
async function prepareDirectory(out: string, wanted: ZooManifest): Promise<void> {
  const present = await readManifest(out)
  if (present) {
    const differing = differences(wanted, present)
    if (differing.length > 0) {
      throw new ZooError(
        'zoo',
        `${out} holds a zoo of another recipe: ${differing.join('; ')}. Choose another directory`,
        { path: out },
      )
    }
  }
  if (!present && (await readLedger(out)).length > 0) {
    const why = 'a ledger but no zoo.json, so that nothing says of which recipe its networks are'
    throw new ZooError('zoo', `${out} has ${why}; choose another directory`, { path: out })
  }
  await removeUnfinished(out)
  const planned = new Map(Object.entries(present?.plan ?? {}))
  for (const [name, count] of Object.entries(wanted.plan)) {
    planned.set(name, Math.max(count, planned.get(name) ?? 0))
  }
  await writeManifest(out, { ...wanted, plan: Object.fromEntries(planned) })
}

async function makeDirectory(out: string): Promise<void> {
  try {
    await mkdir(out, { recursive: true })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST' || code === 'ENOTDIR') {
      throw new ZooError('zoo', `not a directory: ${out}`, { path: out }, { cause: error })
    }
    throw new ZooError(
      'zoo',
      `cannot make the directory ${out}: ${reasonOf(error)}`,
      { path: out },
      { cause: error },
    )
  }
}

/** Files that a crash left half-written; nothing reads them. */
async function removeUnfinished(out: string): Promise<void> {
  for (const folder of [out, join(out, ZOO_FILES.models)]) {
    const names = await readdir(folder).catch(() => [])
    for (const name of names) if (TEMPORARY.test(name)) await rm(join(folder, name), { force: true })
  }
}

async function trainMissing(
  options: TrainZooOptions,
  recipe: Recipe,
  plan: Readonly<Record<string, number>>,
  engine: Engine,
): Promise<TrainingProgress> {
  const { images, out, retryFailed = false, onProgress = () => {} } = options
  const records = await readLedger(out)
  const settled = new Map(records.map(record => [networkName(record.class, record.index), record.status]))
  const asked = inTurns(plan)
  const statusOf = ({ className, index }: NetworkId) => settled.get(networkName(className, index))
  const waiting = asked.filter(id => statusOf(id) === undefined || (statusOf(id) === 'failed' && retryFailed))
  const total = asked.length
  let finished = asked.filter(id => statusOf(id) === 'finished').length
  let failed = total - finished - waiting.length
  let trainedHere = 0
  const epochsDone = new Map<string, number>()
  const started = performance.now()

  const progress = (network?: NetworkRecord): TrainingProgress => {
    const underWay = [...epochsDone.values()].reduce((sum, epochs) => sum + epochs / recipe.epochs, 0)
    const hours = (performance.now() - started) / 3.6e6
    const networksPerHour = hours > 0 ? (trainedHere + underWay) / hours : 0
    const left = total - finished - failed - underWay
    const { name, arithmetic, reason, concurrency } = engine
    return {
      stage: 'training',
      compiled: 0,
      finished,
      failed,
      total,
      underWay,
      networksPerHour,
      secondsLeft: networksPerHour > 0 ? (left / networksPerHour) * 3600 : undefined,
      engine: { name, arithmetic, reason, concurrency },
      ...(network && { network }),
    }
  }
  const report = (network?: NetworkRecord) => onProgress(progress(network))

  const createJob = jobFactory(recipe, images)
  // One lane for each place in the engine. The first error that is not a network's own stops them all.
  const stop = new AbortController()
  const signal = options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal

  const trainOne = async ({ className, index }: NetworkId): Promise<void> => {
    const name = networkName(className, index)
    const line = { class: className, index, seed: recipe.seed }
    const begun = performance.now()
    const spent = () => ({
      seconds: Number(((performance.now() - begun) / 1000).toFixed(3)),
      engine: engine.name,
    })
    const { job, positiveFraction } = createJob(className, index)
    try {
      const result = await engine.train(job, {
        signal,
        onEpoch: ({ epoch }) => {
          epochsDone.set(name, epoch + 1)
          report()
        },
      })
      const sha256 = weightsHash(result.weights)
      const record: NetworkRecord = {
        ...line,
        status: 'finished',
        sha256,
        metrics: binaryMetrics(result.validationOutputs, job.validationTargets),
        positiveFraction,
        epoch: result.epoch,
        history: toHistory(result.history),
        ...spent(),
      }
      await writeModelFile(modelPath(out, className, index), job.architecture, result.weights, {
        ...line,
        sha256,
      })
      await ledger.append(record)
      epochsDone.delete(name)
      finished++
      trainedHere++
      report(record)
    } catch (error) {
      epochsDone.delete(name)
      if (!isZooError(error, 'training')) throw error
      await ledger.append({ ...line, status: 'failed', reason: reasonOf(error), ...spent() })
      failed++
      trainedHere++
      report()
    }
  }
  const lane = async (): Promise<void> => {
    for (let next = waiting.shift(); next && !signal.aborted; next = waiting.shift()) await trainOne(next)
  }

  const ledger = await LedgerWriter.open(out)
  try {
    report()
    const lanes = Array.from({ length: engine.concurrency }, () =>
      lane().catch(error => {
        stop.abort()
        throw error
      }),
    )
    const outcomes = await Promise.allSettled(lanes)
    throwIfAborted(options.signal, finished, plan)
    const errors = outcomes.filter(outcome => outcome.status === 'rejected').map(outcome => outcome.reason)
    if (errors.length > 0) throw errors.find(error => !isZooError(error, 'interrupted')) ?? errors[0]
    return progress()
  } finally {
    await ledger.close()
  }
}

interface NetworkId {
  className: string
  index: number
}

/** First every class's network 0, then every class's network 1: a zoo cut short is even. */
function inTurns(plan: Readonly<Record<string, number>>): NetworkId[] {
  const most = Math.max(...Object.values(plan))
  return Array.from({ length: most }, (_, index) =>
    Object.entries(plan)
      .filter(([, count]) => index < count)
      .map(([className]) => ({ className, index })),
  ).flat()
}
