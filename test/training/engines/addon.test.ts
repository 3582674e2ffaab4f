import { describe, expect, it } from 'vitest'
import { reasonOf } from '../../../dist/errors.js'
import { loadAddon, type NativeAddon } from '../../../dist/training/engines/native.js'

let addon: NativeAddon | undefined
try {
  addon = loadAddon().addon
} catch (error) {
  console.log(`skipped the addon: ${reasonOf(error)}`)
}

// One dense layer of 2 x 1 weights; kernel.h has the meaning of the numbers.
const LAYERS = Int32Array.of(4, 3, 1, 1, 2, 1, 1, 1, 0, 0, 0, 0, 0, 0, 1)
const INTEGERS = Int32Array.of(0, 1, 0, 0, 4, 3, 0, 0)
const REALS = Float64Array.of(0.1, 0, 0, 0, 0)

describe.skipIf(!addon)('addon', () => {
  const { create, destroy, step, getWeights } = (addon ?? {}) as NativeAddon
  const newTrainer = () => create(LAYERS, 1, INTEGERS, REALS, new Float32Array(3))
  const pixels = new Float32Array(new SharedArrayBuffer(16))
  const score = new Float64Array(2)
  const takeStep = (trainer: ReturnType<typeof create>) =>
    step(trainer, pixels, Uint8Array.of(0, 1), Uint32Array.of(0, 1), score)

  it('reads pixels in shared memory in place', () => {
    pixels.set([0, 0, 1, 1])
    const trainer = newTrainer()
    expect(takeStep(trainer)).toBe(0)
    expect(score[0]).toBeCloseTo(2 * Math.log(2), 6)
    const weights = new Float32Array(3)
    getWeights(trainer, weights)
    // Sigmoid 0.5 at both; only the second sample, of target 1, has pixels.
    expect(Array.from(weights, value => Math.round(value * 1e6) / 1e6)).toEqual([0, 0.025, 0.025])
    destroy(trainer)
  })

  it('throws instead of crashing when a trainer is stale or no trainer', () => {
    const trainer = newTrainer()
    destroy(trainer)
    destroy(trainer)
    expect(() => takeStep(trainer)).toThrow('the trainer is disposed')
    for (const wrong of [undefined, null, 7, {}, new Float32Array(1)]) {
      expect(() => takeStep(wrong as never)).toThrow('expected a trainer')
    }
  })

  it('throws instead of crashing when an array is of another type', () => {
    const trainer = newTrainer()
    expect(() =>
      step(trainer, new Float64Array(4) as never, Uint8Array.of(0), Uint32Array.of(0), score),
    ).toThrow('expected another type of array')
    expect(() => (step as (...all: unknown[]) => void)()).toThrow('too few arguments')
    destroy(trainer)
  })

  it('passes the reason on where the kernel cannot do a layer', () => {
    const layers = LAYERS.slice()
    layers[1] = 1
    expect(() => create(layers, 1, INTEGERS, REALS, new Float32Array(3))).toThrow(
      /^layer 0 \(dense\): .*loss/,
    )
  })
})
