import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ArchitectureSpec, ParameterEntry } from '../architecture/architecture.js'
import { reasonOf, ZooError } from '../errors.js'
import { isCount } from '../options.js'
import type { CheckpointRule } from '../training/checkpoints.js'
import type { Recipe } from '../training/recipe.js'
import { readText, writeWhole, ZOO_FILES } from './files.js'
import { MAX_NETWORKS, totalOf } from './plan.js'
import { seal, sealState, withoutCheck } from './seal.js'
import type { NetworkSplit } from './split.js'

/**
 * Version of the zoo directory's format; a reader refuses a newer one. Since version 2 `zoo.json` and every ledger line
 * bear a checksum, and ledger lines that of their model file. Version 1 is read as before, and training raises it.
 */
export const FORMAT_VERSION = 2

interface ManifestBase {
  readonly format: 'weightzoo'
  readonly formatVersion: number
  /** Layout of the flat weight vector. */
  readonly parameters: readonly ParameterEntry[]
  readonly parameterCount: number
  /** All classes of the image set; a network's label is an index into them. */
  readonly classNames: readonly string[]
  /** Networks planned for each class. */
  readonly plan: Readonly<Record<string, number>>
}

/** `zoo.json` of a zoo trained here: all that its weights depend on, and how many networks it is to have. */
export interface TrainedZooManifest extends ManifestBase {
  readonly recipe: Recipe
  /** What its networks were trained on; where the image set varies, the first of them. */
  readonly images: ImagesDescription
  /** All image sets of which networks draw one, by the name in their `hyperparameters`; absent where there is but one. */
  readonly imageSets?: readonly ImagesDescription[]
  /** What the bits of the weights depend on beside the recipe: the engine's arithmetic, in its own words. */
  readonly arithmetic: string
  /** Networks of each part among 20 neighbours of a class; older zoos lack it, and are split alike. */
  readonly split?: NetworkSplit
  /** What networks keep beside their last weights; absent where that is nothing. */
  readonly stores?: Stores
  readonly imported?: undefined
}

/** Which images networks were trained and measured on. */
export interface ImagesDescription {
  readonly name: string
  readonly shape: readonly number[]
  /** Number of images. */
  readonly train: number
  readonly validation: number
  /** SHA-256 (hex) over classes, shape, labels and pixels. */
  readonly fingerprint: string
}

/** `zoo.json` of a zoo made by `importZoo`: nothing says how its networks were trained, so none can be trained again. */
export interface ImportedZooManifest extends ManifestBase {
  readonly imported: ImportOrigin
  readonly recipe?: undefined
  readonly images?: undefined
  readonly imageSets?: undefined
  readonly arithmetic?: undefined
  readonly stores?: undefined
}

/** What a zoo's networks keep beside their last weights. */
export interface Stores {
  readonly checkpoints?: CheckpointRule
  readonly outputs?: {
    /** Class of every validation image, one byte each, in base64. */
    readonly validationLabels: string
  }
}

/** Where an imported zoo's networks come from. */
export interface ImportOrigin {
  /** Name of the folder or file. */
  readonly source: string
  readonly layout: 'keras files' | 'modelwise pickle' | 'layerwise pickle'
  readonly architecture: ArchitectureSpec
  /** What has to be known before using the networks. */
  readonly warning?: string | undefined
}

/** `zoo.json`. It has either a `recipe`, or says from where the zoo was `imported`. */
export type ZooManifest = TrainedZooManifest | ImportedZooManifest

/** All image sets of a zoo's networks. */
export function describedImages({
  images,
  imageSets = [images],
}: TrainedZooManifest): readonly ImagesDescription[] {
  return imageSets
}

/** The layers of a zoo's networks. */
export function architectureOf(manifest: ZooManifest): ArchitectureSpec {
  return manifest.imported ? manifest.imported.architecture : manifest.recipe.architecture
}

/**
 * The manifest of a zoo that was trained here.
 * @throws ZooError `zoo` for an imported one, of which no network can be trained.
 */
export function trainedManifest(zooPath: string, manifest: ZooManifest): TrainedZooManifest {
  if (!manifest.imported) return manifest
  const why = `was imported from ${manifest.imported.source} and has no recipe to train by`
  throw new ZooError('zoo', `${zooPath} ${why}; choose another directory to train into`, { path: zooPath })
}

