import { describe, expect, it } from 'vitest'
import type { ArchitectureSpec } from '../../../dist/architecture/architecture.js'
import { lenet5Architecture } from '../../../dist/architecture/lenet5.js'
import { isZooError } from '../../../dist/errors.js'
import type { TrainingJob, TrainingResult } from '../../../dist/training/engine.js'
import { evaluateNetworks } from '../../../dist/training/evaluate-networks.js'
import { trainNetwork } from '../../../dist/training/train-network.js'
import { makeJob, ODD_ARCHITECTURES, SGD } from './jobs.js'
import { openVariants, type Variant } from './variants.js'

const variants = await openVariants()
const [odd, linear] = ODD_ARCHITECTURES as [ArchitectureSpec, ArchitectureSpec]
const lenet5 = lenet5Architecture().spec

function train({ backend }: Variant, job: TrainingJob): TrainingResult {
  return trainNetwork(backend, job, { aborted: () => false, onEpoch: () => {} })
}

describe.each(variants)('$name', variant => {
  const { backend } = variant

  it('learns', () => {
    const job = makeJob(linear, { trainCount: 300, validationCount: 200, epochs: 8, batchSize: 20 })
    const { history } = train(variant, job)
    expect(history).toHaveLength(8)
    expect(history.at(-1)!.loss).toBeLessThan(0.75 * history[0]!.loss)
    expect(history.at(-1)!.validationAccuracy).toBeGreaterThan(0.6)
  })

  it('gives equal bytes for equal jobs', () => {
    const job = makeJob(odd, { epochs: 2, batchSize: 15 })
    expect(Buffer.from(train(variant, job).weights.buffer)).toEqual(
      Buffer.from(train(variant, job).weights.buffer),
    )
  })

  it("keeps the best epoch's weights and outputs", () => {
    // A rate that jumps about, so that the best epoch is not the last.
    const optimizer = { ...SGD, learningRate: 2 }
    const options = { optimizer, epochs: 6, batchSize: 16, validationCount: 40 } as const
    const last = train(variant, makeJob(odd, { ...options, keep: 'last' }))
    const best = train(variant, makeJob(odd, { ...options, keep: 'best' }))
    const losses = best.history.map(({ validationLoss }) => validationLoss)
    expect(best.history).toEqual(last.history)
    expect(last.epoch).toBe(5)
    expect(best.epoch).toBe(losses.indexOf(Math.min(...losses)))
    expect(best.epoch).toBeLessThan(5)
    const trainer = backend.createTrainer({ ...makeJob(odd, options), initialWeights: best.weights })
    const { loss, outputs } = trainer.evaluate()
    trainer.dispose()
    expect(loss / 40).toBeCloseTo(losses[best.epoch]!, 6)
    expect(outputs).toEqual(best.validationOutputs)
  })

  it('takes other weights, and then is the network that has them', () => {
    const [job, other] = [makeJob(lenet5, { validationCount: 70 }), makeJob(lenet5, { seed: 2 })]
    const trainer = backend.createTrainer(job)
    trainer.step(job.order.subarray(0, 16))
    trainer.setWeights(other.initialWeights)
    const fresh = backend.createTrainer({ ...job, initialWeights: other.initialWeights })
    expect(trainer.weights()).toEqual(other.initialWeights)
    expect(trainer.evaluate()).toEqual(fresh.evaluate())
    const batch = job.order.subarray(0, 16)
    expect(trainer.gradient(batch)).toEqual(fresh.gradient(batch))
    expect(() => trainer.setWeights(new Float32Array(3))).toThrow(/91481.*: 3|: 3.*91481/)
    trainer.dispose()
    fresh.dispose()
  })

  it.each(ODD_ARCHITECTURES)('evaluates many networks as it does each: $name', spec => {
    const jobs = [1, 2, 3].map(seed => makeJob(spec, { seed }))
    const { architecture, images } = jobs[0]!
    const weights = Float32Array.from(jobs.flatMap(({ initialWeights }) => [...initialWeights]))
    // The second network's first weight is none: activations such as relu would hide it.
    weights[architecture.parameterCount] = Number.NaN
    const outputs = new Float32Array(3 * 37 * architecture.layers.at(-1)!.outputShape[0])
    let next = 0
    let done = 0
    const watch = { next: () => next++, onNetwork: () => done++ }
    evaluateNetworks(backend, { architecture, weights, pixels: images.validation.pixels }, outputs, watch)
    expect(done).toBe(3)
    const size = outputs.length / 3
    for (const [i, { initialWeights }] of jobs.entries()) {
      const trainer = backend.createTrainer({ ...jobs[0]!, initialWeights })
      const expected = i === 1 ? new Float32Array(size).fill(Number.NaN) : trainer.evaluate().outputs
      expect(outputs.slice(i * size, (i + 1) * size)).toEqual(expected)
      trainer.dispose()
    }
  })

  it('reports a loss that is not finite', () => {
    const job = makeJob(linear, { name: 'church_3', optimizer: { ...SGD, learningRate: 1e30 }, epochs: 3 })
    expect(() => train(variant, job)).toThrow(/church_3 is not finite/)
  })
})

