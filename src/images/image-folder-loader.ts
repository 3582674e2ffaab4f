import { availableParallelism } from 'node:os'
import { reasonOf, ZooError } from '../errors.js'
import { checkOptionNames, invalidOption, isCount } from '../options.js'
import { cacheFile, defaultCacheDir, readCache, writeCache } from './cache.js'
import { decodeImage, decoderVersions } from './decode.js'
import { sealImageSet } from './fingerprint.js'
import {
  allocateSplit,
  checkClassNames,
  type ImageSet,
  type ImageSplit,
  type SkippedImage,
  whyNoClassName,
} from './image-set.js'
import { IMAGENETTE_CLASSES } from './imagenette-classes.js'
import { resizeBilinear } from './resize.js'
import { type ImageFile, type ImageSource, openSource } from './source.js'

/** What a loader tells while it works; see {@link ImageLoaderOptions.onProgress}. */
export type ImageProgress =
  /** An archive is being downloaded; bytes, `total` where the server says it. */
  | { stage: 'download'; bytes: number; total?: number }
  /** So many images are decoded; `fraction` of the source, 0 to 1, has been gone through. */
  | { stage: 'decode'; images: number; fraction: number }
  /** An image could not be decoded and is left out (`skipBadImages`). */
  | { stage: 'skip'; path: string; reason: string }
  /** All images were read from the decoded cache; its file. */
  | { stage: 'cache'; path: string }
  /** Something that does not stop the work, such as a cache that cannot be written. */
  | { stage: 'warning'; message: string }

/** Options that every loader of image files has. */
export interface ImageLoaderOptions {
  /**
   * Height and width of the loaded images in pixels, or one number for both. Aspect ratio is not kept.
   * Default 32: what LeNet-5 takes.
   */
  size?: number | readonly [height: number, width: number] | undefined
  /** 3 for RGB, 1 for grey (luminance). Default 3: grey files get three equal channels. */
  channels?: 1 | 3 | undefined
  /**
   * Whether to go on without images that cannot be decoded; they are listed in {@link ImageSet.skipped}.
   * Default false: a set that lacks images is another set, so leaving some out is the user's choice.
   */
  skipBadImages?: boolean | undefined
  /**
   * Whether to keep the decoded images in `cacheDir` for the next load, and to take them from there. The cache is made
   * again when the source's size or time of change, an option or the decoder's version differs. Default true: it turns
   * many seconds into less than one, for 12 kB of disk per 32x32 RGB image.
   */
  cache?: boolean | undefined
  /**
   * Folder for decoded images and downloads. Default: the environment's `WEIGHTZOO_CACHE`, else `weightzoo` in the
   * platform's place for caches (`~/.cache/weightzoo` on Linux).
   */
  cacheDir?: string | undefined
  /** Images decoded at the same time. Default: one per processor core, which keeps all of them busy. */
  concurrency?: number | undefined
  /** Told what happens, often: redraw at your own pace. */
  onProgress?: ((progress: ImageProgress) => void) | undefined
  /** Stops the loading with a ZooError `interrupted`. */
  signal?: AbortSignal | undefined
}

/** Options of {@link ImageFolderLoader}. */
export interface ImageFolderOptions extends ImageLoaderOptions {
  /** An extracted folder, or a .tgz, .tar.gz or .tar archive (which is streamed, not unpacked). */
  source: string
  /**
   * Names of the split folders, which stand at the root of the source or below one top folder.
   * Default `{ train: 'train', validation: 'val' }`: as in Imagenette and ImageNet.
   */
  splits?: { train: string; validation: string } | undefined
  /** Name of the image set, for people to read. Default: the source's file name without extension. */
  name?: string | undefined
  /**
   * Class folder -> class name, in label order; other class folders are left out. (JavaScript puts keys that are
   * integers first, in ascending order.) Default: every class folder, in code-unit order, under its own name;
   * Imagenette's identifiers under the names of {@link IMAGENETTE_CLASSES}.
   */
  classNames?: Readonly<Record<string, string>> | undefined
}

