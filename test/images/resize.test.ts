import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { resizeBilinear } from '../../dist/images/resize.js'
import { noise, type Picture, picture } from './support.js'

/**
 * Bilinear resampling written another way, in float64: every source pixel counts with the triangle of its distance
 * from the sampling point, which is kept inside the outermost pixel centres.
 */
function reference({ data, height, width, channels }: Picture, [outHeight, outWidth]: [number, number]) {
  const weights = (outSize: number, inSize: number) =>
    Array.from({ length: outSize }, (_, i) => {
      const at = Math.min(inSize - 1, Math.max(0, ((i + 0.5) * inSize) / outSize - 0.5))
      return Array.from({ length: inSize }, (_, j) => [j, Math.max(0, 1 - Math.abs(at - j))] as const).filter(
        ([, weight]) => weight > 0,
      )
    })
  const columns = weights(outWidth, width)
  return weights(outHeight, height).flatMap(row =>
    columns.flatMap(column =>
      Array.from({ length: channels }, (_, c) => {
        let sum = 0
        for (const [y, wy] of row)
          for (const [x, wx] of column) sum += wy * wx * data[(y * width + x) * channels + c]!
        return sum / 255
      }),
    ),
  )
}

function largestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  expect(a.length).toBe(b.length)
  let largest = 0
  for (let i = 0; i < a.length; i++) largest = Math.max(largest, Math.abs(a[i]! - b[i]!))
  return largest
}

const SIZES: [from: [number, number], to: [number, number]][] = [
  [
    [33, 57],
    [32, 32],
  ],
  [
    [375, 500],
    [32, 32],
  ],
  [
    [500, 333],
    [32, 32],
  ],
  [
    [320, 431],
    [32, 32],
  ],
  [
    [10, 10],
    [32, 32],
  ],
  [
    [1, 1],
    [5, 7],
  ],
  [
    [2, 3],
    [28, 31],
  ],
  [
    [224, 224],
    [32, 32],
  ],
  [
    [64, 64],
    [28, 28],
  ],
  [
    [31, 17],
    [31, 17],
  ],
]

test.each(SIZES)('%j to %j agrees with float64 bilinear sampling', ([height, width], to) => {
  const image = picture(height, width, 3)
  // A float32 sampling position near 500 is off by up to 3e-5 pixels, and neighbours differ by up to 1.
  expect(largestDifference(resizeBilinear(image, to, 3), reference(image, to))).toBeLessThan(6e-5)
})

const golden = JSON.parse(readFileSync(new URL('../fixtures/resize.json', import.meta.url), 'utf8')) as {
  cases: { from: [number, number]; to: [number, number]; sha256: string; values: number[] }[]
}

test.each(golden.cases)(
  '$from to $to equals TensorFlow 2.21.0 bit for bit',
  ({ from: [height, width], to, sha256, values }) => {
    const data = Uint8Array.from(
      { length: height * width * 3 },
      (_, i) => (i * i * 7 + i * 13 + Math.floor(i / 5)) % 251,
    )
    const resized = resizeBilinear({ data, height, width, channels: 3 }, to, 3)
    const step = Math.max(1, Math.floor(resized.length / 40))
    expect([...resized.filter((_, i) => i % step === 0)]).toEqual(values)
    expect(createHash('sha256').update(new Uint8Array(resized.buffer)).digest('hex')).toBe(sha256)
  },
)

test('2 x 2 to 4 x 4 mixes neighbours as 3 : 1, edges keep their value', () => {
  const image: Picture = { data: Uint8Array.of(0, 100, 200, 40), height: 2, width: 2, channels: 1 }
  const near = [0, 25, 75, 100]
  const far = [200, 160, 80, 40]
  const expected = [...near, ...near, ...near, ...far]
  for (let x = 0; x < 4; x++) {
    expected[4 + x] = 0.75 * near[x]! + 0.25 * far[x]!
    expected[8 + x] = 0.25 * near[x]! + 0.75 * far[x]!
  }
  expect([...resizeBilinear(image, [4, 4], 1)]).toEqual(expected.map(value => Math.fround(value / 255)))
})

test('224 to 32 takes the pixels 7 i + 3 and nothing else', () => {
  const image = picture(224, 224, 3, 3)
  const resized = resizeBilinear(image, [32, 32], 3)
  const picked = Float32Array.from(
    { length: 32 * 32 * 3 },
    (_, i) =>
      image.data[((7 * Math.floor(i / 96) + 3) * 224 + 7 * (Math.floor(i / 3) % 32) + 3) * 3 + (i % 3)]! /
      255,
  )
  expect(resized).toEqual(picked)
})

test('an image of the wanted size stays as it is, over 255', () => {
  const image = picture(9, 5, 3)
  expect(resizeBilinear(image, [9, 5], 3)).toEqual(Float32Array.from(image.data, value => value / 255))
})

test('grey becomes three equal channels, and alpha is dropped', () => {
  const grey = picture(12, 11, 1)
  const one = resizeBilinear(grey, [7, 6], 1)
  expect(resizeBilinear(grey, [7, 6], 3)).toEqual(
    Float32Array.from({ length: 126 }, (_, i) => one[Math.floor(i / 3)]!),
  )

  const withAlpha = (channels: number) => {
    const alpha = noise(12, 11, 1, 9)
    const image = picture(12, 11, channels as 1 | 3)
    const data = new Uint8Array(132 * (channels + 1))
    for (let i = 0; i < 132; i++) {
      data.set(image.data.subarray(i * channels, (i + 1) * channels), i * (channels + 1))
      data[i * (channels + 1) + channels] = alpha[i]!
    }
    return [image, { ...image, data, channels: channels + 1 }] as const
  }
  for (const [plain, alpha] of [withAlpha(1), withAlpha(3)])
    expect(resizeBilinear(alpha, [7, 6], 3)).toEqual(resizeBilinear(plain, [7, 6], 3))
})

test('RGB becomes grey by the luminance of Rec. 601, and equal R, G, B keep their value', () => {
  const image = picture(8, 8, 3, 4)
  const grey = resizeBilinear(image, [8, 8], 1)
  for (let i = 0; i < 64; i++) {
    const [r, g, b] = image.data.subarray(3 * i) as unknown as [number, number, number]
    // A little more than a half, as the weights are rounded to 16 bits.
    expect(Math.abs(grey[i]! * 255 - (0.299 * r + 0.587 * g + 0.114 * b))).toBeLessThan(0.505)
  }
  const ramp = Uint8Array.from({ length: 256 * 3 }, (_, i) => Math.floor(i / 3))
  expect(resizeBilinear({ data: ramp, height: 1, width: 256, channels: 3 }, [1, 256], 1)).toEqual(
    Float32Array.from({ length: 256 }, (_, i) => i / 255),
  )
})
