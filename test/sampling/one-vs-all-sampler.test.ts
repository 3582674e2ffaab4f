import { describe, expect, it } from 'vitest'
import { RandomStream } from '../../dist/random.js'
import { type OneVsAllSample, OneVsAllSampler } from '../../dist/sampling/one-vs-all-sampler.js'
import { IMAGENETTE_COUNTS, imagesOf } from './images.js'

const images = imagesOf(IMAGENETTE_COUNTS)
const { labels } = images.train
const sampler = new OneVsAllSampler({ images })
const draw = (className: string, index = 0, from = sampler) =>
  from.sample(className, new RandomStream(7, className, index, 'sampling'))
const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length

function expectSound({ indices, positives, positiveFraction }: OneVsAllSample, label: number, total: number) {
  expect(indices).toHaveLength(total)
  expect(new Set(indices).size).toBe(total)
  expect(indices.subarray(0, positives).every(i => labels[i] === label)).toBe(true)
  expect(indices.subarray(positives).some(i => labels[i] === label)).toBe(false)
  expect(positiveFraction).toBe(positives / total)
}

describe('at the size of Imagenette', () => {
  it('gives each network 9,000 images', () => {
    expect(sampler.samplesPerNetwork).toBe(9000)
    expect(sampler.positiveFraction).toEqual([0.09, 0.1])
  })

  // Uniform on [low, high]: mean in the middle, standard deviation width / sqrt(12), both to four standard errors.
  it.each([
    ['church', 0.09, 0.1],
    ['chain_saw', 0.09, 858 / 9000],
  ])('1,000 networks of %s draw their fractions uniformly from [%d, %d]', (className, low, high) => {
    const fractions = Array.from({ length: 1000 }, (_, i) => draw(className, i).positiveFraction)
    const width = high - low
    const centre = mean(fractions)
    const deviation = Math.sqrt(mean(fractions.map(fraction => (fraction - centre) ** 2)))
    expect(Math.min(...fractions)).toBeGreaterThanOrEqual(low)
    expect(Math.max(...fractions)).toBeLessThanOrEqual(high)
    expect(Math.max(...fractions) - Math.min(...fractions)).toBeGreaterThan(0.98 * width)
    expect(Math.abs(centre - (low + high) / 2)).toBeLessThan((4 * width) / Math.sqrt(12 * 1000))
    expect(deviation / (width / Math.sqrt(12))).toBeCloseTo(1, 1)
  })

  it.each(Object.keys(IMAGENETTE_COUNTS))(
    '%s: positives of the class, negatives of others, none twice',
    name => {
      expectSound(draw(name), images.classNames.indexOf(name), 9000)
    },
  )
})

describe('what is drawn', () => {
  const small = new OneVsAllSampler({ images, samplesPerNetwork: 1000 })
  const samples = Array.from({ length: 300 }, (_, i) => draw('church', i, small))

  it('takes negatives of all other classes in proportion', () => {
    const negatives = samples.flatMap(({ indices, positives }) => [...indices.subarray(positives)])
    const others = labels.length - IMAGENETTE_COUNTS.church
    for (const [label, [name, count]] of Object.entries(IMAGENETTE_COUNTS).entries()) {
      if (name === 'church') continue
      const share = negatives.filter(i => labels[i] === label).length / negatives.length
      const error = Math.sqrt((count / others) * (1 - count / others) * (1 / negatives.length))
      expect(Math.abs(share - count / others), name).toBeLessThan(4 * error)
    }
  })

  it.each([
    ['positives', 941],
    ['negatives', 8528],
  ])('prefers no image among %s: all %d are drawn about as often', (side, count) => {
    const drawn = new Map<number, number>()
    for (const { indices, positives } of samples) {
      const half = side === 'positives' ? indices.subarray(0, positives) : indices.subarray(positives)
      for (const i of half) drawn.set(i, (drawn.get(i) ?? 0) + 1)
    }
    // About a tenth of either, 300 times: 30 each, give or take 5.
    expect(drawn.size).toBe(count)
    expect(Math.min(...drawn.values())).toBeGreaterThan(5)
    expect(Math.max(...drawn.values())).toBeLessThan(60)
  })

  it('differs between the networks of a class', () => {
    const sets = samples.map(({ indices }) => [...indices].sort((a, b) => a - b).join())
    expect(new Set(sets).size).toBe(samples.length)
  })

  it('is the same for the same stream', () => {
    expect(draw('church', 5)).toEqual(draw('church', 5))
  })
})

