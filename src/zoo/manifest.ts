import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ArchitectureSpec, ParameterEntry } from '../architecture/architecture.js'
import { ZooError } from '../errors.js'
import type { Recipe } from '../training/recipe.js'
import { writeWhole, ZOO_FILES } from './files.js'

/** Version of the zoo directory's format; a reader refuses a newer one. */
export const FORMAT_VERSION = 1

/** `zoo.json`: all that a zoo's weights depend on, and how many networks it is to have. */
export interface ZooManifest {
  readonly format: 'weightzoo'
  readonly formatVersion: number
  readonly recipe: Recipe
  /** Layout of the flat weight vector. */
  readonly parameters: readonly ParameterEntry[]
  readonly parameterCount: number
  /** All classes of the image set; a network's label is an index into them. */
  readonly classNames: readonly string[]
  /** Networks planned for each class. */
  readonly plan: Readonly<Record<string, number>>
  readonly images: {
    readonly name: string
    readonly shape: readonly number[]
    readonly train: number
    readonly validation: number
    readonly fingerprint: string
  }
  /** What the bits of the weights depend on beside the recipe: the engine's arithmetic, in its own words. */
  readonly arithmetic: string
}

/** Reads `zoo.json`; `undefined` where there is none. */
export async function readManifest(zooPath: string): Promise<ZooManifest | undefined> {
  const path = join(zooPath, ZOO_FILES.manifest)
  let manifest: ZooManifest
  try {
    manifest = JSON.parse(await readFile(path, 'utf8')) as ZooManifest
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    if ((error as NodeJS.ErrnoException).code === 'ENOTDIR') {
      throw new ZooError('zoo', `not a directory: ${zooPath}`, { path: zooPath })
    }
    throw new ZooError('zoo', `${path} is not readable JSON`, { path }, { cause: error })
  }
  if (manifest?.format !== 'weightzoo')
    throw new ZooError('zoo', `${path} is not a weightzoo manifest`, { path })
  if (manifest.formatVersion > FORMAT_VERSION) {
    throw new ZooError(
      'zoo',
      `${path} has format version ${manifest.formatVersion}; this weightzoo reads up to ${FORMAT_VERSION}: update weightzoo`,
      { path },
    )
  }
  const { recipe, classNames, plan, images } = manifest
  for (const [name, value] of Object.entries({
    recipe,
    'recipe.architecture': recipe?.architecture,
    plan,
    images,
  })) {
    if (typeof value !== 'object' || value === null) throw incomplete(path, name)
  }
  if (!Array.isArray(classNames) || !classNames.every(name => typeof name === 'string')) {
    throw incomplete(path, 'classNames')
  }
  return manifest
}

function incomplete(path: string, name: string): ZooError<'zoo'> {
  return new ZooError('zoo', `${path} lacks ${name}, or has it in another form`, { path })
}

export function writeManifest(zooPath: string, manifest: ZooManifest): Promise<void> {
  return writeWhole(join(zooPath, ZOO_FILES.manifest), temporary =>
    writeFile(temporary, `${JSON.stringify(manifest, null, 2)}\n`),
  )
}

/**
 * In what the networks of two manifests differ, as `name is, was`; empty when their networks would be the same. How
 * many are planned makes no difference: a zoo may grow.
 */
export function differences(wanted: ZooManifest, present: ZooManifest): string[] {
  const { architecture, ...recipe } = wanted.recipe
  const { architecture: presentArchitecture, ...presentRecipe } = present.recipe
  return [
    ...compare('architecture', describe(architecture), describe(presentArchitecture)),
    ...Object.entries(recipe).flatMap(([name, value]) =>
      compare(name, value, presentRecipe[name as keyof typeof presentRecipe]),
    ),
    ...compare('images', wanted.images.fingerprint?.slice(0, 12), present.images.fingerprint?.slice(0, 12)),
    ...compare('arithmetic', wanted.arithmetic, present.arithmetic),
  ]
}

/** Layers by name, so that the first one that differs can be told. */
function describe({ name, inputShape, layers }: ArchitectureSpec): Record<string, unknown> {
  const byName = layers.map((layer, position) => [`layer ${layer.name ?? position}`, layer])
  return { name, inputShape, ...Object.fromEntries(byName) }
}

function compare(name: string, is: unknown, was: unknown): string[] {
  if (JSON.stringify(is) === JSON.stringify(was)) return []
  if (isRecord(is) && isRecord(was)) {
    const keys = [...new Set([...Object.keys(is), ...Object.keys(was)])]
    const first = keys.flatMap(key => compare(`${name} ${key}`, is[key], was[key])).at(0)
    return first ? [first] : []
  }
  return [`${name} is ${JSON.stringify(is)}, was ${JSON.stringify(was)}`]
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
