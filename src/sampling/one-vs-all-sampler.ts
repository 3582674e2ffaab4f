import { ZooError } from '../errors.js'
import type { ImageSet } from '../images/image-set.js'
import { checkOptionNames, invalidOption, isCount, suggestion } from '../options.js'
import type { RandomStream } from '../random.js'

/** Options of {@link OneVsAllSampler}. */
export interface OneVsAllSamplerOptions {
  images: ImageSet
  /**
   * Training images of each network. Default 9,000: of Imagenette's 9,469, so that two networks of a class see
   * different images while 9-10 % of positives stays possible for every class. A set too small for 9,000 gives 95 %
   * of what its scarcest class allows, or the next smaller number of which 9-10 % is whole.
   */
  samplesPerNetwork?: number | undefined
  /**
   * Smallest and largest share of positives; each network draws its own, uniformly. Default `[0.09, 0.10]`, the
   * paper's section 2 ("9-10 %"). A class with too few images draws from the part of the range that it reaches.
   */
  positiveFraction?: readonly [min: number, max: number] | undefined
}

/** The training set of one network. */
export interface OneVsAllSample {
  /** Indices into `images.train`, positives first; no index twice. `[samplesPerNetwork]` */
  readonly indices: Uint32Array
  /** How many of them show the class. */
  readonly positives: number
  /** `positives / samplesPerNetwork`: the share that was really drawn. */
  readonly positiveFraction: number
}

const DEFAULT_SAMPLES = 9000
const DEFAULT_FRACTION = [0.09, 0.1] as const

/**
 * Draws the training set of a one-versus-all classifier: a few images of the class, the rest at random from all other
 * classes, both without replacement (paper, section 2).
 *
 * @example
 * const sampler = new OneVsAllSampler({ images })
 * const { indices, positiveFraction } = sampler.sample('church', new RandomStream(7, 'church', 0, 'sampling'))
 *
 * @throws {@link ZooError} `option` for a fraction or number of samples that is no such thing; `images` naming the class
 * and the numbers when a class has too few images for what is asked.
 */
export class OneVsAllSampler {
  readonly samplesPerNetwork: number
  readonly positiveFraction: readonly [min: number, max: number]
  private readonly classNames: readonly string[]
  private readonly byClass: readonly Uint32Array[]
  private readonly labels: Uint8Array

  constructor(options: OneVsAllSamplerOptions) {
    checkOptionNames(options, ['images', 'samplesPerNetwork', 'positiveFraction'], 'OneVsAllSampler')
    const { images, samplesPerNetwork, positiveFraction = DEFAULT_FRACTION } = options
    checkFraction(positiveFraction)
    this.positiveFraction = positiveFraction
    this.classNames = images.classNames
    this.labels = images.train.labels
    this.byClass = groupsOf(images)
    if (samplesPerNetwork !== undefined && !isCount(samplesPerNetwork)) {
      throw invalidOption('samplesPerNetwork', samplesPerNetwork, 'needs a positive integer')
    }
    this.samplesPerNetwork = samplesPerNetwork ?? this.defaultSamples()
  }

  /** Refuses a class that cannot be sampled as asked, before any training starts. */
  check(className: string): void {
    this.positiveRange(this.label(className))
  }

  /** Draws one network's training set; all randomness comes from `stream`. */
  sample(className: string, stream: RandomStream): OneVsAllSample {
    const label = this.label(className)
    const [fewest, most] = this.positiveRange(label)
    const samples = this.samplesPerNetwork
    const fraction = stream.uniform(fewest / samples, most / samples)
    const positives = Math.min(most, Math.max(fewest, Math.round(fraction * samples)))

    const others = Uint32Array.from({ length: this.labels.length }, (_, i) => i).filter(
      i => this.labels[i] !== label,
    )
    const indices = new Uint32Array(samples)
    indices.set(stream.choose(this.byClass[label]!, positives))
    indices.set(stream.choose(others, samples - positives), positives)
    return { indices, positives, positiveFraction: positives / samples }
  }

  private label(className: string): number {
    const label = this.classNames.indexOf(className)
    if (label < 0) {
      throw invalidOption(
        'class',
        className,
        `is not in the image set; ${suggestion(className, this.classNames)}`,
      )
    }
    return label
  }

