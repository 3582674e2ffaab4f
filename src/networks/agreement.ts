/** What networks call positive: 1 where the probability is above 0.5, else 0. `[networks, images]` flat, or one's `[images]`. */
export type Calls = Uint8Array

/** How far two networks call the same images positive. */
export interface Agreement {
  /** Share of images that both call the same (1 minus Kuncheva and Whitaker's disagreement measure, 2003). */
  readonly agreement: number
  /**
   * Cohen's kappa (1960): agreement beyond what chance gives two networks that call as many positive; 1 is perfect, 0
   * chance. NaN where both call all images the same way, which leaves nothing to agree on.
   */
  readonly kappa: number
}

/** Agreement of two networks on the same images. */
export function agreementOf(a: Calls, b: Calls): Agreement {
  const count = a.length
  let same = 0
  let aPositive = 0
  let bPositive = 0
  for (let i = 0; i < count; i++) {
    same += Number(a[i] === b[i])
    aPositive += a[i]!
    bPositive += b[i]!
  }
  const agreement = same / count
  const byChance = (aPositive * bPositive + (count - aPositive) * (count - bPositive)) / (count * count)
  return { agreement, kappa: byChance === 1 ? Number.NaN : (agreement - byChance) / (1 - byChance) }
}

/**
 * Mean agreement over all pairs of networks, without going through the pairs: of `n` networks, `k` of which call an image
 * positive, `k (n - k)` pairs disagree on it.
 */
export function meanAgreement(networks: readonly Calls[]): number {
  const n = networks.length
  const images = networks[0]?.length ?? 0
  let disagreeing = 0
  for (let image = 0; image < images; image++) {
    let k = 0
    for (const calls of networks) k += calls[image]!
    disagreeing += k * (n - k)
  }
  return 1 - disagreeing / (images * ((n * (n - 1)) / 2))
}
