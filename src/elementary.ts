/**
 * Logarithm and exponential from `+ - * /` alone, whose results IEEE 754 fixes to the bit. JavaScript leaves
 * `Math.log` and `Math.exp` to the engine, and V8 has changed their last bits before; what is drawn for a zoo may not
 * depend on that. Within 2 units in the last place of the true value.
 */

/** Natural logarithm. */
export function logarithm(x: number): number {
  if (!(x > 0 && x < Number.POSITIVE_INFINITY)) return Math.log(x)
  let mantissa = x
  let exponent = 0
  for (; mantissa >= Math.SQRT2; exponent++) mantissa /= 2
  for (; mantissa < Math.SQRT1_2; exponent--) mantissa *= 2
  // ln m = 2 artanh z, z = (m - 1) / (m + 1); |z| <= 0.172, so that the term of z^23 is below 2^-56.
  const z = (mantissa - 1) / (mantissa + 1)
  let sum = 0
  for (let k = 21; k > 0; k -= 2) sum = sum * z * z + 1 / k
  return exponent * Math.LN2 + 2 * z * sum
}

/** e to the power of `x`, for `x` from -700 to 700. */
export function exponential(x: number): number {
  const exponent = Math.round(x / Math.LN2)
  const rest = x - exponent * Math.LN2
  // |rest| <= 0.347: the term of rest^15 is below 2^-60.
  let result = 1
  for (let k = 14; k > 0; k--) result = 1 + (result * rest) / k
  for (let i = 0; i < exponent; i++) result *= 2
  for (let i = 0; i > exponent; i--) result /= 2
  return result
}
