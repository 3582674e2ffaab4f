/** A support vector machine of two classes: the sum of weighted kernels, less the offset, is positive for the first. */
export interface Machine {
  /** Of every training row: its sign times its multiplier; 0 for all but support vectors. */
  readonly weights: Float64Array
  readonly offset: number
}

/** Where libsvm stops: no two rows violate the optimality conditions by more. */
const TOLERANCE = 1e-3

/** Against curvatures of zero (equal rows), as libsvm. */
const LEAST_CURVATURE = 1e-12

/** Steps between two `yield`s: some milliseconds. */
const STEPS = 200

/**
 * Solves the dual problem of a support vector machine by sequential minimal optimisation (Platt 1998): two multipliers at
 * a time, chosen by second-order information (Fan, Chen & Lin, *Working set selection using second order information for
 * training support vector machines*, JMLR 6, 2005), until {@link TOLERANCE}.
 *
 * @param kernel between any two rows, `[n][n]`
 * @param signs +1 for rows of the first class, -1 for the second. `[n]`
 * @param cost the most that a multiplier can be
 */
export function* solve(
  kernel: readonly Float64Array[],
  signs: Int8Array,
  cost: number,
): Generator<void, Machine> {
  const count = signs.length
  const multipliers = new Float64Array(count)
  // Minus the gradient of the dual times the sign: how much a row wants its multiplier moved towards its own class.
  const pull = Float64Array.from(signs)
  const canRise = (t: number) => (signs[t]! > 0 ? multipliers[t]! < cost : multipliers[t]! > 0)
  const canFall = (t: number) => (signs[t]! > 0 ? multipliers[t]! > 0 : multipliers[t]! < cost)
  for (let step = 1; ; step++) {
    const i = largest(pull, canRise)
    const row = kernel[i]!
    let j = -1
    let least = Number.POSITIVE_INFINITY
    let gain = 0
    for (let t = 0; t < count; t++) {
      if (!canFall(t)) continue
      least = Math.min(least, pull[t]!)
      const difference = pull[i]! - pull[t]!
      if (difference <= 0) continue
      const curvature = Math.max(row[i]! + kernel[t]![t]! - 2 * row[t]!, LEAST_CURVATURE)
      if (difference ** 2 / curvature <= gain) continue
      gain = difference ** 2 / curvature
      j = t
    }
    if (j < 0 || pull[i]! - least < TOLERANCE) break
    const other = kernel[j]!
    const curvature = Math.max(row[i]! + other[j]! - 2 * row[j]!, LEAST_CURVATURE)
    const room = [
      signs[i]! > 0 ? cost - multipliers[i]! : multipliers[i]!,
      signs[j]! > 0 ? multipliers[j]! : cost - multipliers[j]!,
    ] as const
    const move = Math.min((pull[i]! - pull[j]!) / curvature, ...room)
    multipliers[i] = moved(multipliers[i]!, signs[i]! * move, cost)
    multipliers[j] = moved(multipliers[j]!, -signs[j]! * move, cost)
    for (let t = 0; t < count; t++) pull[t]! -= move * (row[t]! - other[t]!)
    if (step % STEPS === 0) yield
  }
  return { weights: multipliers.map((value, t) => signs[t]! * value), offset: -offset() }

  /** Where a row on the margin lies; between the bounds where there is none. */
  function offset(): number {
    let sum = 0
    let free = 0
    let low = Number.NEGATIVE_INFINITY
    let high = Number.POSITIVE_INFINITY
    for (let t = 0; t < count; t++) {
      if (multipliers[t]! > 0 && multipliers[t]! < cost) {
        sum += pull[t]!
        free++
      } else if (canRise(t)) low = Math.max(low, pull[t]!)
      else high = Math.min(high, pull[t]!)
    }
    return free > 0 ? sum / free : (low + high) / 2
  }
}

/** The sum, exactly a bound where it comes within rounding of one. */
function moved(value: number, by: number, cost: number): number {
  const sum = value + by
  if (sum < 1e-12 * cost) return 0
  return sum > (1 - 1e-12) * cost ? cost : sum
}

function largest(values: Float64Array, isAllowed: (t: number) => boolean): number {
  let best = -1
  for (let t = 0; t < values.length; t++) {
    if ((best < 0 || values[t]! > values[best]!) && isAllowed(t)) best = t
  }
  return best
}
