/**
 * Count, mean and central sums up to the fourth, from which mean, sd, skewness and kurtosis come. Two sets are combined
 * without loss of digits (Chan et al. 1979 for the variance; Pebay, *Formulas for robust, one-pass parallel computation
 * of covariances and arbitrary-order statistical moments*, Sandia 2008, eqs. 2.1 and 3.1).
 */
export interface CentralSums {
  count: number
  mean: number
  /** Sums of squared, cubed and fourth powers of deviations from the mean. */
  squares: number
  cubes: number
  fourths: number
}

export function emptySums(): CentralSums {
  return { count: 0, mean: 0, squares: 0, cubes: 0, fourths: 0 }
}

/** Sums of `data[start..end)`, whose plain sum is `sum`; two passes, in float64. */
export function sumsOf(data: Float32Array, start: number, end: number, sum: number): CentralSums {
  const count = end - start
  const mean = sum / count
  let squares = 0
  let cubes = 0
  let fourths = 0
  for (let i = start; i < end; i++) {
    const deviation = data[i]! - mean
    const square = deviation * deviation
    squares += square
    cubes += square * deviation
    fourths += square * square
  }
  return { count, mean, squares, cubes, fourths }
}

/** Adds `b` to `a`. */
export function addSums(a: CentralSums, b: CentralSums): void {
  if (b.count === 0) return
  const count = a.count + b.count
  const delta = b.mean - a.mean
  const step = delta / count
  const product = a.count * b.count
  a.fourths +=
    b.fourths +
    delta * step ** 3 * product * (a.count ** 2 - product + b.count ** 2) +
    6 * step ** 2 * (a.count ** 2 * b.squares + b.count ** 2 * a.squares) +
    4 * step * (a.count * b.cubes - b.count * a.cubes)
  a.cubes +=
    b.cubes +
    delta * step ** 2 * product * (a.count - b.count) +
    3 * step * (a.count * b.squares - b.count * a.squares)
  a.squares += b.squares + delta * step * product
  a.mean += step * b.count
  a.count = count
}

/** Mean and shape of a set of values. */
export interface Moments {
  readonly mean: number
  /** Population standard deviation (divides by n). */
  readonly sd: number
  /** Third standardised moment; `NaN` where all values are equal. */
  readonly skewness: number
  /** Excess kurtosis: 0 for a normal distribution; `NaN` where all values are equal. */
  readonly kurtosis: number
}

export function momentsOf({ count, mean, squares, cubes, fourths }: CentralSums): Moments {
  const spread = squares > 0 ? 1 : Number.NaN
  return {
    mean,
    sd: Math.sqrt(squares / count),
    skewness: spread * (Math.sqrt(count) * (cubes / squares ** 1.5)),
    kurtosis: spread * ((count * fourths) / squares ** 2 - 3),
  }
}
