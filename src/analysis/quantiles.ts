/** A value below which a given share of the values lies. */
export interface Quantile {
  /** The share, 0 to 1. */
  readonly p: number
  readonly value: number
  /**
   * The true quantile (numpy's default, linear between neighbours) is at most this far away: at most 0.2 % of values
   * between 6e-8 and 256, absolutely 6e-8 of smaller ones.
   */
  readonly error: number
}

// A float32's bits are, read as an integer, in the order of its magnitude. Their upper part is a bin's number: 9 bits
// of mantissa for magnitudes of 2^-24 to 2^8, one bin for all below and one for all above. So a bin is found without
// arithmetic on the value and whatever the range of the values is.
const SHIFT = 14
const FIRST = (127 - 24) << (23 - SHIFT)
const MAGNITUDES = (32 << (23 - SHIFT)) + 2
const BINS = 2 * MAGNITUDES

const scratch = new Float32Array(1)
const scratchBits = new Uint32Array(scratch.buffer)

/** How many values there are of each sign and magnitude, from which any quantile can be read. */
export class MagnitudeCounts {
  private readonly counts = new Float64Array(BINS)

  /** Counts `data[start..end)`; values must be finite. */
  add(data: Float32Array, start: number, end: number): void {
    const { counts } = this
    const bits = new Uint32Array(data.buffer, data.byteOffset + 4 * start, end - start)
    for (let i = 0; i < bits.length; i++) {
      const word = bits[i]! | 0
      const magnitude = Math.min(Math.max(((word & 0x7fffffff) >>> SHIFT) - FIRST + 1, 0), MAGNITUDES - 1)
      // Without a branch on the sign, which cannot be predicted: -1 - magnitude for negative values.
      counts[MAGNITUDES + (magnitude ^ (word >> 31))]!++
    }
  }

  addAll(other: MagnitudeCounts): void {
    for (let bin = 0; bin < BINS; bin++) this.counts[bin]! += other.counts[bin]!
  }

  /** Quantiles of values that lie between `min` and `max`. */
  quantiles(probabilities: readonly number[], min: number, max: number): Quantile[] {
    const total = this.counts.reduce((sum, count) => sum + count, 0)
    return probabilities.map(p => {
      const position = p * (total - 1)
      const rank = Math.floor(position)
      const lower = this.at(rank, min, max)
      const upper = this.at(Math.min(rank + 1, total - 1), min, max)
      const share = position - rank
      return {
        p,
        value: lower.value + share * (upper.value - lower.value),
        error: lower.error + share * (upper.error - lower.error),
      }
    })
  }

  /** The value of a rank (0 is the smallest), as if the values of its bin were spread evenly. */
  private at(rank: number, min: number, max: number): { value: number; error: number } {
    let bin = 0
    let before = 0
    while (before + this.counts[bin]! <= rank) before += this.counts[bin++]!
    const low = Math.max(min, lowerEdge(bin))
    const high = Math.min(max, lowerEdge(bin + 1))
    const value = low + ((rank - before + 0.5) / this.counts[bin]!) * (high - low)
    return { value, error: Math.max(value - low, high - value) }
  }
}

/** Where bin `bin` starts, counted over both signs in ascending order. */
function lowerEdge(bin: number): number {
  if (bin >= MAGNITUDES) return magnitude(bin - MAGNITUDES)
  return -magnitude(MAGNITUDES - bin)
}

function magnitude(bin: number): number {
  if (bin <= 0) return 0
  if (bin >= MAGNITUDES) return Number.POSITIVE_INFINITY
  scratchBits[0] = (bin - 1 + FIRST) << SHIFT
  return scratch[0]!
}
