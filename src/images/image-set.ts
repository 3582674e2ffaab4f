import { ZooError } from '../errors.js'
import { checkOptionNames, invalidOption, isCount } from '../options.js'
import { sealImageSet } from './fingerprint.js'

/**
 * One split of an image set. Pixels are float32 in [0, 1], sample after sample, each `[height, width, channels]` in
 * row-major order (channels last, as Keras and tfjs have them).
 */
export interface ImageSplit {
  /** Pixels, flat `[count, height, width, channels]`; held in shared memory so that worker threads read them in place. */
  readonly pixels: Float32Array<SharedArrayBuffer>
  /** Class of each image, an index into {@link ImageSet.classNames}; `[count]`. */
  readonly labels: Uint8Array<SharedArrayBuffer>
  /** Number of images. */
  readonly count: number
}

/** An image file that was left out because it could not be decoded (`skipBadImages`). */
export interface SkippedImage {
  /** The file, or its path inside the archive. */
  readonly path: string
  /** What the decoder said. */
  readonly reason: string
}

/**
 * Images decoded, resized and scaled, ready to train on. Made by {@link ImagenetteLoader}, {@link ImageFolderLoader},
 * {@link generateImages} or {@link createImageSet}.
 */
export interface ImageSet {
  /** Where the images come from, for people to read (e.g. `imagenette2-320`). */
  readonly name: string
  /** Names of the classes; a label is an index into them. */
  readonly classNames: readonly string[]
  /** Shape of one image: height, width, channels. */
  readonly shape: readonly [height: number, width: number, channels: number]
  /** What networks are trained on. */
  readonly train: ImageSplit
  /** What networks are measured on. */
  readonly validation: ImageSplit
  /** SHA-256 (hex) over shape, class names, labels and pixels: equal fingerprints mean equal training input. */
  readonly fingerprint: string
  /** The files that were left out, where the loader was told to go on without them; absent if there are none. */
  readonly skipped?: readonly SkippedImage[]
}

/** One image set, or several from which every network of a zoo draws its own. */
export type ImageSets = ImageSet | readonly ImageSet[]

/**
 * The image sets as a list: at least one, with names of their own, and with shape and classes in common.
 * @throws ZooError `option` saying what is not.
 */
export function imageSetsOf(images: ImageSets): readonly ImageSet[] {
  const sets = [images].flat()
  if (sets.length === 0) throw invalidOption('images', sets, 'needs at least one image set')
  for (const set of sets) {
    if (set?.train && set.validation) continue
    throw invalidOption(
      'images',
      typeof set,
      'needs an ImageSet; a loader gives one with await loader.load()',
    )
  }
  const [first, ...others] = sets as [ImageSet, ...ImageSet[]]
  checkClassNames(first.classNames)
  for (const [i, set] of others.entries()) {
    if (sets.slice(0, i + 1).some(({ name }) => name === set.name))
      throw invalidOption('images', set.name, 'two image sets have this name; each needs one of its own')
    const [shape, wanted] = [set, first].map(of => of.shape.join('x'))
    if (shape !== wanted)
      throw invalidOption('images', shape, `"${set.name}" has another shape than ${wanted}`)
    const classes = set.classNames
    if (JSON.stringify(classes) !== JSON.stringify(first.classNames))
      throw invalidOption(
        'images',
        classes,
        `"${set.name}" has other classes than "${first.name}", or in another order`,
      )
  }
  return sets
}

/** One split as plain arrays; see {@link createImageSet}. */
export interface ImageSplitInput {
  /** Pixels, flat `[count, height, width, channels]`, finite and by convention in [0, 1]. */
  pixels: Float32Array | Float64Array | readonly number[]
  /** Class of each image, an integer in [0, classes); `[count]`, at least one. */
  labels: ArrayLike<number>
}

/** What {@link createImageSet} makes an image set of; nothing has a default. */
export interface ImageSetInput {
  /** For people to read; not part of the fingerprint. */
  name: string
  /** 1 to 256 different names without control characters; a label is an index into them. */
  classNames: readonly string[]
  /** Height, width and channels of one image. */
  shape: readonly [height: number, width: number, channels: number]
  train: ImageSplitInput
  validation: ImageSplitInput
}