/** Names of {@link ImageLoaderOptions}, for checking what a user gave. */
export const LOADER_OPTIONS = [
  'size',
  'channels',
  'skipBadImages',
  'cache',
  'cacheDir',
  'concurrency',
  'onProgress',
  'signal',
] as const

type Size = readonly [height: number, width: number]

/**
 * Loads any folder or archive of `<split>/<class>/*.{jpg,jpeg,png,webp}` as an {@link ImageSet}.
 *
 * Pixels are those of `tf.image.resize(image, size) / 255` (bilinear, half-pixel centres, no antialias) in float32;
 * colour profiles and EXIF rotation are not applied, as TensorFlow's decoders do not. Images are ordered by class, then
 * by file name in code-unit order, so the set does not depend on how the files are stored or on `concurrency`.
 *
 * @example
 * const images = await new ImageFolderLoader({ source: 'flowers.tgz', size: 28, channels: 1 }).load()
 */
export class ImageFolderLoader {
  private readonly options: ImageFolderOptions
  private readonly size: Size
  private readonly splits: { train: string; validation: string }

  /** @throws ZooError `option` where an option is unknown or its value cannot be used. */
  constructor(options: ImageFolderOptions) {
    checkOptionNames(
      options,
      ['source', 'splits', 'name', 'classNames', ...LOADER_OPTIONS],
      'ImageFolderLoader',
    )
    const { source, splits = { train: 'train', validation: 'val' }, classNames } = options
    checkLoaderOptions(options)
    if (typeof source !== 'string' || source === '') throw invalidOption('source', source, 'needs a path')
    checkOptionNames(splits, ['train', 'validation'], 'splits')
    for (const [key, folder] of Object.entries(splits))
      if (typeof folder !== 'string' || !/^[^./\\][^/\\]*$/.test(folder))
        throw invalidOption(`splits.${key}`, folder, 'needs the name of a folder')
    if (!splits.train || !splits.validation || splits.train === splits.validation)
      throw invalidOption('splits', splits, 'needs two different folders, train and validation')
    if (classNames !== undefined) checkClassNames(Object.values(classNames))
    this.options = options
    this.splits = splits
    this.size = sizeOf(options)
  }

  /**
   * Decodes all images, or takes them from the cache.
   *
   * @throws ZooError `images` where the source is missing, truncated, holds an image that cannot be decoded, lacks a
   * split or a class, or has a class without images; `interrupted` where the signal stopped it.
   */
  async load(): Promise<ImageSet> {
    const { source: path, cache = true, cacheDir = defaultCacheDir(), onProgress, signal } = this.options
    throwIfInterrupted(signal)
    const source = await openSource(path, [this.splits.train, this.splits.validation])
    const { name = source.name } = this.options
    if (!cache) return this.decode(source, name)

    const file = cacheFile(cacheDir, await this.cacheKey(source))
    const cached = await readCache(file)
    throwIfInterrupted(signal)
    if (cached) {
      onProgress?.({ stage: 'cache', path: file })
      return { ...cached, name }
    }
    const images = await this.decode(source, name)
    await writeCache(file, cacheDir, images).catch(error => {
      const message = `cannot write the cache of decoded images; ${reasonOf(error)}`
      onProgress?.({ stage: 'warning', message })
    })
    return images
  }

  /** All that the decoded images depend on. */
  private async cacheKey(source: ImageSource): Promise<unknown> {
    const { channels = 3, classNames, skipBadImages = false } = this.options
    const classes = classNames && Object.entries(classNames)
    const decoder = await decoderVersions()
    return [source.identity, this.size, channels, this.splits, classes ?? null, skipBadImages, decoder]
  }