describe('size and range', () => {
  it.each([
    // 95 % of 10 x 30 images, all of which would do.
    [30, 285],
    // 9 to 10 % of 38, 95 % of 40, is no whole number; 3 of 33 is.
    [4, 33],
    [1, 10],
  ])('ten classes of %d images give %d samples by default', (perClass, expected) => {
    const images = imagesOf(Object.fromEntries(Array.from({ length: 10 }, (_, i) => [`c${i}`, perClass])))
    const sampler = new OneVsAllSampler({ images })
    expect(sampler.samplesPerNetwork).toBe(expected)
    for (const name of images.classNames) sampler.check(name)
  })

  it('leaves a class without images out of the default', () => {
    const sampler = new OneVsAllSampler({ images: imagesOf({ a: 100, b: 0, c: 100 }) })
    // 100 negatives are at least 90 %: 111 samples; 95 % of that.
    expect(sampler.samplesPerNetwork).toBe(105)
    sampler.check('a')
  })

  it('draws one exact fraction where min and max are equal', () => {
    const half = new OneVsAllSampler({ images, samplesPerNetwork: 1700, positiveFraction: [0.5, 0.5] })
    expect(draw('chain_saw', 0, half)).toMatchObject({ positives: 850 })
  })

  it('takes every image when asked for exactly those', () => {
    const images = imagesOf({ a: 10, b: 40, c: 50 })
    const all = new OneVsAllSampler({ images, samplesPerNetwork: 100, positiveFraction: [0.1, 0.1] })
    const { indices } = draw('a', 0, all)
    expect([...indices].sort((a, b) => a - b)).toEqual(Array.from({ length: 100 }, (_, i) => i))
  })
})

describe('refusals', () => {
  const refuse = (options: object, className = 'chain_saw', set = images) =>
    expect(() => new OneVsAllSampler({ images: set, ...options }).check(className))

  it.each<[string, string, object]>([
    [
      'class "chain_saw" has 858 training images; 20 to 30 % of 5000 samples needs at least 1000: ' +
        'set samplesPerNetwork to 4290 or less, or widen positiveFraction',
      'chain_saw',
      { samplesPerNetwork: 5000, positiveFraction: [0.2, 0.3] },
    ],
    [
      'class "chain_saw" has 8611 training images of other classes; 5 to 6 % of 9400 samples needs at least 8836: ' +
        'set samplesPerNetwork to 9160 or less, or widen positiveFraction',
      'chain_saw',
      { samplesPerNetwork: 9400, positiveFraction: [0.05, 0.06] },
    ],
    [
      'there are 9469 training images, not 10000: set samplesPerNetwork to 9469 or less, or widen positiveFraction',
      'church',
      { samplesPerNetwork: 10_000 },
    ],
    [
      'class "church": no whole number of images is 9 to 10 % of 5 samples: set samplesPerNetwork to 9469, or widen positiveFraction',
      'church',
      { samplesPerNetwork: 5 },
    ],
  ])('%s', (message, path, options) => {
    refuse(options, path).toThrow(expect.objectContaining({ tag: 'images', message, fields: { path } }))
  })

  it('suggests a number that works, and the largest', () => {
    const positiveFraction = [0.2, 0.3] as const
    new OneVsAllSampler({ images, positiveFraction, samplesPerNetwork: 4290 }).check('chain_saw')
    refuse({ positiveFraction, samplesPerNetwork: 4291 }).toThrow('chain_saw')
  })

  it('says which class has no images at all, or is the only one that has', () => {
    refuse({}, 'b', imagesOf({ a: 100, b: 0, c: 100 })).toThrow('class "b" has no training images')
    refuse({}, 'a', imagesOf({ a: 100, b: 0 })).toThrow('no class but "a" has training images: add negatives')
  })

  it.each<[string, object]>([
    ['invalid positiveFraction; not in (0, 1): 1.2', { positiveFraction: [0.5, 1.2] }],
    ['invalid positiveFraction; not in (0, 1): 0', { positiveFraction: [0, 0.1] }],
    ['invalid positiveFraction; min is larger than max: [0.2,0.1]', { positiveFraction: [0.2, 0.1] }],
    ['invalid positiveFraction; needs two numbers [min, max]: 0.1', { positiveFraction: 0.1 }],
    ['invalid samplesPerNetwork; needs a positive integer: 0', { samplesPerNetwork: 0 }],
    ['invalid samplesPerNetwork; needs a positive integer: 10.5', { samplesPerNetwork: 10.5 }],
    [
      'unknown option of OneVsAllSampler: "samples"; known are images, samplesPerNetwork, positiveFraction',
      { samples: 9 },
    ],
  ])('%s', (message, options) => {
    refuse(options).toThrow(expect.objectContaining({ tag: 'option', message }))
  })

  it('a class that is not there, with the nearest that is', () => {
    refuse({}, 'chainsaw').toThrow(
      'invalid class; is not in the image set; did you mean "chain_saw"?: chainsaw',
    )
  })
})