describe.each(variants.filter(({ engine }) => engine !== 'tfjs'))('$name', ({ backend }) => {
  it('refuses what it would read beyond', () => {
    const job = makeJob(odd)
    expect(() => backend.createTrainer({ ...job, initialWeights: job.initialWeights.subarray(1) })).toThrow(
      /initialWeights/,
    )
    expect(() => backend.createTrainer({ ...job, trainTargets: new Uint8Array(3) })).toThrow(/trainTargets/)
    expect(() => backend.createTrainer({ ...job, trainTargets: job.trainTargets.map(() => 9) })).toThrow(
      /target; not below 3: 9/,
    )
    const trainer = backend.createTrainer(job)
    expect(() => trainer.step(Uint32Array.of(64))).toThrow(/there are 64 training images: 64/)
    expect(() => trainer.step(new Uint32Array(17))).toThrow(/needs 1 to 16 samples: 17/)
    expect(() => trainer.gradient(new Uint32Array(0))).toThrow(/needs 1 to 16 samples: 0/)
    trainer.dispose()
  })

  it('names the layer that it cannot do, and offers tfjs', () => {
    const job = makeJob({
      name: 'wide',
      inputShape: [4, 4, 1],
      layers: [{ kind: 'flatten' }, { kind: 'dense', units: 1, activation: 'tanh', name: 'output' }],
    })
    let error: unknown
    try {
      backend.createTrainer(job)
    } catch (thrown) {
      error = thrown
    }
    expect(isZooError(error, 'engine')).toBe(true)
    expect((error as Error).message).toMatch(/layer output .*; try engine: 'tfjs'/)
  })

  it('says so when a trainer is used after it was disposed', () => {
    const trainer = backend.createTrainer(makeJob(odd))
    trainer.dispose()
    trainer.dispose()
    expect(() => trainer.weights()).toThrow(/disposed/)
    expect(() => trainer.step(Uint32Array.of(1))).toThrow(/disposed/)
  })
})

describe('bytes of the final weights', () => {
  const jobs = [
    makeJob(lenet5, { trainCount: 150, validationCount: 33, epochs: 2, batchSize: 61 }),
    ...ODD_ARCHITECTURES.map(spec => makeJob(spec, { trainCount: 150, epochs: 2, batchSize: 61 })),
  ]
  const results = variants
    .filter(({ engine }) => engine !== 'tfjs')
    .map(variant => ({
      ...variant,
      networks: jobs.map(job => Buffer.from(train(variant, job).weights.buffer)),
    }))

  it.each(['direct', 'minimal-filtering'] as const)('do not depend on the instruction set: %s', algorithm => {
    const [first, ...others] = results.filter(
      variant => variant.engine === 'native' && variant.algorithm === algorithm,
    )
    for (const other of others) {
      for (const [i, network] of other.networks.entries()) {
        expect(network.equals(first!.networks[i]!), `${other.name}, ${jobs[i]!.name}`).toBe(true)
      }
    }
  })

  it('differ only where the arithmetic is worded differently', () => {
    for (const one of results) {
      for (const other of results) {
        if (one.backend.arithmetic === other.backend.arithmetic) {
          expect(one.networks[0]!.equals(other.networks[0]!), `${one.name}, ${other.name}`).toBe(true)
        }
      }
    }
    expect(new Set(results.map(({ backend }) => backend.arithmetic)).size).toBeGreaterThan(1)
  })
})
