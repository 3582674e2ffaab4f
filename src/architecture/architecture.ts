import { checkOptionNames, invalidOption, isCount } from '../options.js'

/** Activation functions; `softmax` is for the last dense layer only. */
export type Activation = 'linear' | 'tanh' | 'relu' | 'sigmoid' | 'softmax'

/** A layer as a user writes it. Sizes given as one number are square. */
export type LayerSpec =
  | {
      kind: 'conv2d'
      filters: number
      /** Height and width of the kernel. */
      kernelSize: number | readonly [number, number]
      /** Default 1. */
      strides?: number
      /** Default `valid` (no padding), as in Keras. */
      padding?: 'same' | 'valid'
      /** Default `linear`, as in Keras. */
      activation?: Exclude<Activation, 'softmax'>
      name?: string
    }
  | {
      kind: 'averagePooling2d' | 'maxPooling2d'
      /** Default 2. */
      poolSize?: number
      /** Default: the pool size. */
      strides?: number
      name?: string
    }
  | { kind: 'flatten'; name?: string }
  | { kind: 'dense'; units: number; activation?: Activation; name?: string }

/** A sequential convolutional network as plain data: what `zoo.json` stores and {@link describeArchitecture} reads. */
export interface ArchitectureSpec {
  /** For people to read, e.g. `lenet5`. */
  name: string
  /** Height, width and channels of one image. */
  inputShape: readonly [height: number, width: number, channels: number]
  layers: readonly LayerSpec[]
}

/** Shape between layers: `[height, width, channels]`, or `[units]` once flat. */
export type FeatureShape = readonly [number, number, number] | readonly [number]

/** What every resolved layer has. */
export interface LayerBase {
  /** Unique, Keras's automatic naming unless given: `conv2d`, `conv2d_1`, `dense`, … */
  readonly name: string
  readonly inputShape: FeatureShape
  readonly outputShape: FeatureShape
}

/** A layer with every default filled in and its shapes known. */
export type Layer = LayerBase &
  (
    | {
        readonly kind: 'conv2d'
        readonly filters: number
        readonly kernelSize: readonly [number, number]
        readonly strides: number
        readonly padding: 'same' | 'valid'
        /** Zeros added at the top, bottom, left and right: Keras's rule, the odd one at the bottom and right. */
        readonly pad: readonly [top: number, bottom: number, left: number, right: number]
        readonly activation: Activation
      }
    | {
        readonly kind: 'averagePooling2d' | 'maxPooling2d'
        readonly poolSize: number
        readonly strides: number
      }
    | { readonly kind: 'flatten' }
    | { readonly kind: 'dense'; readonly units: number; readonly activation: Activation }
  )

/** One array of parameters and where it lies in a network's flat weight vector. */
export interface ParameterEntry {
  readonly layer: string
  readonly part: 'bias' | 'kernel'
  /** Kernels as Keras has them: `[height, width, in, out]` for convolutions, `[in, out]` for dense layers; biases `[out]`. */
  readonly shape: readonly number[]
  /** Index of the first value in the flat weight vector. */
  readonly offset: number
  /** Number of values. */
  readonly size: number
}

/**
 * A sequential network with every shape resolved, and the table of its parameters.
 *
 * The flat weight vector holds the layers in order and, within a layer, the bias and then the kernel, each row-major:
 * the order of the paper's compiled files (HDF5's alphabetical one).
 */
export interface Architecture {
  readonly name: string
  readonly inputShape: readonly [height: number, width: number, channels: number]
  readonly layers: readonly Layer[]
  readonly parameters: readonly ParameterEntry[]
  /** Length of the flat weight vector. */
  readonly parameterCount: number
  /** The network as plain data, every name and default filled in: what `zoo.json` stores. */
  readonly spec: ArchitectureSpec
}

/** What Keras calls each kind of layer, in automatic names and in the groups of its weight files. */
export const KERAS_NAMES = {
  conv2d: 'conv2d',
  averagePooling2d: 'average_pooling2d',
  maxPooling2d: 'max_pooling2d',
  flatten: 'flatten',
  dense: 'dense',
} as const

/** 1 GiB of weights in one network; a file that claims more is refused before anything is allocated. */
const MAX_PARAMETERS = 2 ** 28

const LAYER_OPTIONS = {
  conv2d: ['filters', 'kernelSize', 'strides', 'padding', 'activation'],
  averagePooling2d: ['poolSize', 'strides'],
  maxPooling2d: ['poolSize', 'strides'],
  flatten: [],
  dense: ['units', 'activation'],
} as const

