import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { describeArchitecture } from '../architecture/architecture.js'
import { reasonOf, ZooError } from '../errors.js'
import type { ImageSet } from '../images/image-set.js'
import { invalidOption } from '../options.js'
import { resolveCheckpoints } from '../training/checkpoints.js'
import type { Engine } from '../training/engine.js'
import type { Recipe } from '../training/recipe.js'
import { isAbandoned, makeFolder, refuseLink, temporaryFiles, ZOO_FILES } from './files.js'
import { ledgerFiles } from './ledger.js'
import { lockDirectory, withLock } from './lock.js'
import {
  differences,
  FORMAT_VERSION,
  type ImagesDescription,
  isSealed,
  readManifest,
  type Stores,
  type TrainedZooManifest,
  trainedManifest,
  writeManifest,
} from './manifest.js'
import { mendLedgers, sealLedger } from './mend.js'
import { checkFileName, joined, type Plan } from './plan.js'
import type { Shard } from './shard.js'
import { NETWORK_SPLIT } from './split.js'
import type { TrainZooOptions } from './train-zoo.js'

/** The manifest of a zoo about to be trained. */
export function manifestOf(
  recipe: Recipe,
  sets: readonly ImageSet[],
  plan: Plan,
  engine: Engine,
  stores: Stores | undefined,
): TrainedZooManifest {
  const { parameters, parameterCount } = describeArchitecture(recipe.architecture)
  return {
    format: 'weightzoo',
    formatVersion: FORMAT_VERSION,
    recipe,
    parameters,
    parameterCount,
    classNames: sets[0]!.classNames,
    plan,
    images: descriptionOf(sets[0]!),
    ...(recipe.vary?.images && { imageSets: sets.map(descriptionOf) }),
    arithmetic: engine.arithmetic,
    split: NETWORK_SPLIT,
    ...(stores && { stores }),
  }
}

function descriptionOf({ name, shape, train, validation, fingerprint }: ImageSet): ImagesDescription {
  return { name, shape, train: train.count, validation: validation.count, fingerprint }
}

/** What networks are to keep beside their last weights; `undefined` for nothing. */
export function storesOf(
  { checkpoints, outputs = false }: Pick<TrainZooOptions, 'checkpoints' | 'outputs'>,
  recipe: Recipe,
  sets: readonly ImageSet[],
): Stores | undefined {
  if (typeof outputs !== 'boolean') throw invalidOption('outputs', outputs, 'needs true or false')
  if (checkpoints === undefined && !outputs) return undefined
  const [validationLabels, ...others] = sets.map(set => Buffer.from(set.validation.labels).toString('base64'))
  const other = others.findIndex(labels => labels !== validationLabels)
  if (outputs && other >= 0) {
    const [first, second] = [sets[0]!.name, sets[other + 1]!.name]
    const why = `needs validation images of the same classes in the same order; "${second}" has others than "${first}"`
    throw invalidOption('outputs', outputs, why)
  }
  return {
    ...(checkpoints !== undefined && { checkpoints: resolveCheckpoints(checkpoints, recipe) }),
    ...(outputs && { outputs: { validationLabels: validationLabels! } }),
  }
}

/** @throws ZooError `zoo` when the path is taken by a file, or cannot be made. */
export async function makeDirectory(out: string): Promise<void> {
  try {
    await makeFolder(out)
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

/**
 * Starts a zoo, or checks that the one there is of the same recipe, mends what a crash or a damaged disk left, and lets
 * it grow. The caller holds the lock of its ledger; shards that start together take turns.
 *
 * @returns the manifest, with what the zoo there keeps and has planned already
 */
export async function prepareDirectory(
  out: string,
  wanted: TrainedZooManifest,
  shard?: Shard,
): Promise<TrainedZooManifest> {
  const prepared = await withLock(out, ZOO_FILES.manifestLock, async () => {
    const present = await readManifest(out)
    const manifest = present ? continued(out, wanted, trainedManifest(out, present)) : wanted
    if (!present && (await ledgerFiles(out)).length > 0) {
      const why = 'a ledger but no zoo.json, so that nothing says of which recipe its networks are'
      throw new ZooError('zoo', `${out} has ${why}; choose another directory`, { path: out })
    }
    await removeUnfinished(out)
    const folders = [ZOO_FILES.models, ...(manifest.stores?.checkpoints ? [ZOO_FILES.checkpoints] : [])]
    for (const folder of folders) {
      await refuseLink(join(out, folder))
      await makeDirectory(join(out, folder))
    }
    if (present && !isSealed(present)) await raiseFormat(out, manifest, shard)
    if (JSON.stringify(manifest) !== JSON.stringify(present)) await writeManifest(out, manifest)
    return manifest
  })
  await mendLedgers(out, shard)
  return prepared
}

/**
 * What a zoo keeps it goes on keeping, whether a later call says so or not. Outputs may be asked for later, as the
 * weights are enough for them.
 */
function continued(out: string, wanted: TrainedZooManifest, present: TrainedZooManifest): TrainedZooManifest {
  const checkpoints = wanted.stores?.checkpoints ?? present.stores?.checkpoints
  const outputs = wanted.stores?.outputs ?? present.stores?.outputs
  const stores: Stores = { ...(checkpoints && { checkpoints }), ...(outputs && { outputs }) }
  const asked = checkpoints || outputs ? { ...wanted, stores } : wanted
  return grown(out, asked, { ...present, stores: { ...present.stores, ...(outputs && { outputs }) } })
}

/**
 * The manifest of the zoo there, with the networks that are wanted now.
 * @throws ZooError `zoo` saying what differs when it is of another recipe
 */
export function grown(
  out: string,
  wanted: TrainedZooManifest,
  present: TrainedZooManifest,
): TrainedZooManifest {
  const differing = differences(wanted, present)
  if (differing.length > 0) {
    throw new ZooError(
      'zoo',
      `${out} holds a zoo of another recipe: ${differing.join('; ')}. Choose another directory`,
      { path: out },
    )
  }
  const plan = joined(present.plan, wanted.plan, wanted.classNames)
  for (const name of Object.keys(plan)) checkFileName(name, Object.keys(plan))
  const { images, imageSets } = present
  return { ...wanted, plan, images, ...(imageSets && { imageSets }) }
}

/** A zoo of format version 1 gets its checksums: the ledger first, then `zoo.json`, which says that they are there. */
async function raiseFormat(out: string, manifest: TrainedZooManifest, shard?: Shard): Promise<void> {
  const lock = shard && (await lockDirectory(out, { brief: true }))
  try {
    await sealLedger(out, describeArchitecture(manifest.recipe.architecture))
  } finally {
    await lock?.release()
  }
}

/** Files that a crash left half-written; nothing reads them. Those of processes at work stay. */
export async function removeUnfinished(out: string): Promise<void> {
  for (const path of await temporaryFiles(out)) if (await isAbandoned(path)) await rm(path, { force: true })
}