  private async decode(source: ImageSource, name: string): Promise<ImageSet> {
    const { channels = 3, concurrency = availableParallelism(), onProgress, signal } = this.options
    const { classNames, skipBadImages = false } = this.options
    const wanted = classNames && new Set(Object.keys(classNames))
    const decoded = new Map<string, DecodedFile>()
    const skipped: SkippedImage[] = []
    let images = 0

    if (source.listed) this.classesOf(source)
    await forEachConcurrently(source.files(), concurrency, async file => {
      throwIfInterrupted(signal)
      const { split, folder, file: fileName } = file
      if (wanted && !wanted.has(folder)) return
      const entry: DecodedFile = { split, folder, fileName }
      // Entered before the decoding, so that of two entries with one path the later one in the archive stays.
      decoded.set(`${split}/${folder}/${fileName}`, entry)
      try {
        entry.pixels = resizeBilinear(await decodeImage(await file.read()), this.size, channels)
      } catch (error) {
        if (error instanceof ZooError) throw error
        const reason = reasonOf(error)
        if (!skipBadImages) throw badImage(file, reason, error)
        skipped.push({ path: file.path, reason })
        onProgress?.({ stage: 'skip', path: file.path, reason })
        return
      }
      onProgress?.({ stage: 'decode', images: ++images, fraction: file.fraction })
    })
    throwIfInterrupted(signal)

    const classes = this.classesOf(source)
    const folders = classes.map(([folder]) => folder)
    const pixelsPerImage = this.size[0] * this.size[1] * channels
    const gather = (split: string) => gatherSplit(source.path, decoded, split, folders, pixelsPerImage)
    return sealImageSet({
      name,
      classNames: classes.map(([, className]) => className),
      shape: [...this.size, channels],
      train: gather(this.splits.train),
      validation: gather(this.splits.validation),
      ...(skipped.length > 0 && { skipped: skipped.sort((a, b) => compare(a.path, b.path)) }),
    })
  }

  /** The class folders and their names in label order; refuses a source that lacks one of them in either split. */
  private classesOf({ path, folders }: ImageSource): [folder: string, className: string][] {
    const { train, validation } = this.splits
    const splits = [train, validation]
    for (const split of splits)
      if (!folders.get(split)?.size)
        throw sourceError(path, `no images in split "${split}"; needs ${split}/<class>/*.{jpg,jpeg,png,webp}`)

    const { classNames } = this.options
    const present = [...new Set(splits.flatMap(split => [...folders.get(split)!]))].sort()
    const wanted = classNames ? Object.keys(classNames) : present
    for (const [i, split] of splits.entries()) {
      const missing = wanted.filter(folder => !folders.get(split)!.has(folder))
      if (missing.length === 0) continue
      const other = splits[1 - i]!
      const onlyOther = !classNames && missing.every(folder => folders.get(other)!.has(folder))
      const what = missing.length === 1 ? 'class folder' : 'class folders'
      throw sourceError(
        path,
        onlyOther
          ? `${what} ${shown(missing)} in split "${other}" but not in "${split}"; needs both`
          : `missing ${what} ${shown(missing)} in split "${split}"; found ${shown([...folders.get(split)!].sort())}`,
      )
    }
    if (wanted.length > 256) throw sourceError(path, `${wanted.length} classes; needs at most 256`)
    const named = wanted.map((folder): [string, string] => [
      folder,
      classNames?.[folder] ?? KNOWN_NAMES.get(folder) ?? folder,
    ])
    for (const [folder, className] of named) {
      const why = whyNoClassName(className)
      if (why) throw sourceError(path, `class folder ${JSON.stringify(folder)}: ${why}; rename it`)
    }
    checkClassNames(named.map(([, name]) => name))
    return named
  }
}

/** Names in a message; a crafted archive may have millions. */
function shown(names: readonly string[]): string {
  const rest = names.length - MOST_SHOWN
  return names.slice(0, MOST_SHOWN).join(', ') + (rest > 0 ? ` and ${rest} more` : '')
}

const MOST_SHOWN = 20

const KNOWN_NAMES: ReadonlyMap<string, string> = new Map(Object.entries(IMAGENETTE_CLASSES))

