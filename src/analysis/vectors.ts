/** A sum in float64 over pairs of numbers, `length` of them from `aStart` and `bStart`. */
export type SumOverPairs = (
  a: Float32Array | Float64Array,
  aStart: number,
  b: Float32Array | Float64Array,
  bStart: number,
  length: number,
) => number

// Four sums at once: one would wait for itself at every step.
/** Squared Euclidean distance. */
export const squaredDistance: SumOverPairs = (a, aStart, b, bStart, length) => {
  let s0 = 0
  let s1 = 0
  let s2 = 0
  let s3 = 0
  let i = 0
  for (; i + 3 < length; i += 4) {
    const d0 = a[aStart + i]! - b[bStart + i]!
    const d1 = a[aStart + i + 1]! - b[bStart + i + 1]!
    const d2 = a[aStart + i + 2]! - b[bStart + i + 2]!
    const d3 = a[aStart + i + 3]! - b[bStart + i + 3]!
    s0 += d0 * d0
    s1 += d1 * d1
    s2 += d2 * d2
    s3 += d3 * d3
  }
  for (; i < length; i++) s0 += (a[aStart + i]! - b[bStart + i]!) ** 2
  return s0 + s1 + (s2 + s3)
}

export const innerProduct: SumOverPairs = (a, aStart, b, bStart, length) => {
  let s0 = 0
  let s1 = 0
  let s2 = 0
  let s3 = 0
  let i = 0
  for (; i + 3 < length; i += 4) {
    s0 += a[aStart + i]! * b[bStart + i]!
    s1 += a[aStart + i + 1]! * b[bStart + i + 1]!
    s2 += a[aStart + i + 2]! * b[bStart + i + 2]!
    s3 += a[aStart + i + 3]! * b[bStart + i + 3]!
  }
  for (; i < length; i++) s0 += a[aStart + i]! * b[bStart + i]!
  return s0 + s1 + (s2 + s3)
}
