import type { Architecture } from '../../../dist/architecture/architecture.js'

/** For every array of parameters, the largest error as a share of the array's largest gradient. */
export function gradientErrors(
  { parameters }: Architecture,
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
): { array: string; error: number }[] {
  return parameters.map(({ layer, part, offset, size }) => {
    let largest = 0
    let error = 0
    for (let i = offset; i < offset + size; i++) {
      largest = Math.max(largest, Math.abs(expected[i]!))
      error = Math.max(error, Math.abs(actual[i]! - expected[i]!))
    }
    return { array: `${layer} ${part}`, error: error / largest }
  })
}

/** Length of the difference, as a share of the way from `start` to `expected`. */
export function relativeError(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  start: ArrayLike<number>,
): number {
  let difference = 0
  let way = 0
  for (let i = 0; i < expected.length; i++) {
    difference += (actual[i]! - expected[i]!) ** 2
    way += (expected[i]! - start[i]!) ** 2
  }
  return Math.sqrt(difference / way)
}