/**
 * Makes an image set of arrays that are already in memory. The arrays are copied into shared memory and may be
 * changed afterwards.
 *
 * @throws ZooError `option` where a length, a label or a pixel is wrong; the message names it and its value.
 *
 * @example
 * const images = createImageSet({
 *   name: 'two greys',
 *   classNames: ['dark', 'light'],
 *   shape: [1, 1, 1],
 *   train: { pixels: [0.1, 0.9], labels: [0, 1] },
 *   validation: { pixels: [0.2, 0.8], labels: [0, 1] },
 * })
 */
export function createImageSet(input: ImageSetInput): ImageSet {
  checkOptionNames(input, ['name', 'classNames', 'shape', 'train', 'validation'], 'createImageSet')
  const { name, classNames, shape, train, validation } = input
  if (typeof name !== 'string' || name === '') throw invalidOption('name', name, 'needs a text')
  checkClassNames(classNames)
  if (!Array.isArray(shape) || shape.length !== 3 || !shape.every(isCount))
    throw invalidOption('shape', shape, 'needs [height, width, channels], each a positive integer')
  const [height, width, channels] = shape
  return sealImageSet({
    name,
    classNames: [...classNames],
    shape: [height, width, channels],
    train: copySplit('train', train, height * width * channels, classNames.length),
    validation: copySplit('validation', validation, height * width * channels, classNames.length),
  })
}

/**
 * What keeps a text from being a class name, if anything does. HDF5 ends texts at a NUL, UTF-8 has no lone surrogates,
 * and other control characters (line ends, escape sequences) would reach tables and terminals.
 */
export function whyNoClassName(name: string): string | undefined {
  return /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}]/u.test(name)
    ? 'a class name cannot have control characters or lone surrogates'
    : undefined
}

/** Refuses class names that are no names, not different, or more than a label byte can tell apart. */
export function checkClassNames(classNames: readonly string[]): void {
  if (!Array.isArray(classNames) || classNames.length === 0 || classNames.length > 256)
    throw invalidOption('classNames', classNames?.length, 'needs 1 to 256 names')
  for (const [i, className] of classNames.entries()) {
    if (typeof className !== 'string' || className === '')
      throw invalidOption(`classNames[${i}]`, className, 'needs a text')
    const why = whyNoClassName(className)
    if (why) throw invalidOption(`classNames[${i}]`, JSON.stringify(className), why)
    if (classNames.indexOf(className) < i)
      throw invalidOption(`classNames[${i}]`, className, 'each name may stand only once')
  }
}

function copySplit(
  split: string,
  { pixels, labels }: ImageSplitInput,
  pixelsPerImage: number,
  classes: number,
): ImageSplit {
  const count = labels.length
  if (count === 0) throw invalidOption(`${split}.labels`, count, 'needs at least one image')
  if (pixels instanceof Uint8Array || pixels instanceof Uint8ClampedArray)
    throw new ZooError(
      'option',
      `invalid ${split}.pixels; needs floats in [0, 1], so divide 8-bit values by 255: ${pixels.constructor.name}`,
      { name: `${split}.pixels`, value: pixels.constructor.name },
    )
  if (pixels.length !== count * pixelsPerImage)
    throw invalidOption(
      `${split}.pixels`,
      pixels.length,
      `${count} labels of ${pixelsPerImage} pixels each need a length of ${count * pixelsPerImage}`,
    )
  const copy = allocateSplit(count, pixelsPerImage)
  for (let i = 0; i < count; i++) {
    const label = labels[i]!
    if (!Number.isInteger(label) || label < 0 || label >= classes)
      throw invalidOption(`${split}.labels[${i}]`, label, `not an integer in [0, ${classes})`)
  }
  copy.labels.set(labels)
  copy.pixels.set(pixels)
  const bad = copy.pixels.findIndex(pixel => !Number.isFinite(pixel))
  if (bad !== -1)
    throw new ZooError('option', `invalid ${split}.pixels[${bad}]; not a finite float32: ${pixels[bad]}`, {
      name: `${split}.pixels[${bad}]`,
      value: pixels[bad],
    })
  return copy
}

/** A split of zeros in shared memory. */
export function allocateSplit(count: number, pixelsPerImage: number): ImageSplit {
  return {
    pixels: new Float32Array(new SharedArrayBuffer(count * pixelsPerImage * 4)),
    labels: new Uint8Array(new SharedArrayBuffer(count)),
    count,
  }
}
