import { describe, expect, it } from 'vitest'
import { describeArchitecture } from '../../dist/architecture/architecture.js'
import { lenet5Architecture } from '../../dist/architecture/lenet5.js'
import { createImageSet } from '../../dist/images/image-set.js'
import { type RecipeOptions, resolveRecipe } from '../../dist/training/recipe.js'
import { IMAGENETTE_COUNTS, imagesOf } from '../sampling/images.js'

const onePixel = imagesOf(IMAGENETTE_COUNTS)
const tiny = {
  name: 'tiny',
  inputShape: [1, 1, 1],
  layers: [
    { kind: 'flatten', name: 'flatten' },
    { kind: 'dense', name: 'dense', units: 1, activation: 'sigmoid' },
  ],
} as const
const resolve = (options: object) =>
  resolveRecipe({ architecture: tiny, ...options } as RecipeOptions, onePixel)

describe('defaults', () => {
  it("are the paper's and its published code's", () => {
    expect(resolve({})).toEqual({
      architecture: tiny,
      initializer: 'glorotUniform',
      samplesPerNetwork: 9000,
      positiveFraction: [0.09, 0.1],
      epochs: 25,
      batchSize: 128,
      loss: 'binaryCrossentropy',
      optimizer: { kind: 'adam', learningRate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-7 },
      keep: 'last',
      seed: 0,
    })
  })

  it('are LeNet-5 of the shape of the images', () => {
    const images = createImageSet({
      name: 'grey',
      classNames: ['a', 'b'],
      shape: [28, 28, 1],
      train: { pixels: new Float32Array(200 * 784), labels: Array.from({ length: 200 }, (_, i) => i % 2) },
      validation: { pixels: new Float32Array(784), labels: [0] },
    })
    const { architecture } = resolveRecipe({}, images)
    expect(architecture).toEqual(lenet5Architecture({ inputShape: [28, 28, 1] }).spec)
  })
})

describe('what is given', () => {
  it('replaces the defaults, sampling and seed included', () => {
    const given = {
      samplesPerNetwork: 500,
      positiveFraction: [0.4, 0.5],
      epochs: 3,
      batchSize: 7,
      keep: 'best',
      seed: 2 ** 53 - 1,
    }
    expect(resolve(given)).toMatchObject(given)
  })

  it.each([
    ['sgd', { kind: 'sgd', learningRate: 0.01, momentum: 0 }],
    [
      { kind: 'adam', learningRate: 0.1 },
      { kind: 'adam', learningRate: 0.1, beta1: 0.9, beta2: 0.999, epsilon: 1e-7 },
    ],
    [
      { kind: 'sgd', momentum: 0.9 },
      { kind: 'sgd', learningRate: 0.01, momentum: 0.9 },
    ],
  ])('optimizer %j is completed', (optimizer, expected) => {
    expect(resolve({ optimizer }).optimizer).toEqual(expected)
  })

  it('may be an architecture with its table, of which only the description is kept', () => {
    expect(resolve({ architecture: describeArchitecture(tiny) }).architecture).toEqual(tiny)
  })

  it('survives zoo.json', () => {
    const recipe = resolve({})
    expect(JSON.parse(JSON.stringify(recipe))).toEqual(recipe)
  })
})

describe('refusals', () => {
  it.each<[string, object]>([
    ['unknown option of the recipe: "epoch"; did you mean "epochs"?', { epoch: 3 }],
    ['invalid epochs; needs a positive integer: 0', { epochs: 0 }],
    ['invalid epochs; needs a positive integer: 2.5', { epochs: 2.5 }],
    ['invalid epochs; needs a positive integer: ten', { epochs: 'ten' }],
    ['invalid batchSize; needs a positive integer: -128', { batchSize: -128 }],
    ['invalid keep; is not one of last, best: first', { keep: 'first' }],
    ['invalid seed; needs a whole number from 0 to 2^53 - 1: -1', { seed: -1 }],
    ['invalid seed; needs a whole number from 0 to 2^53 - 1: 0.5', { seed: 0.5 }],
    ['invalid seed; needs a whole number from 0 to 2^53 - 1: 9007199254740992', { seed: 2 ** 53 }],
    ['invalid samplesPerNetwork; needs a positive integer: 0', { samplesPerNetwork: 0 }],
    ['invalid positiveFraction; not in (0, 1): 1.2', { positiveFraction: [0.1, 1.2] }],
    ['invalid optimizer; is not one of adam, sgd: rmsprop', { optimizer: 'rmsprop' }],
    ['invalid optimizer; is not one of adam, sgd: null', { optimizer: null }],
    [
      'invalid optimizer.learningRate; needs a number above 0: 0',
      { optimizer: { kind: 'sgd', learningRate: 0 } },
    ],
    ['invalid optimizer.epsilon; needs a number above 0: -1', { optimizer: { kind: 'adam', epsilon: -1 } }],
    ['invalid optimizer.beta1; not in [0, 1): 1', { optimizer: { kind: 'adam', beta1: 1 } }],
    ['invalid optimizer.momentum; not in [0, 1): null', { optimizer: { kind: 'sgd', momentum: null } }],
    [
      'unknown option of optimizer adam: "beta_1"; did you mean "beta1"?',
      { optimizer: { kind: 'adam', beta_1: 0.5 } },
    ],
    [
      'unknown option of optimizer sgd: "beta1"; known are kind, learningRate, momentum',
      { optimizer: { kind: 'sgd', beta1: 0.5 } },
    ],
    ['invalid architecture; needs { name, inputShape, layers }: lenet5', { architecture: 'lenet5' }],
    ['invalid architecture; needs { name, inputShape, layers }: null', { architecture: null }],
    [
      'invalid architecture.inputShape; the images are 1x1x1: 32x32x3',
      { architecture: lenet5Architecture() },
    ],
    ...[
      { kind: 'dense', units: 2, activation: 'sigmoid' },
      { kind: 'dense', units: 1 },
      { kind: 'flatten' },
    ].map(
      last =>
        [
          'invalid architecture; a one-versus-all classifier ends in a dense layer of 1 sigmoid unit: tiny',
          { architecture: { ...tiny, layers: [{ kind: 'flatten' }, { kind: 'dense', units: 3 }, last] } },
        ] as [string, object],
    ),
  ])('%s', (message, options) => {
    expect(() => resolve(options)).toThrow(expect.objectContaining({ tag: 'option', message }))
  })

  it('images too small for the default', () => {
    expect(() => resolveRecipe({}, onePixel)).toThrow(
      'invalid layer average_pooling2d poolSize; is larger than its input of 1x1: 2',
    )
  })
})
