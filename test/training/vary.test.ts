import { describe, expect, it } from 'vitest'
import { lenet5Architecture } from '../../dist/architecture/lenet5.js'
import { checkSampling, jobFactory } from '../../dist/training/create-job.js'
import { type RecipeOptions, resolveRecipe } from '../../dist/training/recipe.js'
import { networkRecipe, type VaryOptions } from '../../dist/training/vary.js'
import { imagesOf } from '../sampling/images.js'

const images = imagesOf({ a: 60, b: 50, c: 70 })
const tiny = {
  name: 'tiny',
  inputShape: [1, 1, 1],
  layers: [
    { kind: 'flatten' },
    { kind: 'dense', units: 3, activation: 'tanh' },
    { kind: 'dense', units: 1, activation: 'sigmoid' },
  ],
} as const
const resolve = (options: RecipeOptions) =>
  resolveRecipe({ architecture: tiny, epochs: 3, seed: 5, ...options }, images)
const drawn = (vary: VaryOptions, count = 400) => {
  const recipe = resolve({ vary })
  return Array.from({ length: count }, (_, index) => networkRecipe(recipe, 'a', index).hyperparameters!)
}

describe('what varies', () => {
  it('lies in its list or range and reaches all of it', () => {
    const networks = drawn({
      learningRate: { logUniform: [1e-4, 1e-2] },
      epochs: { integer: [2, 5] },
      positiveFraction: { uniform: [0.1, 0.3] },
      activation: ['tanh', 'relu', 'relu', 'relu'],
    })
    const rates = networks.map(({ learningRate }) => learningRate as number)
    expect(Math.min(...rates)).toBeGreaterThanOrEqual(1e-4)
    expect(Math.max(...rates)).toBeLessThanOrEqual(1e-2)
    // Half of them below the geometric mean, three quarters relu, within four standard deviations.
    expect(Math.abs(rates.filter(rate => rate < 1e-3).length - 200)).toBeLessThan(40)
    expect(Math.abs(networks.filter(({ activation }) => activation === 'relu').length - 300)).toBeLessThan(35)
    expect(new Set(networks.map(({ epochs }) => epochs))).toEqual(new Set([2, 3, 4, 5]))
    const shares = networks.map(({ positiveFraction }) => positiveFraction as number)
    expect(Math.min(...shares)).toBeLessThan(0.11)
    expect(Math.max(...shares)).toBeGreaterThan(0.29)
    for (const value of [...rates, ...shares]) expect(value).toBe(Number(value.toPrecision(6)))
  })

  it('is drawn the same whatever else varies, and for every network anew', () => {
    const alone = drawn({ learningRate: { logUniform: [1e-4, 1e-2] } }, 20)
    const among = drawn({ epochs: [1, 2, 3], learningRate: { logUniform: [1e-4, 1e-2] } }, 20)
    expect(among.map(({ learningRate }) => learningRate)).toEqual(
      alone.map(({ learningRate }) => learningRate),
    )
    expect(new Set(alone.map(({ learningRate }) => learningRate)).size).toBe(20)
  })

  it('makes the network that a zoo of the drawn, fixed recipe has at this place', () => {
    const vary: VaryOptions = {
      initializer: ['heNormal', 'glorotUniform'],
      optimizer: ['adam', 'sgd'],
      learningRate: [0.1, 0.01],
      momentum: { uniform: [0.5, 0.9] },
      activation: ['relu', 'sigmoid'],
      epochs: [1, 2],
      batchSize: { integer: [5, 30] },
      samplesPerNetwork: { integer: [50, 100] },
    }
    const positiveFraction = [0.2, 0.3] as const
    const make = jobFactory(resolve({ positiveFraction, vary }), images)
    for (let index = 0; index < 8; index++) {
      const { job, hyperparameters } = make('b', index)
      const {
        optimizer: kind,
        learningRate,
        momentum,
        activation,
        ...same
      } = hyperparameters as never as {
        optimizer: 'sgd'
        learningRate: number
        momentum?: number
        activation: 'relu'
        epochs: number
      }
      expect(momentum !== undefined).toBe(kind === 'sgd')
      const layers = tiny.layers.map((layer, i) => (i === 1 ? { ...layer, activation } : layer))
      const fixed = resolve({
        ...same,
        positiveFraction,
        optimizer: { kind, learningRate, ...(momentum !== undefined && { momentum }) },
        architecture: { ...tiny, layers } as never,
      })
      expect(jobFactory(fixed, images)('b', index).job).toEqual(job)
    }
  })

  it('may be the seed: equal seeds share weights, images and order', () => {
    const make = jobFactory(
      resolve({ vary: { seed: [1, 2], learningRate: { uniform: [0.1, 0.2] } } }),
      images,
    )
    const networks = Array.from({ length: 12 }, (_, index) => make('c', index))
    const ones = networks.filter(({ hyperparameters }) => hyperparameters!.seed === 1).map(({ job }) => job)
    expect(ones.length).toBeGreaterThan(1)
    expect(ones.length).toBeLessThan(12)
    const fixed = jobFactory(resolve({ seed: 1 }), images)('c', 0).job
    for (const { initialWeights, order } of ones) {
      expect(initialWeights).toEqual(fixed.initialWeights)
      expect(order).toEqual(fixed.order)
    }
    expect(new Set(ones.map(({ optimizer }) => optimizer.learningRate)).size).toBe(ones.length)
  })

  it('may be the image set: the network is that of a zoo of this set', () => {
    const sets = [images, { ...imagesOf({ a: 40, b: 45, c: 50 }), name: 'fewer' }]
    const options: RecipeOptions = { architecture: tiny, epochs: 3, seed: 5, positiveFraction: [0.2, 0.3] }
    const recipe = resolveRecipe(options, sets)
    const smallest = resolveRecipe(options, sets[1]!).samplesPerNetwork
    expect(recipe).toMatchObject({ samplesPerNetwork: smallest, vary: { images: ['one pixel', 'fewer'] } })
    const make = jobFactory(recipe, sets)
    const networks = Array.from({ length: 20 }, (_, index) => make('b', index))
    expect(new Set(networks.map(({ job }) => job.images))).toEqual(new Set(sets))
    const alone = sets.map(set =>
      jobFactory(resolveRecipe({ ...options, samplesPerNetwork: smallest }, set), set),
    )
    for (const [index, { job, hyperparameters }] of networks.entries()) {
      const set = sets.findIndex(({ name }) => name === hyperparameters!.images)
      expect(job).toEqual(alone[set]!('b', index).job)
    }
    expect(() =>
      jobFactory(recipe, images)(
        'b',
        networks.findIndex(({ job }) => job.images === sets[1]),
      ),
    ).toThrow('invalid images; lacks "fewer", which a network of the recipe draws: ["one pixel"]')
  })

  it('rounds a share of positives to whole images', () => {
    const make = jobFactory(
      resolve({ samplesPerNetwork: 70, vary: { positiveFraction: { uniform: [0.2, 0.5] } } }),
      images,
    )
    for (let index = 0; index < 10; index++) {
      const { positiveFraction, hyperparameters } = make('a', index)
      expect(positiveFraction).toBe(Math.round((hyperparameters!.positiveFraction as number) * 70) / 70)
    }
  })

  it('changes every activation but the last, and no shape', () => {
    const { architecture } = networkRecipe(
      resolveRecipe({ architecture: tiny, vary: { activation: ['relu'] } }, images),
      'a',
      0,
    ).recipe
    expect(architecture.layers.map(layer => 'activation' in layer && layer.activation)).toEqual([
      false,
      'relu',
      'sigmoid',
    ])
  })

  it('is no part of a recipe without it', () => {
    expect(resolve({})).not.toHaveProperty('vary')
    expect(resolve({ vary: {} })).not.toHaveProperty('vary')
    expect(JSON.stringify(resolve({ vary: { epochs: [1], seed: [2] } }).vary)).toBe(
      '{"seed":[2],"epochs":[1]}',
    )
  })
})