  /** Fewest and most positives of {@link samplesPerNetwork}; refuses a class for which there are none. */
  private positiveRange(label: number): [fewest: number, most: number] {
    const samples = this.samplesPerNetwork
    const [fewest, most] = this.reach(label, samples)
    if (fewest <= most) return [fewest, most]

    const path = this.classNames[label]!
    const ofClass = this.byClass[label]!.length
    const ofOthers = this.labels.length - ofClass
    if (ofClass === 0) throw new ZooError('images', `class "${path}" has no training images`, { path })
    if (ofOthers === 0)
      throw new ZooError('images', `no class but "${path}" has training images: add negatives`, { path })

    const [min, max] = this.positiveFraction
    const asked = `${percent(min)} to ${percent(max)} % of ${samples} samples`
    const short =
      samples > this.labels.length
        ? `there are ${this.labels.length} training images, not ${samples}`
        : ofClass < atLeast(min * samples)
          ? `class "${path}" has ${ofClass} training images; ${asked} needs at least ${atLeast(min * samples)}`
          : ofOthers < samples - atMost(max * samples)
            ? `class "${path}" has ${ofOthers} training images of other classes; ${asked} needs at least ${samples - atMost(max * samples)}`
            : `class "${path}": no whole number of images is ${asked}`
    const possible = this.largestSample(label, this.labels.length)
    const advice = possible
      ? `set samplesPerNetwork to ${possible}${possible < samples ? ' or less' : ''}, or widen positiveFraction`
      : 'widen positiveFraction'
    throw new ZooError('images', `${short}: ${advice}`, { path })
  }

  /** Fewest and most positives among `samples` that the range allows and the images reach; none if fewest > most. */
  private reach(label: number, samples: number): [fewest: number, most: number] {
    const [min, max] = this.positiveFraction
    const ofClass = this.byClass[label]!.length
    const ofOthers = this.labels.length - ofClass
    return [
      Math.max(atLeast(min * samples), samples - ofOthers, 1),
      Math.min(atMost(max * samples), ofClass, samples - 1),
    ]
  }

  private defaultSamples(): number {
    const possible = this.largestForAll(this.labels.length)
    const wanted = possible >= DEFAULT_SAMPLES ? DEFAULT_SAMPLES : Math.floor(0.95 * possible)
    return this.largestForAll(wanted) || possible || 1
  }

  /** Most samples, at most `from`, that every class with images at all can give. */
  private largestForAll(from: number): number {
    const labels = [...this.byClass.keys()].filter(label => this.byClass[label]!.length > 0)
    let samples = from
    for (;;) {
      const possible = Math.min(...labels.map(label => this.largestSample(label, samples)))
      if (possible === samples) return samples
      samples = possible
    }
  }

  /** Most samples, at most `from`, of which an allowed share can be positive; 0 if there is no such number. */
  private largestSample(label: number, from: number): number {
    let samples = from
    while (samples > 0) {
      const [fewest, most] = this.reach(label, samples)
      if (fewest <= most) break
      samples--
    }
    return samples
  }
}

const groups = new WeakMap<ImageSet, readonly Uint32Array[]>()

/** Grouped once an image set: a recipe that varies the sampling makes a sampler for every network. */
function groupsOf(images: ImageSet): readonly Uint32Array[] {
  const known = groups.get(images) ?? groupByLabel(images.train.labels, images.classNames.length)
  groups.set(images, known)
  return known
}

/** Indices of the images of each class, in one pass over the labels. */
function groupByLabel(labels: Uint8Array, classes: number): Uint32Array[] {
  const groups = Array.from({ length: classes }, (): number[] => [])
  for (const [i, label] of labels.entries()) groups[label]!.push(i)
  return groups.map(group => Uint32Array.from(group))
}

/** `Math.ceil` and `Math.floor` that forgive the last bits of a product such as 0.07 * 100. */
const atLeast = (n: number) => Math.ceil(n - 1e-9)
const atMost = (n: number) => Math.floor(n + 1e-9)
const percent = (share: number) => Number((share * 100).toFixed(4))

function checkFraction(range: readonly [number, number]): void {
  if (!Array.isArray(range) || range.length !== 2 || !range.every(Number.isFinite)) {
    throw invalidOption('positiveFraction', range, 'needs two numbers [min, max]')
  }
  for (const value of range) {
    if (!(value > 0 && value < 1)) throw invalidOption('positiveFraction', value, 'not in (0, 1)')
  }
  if (range[0] > range[1]) throw invalidOption('positiveFraction', range, 'min is larger than max')
}
