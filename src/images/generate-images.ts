import { checkOptionNames, invalidOption, isCount } from '../options.js'
import { RandomStream } from '../random.js'
import { sealImageSet } from './fingerprint.js'
import { allocateSplit, type ImageSet, type ImageSplit } from './image-set.js'

/** Options of {@link generateImages}. */
export interface GenerateImagesOptions {
  /** Number of classes, 2 to 10: the first so many of stripes, checks, discs, ... Default 10, as in Imagenette. */
  classes?: number | undefined
  /** Training images of each class. Default 200: enough to learn from in a few epochs, made in about a second. */
  trainPerClass?: number | undefined
  /** Validation images of each class. Default 50: accuracy of ten classes in steps of 0.2 %. */
  validationPerClass?: number | undefined
  /** Height and width in pixels, at least 8. Default 32: what LeNet-5 takes. */
  size?: number | undefined
  /** Every other seed gives other images. Default 0. */
  seed?: number | undefined
}

/**
 * Draws an image set: RGB pictures of simple shapes and textures in random colours, places, sizes and directions, with
 * noise, uneven light and sometimes a patch in front. For demonstrations and tests: nobody else's rights are in it and
 * nothing has to be downloaded. A LeNet-5 learns to tell one class from the others in a few epochs, some classes much
 * better than others, as with photographs.
 *
 * An image depends on the seed, the size, its class and its number alone, so a larger set begins with the smaller one's
 * images. Only correctly rounded arithmetic is used, so the bits are the same on every platform.
 *
 * @throws ZooError `option` where an option is unknown or out of range.
 *
 * @example
 * const images = generateImages({ trainPerClass: 100, seed: 7 })
 * images.classNames // ['stripes', 'checks', 'discs', 'rings', ...]
 */
export function generateImages(options: GenerateImagesOptions = {}): ImageSet {
  checkOptionNames(
    options,
    ['classes', 'trainPerClass', 'validationPerClass', 'size', 'seed'],
    'generateImages',
  )
  const { classes = 10, trainPerClass = 200, validationPerClass = 50, size = 32, seed = 0 } = options
  const kinds = Object.keys(PATTERNS)
  if (!Number.isInteger(classes) || classes < 2 || classes > kinds.length)
    throw invalidOption('classes', classes, `needs an integer from 2 to ${kinds.length}`)
  if (!isCount(trainPerClass)) throw invalidOption('trainPerClass', trainPerClass, 'needs a positive integer')
  if (!isCount(validationPerClass))
    throw invalidOption('validationPerClass', validationPerClass, 'needs a positive integer')
  if (!isCount(size) || size < 8) throw invalidOption('size', size, 'needs an integer of at least 8')
  if (!Number.isSafeInteger(seed)) throw invalidOption('seed', seed, 'needs an integer')

  const classNames = kinds.slice(0, classes)
  const draw = (split: string, perClass: number) => drawSplit(split, perClass, classNames, size, seed)
  return sealImageSet({
    name: `generated-${seed}`,
    classNames,
    shape: [size, size, 3],
    train: draw('train', trainPerClass),
    validation: draw('validation', validationPerClass),
  })
}

function drawSplit(
  split: string,
  perClass: number,
  classNames: readonly string[],
  size: number,
  seed: number,
): ImageSplit {
  const pixelsPerImage = size * size * 3
  const result = allocateSplit(perClass * classNames.length, pixelsPerImage)
  for (const [label, className] of classNames.entries()) {
    for (let i = 0; i < perClass; i++) {
      const at = label * perClass + i
      result.labels[at] = label
      const random = new RandomStream(seed, 'images', split, className, i)
      const image = result.pixels.subarray(at * pixelsPerImage, (at + 1) * pixelsPerImage)
      drawImage(image, size, PATTERNS[className]!(random, size), random)
    }
  }
  return result
}

type Colour = readonly [red: number, green: number, blue: number]

/** How much of the foreground colour, 0 to 1, stands at a point, in pixels from the pattern's centre along its own axes. */
type Pattern = (u: number, v: number) => number

function drawImage(image: Float32Array, size: number, pattern: Pattern, random: RandomStream): void {
  const background = drawColour(random, 0.6)
  const foreground = drawBrighterColour(background, random)
  const patchColour = drawColour(random)
  const [axisX, axisY] = drawTilt(random)
  const [lightX, lightY] = drawDirection(random)
  const centreX = size * random.uniform(0.4, 0.6)
  const centreY = size * random.uniform(0.4, 0.6)
  const light = random.uniform(0, 0.5) / size
  const noise = random.uniform(0.02, 0.15)
  // A patch in front of a corner of the pattern, in half of the images.
  const patchSize = random.uniform() < 0.5 ? size * random.uniform(0.15, 0.35) : 0
  const patchX = random.uniform(0, size)
  const patchY = random.uniform(0, size)

  let at = 0
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      const dx = x + 0.5 - centreX
      const dy = y + 0.5 - centreY
      const share = pattern(dx * axisX + dy * axisY, dy * axisX - dx * axisY)
      const hidden = Math.abs(x - patchX) < patchSize / 2 && Math.abs(y - patchY) < patchSize / 2
      const shade = light * (dx * lightX + dy * lightY)
      const bits = random.uint32()
      for (let c = 0; c < 3; c++) {
        const clean = hidden ? patchColour[c]! : background[c]! + (foreground[c]! - background[c]!) * share
        // The difference of two random 5-bit numbers: a triangular distribution over (-1, 1).
        const grain = (((bits >>> (10 * c)) & 31) - ((bits >>> (10 * c + 5)) & 31)) / 32
        image[at++] = clamp(clean + shade + noise * grain)
      }
    }
  }
}

