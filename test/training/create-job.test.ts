import { describe, expect, it } from 'vitest'
import { jobFactory } from '../../dist/training/create-job.js'
import { type RecipeOptions, resolveRecipe } from '../../dist/training/recipe.js'
import { imagesOf } from '../sampling/images.js'

const images = imagesOf({ a: 60, b: 50, c: 70 })
const makerOf = (options: RecipeOptions = {}) =>
  jobFactory(
    resolveRecipe(
      {
        architecture: {
          name: 'tiny',
          inputShape: [1, 1, 1],
          layers: [{ kind: 'flatten' }, { kind: 'dense', units: 1, activation: 'sigmoid' }],
        },
        epochs: 3,
        ...options,
      },
      images,
    ),
    images,
  )

const make = makerOf()
const { job, positiveFraction } = make('b', 2)
const count = job.order.length / 3
const epochs = [0, 1, 2].map(epoch => job.order.subarray(epoch * count, (epoch + 1) * count))
const sorted = (order: Uint32Array) => [...order].sort((a, b) => a - b)

describe('a job', () => {
  it('is the same in another order, among other networks, on its own', () => {
    const other = makerOf()
    other('c', 9)
    expect(other('b', 2)).toEqual({ job, positiveFraction })
  })

  it('has a sample and weights that no other network, class or seed has', () => {
    const jobs = [job, make('b', 3).job, make('c', 2).job, makerOf({ seed: 1 })('b', 2).job]
    expect(new Set(jobs.map(({ initialWeights }) => initialWeights.join())).size).toBe(4)
    expect(new Set(jobs.map(({ order }) => sorted(order.subarray(0, count)).join())).size).toBe(4)
  })

  it('keeps its first epochs when there are more of them', () => {
    const longer = makerOf({ epochs: 8 })('b', 2).job
    expect(longer.order.slice(0, 3 * count)).toEqual(job.order)
    expect(longer.initialWeights).toEqual(job.initialWeights)
  })

  it('depends on nothing that is not drawn: batch size, optimiser, which epoch is kept', () => {
    const other = makerOf({ batchSize: 5, optimizer: 'sgd', keep: 'best' })('b', 2).job
    expect(other.order).toEqual(job.order)
    expect(other.initialWeights).toEqual(job.initialWeights)
    expect(other).toMatchObject({ batchSize: 5, optimizer: { kind: 'sgd' }, keep: 'best' })
  })
})

describe('the order', () => {
  it('is another permutation of one sample in every epoch', () => {
    expect(new Set(sorted(epochs[0]!)).size).toBe(count)
    for (const epoch of epochs) expect(sorted(epoch)).toEqual(sorted(epochs[0]!))
    // Two independent permutations have one place in common, on average.
    for (const [a, b] of [
      [0, 1],
      [0, 2],
      [1, 2],
    ] as const) {
      expect(epochs[a]!.filter((index, place) => index === epochs[b]![place]).length).toBeLessThan(8)
    }
  })

  it('does not begin with the positives', () => {
    const positives = Math.round(positiveFraction * count)
    for (const epoch of epochs) {
      const first = epoch.subarray(0, positives).filter(i => job.trainTargets[i]).length
      expect(first).toBeLessThan(positives)
    }
  })
})

describe('the targets', () => {
  it('are 1 for the class, in both splits, and make up the fraction that is reported', () => {
    expect([...job.trainTargets]).toEqual([...images.train.labels].map(label => (label === 1 ? 1 : 0)))
    expect([...job.validationTargets]).toEqual([0, 1, 0])
    expect(epochs[0]!.filter(i => job.trainTargets[i]).length / count).toBe(positiveFraction)
  })
})

describe('a class that is not there', () => {
  it('is refused', () => {
    expect(() => make('d', 0)).toThrow('invalid class; is not in the image set')
  })
})
