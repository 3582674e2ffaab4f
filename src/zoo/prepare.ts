import { mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { describeArchitecture } from '../architecture/architecture.js'
import { reasonOf, ZooError } from '../errors.js'
import type { ImageSet } from '../images/image-set.js'
import type { Engine } from '../training/engine.js'
import type { Recipe } from '../training/recipe.js'
import { TEMPORARY, ZOO_FILES } from './files.js'
import { readLedger } from './ledger.js'
import {
  differences,
  FORMAT_VERSION,
  readManifest,
  type TrainedZooManifest,
  trainedManifest,
  writeManifest,
} from './manifest.js'
import type { Plan } from './plan.js'

/** The manifest of a zoo about to be trained. */
export function manifestOf(recipe: Recipe, images: ImageSet, plan: Plan, engine: Engine): TrainedZooManifest {
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

/** @throws ZooError `zoo` when the path is taken by a file, or cannot be made. */
export async function makeDirectory(out: string): Promise<void> {
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

/** Starts a zoo, or checks that the one there is of the same recipe and lets it grow. The caller holds the lock. */
export async function prepareDirectory(out: string, wanted: TrainedZooManifest): Promise<void> {
  const present = await readManifest(out)
  if (present) {
    const differing = differences(wanted, trainedManifest(out, present))
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

/** Files that a crash left half-written; nothing reads them. */
export async function removeUnfinished(out: string): Promise<void> {
  for (const folder of [out, join(out, ZOO_FILES.models)]) {
    const names = await readdir(folder).catch(() => [])
    for (const name of names) if (TEMPORARY.test(name)) await rm(join(folder, name), { force: true })
  }
}
