import { expect, test } from 'vitest'
import { ZooError } from '../../dist/errors.js'
import { createImageSet, type ImageSetInput } from '../../dist/images/image-set.js'
import { errorOf } from './support.js'

const input = (): ImageSetInput => ({
  name: 'two greys',
  classNames: ['dark', 'light'],
  shape: [1, 2, 1],
  train: { pixels: [0, 0.1, 0.9, 1], labels: [0, 1] },
  validation: { pixels: new Float32Array([0.2, 0.3]), labels: [1] },
})

test('copies into shared memory, so that later changes of the input do not show', () => {
  const given = input()
  const images = createImageSet(given)
  ;(given.train.pixels as number[])[0] = 5
  expect(images).toMatchObject({ name: 'two greys', classNames: ['dark', 'light'], shape: [1, 2, 1] })
  expect(images.train.pixels.buffer).toBeInstanceOf(SharedArrayBuffer)
  expect(images.train.labels.buffer).toBeInstanceOf(SharedArrayBuffer)
  expect([...images.train.pixels]).toEqual([0, 0.1, 0.9, 1].map(Math.fround))
  expect([...images.train.labels]).toEqual([0, 1])
  expect(images.train.count).toBe(2)
  expect(images.validation.count).toBe(1)
})

test('the fingerprint tells apart everything but the name', () => {
  const { fingerprint } = createImageSet(input())
  expect(fingerprint).toMatch(/^[0-9a-f]{64}$/)
  expect(createImageSet({ ...input(), name: 'other' }).fingerprint).toBe(fingerprint)
  const others: Partial<ImageSetInput>[] = [
    { classNames: ['dark', 'bright'] },
    { shape: [2, 1, 1] },
    { train: { pixels: [0, 0.1, 0.9, 0.99], labels: [0, 1] } },
    { train: { pixels: [0, 0.1, 0.9, 1], labels: [1, 1] } },
    { validation: { pixels: [0.2, 0.3], labels: [0] } },
  ]
  const all = others.map(other => createImageSet({ ...input(), ...other }).fingerprint)
  expect(new Set([fingerprint, ...all]).size).toBe(others.length + 1)
})

test.each<[string, object]>([
  ['invalid name; needs a text: 3', { name: 3 }],
  ['invalid classNames; needs 1 to 256 names: 0', { classNames: [] }],
  ['invalid classNames[1]; each name may stand only once: dark', { classNames: ['dark', 'dark'] }],
  ['invalid shape; needs [height, width, channels], each a positive integer: [1,2]', { shape: [1, 2] }],
  [
    'invalid train.pixels; 2 labels of 2 pixels each need a length of 4: 3',
    { train: { pixels: [0, 1, 2], labels: [0, 1] } },
  ],
  [
    'invalid train.labels[1]; not an integer in [0, 2): 2',
    { train: { pixels: [0, 0, 0, 0], labels: [0, 2] } },
  ],
  ['invalid train.labels[0]; not an integer in [0, 2): 0.5', { train: { pixels: [0, 0], labels: [0.5] } }],
  [
    'invalid validation.pixels[1]; not a finite float32: NaN',
    { validation: { pixels: [0, Number.NaN], labels: [0] } },
  ],
  [
    'invalid validation.pixels[0]; not a finite float32: 1e+39',
    { validation: { pixels: [1e39, 0], labels: [0] } },
  ],
  ['invalid validation.labels; needs at least one image: 0', { validation: { pixels: [], labels: [] } }],
  [
    'invalid train.pixels; needs floats in [0, 1], so divide 8-bit values by 255: Uint8Array',
    { train: { pixels: Uint8Array.of(1, 2), labels: [0] } },
  ],
  ['unknown option of createImageSet: "classnames"; did you mean "classNames"?', { classnames: [] }],
])('%s', async (message, change) => {
  const error = await errorOf(() => createImageSet({ ...input(), ...change } as ImageSetInput))
  expect(error).toBeInstanceOf(ZooError)
  expect(error).toMatchObject({ tag: 'option', message })
})
