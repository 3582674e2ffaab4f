/** A rounded value and how often it occurs. */
export interface CommonValue {
  readonly value: number
  readonly count: number
  /** Of all values, 0 to 1. */
  readonly share: number
}

/** Rounded values up to this many steps from zero are counted in an array, the few beyond in a map. */
const DENSE = 2 ** 16

/** Adding and subtracting 1.5 * 2^52 rounds a float64 to an integer, halves to even as numpy's `round` does. */
const ROUND = 1.5 * 2 ** 52

/** Counts values rounded to a number of decimals. */
export class RoundedCounts {
  private readonly near = new Float64Array(2 * DENSE + 1)
  private readonly far = new Map<number, number>()
  private total = 0

  constructor(private readonly decimals: number) {}

  /** Counts `data[start..end)`; values must be finite. */
  add(data: Float32Array, start: number, end: number): void {
    const { near, far } = this
    const scale = 10 ** this.decimals
    for (let i = start; i < end; i++) {
      const steps = data[i]! * scale + ROUND - ROUND
      if (steps >= -DENSE && steps <= DENSE) near[steps + DENSE]!++
      else far.set(steps, (far.get(steps) ?? 0) + 1)
    }
    this.total += end - start
  }

  addAll(other: RoundedCounts): void {
    for (let i = 0; i < this.near.length; i++) this.near[i]! += other.near[i]!
    for (const [steps, count] of other.far) this.far.set(steps, (this.far.get(steps) ?? 0) + count)
    this.total += other.total
  }

  /** The `count` most common values, most common first; of equally common ones the smaller magnitude first. */
  most(count: number): CommonValue[] {
    const found: [steps: number, count: number][] = [...this.far]
    for (const [i, times] of this.near.entries()) if (times > 0) found.push([i - DENSE, times])
    found.sort((a, b) => b[1] - a[1] || Math.abs(a[0]) - Math.abs(b[0]) || b[0] - a[0])
    return found.slice(0, count).map(([steps, times]) => ({
      value: Number((steps / 10 ** this.decimals).toFixed(this.decimals)),
      count: times,
      share: times / this.total,
    }))
  }
}
