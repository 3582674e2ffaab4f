import { describe, expect, it, vi } from 'vitest'
import { describeArchitecture } from '../../dist/architecture/architecture.js'
import { checkpointEpochs } from '../../dist/training/checkpoints.js'
import type { EngineBackend, TrainingJob } from '../../dist/training/engine.js'
import { trainNetwork } from '../../dist/training/train-network.js'
import { imagesOf } from '../sampling/images.js'

const images = imagesOf({ a: 6, b: 4 })

function jobOf(epochs: number, keep: 'last' | 'best' = 'last'): TrainingJob {
  return {
    name: 'a_0',
    architecture: describeArchitecture({
      name: 'tiny',
      inputShape: [1, 1, 1],
      layers: [{ kind: 'flatten' }, { kind: 'dense', units: 1 }],
    }),
    initialWeights: new Float32Array(2),
    images,
    order: Uint32Array.from({ length: 10 * epochs }, (_, i) => i % 10),
    trainTargets: images.train.labels,
    validationTargets: images.validation.labels,
    loss: 'binaryCrossentropy',
    optimizer: { kind: 'sgd', learningRate: 0.1, momentum: 0 },
    batchSize: 4,
    epochs,
    keep,
  }
}

/** A job of a network with one weight, as the fake backend has. */
const oneWeight = (epochs: number) => {
  const job = jobOf(epochs)
  return { ...job, architecture: { ...job.architecture, parameterCount: 1 } }
}

/** A backend whose mean validation losses are given, and whose weights and outputs are the epoch's number. */
function fakeBackend(validationLosses: number[], trainingLoss = 0.5) {
  const batches: number[][] = []
  const dispose = vi.fn()
  let evaluations = 0
  const backend: EngineBackend = {
    arithmetic: 'none',
    createTrainer: () => ({
      step(batch) {
        batches.push([...batch])
        return { loss: trainingLoss * batch.length, correct: 1 }
      },
      evaluate() {
        const loss = validationLosses[evaluations]!
        evaluations++
        return { loss: loss * images.validation.count, correct: 1, outputs: Float32Array.of(evaluations - 1) }
      },
      weights: () => Float32Array.of(evaluations - 1),
      gradient: () => new Float32Array(2),
      setWeights: () => {},
      dispose,
    }),
  }
  return { backend, batches, dispose }
}

const watch = { aborted: () => false, onEpoch: () => {} }

describe('the kept epoch', () => {
  it.each([
    ['last', [3, 1, 2], 2],
    ['best', [3, 1, 2], 1],
    ['best', [3, 1, 1], 1],
    ['best', [1, 2, 3], 0],
    ['best', [3, 2, 1], 2],
  ] as const)('%s of validation losses %j is %d', (keep, losses, epoch) => {
    const result = trainNetwork(fakeBackend([...losses]).backend, jobOf(3, keep), watch)
    expect(result.epoch).toBe(epoch)
    expect([...result.weights]).toEqual([epoch])
    expect([...result.validationOutputs]).toEqual([epoch])
    expect(result.history.map(({ validationLoss }) => validationLoss)).toEqual(losses)
  })
})

describe('checkpoints', () => {
  it.each([
    [
      [0, 1, 2, 3],
      [-1, 0, 1, 2],
    ],
    [[2], [1]],
    [[], []],
  ])('after epochs %j are the weights then', (checkpoints, weights) => {
    const result = trainNetwork(fakeBackend([3, 1, 2]).backend, oneWeight(3), { ...watch, checkpoints })
    expect([...result.checkpoints]).toEqual(weights)
  })

  it('of a rule are those that the network reaches', () => {
    expect(checkpointEpochs('all', 3)).toEqual([0, 1, 2, 3])
    expect(checkpointEpochs({ every: 2 }, 5)).toEqual([0, 2, 4, 5])
    expect(checkpointEpochs([0, 2, 7], 5)).toEqual([0, 2])
  })
})

describe('an epoch', () => {
  it('goes through its order in batches, the last one smaller', () => {
    const { backend, batches, dispose } = fakeBackend([1, 1])
    trainNetwork(backend, jobOf(2), watch)
    const epoch = [
      [0, 1, 2, 3],
      [4, 5, 6, 7],
      [8, 9],
    ]
    expect(batches).toEqual([...epoch, ...epoch])
    expect(dispose).toHaveBeenCalledTimes(1)
  })

  it('is reported as means over its samples, when it ends', () => {
    const onEpoch = vi.fn()
    trainNetwork(fakeBackend([2, 1]).backend, jobOf(2), { ...watch, onEpoch })
    const record = { loss: 0.5, accuracy: 3 / 10, validationAccuracy: 1 / 2 }
    expect(onEpoch.mock.calls).toEqual([
      [{ ...record, epoch: 0, validationLoss: 2 }],
      [{ ...record, epoch: 1, validationLoss: 1 }],
    ])
  })
})

describe('stopping', () => {
  it.each([
    ['loss', [1], Number.NaN],
    ['validation loss', [Number.POSITIVE_INFINITY], 0.5],
  ])('a %s that is not finite fails, by name', (what, validationLosses, trainingLoss) => {
    const { backend, dispose } = fakeBackend(validationLosses, trainingLoss)
    expect(() => trainNetwork(backend, jobOf(1), watch)).toThrow(
      expect.objectContaining({
        tag: 'training',
        message: expect.stringMatching(`^${what} of a_0 is not finite in epoch 0: (NaN|Infinity)$`),
        fields: { network: 'a_0' },
      }),
    )
    expect(dispose).toHaveBeenCalledTimes(1)
  })

  it('comes before the next batch', () => {
    const { backend, batches, dispose } = fakeBackend([1, 1])
    const aborted = () => batches.length === 4
    expect(() => trainNetwork(backend, jobOf(2), { ...watch, aborted })).toThrow(
      expect.objectContaining({ tag: 'interrupted' }),
    )
    expect(batches).toHaveLength(4)
    expect(dispose).toHaveBeenCalledTimes(1)
  })

  it('frees the network whatever else fails', () => {
    const { backend, dispose } = fakeBackend([1])
    const onEpoch = () => {
      throw new Error('full')
    }
    expect(() => trainNetwork(backend, jobOf(1), { ...watch, onEpoch })).toThrow('full')
    expect(dispose).toHaveBeenCalledTimes(1)
  })
})
