import { expect, test } from 'vitest'
import { isZooError } from '../../dist/errors.js'
import { generateImages } from '../../dist/images/generate-images.js'
import type { ImageSet } from '../../dist/images/image-set.js'
import { errorOf } from './support.js'

test('makes ten classes of 32 x 32 RGB, in [0, 1], no image twice', () => {
  const images = generateImages({ trainPerClass: 20, validationPerClass: 10, seed: 7 })
  expect(images.classNames).toHaveLength(10)
  expect(images.classNames.slice(0, 4)).toEqual(['stripes', 'checks', 'discs', 'rings'])
  expect(images.shape).toEqual([32, 32, 3])
  expect(images.train.count).toBe(200)
  expect(images.validation.count).toBe(100)
  expect(images.train.pixels.every(pixel => pixel >= 0 && pixel <= 1)).toBe(true)
  const label = (i: number) => Math.floor(i / 20)
  expect([...images.train.labels]).toEqual(Array.from({ length: 200 }, (_, i) => label(i)))
  const all = [...rows(images.train), ...rows(images.validation)].map(row =>
    Buffer.from(row.slice().buffer).toString('base64'),
  )
  expect(new Set(all).size).toBe(300)
})

test('same seed, same set; a larger set begins each class with the smaller one', () => {
  const small = generateImages({ classes: 3, trainPerClass: 4, validationPerClass: 2, size: 16, seed: 1 })
  const same = generateImages({ classes: 3, trainPerClass: 4, validationPerClass: 2, size: 16, seed: 1 })
  expect(same.fingerprint).toBe(small.fingerprint)
  const other = generateImages({ classes: 3, trainPerClass: 4, validationPerClass: 2, size: 16, seed: 2 })
  expect(other.fingerprint).not.toBe(small.fingerprint)
  const large = generateImages({ classes: 4, trainPerClass: 6, validationPerClass: 2, size: 16, seed: 1 })
  const smallRows = rows(small.train)
  const largeRows = rows(large.train)
  for (let c = 0; c < 3; c++)
    for (let i = 0; i < 4; i++) expect(largeRows[c * 6 + i]).toEqual(smallRows[c * 4 + i])
})

test('has the same bits on every platform', () => {
  // As made on x86-64 with Node 20; no other source can say them. A change here changes everyone's demonstration.
  expect(generateImages({ trainPerClass: 3, validationPerClass: 2, seed: 7 }).fingerprint).toBe(
    'd3481cad6010b229f2fc32b65b6d4cc84aac67593dfe9c17788d09c699d70e44',
  )
})

test('is not solved by comparing pixels', () => {
  const images = generateImages({ trainPerClass: 60, validationPerClass: 20, seed: 3 })
  const train = rows(images.train)
  let right = 0
  for (const [i, row] of rows(images.validation).entries()) {
    let best = Number.POSITIVE_INFINITY
    let label = -1
    for (const [j, other] of train.entries()) {
      let distance = 0
      for (let p = 0; p < row.length; p += 2) distance += (row[p]! - other[p]!) ** 2
      if (distance < best) {
        best = distance
        label = images.train.labels[j]!
      }
    }
    if (label === images.validation.labels[i]) right++
  }
  // Chance is 20 of 200.
  expect(right).toBeLessThan(120)
})

test.each<[string, object]>([
  ['invalid classes; needs an integer from 2 to 10: 11', { classes: 11 }],
  ['invalid trainPerClass; needs a positive integer: 0', { trainPerClass: 0 }],
  ['invalid validationPerClass; needs a positive integer: 1.5', { validationPerClass: 1.5 }],
  ['invalid size; needs an integer of at least 8: 4', { size: 4 }],
  ['invalid seed; needs an integer: 0.5', { seed: 0.5 }],
  ['unknown option of generateImages: "perClass"; did you mean "trainPerClass"?', { perClass: 3 }],
])('%s', async (message, options) => {
  const error = await errorOf(() => generateImages(options))
  expect(isZooError(error, 'option')).toBe(true)
  expect(error.message.split(':')[0]).toBe(message.split(':')[0])
})

function rows({ pixels, count }: ImageSet['train']): Float32Array[] {
  const size = pixels.length / count
  return Array.from({ length: count }, (_, i) => pixels.subarray(i * size, (i + 1) * size))
}
