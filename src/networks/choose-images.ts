import type { ImageSplit } from '../images/image-set.js'
import { invalidOption, isCount } from '../options.js'
import { RandomStream } from '../random.js'
import { classesOf } from '../zoo/rows.js'

/** Images to judge networks on. */
export interface ChosenImages {
  /** Flat `[count, height, width, channels]`. */
  readonly pixels: Float32Array
  /** Class of each. `[count]` */
  readonly labels: Uint8Array
  readonly count: number
}

/**
 * `count` images of a split, drawn at random but so that every class keeps its share, and at least one image (which can
 * make them a few more): each class's images are shuffled by a random stream of their own, and the first are taken.
 */
export function chooseImages(split: ImageSplit, count: number | undefined, seed: number): ChosenImages {
  if (count === undefined) return split
  if (!isCount(count)) throw invalidOption('imageCount', count, 'needs a positive integer')
  if (count >= split.count) return split
  const chosen: number[] = []
  let seen = 0
  for (const label of classesOf(split.labels)) {
    const members = [...split.labels.keys()].filter(i => split.labels[i] === label)
    const quotaUpTo = (images: number) => Math.round((count * images) / split.count)
    const quota = Math.max(1, quotaUpTo(seen + members.length) - quotaUpTo(seen))
    seen += members.length
    chosen.push(...new RandomStream(seed, 'evaluation images', label).shuffle(members).slice(0, quota))
  }
  return gather(
    split,
    chosen.sort((a, b) => a - b),
  )
}

function gather({ pixels, labels, count }: ImageSplit, chosen: readonly number[]): ChosenImages {
  const size = pixels.length / count
  // Shared memory: the engine's threads read it in place.
  const gathered = new Float32Array(new SharedArrayBuffer(chosen.length * size * 4))
  for (const [row, i] of chosen.entries()) gathered.set(pixels.subarray(i * size, (i + 1) * size), row * size)
  return { pixels: gathered, labels: Uint8Array.from(chosen, i => labels[i]!), count: chosen.length }
}