describe('refusals', () => {
  it.each<[string, object]>([
    ['unknown option of vary: "learningrate"; did you mean "learningRate"?', { learningrate: [1] }],
    ['invalid vary.epochs; needs at least one value: []', { epochs: [] }],
    [
      'invalid vary.epochs; needs whole numbers: a list, or { integer: [low, high] }: {"uniform":[1,5]}',
      { epochs: { uniform: [1, 5] } },
    ],
    ['invalid epochs; needs a positive integer: 0', { epochs: { integer: [0, 5] } }],
    ['invalid epochs; needs a positive integer: 2.5', { epochs: [1, 2.5] }],
    [
      'invalid vary.activation; needs a list of names: {"uniform":[0,1]}',
      { activation: { uniform: [0, 1] } },
    ],
    ['invalid vary.learningRate; needs a low end above 0: ', { learningRate: { logUniform: [0, 1] } }],
    [
      'invalid vary.learningRate; needs [low, high] with low below high: ',
      { learningRate: { uniform: [1, 1] } },
    ],
    ['invalid optimizer.learningRate; needs a number above 0: -1', { learningRate: { uniform: [-1, 1] } }],
    [
      'invalid vary.learningRate; is not a distribution; did you mean "uniform"?: unifrom',
      { learningRate: { unifrom: [0, 1] } },
    ],
    ['invalid vary.learningRate; needs a list, or one of', { learningRate: 0.1 }],
    ['invalid vary.optimizer; needs a list of names: sgd', { optimizer: 'sgd' }],
    ['invalid vary.momentum; only sgd has it; vary or set the optimizer too: [0.5]', { momentum: [0.5] }],
    ['invalid optimizer.momentum; not in [0, 1): 1.5', { momentum: [1.5], optimizer: ['adam', 'sgd'] }],
    ['invalid optimizer; is not one of adam, sgd: rmsprop', { optimizer: ['rmsprop'] }],
    ['invalid initializer; did you mean "heNormal"?: henormal', { initializer: ['henormal'] }],
    ['belongs to the last, dense layer only: softmax', { activation: ['softmax'] }],
    ['invalid positiveFraction; not in (0, 1): 1.2', { positiveFraction: [1.2] }],
    ['invalid vary.seed; needs two whole numbers less than 2^32 apart', { seed: { integer: [0, 2 ** 40] } }],
  ])('%s', (message, vary) => {
    expect(() => resolve({ vary: vary as VaryOptions })).toThrow(message)
  })

  it('what the images cannot give to one of the planned networks, before any is trained', () => {
    const recipe = resolve({
      positiveFraction: [0.3, 0.4],
      vary: { samplesPerNetwork: [100, 100, 100, 179] },
    })
    expect(() => checkSampling(recipe, [images], 'b', 50)).toThrow(
      'class "b" has 50 training images; 30 to 40 % of 179 samples needs at least 54',
    )
  })

  it('an architecture whose shapes vary: there is no such option', () => {
    expect(lenet5Architecture({ activation: 'relu' }).parameters).toEqual(lenet5Architecture().parameters)
    expect(() => resolve({ vary: { architecture: [tiny] } as never })).toThrow('unknown option of vary')
  })
})
