import * as tf from '@tensorflow/tfjs-core'
import { beforeAll, describe, expect, it } from 'vitest'
import { describeArchitecture } from '../../dist/architecture/architecture.js'
import { lenet5Architecture } from '../../dist/architecture/lenet5.js'
import { setFlatWeights, toLayersModel } from '../../dist/architecture/to-layers-model.js'
import { LeNet5, lenet5 } from '../../dist/index.js'
import { readGolden } from '../training/engines/golden.js'
import { ODD_ARCHITECTURES } from '../training/engines/jobs.js'

beforeAll(() => tf.setBackend('cpu'))

describe.each([lenet5Architecture(), ...ODD_ARCHITECTURES.map(describeArchitecture)])(
  '$name',
  architecture => {
    const model = toLayersModel(architecture)

    it('has the names, shapes and number of parameters that tfjs works out', () => {
      expect(model.layers.map(({ name }) => name)).toEqual(architecture.layers.map(({ name }) => name))
      expect(model.layers.map(layer => layer.outputShape)).toEqual(
        architecture.layers.map(({ outputShape }) => [null, ...outputShape]),
      )
      expect(model.countParams()).toBe(architecture.parameterCount)
    })

    it('takes flat weights: of each layer the bias, then the kernel', () => {
      setFlatWeights(
        model,
        architecture,
        Float32Array.from({ length: architecture.parameterCount }, (_, i) => i),
      )
      const flat = model.layers.flatMap(layer => {
        const [kernel, bias] = layer.getWeights()
        return kernel ? [...bias!.dataSync(), ...kernel.dataSync()] : []
      })
      expect(flat.every((value, i) => value === i)).toBe(true)
    })
  },
)

describe('toLayersModel', () => {
  it.each(['lenet5', 'tiny'] as const)('computes what float64 Keras does: %s', name => {
    const { job, probabilities } = readGolden(name)
    const { shape, validation } = job.images
    const model = toLayersModel(job.architecture, job.initialWeights)
    const input = tf.tensor4d(Float32Array.from(validation.pixels), [validation.count, ...shape])
    const outputs = (model.predict(input) as tf.Tensor).dataSync()
    expect(outputs).toHaveLength(probabilities.length)
    for (const [i, value] of outputs.entries()) expect(Math.abs(value - probabilities[i]!)).toBeLessThan(1e-6)
  })

  it('refuses weights of another network', () => {
    expect(() => toLayersModel(lenet5Architecture(), new Float32Array(3))).toThrow(
      'invalid weights; lenet5 has 91481 parameters: 3',
    )
  })
})

describe('lenet5()', () => {
  const weights = (model: ReturnType<typeof lenet5>) => model.getWeights().flatMap(w => [...w.dataSync()])

  it('is drawn from its seed, 0 by default', () => {
    expect(weights(lenet5({ seed: 5 }))).toEqual(weights(lenet5({ seed: 5 })))
    expect(weights(lenet5({ seed: 0 }))).toEqual(weights(lenet5()))
    expect(weights(lenet5({ seed: 5 }))).not.toEqual(weights(lenet5()))
  })

  it('has 91,481 parameters, takes the options of its architecture, and is LeNet5', () => {
    expect(lenet5().countParams()).toBe(91_481)
    expect(lenet5({ inputShape: [28, 28, 1] }).inputs[0]?.shape).toEqual([null, 28, 28, 1])
    expect(LeNet5).toBe(lenet5)
  })

  it('refuses unknown options', () => {
    expect(() => lenet5({ seeds: 3 } as object)).toThrow(
      'unknown option of lenet5: "seeds"; did you mean "seed"?',
    )
  })
})