/**
 * Resolves the shapes, names and parameter table of a sequential network.
 *
 * @example
 * describeArchitecture({
 *   name: 'tiny', inputShape: [28, 28, 1],
 *   layers: [
 *     { kind: 'conv2d', filters: 4, kernelSize: 3, activation: 'relu' },
 *     { kind: 'maxPooling2d' },
 *     { kind: 'flatten' },
 *     { kind: 'dense', units: 1, activation: 'sigmoid' },
 *   ],
 * }).parameterCount // 717
 *
 * @throws {@link ZooError} `option` naming the layer that cannot be built and why.
 */
export function describeArchitecture(spec: ArchitectureSpec): Architecture {
  if (typeof spec !== 'object' || spec === null || !Array.isArray(spec.layers as unknown)) {
    throw invalidOption('architecture', spec, 'needs { name, inputShape, layers }')
  }
  if (typeof spec.name !== 'string' || spec.name === '')
    throw invalidOption('architecture.name', spec.name, 'needs a text')
  const isShape = Array.isArray(spec.inputShape as unknown) && spec.inputShape.every(isCount)
  if (!isShape || spec.inputShape.length !== 3) {
    throw invalidOption(
      'architecture.inputShape',
      spec.inputShape,
      'needs three positive integers [height, width, channels]',
    )
  }
  if (spec.layers.length === 0) throw invalidOption('architecture.layers', [], 'needs at least one layer')

  const layers: Layer[] = []
  const parameters: ParameterEntry[] = []
  const names = new Set<string>()
  let shape: FeatureShape = spec.inputShape
  let offset = 0

  for (const [position, layerSpec] of spec.layers.entries()) {
    if (typeof layerSpec !== 'object' || layerSpec === null)
      throw invalidOption(`architecture.layers[${position}]`, layerSpec, 'needs { kind, ... }')
    const { kind } = layerSpec
    const keras = typeof kind === 'string' && Object.hasOwn(KERAS_NAMES, kind) ? KERAS_NAMES[kind] : undefined
    if (keras === undefined) {
      throw invalidOption(
        `architecture.layers[${position}].kind`,
        layerSpec.kind,
        `is not one of ${Object.keys(KERAS_NAMES).join(', ')}`,
      )
    }
    const name = layerSpec.name ?? firstFree(keras, names)
    if (names.has(name))
      throw invalidOption(`architecture.layers[${position}].name`, name, 'is used by an earlier layer')
    if (typeof name !== 'string' || !/^\w[\w.-]*$/.test(name))
      throw invalidOption(
        `architecture.layers[${position}].name`,
        name,
        'needs letters, digits, "_", "-" or "."',
      )
    names.add(name)
    checkOptionNames(layerSpec, ['kind', 'name', ...LAYER_OPTIONS[layerSpec.kind]], `layer ${name}`)

    const layer = resolveLayer(layerSpec, name, shape, position === spec.layers.length - 1)
    layers.push(layer)
    for (const [part, partShape] of partsOf(layer)) {
      const size = partShape.reduce((product, n) => product * n, 1)
      parameters.push({ layer: name, part, shape: partShape, offset, size })
      offset += size
    }
    shape = layer.outputShape
  }
  if (offset === 0)
    throw invalidOption('architecture.layers', spec.name, 'needs at least one layer with parameters')
  if (!(offset <= MAX_PARAMETERS))
    throw invalidOption('architecture', offset, `has more than ${MAX_PARAMETERS} parameters`)
  const { name, inputShape } = spec
  const complete = { name, inputShape: [...inputShape] as const, layers: layers.map(toSpec) }
  return { name, inputShape, layers, parameters, parameterCount: offset, spec: complete }
}

/** The same network with another activation in every layer but the last; shapes and parameter table stay. */
export function withActivation(spec: ArchitectureSpec, activation: Activation): ArchitectureSpec {
  const layers = spec.layers.map((layer, position) =>
    position < spec.layers.length - 1 && 'activation' in layer
      ? ({ ...layer, activation } as LayerSpec)
      : layer,
  )
  return { ...spec, layers }
}

/** A layer as plain data with every default filled in: equal networks have equal specs, however they were written. */
function toSpec(layer: Layer): LayerSpec {
  const { name } = layer
  switch (layer.kind) {
    case 'conv2d': {
      const { filters, kernelSize, strides, padding } = layer
      const activation = layer.activation as Exclude<Activation, 'softmax'>
      return { kind: 'conv2d', name, filters, kernelSize: [...kernelSize], strides, padding, activation }
    }
    case 'averagePooling2d':
    case 'maxPooling2d':
      return { kind: layer.kind, name, poolSize: layer.poolSize, strides: layer.strides }
    case 'flatten':
      return { kind: 'flatten', name }
    case 'dense':
      return { kind: 'dense', name, units: layer.units, activation: layer.activation }
  }
}

