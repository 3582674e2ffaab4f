import { describe, expect, it } from 'vitest'
import {
  type ArchitectureSpec,
  describeArchitecture,
  type LayerSpec,
} from '../../dist/architecture/architecture.js'
import { lenet5Architecture } from '../../dist/architecture/lenet5.js'

const net = (inputShape: [number, number, number], ...layers: LayerSpec[]) =>
  describeArchitecture({ name: 'net', inputShape, layers })

describe('LeNet-5', () => {
  const { parameters, parameterCount, layers } = lenet5Architecture()

  it('has the ten arrays of the paper, bias before kernel, one after the other', () => {
    const table = parameters.map(({ layer, part, shape, offset }) => [layer, part, shape, offset])
    expect(table).toEqual([
      ['conv2d', 'bias', [6], 0],
      ['conv2d', 'kernel', [5, 5, 3, 6], 6],
      ['conv2d_1', 'bias', [16], 456],
      ['conv2d_1', 'kernel', [5, 5, 6, 16], 472],
      ['conv2d_2', 'bias', [120], 2872],
      ['conv2d_2', 'kernel', [5, 5, 16, 120], 2992],
      ['dense', 'bias', [84], 50_992],
      ['dense', 'kernel', [480, 84], 51_076],
      ['dense_1', 'bias', [1], 91_396],
      ['dense_1', 'kernel', [84, 1], 91_397],
    ])
  })

  it('has 456 + 2,416 + 48,120 + 40,404 + 85 = 91,481 parameters', () => {
    const sections = new Map<string, number>()
    for (const { layer, size } of parameters) sections.set(layer, (sections.get(layer) ?? 0) + size)
    expect([...sections.values()]).toEqual([456, 2416, 48_120, 40_404, 85])
    expect(parameterCount).toBe(91_481)
  })

  it('shrinks 32x32 to 28, 14, 10 and 2 pixels', () => {
    expect(layers.map(({ outputShape }) => outputShape.join('x'))).toEqual([
      '32x32x6',
      '16x16x6',
      '12x12x16',
      '6x6x16',
      '2x2x120',
      '480',
      '84',
      '1',
    ])
  })

  it('takes other images and activations, down to 28 pixels', () => {
    const small = lenet5Architecture({ inputShape: [28, 28, 1] })
    expect(small.parameters[1]?.shape).toEqual([5, 5, 1, 6])
    expect(small.layers[4]?.outputShape).toEqual([1, 1, 120])
    expect(lenet5Architecture({ activation: 'relu' }).layers[0]).toMatchObject({ activation: 'relu' })
    expect(() => lenet5Architecture({ inputShape: [27, 28, 1] })).toThrow(
      'invalid layer conv2d_2 kernelSize; is larger than its input of 4x5: 5x5',
    )
  })
})

describe('padding', () => {
  // Keras: ceil(size / stride) outputs, the odd zero at the bottom and right.
  it.each([
    [32, 5, 1, 32, [2, 2]],
    [4, 2, 1, 4, [0, 1]],
    [5, 3, 2, 3, [1, 1]],
    [6, 3, 2, 3, [0, 1]],
    [8, 1, 2, 4, [0, 0]],
    [7, 4, 3, 3, [1, 2]],
  ])(
    'same: %d pixels, kernel %d, stride %d give %d with %j zeros',
    (size, kernelSize, strides, output, zeros) => {
      const layer: LayerSpec = { kind: 'conv2d', filters: 2, kernelSize, strides, padding: 'same' }
      expect(net([size, size, 1], layer).layers[0]).toMatchObject({
        pad: [...zeros, ...zeros],
        outputShape: [output, output, 2],
      })
    },
  )

  it('valid: none, and a stride that leaves rows over drops them', () => {
    const layer: LayerSpec = { kind: 'conv2d', filters: 2, kernelSize: [3, 4], strides: 3 }
    expect(net([8, 10, 1], layer).layers[0]).toMatchObject({ pad: [0, 0, 0, 0], outputShape: [2, 3, 2] })
  })
})

describe('names', () => {
  it("count up as Keras's do, keep what is given and go around it", () => {
    const { layers } = net(
      [9, 9, 1],
      { kind: 'conv2d', filters: 1, kernelSize: 1 },
      { kind: 'conv2d', filters: 1, kernelSize: 1, name: 'conv2d_1' },
      { kind: 'conv2d', filters: 1, kernelSize: 1 },
      { kind: 'averagePooling2d' },
      { kind: 'maxPooling2d' },
      { kind: 'flatten' },
      { kind: 'dense', units: 1, name: 'head.out-1' },
    )
    expect(layers.map(({ name }) => name)).toEqual([
      'conv2d',
      'conv2d_1',
      'conv2d_2',
      'average_pooling2d',
      'max_pooling2d',
      'flatten',
      'head.out-1',
    ])
  })
})

