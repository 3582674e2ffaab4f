import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { philox4x32, RandomStream } from '../dist/random.js'

type Words = [number, number, number, number]

const golden = JSON.parse(readFileSync(new URL('fixtures/random.json', import.meta.url), 'utf8')) as {
  knownAnswers: { counter: Words; key: [number, number]; block: Words }[]
  streams: { path: (number | string)[]; uint32: number[] }[]
  draws: { path: (number | string)[] } & Record<string, number[]>
}

const times = <T>(count: number, draw: () => T) => Array.from({ length: count }, draw)

/** Pearson's statistic of the counts against equal ones, in standard deviations above its mean. */
function excess(draws: (number | string)[], bins: number): number {
  const counts = new Map<number | string, number>()
  for (const draw of draws) counts.set(draw, (counts.get(draw) ?? 0) + 1)
  expect(counts.size).toBe(bins)
  const expected = draws.length / bins
  const statistic = [...counts.values()].reduce((sum, n) => sum + (n - expected) ** 2 / expected, 0)
  return (statistic - (bins - 1)) / Math.sqrt(2 * (bins - 1))
}

describe('philox4x32', () => {
  it.each(golden.knownAnswers)("gives Random123's known answer for key $key", ({ counter, key, block }) => {
    expect(philox4x32(counter, key)).toEqual(block)
  })
})

describe('RandomStream', () => {
  it.each(golden.streams)('$path has the bits that Python gives', ({ path, uint32 }) => {
    const stream = new RandomStream(...path)
    expect(times(uint32.length, () => stream.uint32())).toEqual(uint32)
  })

  it("draws Python's numbers, integers and shuffles", () => {
    const { path, ...draws } = golden.draws
    const fresh = () => new RandomStream(...path)
    const list = (count: number, draw: (stream: RandomStream) => number) => {
      const stream = fresh()
      return times(count, () => draw(stream))
    }
    const upTo20 = () => Array.from({ length: 20 }, (_, i) => i)
    expect(list(8, stream => stream.uniform())).toEqual(draws['uniform'])
    expect(list(8, stream => stream.uniform(-0.5, 0.25))).toEqual(draws['uniformRange'])
    expect(list(16, stream => stream.integer(100))).toEqual(draws['integer100'])
    expect(list(16, stream => stream.integer(3e9))).toEqual(draws['integer3e9'])
    expect(list(8, stream => stream.logUniform(1e-4, 1e-2))).toEqual(draws['logUniform'])
    expect(list(8, stream => stream.normal(1, 0.5))).toEqual(draws['normal'])
    expect(fresh().shuffle(upTo20())).toEqual(draws['shuffle20'])
    expect(fresh().shuffle(upTo20(), 5)).toEqual(draws['shuffle20first5'])
  })

  it('stays as it is whatever other streams draw', () => {
    const alone = new RandomStream(7, 'church')
    const expected = times(9, () => alone.uint32())
    const [stream, other] = [new RandomStream(7, 'church'), new RandomStream(7, 'tench')]
    const beside = times(9, () => {
      other.shuffle(times(5, () => 0))
      return stream.uint32()
    })
    expect(beside).toEqual(expected)
  })

  it('tells paths apart that read alike', () => {
    const paths = [[1, 2], [12], ['1', 2], ['1,2'], [1, '2'], [2, 1], [1, 2, '']]
    expect(new Set(paths.map(path => new RandomStream(...path).uint32())).size).toBe(paths.length)
  })

  it('begins evenly over neighbouring names', () => {
    let index = 0
    const firstDraws = times(16_000, () => Math.floor(new RandomStream(7, 'church', index++).uniform(0, 16)))
    expect(excess(firstDraws, 16)).toBeLessThan(5)
  })
})

describe('integer', () => {
  const stream = new RandomStream(1, 'integer')

  it('gives each value as often', () => {
    expect(
      excess(
        times(70_000, () => stream.integer(7)),
        7,
      ),
    ).toBeLessThan(5)
  })

  it('has no modulo bias, which would give the lowest third of 3e9 two thirds of the draws', () => {
    expect(
      excess(
        times(30_000, () => Math.floor(stream.integer(3e9) / 1e9)),
        3,
      ),
    ).toBeLessThan(5)
  })

  it('reaches both ends: 1 and 2^32', () => {
    expect(times(5, () => stream.integer(1))).toEqual([0, 0, 0, 0, 0])
    expect(Math.max(...times(100, () => stream.integer(2 ** 32)))).toBeGreaterThan(2 ** 31)
  })
})

describe('refusals', () => {
  const stream = new RandomStream(3)

  it.each([0, -1, 1.5, Number.NaN, 2 ** 32 + 1])('integer below %d', below => {
    expect(() => stream.integer(below)).toThrow(`invalid below; needs an integer from 1 to 2^32: ${below}`)
  })

  it('more items than there are', () => {
    expect(() => stream.choose(Uint32Array.of(1, 2), 3)).toThrow(
      'invalid count; there are 2 items to choose from: 3',
    )
  })
})

describe('shuffle and choose', () => {
  const stream = new RandomStream(2, 'order')

  it('shuffles in place into each of the 24 orders of 4 as often', () => {
    expect(
      excess(
        times(24_000, () => stream.shuffle([1, 2, 3, 4]).join()),
        24,
      ),
    ).toBeLessThan(5)
    const items = Uint32Array.of(5, 6, 7)
    expect(stream.shuffle(items)).toBe(items)
  })

  it('leaves nothing and one thing alone', () => {
    expect(stream.shuffle([])).toEqual([])
    expect(stream.shuffle([3])).toEqual([3])
  })

  it('chooses each of the 20 ordered pairs of 5 as often, none twice, and leaves the items', () => {
    const items = Uint32Array.of(0, 1, 2, 3, 4)
    const pairs = times(20_000, () => stream.choose(items, 2).join())
    expect(excess(pairs, 20)).toBeLessThan(5)
    expect(pairs.some(pair => pair[0] === pair[2])).toBe(false)
    expect([...items]).toEqual([0, 1, 2, 3, 4])
    expect([...stream.choose(items, 5)].sort()).toEqual([0, 1, 2, 3, 4])
    expect(stream.choose(items, 0)).toHaveLength(0)
  })
})