/** One image on its way into a split; without pixels while it is being decoded, and for good where it is skipped. */
interface DecodedFile {
  split: string
  folder: string
  fileName: string
  pixels?: Float32Array
}

/** Puts a split's images in order: by class, then by file name. */
function gatherSplit(
  path: string,
  decoded: ReadonlyMap<string, DecodedFile>,
  split: string,
  folders: readonly string[],
  pixelsPerImage: number,
): ImageSplit {
  const ofClass = new Map(folders.map(folder => [folder, [] as DecodedFile[]]))
  for (const file of decoded.values())
    if (file.split === split && file.pixels) ofClass.get(file.folder)?.push(file)

  let count = 0
  for (const [folder, files] of ofClass) {
    if (files.length === 0) throw sourceError(path, `class without images, ${split}/${folder}`)
    files.sort((a, b) => compare(a.fileName, b.fileName))
    count += files.length
  }
  const result = allocateSplit(count, pixelsPerImage)
  let at = 0
  for (const [label, files] of [...ofClass.values()].entries()) {
    for (const file of files) {
      result.labels[at] = label
      result.pixels.set(file.pixels!, at * pixelsPerImage)
      delete file.pixels // so that the images are not held twice longer than needed
      at++
    }
  }
  return result
}

/** Code-unit order, as `<` has it: the same in every locale. */
function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function sourceError(path: string, message: string): ZooError<'images'> {
  return new ZooError('images', `${message}: ${path}`, { path })
}

function badImage({ path }: ImageFile, reason: string, cause: unknown): ZooError<'images'> {
  return new ZooError(
    'images',
    `cannot decode image (${reason}); mend it or go on without it by skipBadImages (--skip-bad-images): ${path}`,
    { path },
    { cause },
  )
}

/** Runs `task` on all items, at most `limit` at a time; after the first failure no further item is taken. */
async function forEachConcurrently<T>(
  items: AsyncIterable<T>,
  limit: number,
  task: (item: T) => Promise<void>,
): Promise<void> {
  const running = new Set<Promise<void>>()
  let failure: { error: unknown } | undefined
  try {
    for await (const item of items) {
      const run: Promise<void> = task(item)
        .catch(error => {
          failure ??= { error }
        })
        .finally(() => running.delete(run))
      running.add(run)
      if (running.size >= limit) await Promise.race(running)
      if (failure) break
    }
  } finally {
    await Promise.all(running)
  }
  if (failure) throw failure.error
}

/** Refuses values of {@link ImageLoaderOptions} that cannot be used. */
export function checkLoaderOptions(options: ImageLoaderOptions): void {
  const { size, channels, cacheDir, concurrency } = options
  const sizes: readonly unknown[] = Array.isArray(size) ? size : [size, size]
  if (size !== undefined && (sizes.length !== 2 || !sizes.every(isCount)))
    throw invalidOption('size', size, 'needs a positive integer or [height, width]')
  if (channels !== undefined && channels !== 1 && channels !== 3)
    throw invalidOption('channels', channels, 'needs 1 or 3')
  if (concurrency !== undefined && !isCount(concurrency))
    throw invalidOption('concurrency', concurrency, 'needs a positive integer')
  if (cacheDir !== undefined && (typeof cacheDir !== 'string' || cacheDir === ''))
    throw invalidOption('cacheDir', cacheDir, 'needs a path')
  for (const name of ['cache', 'skipBadImages'] as const)
    if (options[name] !== undefined && typeof options[name] !== 'boolean')
      throw invalidOption(name, options[name], 'needs true or false')
}

function sizeOf({ size = 32 }: ImageLoaderOptions): Size {
  return typeof size === 'number' ? [size, size] : [size[0], size[1]]
}

/** Throws where the signal has been aborted. */
export function throwIfInterrupted(signal: AbortSignal | undefined): void {
  if (signal?.aborted)
    throw new ZooError('interrupted', 'loading of images interrupted', {}, { cause: signal.reason })
}