/** Reads `zoo.json`; `undefined` where there is none. */
export async function readManifest(zooPath: string): Promise<ZooManifest | undefined> {
  const path = join(zooPath, ZOO_FILES.manifest)
  let text: string
  try {
    text = await readText(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    if ((error as NodeJS.ErrnoException).code === 'ENOTDIR') {
      throw new ZooError('zoo', `not a directory: ${zooPath}`, { path: zooPath })
    }
    throw new ZooError('zoo', `cannot read ${path}: ${reasonOf(error)}`, { path }, { cause: error })
  }
  return parseManifest(path, text)
}

/** @throws ZooError `zoo` saying what is wrong with the text of a `zoo.json`. */
export function parseManifest(path: string, text: string): ZooManifest {
  let manifest: ZooManifest
  try {
    manifest = withoutCheck(JSON.parse(text) as ZooManifest)
  } catch (error) {
    throw new ZooError('zoo', `${path} is not readable JSON`, { path }, { cause: error })
  }
  if (manifest?.format !== 'weightzoo' || !isCount(manifest.formatVersion))
    throw new ZooError('zoo', `${path} is not a weightzoo manifest`, { path })
  if (manifest.formatVersion > FORMAT_VERSION) {
    throw new ZooError(
      'zoo',
      `${path} has format version ${manifest.formatVersion}; this weightzoo reads up to ${FORMAT_VERSION}: update weightzoo`,
      { path },
    )
  }
  const state = sealState(text)
  if (state === 'damaged' || (state === 'unsealed' && isSealed(manifest))) {
    const repair =
      'bring a copy back, or take the one that the same weightzoo train makes in an empty directory'
    throw new ZooError('zoo', `${path} is damaged (its checksum differs); ${repair}`, { path })
  }
  checkFields(path, manifest)
  return manifest
}

function checkFields(path: string, manifest: ZooManifest): void {
  const { imported, recipe, stores, images, imageSets, classNames, plan } = manifest
  const isText = (value: unknown) => typeof value === 'string'
  const checks: [name: string, ok: boolean][] = [
    ['classNames', Array.isArray(classNames) && classNames.every(isText)],
    ['plan', isRecord(plan) && Object.values(plan).every(isCount) && totalOf(plan) <= MAX_NETWORKS],
    ...(imported === undefined
      ? ([
          ['recipe', isRecord(recipe)],
          ['recipe.architecture', isArchitecture(recipe?.architecture)],
          ['recipe.optimizer', isRecord(recipe?.optimizer)],
          ['stores', stores === undefined || isRecord(stores)],
          ['stores.outputs', !stores?.outputs || isText(stores.outputs.validationLabels)],
          ['images', isDescription(images)],
          [
            'imageSets',
            imageSets === undefined || (Array.isArray(imageSets) && imageSets.every(isDescription)),
          ],
          ['images.shape', Array.isArray(images?.shape) && images.shape.every(isCount)],
        ] as [string, boolean][])
      : ([
          ['imported', isRecord(imported) && isText(imported.source) && isText(imported.layout)],
          ['imported.architecture', isArchitecture(imported?.architecture)],
        ] as [string, boolean][])),
  ]
  for (const [name, ok] of checks) if (!ok) throw incomplete(path, name)
}

function isArchitecture(architecture: unknown): boolean {
  return isRecord(architecture) && Array.isArray(architecture.layers) && architecture.layers.every(isRecord)
}

function isDescription(images: unknown): boolean {
  return (
    isRecord(images) &&
    typeof images.name === 'string' &&
    typeof images.fingerprint === 'string' &&
    isCount(images.validation)
  )
}

/** Whether a zoo's lines and its manifest bear checksums. */
export function isSealed({ formatVersion }: ZooManifest): boolean {
  return formatVersion >= 2
}

function incomplete(path: string, name: string): ZooError<'zoo'> {
  return new ZooError('zoo', `${path} lacks ${name}, or has it in another form`, { path })
}

export function writeManifest(zooPath: string, manifest: ZooManifest): Promise<void> {
  return writeWhole(join(zooPath, ZOO_FILES.manifest), temporary => writeFile(temporary, seal(manifest, 2)))
}

/**
 * In what the networks of two manifests differ, as `name is, was`; empty when their networks would be the same. How
 * many are planned makes no difference: a zoo may grow.
 */
export function differences(wanted: TrainedZooManifest, present: TrainedZooManifest): string[] {
  const { architecture, ...recipe } = wanted.recipe
  const { architecture: presentArchitecture, ...presentRecipe } = present.recipe
  return [
    ...compare('architecture', describe(architecture), describe(presentArchitecture)),
    ...(Object.keys({ ...presentRecipe, ...recipe }) as (keyof typeof recipe)[]).flatMap(name =>
      compare(name, recipe[name], presentRecipe[name]),
    ),
    ...compare('images', imagesIn(wanted), imagesIn(present)),
    ...compare('arithmetic', wanted.arithmetic, present.arithmetic),
    ...compare('checkpoints', wanted.stores?.checkpoints ?? 'none', present.stores?.checkpoints ?? 'none'),
    ...compare('outputs', Boolean(wanted.stores?.outputs), Boolean(present.stores?.outputs)),
  ]
}

/** Names make a difference where networks draw by them; the order of the sets makes none. */
function imagesIn({ images, imageSets }: TrainedZooManifest): string | string[] {
  const short = ({ fingerprint }: ImagesDescription) => fingerprint.slice(0, 12)
  return imageSets ? imageSets.map(set => `${set.name} ${short(set)}`).sort() : short(images)
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
