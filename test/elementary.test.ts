import { describe, expect, it } from 'vitest'
import { exponential, logarithm } from '../dist/elementary.js'

/** Doubles from `low` to `high`, evenly on a logarithmic scale, odd in all their bits. */
const spread = (low: number, high: number) =>
  Array.from({ length: 5000 }, (_, i) => low * (high / low) ** (i / 4999))

describe('elementary functions', () => {
  it.each([
    [1e-12, 1],
    [0.7, 1.42],
    [1, 1e12],
    [1e-150, 1e150],
  ])('the logarithm from %d to %d is right to 2 units in the last place', (low, high) => {
    const worst = Math.max(
      ...spread(low, high).map(x => Math.abs(logarithm(x) - Math.log(x)) / (Math.abs(Math.log(x)) || 1)),
    )
    expect(worst).toBeLessThanOrEqual(2 * Number.EPSILON)
    expect([logarithm(1), logarithm(0), logarithm(-1)]).toEqual([0, -Infinity, Number.NaN])
  })

  it('the exponential is right to 2 units in the last place, where sampling needs it', () => {
    for (const x of [...spread(1e-9, 30), ...spread(1e-9, 30).map(x => -x)]) {
      expect(Math.abs(exponential(x) / Math.exp(x) - 1)).toBeLessThanOrEqual(
        2 * Number.EPSILON * Math.max(1, Math.abs(x)),
      )
    }
    expect(exponential(0)).toBe(1)
  })
})
