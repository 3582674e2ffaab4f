import { createHash } from 'node:crypto'
import { exponential, logarithm } from './elementary.js'
import { ZooError } from './errors.js'

const MULTIPLIER_0 = 0xd2511f53
const MULTIPLIER_1 = 0xcd9e8d57
const WEYL_0 = 0x9e3779b9
const WEYL_1 = 0xbb67ae85

/** High 32 bits of the 64-bit product of two unsigned 32-bit integers. */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff
  const aHigh = a >>> 16
  const bLow = b & 0xffff
  const bHigh = b >>> 16
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16)
  const carry = (middle & 0xffff) + aLow * bHigh
  return (aHigh * bHigh + Math.floor(middle / 0x10000) + Math.floor(carry / 0x10000)) >>> 0
}

/**
 * One block of Philox4x32-10 (Salmon et al., *Parallel random numbers: as easy as 1, 2, 3*, SC 2011): four 32-bit
 * words from a 128-bit counter and a 64-bit key. Equal to the known-answer vectors of the authors' Random123 library.
 *
 * @example
 * philox4x32([0, 0, 0, 0], [0, 0]) // [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]
 */
export function philox4x32(
  counter: readonly [number, number, number, number],
  key: readonly [number, number],
): [number, number, number, number] {
  let [c0, c1, c2, c3] = counter
  let [k0, k1] = key
  for (let round = 0; round < 10; round++) {
    const high0 = multiplyHigh(MULTIPLIER_0, c0)
    const low0 = Math.imul(MULTIPLIER_0, c0) >>> 0
    const high1 = multiplyHigh(MULTIPLIER_1, c2)
    const low1 = Math.imul(MULTIPLIER_1, c2) >>> 0
    c0 = (high1 ^ c1 ^ k0) >>> 0
    c1 = low1
    c2 = (high0 ^ c3 ^ k1) >>> 0
    c3 = low0
    k0 = (k0 + WEYL_0) >>> 0
    k1 = (k1 + WEYL_1) >>> 0
  }
  return [c0, c1, c2, c3]
}

/**
 * A named stream of random numbers: the same bits on every platform, whatever else has been drawn elsewhere.
 *
 * The stream's Philox key is the first 64 bits of SHA-256 over its path (`seed`, then the names), so streams need no
 * registry and adding one disturbs no other. Counters run 0, 1, 2, … within the stream.
 *
 * @example
 * new RandomStream(7, 'church', 3, 'sampling').integer(100) // network church_3's own draws
 */
export class RandomStream {
  private readonly key: [number, number]
  private counter = 0
  private block: [number, number, number, number] = [0, 0, 0, 0]
  private used = 4

  constructor(...path: readonly (number | string)[]) {
    const digest = createHash('sha256').update(JSON.stringify(path)).digest()
    this.key = [digest.readUInt32LE(0), digest.readUInt32LE(4)]
  }

  /** The next 32 random bits, as an unsigned integer. */
  uint32(): number {
    if (this.used === 4) {
      this.block = philox4x32([this.counter >>> 0, Math.floor(this.counter / 2 ** 32), 0, 0], this.key)
      this.counter++
      this.used = 0
    }
    return this.block[this.used++]!
  }

  /** A number uniform in [low, high): 32 bits of resolution, 0 and 1 by default. */
  uniform(low = 0, high = 1): number {
    return low + (high - low) * (this.uint32() / 2 ** 32)
  }

  /** A number in [low, high) whose logarithm is uniform; both above 0. */
  logUniform(low: number, high: number): number {
    return low * exponential(this.uniform() * logarithm(high / low))
  }

  /** A normal number, by Marsaglia's polar method (of whose two numbers the second is left unused). */
  normal(mean = 0, deviation = 1): number {
    for (;;) {
      const x = this.uniform(-1, 1)
      const y = this.uniform(-1, 1)
      const square = x * x + y * y
      if (square > 0 && square < 1) return mean + deviation * x * Math.sqrt((-2 * logarithm(square)) / square)
    }
  }

  /** An integer uniform in [0, below), without modulo bias (rejection); `below` at most 2^32. */
  integer(below: number): number {
    if (!(Number.isInteger(below) && below > 0 && below <= 2 ** 32)) {
      throw new ZooError('option', `invalid below; needs an integer from 1 to 2^32: ${below}`, {
        name: 'below',
        value: below,
      })
    }
    const limit = 2 ** 32 - (2 ** 32 % below)
    for (;;) {
      const bits = this.uint32()
      if (bits < limit) return bits % below
    }
  }

  /** Shuffles the first `count` places of `items` in place (Fisher-Yates), all of them by default. */
  shuffle<T extends Uint32Array | number[]>(items: T, count = items.length): T {
    for (let i = 0; i < Math.min(count, items.length - 1); i++) {
      const j = i + this.integer(items.length - i)
      const held = items[i]!
      items[i] = items[j]!
      items[j] = held
    }
    return items
  }

  /** `count` different items of `items`, in random order; `items` stays as it is. */
  choose(items: Uint32Array, count: number): Uint32Array {
    if (count > items.length) {
      const message = `invalid count; there are ${items.length} items to choose from: ${count}`
      throw new ZooError('option', message, { name: 'count', value: count })
    }
    return this.shuffle(Uint32Array.from(items), count).slice(0, count)
  }
}