function resolveLayer(spec: LayerSpec, name: string, inputShape: FeatureShape, isLast: boolean): Layer {
  const at = `layer ${name}`
  switch (spec.kind) {
    case 'conv2d': {
      const [height, width, channels] = imageShape(inputShape, at)
      const kernelSize =
        typeof spec.kernelSize === 'number' ? ([spec.kernelSize, spec.kernelSize] as const) : spec.kernelSize
      const { filters, strides = 1, padding = 'valid', activation = 'linear' } = spec
      if (!isCount(filters)) throw invalidOption(`${at} filters`, filters, 'needs a positive integer')
      if (kernelSize?.length !== 2 || !kernelSize.every(isCount))
        throw invalidOption(`${at} kernelSize`, spec.kernelSize, 'needs positive integers')
      if (!isCount(strides)) throw invalidOption(`${at} strides`, strides, 'needs a positive integer')
      if (padding !== 'same' && padding !== 'valid')
        throw invalidOption(`${at} padding`, padding, 'is not one of same, valid')
      checkActivation(activation, at, false)
      const [top, bottom] = paddingOf(height, kernelSize[0], strides, padding)
      const [left, right] = paddingOf(width, kernelSize[1], strides, padding)
      const outputHeight = Math.floor((height + top + bottom - kernelSize[0]) / strides) + 1
      const outputWidth = Math.floor((width + left + right - kernelSize[1]) / strides) + 1
      if (outputHeight < 1 || outputWidth < 1) {
        throw invalidOption(
          `${at} kernelSize`,
          kernelSize.join('x'),
          `is larger than its input of ${height}x${width}`,
        )
      }
      return {
        kind: 'conv2d',
        name,
        inputShape: [height, width, channels],
        outputShape: [outputHeight, outputWidth, filters],
        filters,
        kernelSize,
        strides,
        padding,
        pad: [top, bottom, left, right],
        activation,
      }
    }
    case 'averagePooling2d':
    case 'maxPooling2d': {
      const [height, width, channels] = imageShape(inputShape, at)
      const { poolSize = 2 } = spec
      const { strides = poolSize } = spec
      if (!isCount(poolSize)) throw invalidOption(`${at} poolSize`, poolSize, 'needs a positive integer')
      if (!isCount(strides)) throw invalidOption(`${at} strides`, strides, 'needs a positive integer')
      if (poolSize > height || poolSize > width) {
        throw invalidOption(`${at} poolSize`, poolSize, `is larger than its input of ${height}x${width}`)
      }
      const outputShape = [
        Math.floor((height - poolSize) / strides) + 1,
        Math.floor((width - poolSize) / strides) + 1,
        channels,
      ] as const
      return { kind: spec.kind, name, inputShape: [height, width, channels], outputShape, poolSize, strides }
    }
    case 'flatten':
      return {
        kind: 'flatten',
        name,
        inputShape,
        outputShape: [inputShape.reduce((product, n) => product * n, 1)],
      }
    case 'dense': {
      const { units, activation = 'linear' } = spec
      if (inputShape.length !== 1)
        throw invalidOption(at, 'dense', 'needs a flat input; put { kind: "flatten" } before it')
      if (!isCount(units)) throw invalidOption(`${at} units`, units, 'needs a positive integer')
      checkActivation(activation, at, isLast)
      return { kind: 'dense', name, inputShape, outputShape: [units], units, activation }
    }
  }
}

function partsOf(layer: Layer): ['bias' | 'kernel', readonly number[]][] {
  if (layer.kind === 'conv2d') {
    const channels = layer.inputShape[2]!
    return [
      ['bias', [layer.filters]],
      ['kernel', [...layer.kernelSize, channels, layer.filters]],
    ]
  }
  if (layer.kind === 'dense')
    return [
      ['bias', [layer.units]],
      ['kernel', [layer.inputShape[0], layer.units]],
    ]
  return []
}

function paddingOf(
  size: number,
  kernel: number,
  strides: number,
  padding: 'same' | 'valid',
): [number, number] {
  if (padding === 'valid') return [0, 0]
  const total = Math.max(0, (Math.ceil(size / strides) - 1) * strides + kernel - size)
  return [Math.floor(total / 2), Math.ceil(total / 2)]
}

function imageShape(shape: FeatureShape, at: string): readonly [number, number, number] {
  if (shape.length !== 3)
    throw invalidOption(at, shape.join('x'), 'needs an input of height x width x channels, not a flat one')
  return shape
}

function checkActivation(activation: Activation, at: string, isLast: boolean): void {
  const known: Activation[] = ['linear', 'tanh', 'relu', 'sigmoid', 'softmax']
  if (!known.includes(activation))
    throw invalidOption(`${at} activation`, activation, `is not one of ${known.join(', ')}`)
  if (activation === 'softmax' && !isLast)
    throw invalidOption(`${at} activation`, activation, 'belongs to the last, dense layer only')
}

function firstFree(base: string, taken: ReadonlySet<string>): string {
  if (!taken.has(base)) return base
  let number = 1
  while (taken.has(`${base}_${number}`)) number++
  return `${base}_${number}`
}