function drawColour(random: RandomStream, brightest = 1): Colour {
  return [random.uniform(0, brightest), random.uniform(0, brightest), random.uniform(0, brightest)]
}

/** A colour that is clearly brighter: learning both signs of contrast would take a small network much longer. */
function drawBrighterColour(other: Colour, random: RandomStream): Colour {
  for (;;) {
    const colour = drawColour(random)
    const difference = colour[0] + colour[1] + colour[2] - other[0] - other[1] - other[2]
    if (difference > 0.6) return colour
  }
}

/** A unit vector of random direction, without sine and cosine, whose last bits differ between engines. */
function drawDirection(random: RandomStream): [x: number, y: number] {
  for (;;) {
    const x = random.uniform(-1, 1)
    const y = random.uniform(-1, 1)
    const square = x * x + y * y
    if (square > 1 || square < 0.01) continue
    const length = Math.sqrt(square)
    return [x / length, y / length]
  }
}

/** A unit vector at most 20 degrees off the horizontal. */
function drawTilt(random: RandomStream): [x: number, y: number] {
  const slope = random.uniform(-0.36, 0.36)
  const length = Math.sqrt(1 + slope * slope)
  return [1 / length, slope / length]
}

/** Class -> how to draw the pattern of one image, in label order. Lengths are drawn in pixels, for an image of `size`. */
const PATTERNS: Record<string, (random: RandomStream, size: number) => Pattern> = {
  stripes(random, size) {
    const period = size * random.uniform(0.2, 0.3)
    const wave = stripe(period, random)
    return u => wave(u)
  },
  checks(random, size) {
    const period = size * random.uniform(0.36, 0.5)
    const across = stripe(period, random)
    const along = stripe(period, random)
    return (u, v) => {
      const a = across(u)
      const b = along(v)
      return a + b - 2 * a * b
    }
  },
  discs(random, size) {
    const radius = size * random.uniform(0.15, 0.38)
    return (u, v) => inside(radius - distance(u, v))
  },
  rings(random, size) {
    const radius = size * random.uniform(0.2, 0.36)
    const halfWidth = radius * random.uniform(0.15, 0.3)
    return (u, v) => inside(halfWidth - Math.abs(distance(u, v) - radius))
  },
  crosses(random, size) {
    const arm = size * random.uniform(0.25, 0.42)
    const halfWidth = arm * random.uniform(0.15, 0.32)
    return (u, v) => {
      const long = Math.max(Math.abs(u), Math.abs(v))
      const short = Math.min(Math.abs(u), Math.abs(v))
      return inside(Math.min(arm - long, halfWidth - short))
    }
  },
  triangles(random, size) {
    const inradius = size * random.uniform(0.13, 0.24)
    const slope = Math.sqrt(3) / 2
    return (u, v) => inside(inradius - Math.max(v, slope * Math.abs(u) - v / 2))
  },
  squares(random, size) {
    const half = size * random.uniform(0.15, 0.32)
    return (u, v) => inside(half - Math.max(Math.abs(u), Math.abs(v)))
  },
  gradients(random, size) {
    const length = size * random.uniform(0.6, 1.2)
    return u => clamp(0.5 + u / length)
  },
  blobs(random, size) {
    // Random heights on a coarse grid, interpolated and cut at a level: clouds.
    const cell = size * random.uniform(0.22, 0.3)
    const side = Math.ceil((2 * size) / cell) + 2
    const heights = Float64Array.from({ length: side * side }, () => random.uniform())
    return (u, v) => {
      const x = (u + size) / cell
      const y = (v + size) / cell
      const column = Math.floor(x)
      const row = Math.floor(y)
      const height = (dx: number, dy: number) => heights[(row + dy) * side + column + dx] ?? 0
      const top = height(0, 0) + (height(1, 0) - height(0, 0)) * smooth(x - column)
      const bottom = height(0, 1) + (height(1, 1) - height(0, 1)) * smooth(x - column)
      return clamp(0.5 + 4 * (top + (bottom - top) * smooth(y - row) - 0.5))
    }
  },
  dots(random, size) {
    const period = size * random.uniform(0.22, 0.3)
    const radius = period * random.uniform(0.22, 0.34)
    const fold = (t: number) => t - period * Math.floor(t / period + 0.5)
    return (u, v) => inside(radius - distance(fold(u), fold(v)))
  },
}

/** Stripes of equal width: 0 or 1 along one axis, with soft edges and a phase that varies a little. */
function stripe(period: number, random: RandomStream): (t: number) => number {
  const phase = random.uniform(0, 0.4 * period)
  return t => {
    const along = (t + phase) / period
    return inside(period * (0.25 - Math.abs(along - Math.floor(along) - 0.5)))
  }
}

/** A soft edge one pixel wide, from the depth inside a shape in pixels. */
function inside(depth: number): number {
  return clamp(depth + 0.5)
}

function distance(u: number, v: number): number {
  return Math.sqrt(u * u + v * v)
}

function smooth(t: number): number {
  return t * t * (3 - 2 * t)
}

function clamp(value: number): number {
  return Math.min(1, Math.max(0, value))
}