describe('the description', () => {
  it('is plain data that describes the same network again', () => {
    const architecture = lenet5Architecture()
    expect(describeArchitecture(JSON.parse(JSON.stringify(architecture.spec)))).toEqual(architecture)
  })
})

describe('refusals', () => {
  const dense = { kind: 'dense', units: 1 }
  const first = (layer: unknown) => ({ layers: [layer] })

  it.each<[string, unknown]>([
    ['invalid architecture; needs { name, inputShape, layers }: lenet5', 'lenet5'],
    ['invalid architecture; needs { name, inputShape, layers }: null', null],
    ['invalid architecture.name; needs a text: undefined', { name: undefined }],
    [
      'invalid architecture.inputShape; needs three positive integers [height, width, channels]: [32,32]',
      { inputShape: [32, 32] },
    ],
    [
      'invalid architecture.inputShape; needs three positive integers [height, width, channels]: [8,0,1]',
      { inputShape: [8, 0, 1] },
    ],
    [
      'invalid architecture.inputShape; needs three positive integers [height, width, channels]: 881',
      { inputShape: '881' },
    ],
    [
      'invalid architecture.layers[0].name; needs letters, digits, "_", "-" or ".": 5',
      { layers: [{ kind: 'flatten', name: 5 }] },
    ],
    ['invalid architecture.layers; needs at least one layer: []', { layers: [] }],
    [
      'invalid architecture.layers; needs at least one layer with parameters: net',
      first({ kind: 'flatten' }),
    ],
    ['invalid architecture.layers[0]; needs { kind, ... }: null', first(null)],
    [
      'invalid architecture.layers[0].kind; is not one of conv2d, averagePooling2d, maxPooling2d, flatten, dense: conv',
      first({ kind: 'conv' }),
    ],
    [
      'invalid architecture.layers[1].name; is used by an earlier layer: a',
      {
        layers: [
          { kind: 'flatten', name: 'a' },
          { ...dense, name: 'a' },
        ],
      },
    ],
    [
      'invalid architecture.layers[0].name; needs letters, digits, "_", "-" or ".": a/b',
      first({ kind: 'flatten', name: 'a/b' }),
    ],
    [
      'unknown option of layer conv2d: "stride"; did you mean "strides"?',
      first({ kind: 'conv2d', filters: 1, kernelSize: 3, stride: 2 }),
    ],
    [
      'invalid layer conv2d filters; needs a positive integer: 0',
      first({ kind: 'conv2d', filters: 0, kernelSize: 3 }),
    ],
    [
      'invalid layer conv2d kernelSize; needs positive integers: [3]',
      first({ kind: 'conv2d', filters: 1, kernelSize: [3] }),
    ],
    [
      'invalid layer conv2d strides; needs a positive integer: 1.5',
      first({ kind: 'conv2d', filters: 1, kernelSize: 3, strides: 1.5 }),
    ],
    [
      'invalid layer conv2d padding; is not one of same, valid: full',
      first({ kind: 'conv2d', filters: 1, kernelSize: 3, padding: 'full' }),
    ],
    [
      'invalid layer conv2d activation; is not one of linear, tanh, relu, sigmoid, softmax: gelu',
      first({ kind: 'conv2d', filters: 1, kernelSize: 3, activation: 'gelu' }),
    ],
    [
      'invalid layer conv2d kernelSize; is larger than its input of 8x8: 9x3',
      first({ kind: 'conv2d', filters: 1, kernelSize: [9, 3] }),
    ],
    [
      'invalid layer max_pooling2d poolSize; is larger than its input of 8x8: 9',
      first({ kind: 'maxPooling2d', poolSize: 9 }),
    ],
    [
      'invalid layer average_pooling2d strides; needs a positive integer: 0',
      first({ kind: 'averagePooling2d', strides: 0 }),
    ],
    [
      'invalid layer max_pooling2d; needs an input of height x width x channels, not a flat one: 64',
      { layers: [{ kind: 'flatten' }, { kind: 'maxPooling2d' }] },
    ],
    ['invalid layer dense; needs a flat input; put { kind: "flatten" } before it: dense', first(dense)],
    [
      'invalid layer dense units; needs a positive integer: -1',
      { layers: [{ kind: 'flatten' }, { ...dense, units: -1 }] },
    ],
    [
      'invalid layer dense activation; belongs to the last, dense layer only: softmax',
      { layers: [{ kind: 'flatten' }, { ...dense, activation: 'softmax' }, dense] },
    ],
  ])('%s', (message, change) => {
    const spec =
      typeof change === 'object' && change !== null
        ? { name: 'net', inputShape: [8, 8, 1], layers: [{ kind: 'flatten' }, dense], ...change }
        : change
    expect(() => describeArchitecture(spec as ArchitectureSpec)).toThrow(
      expect.objectContaining({ tag: 'option', message }),
    )
  })
})
