import type { LayersModel } from '@tensorflow/tfjs-layers'
import { checkOptionNames } from '../options.js'
import { RandomStream } from '../random.js'
import { type Activation, type Architecture, describeArchitecture } from './architecture.js'
import { initialWeights } from './initial-weights.js'
import { toLayersModel } from './to-layers-model.js'

/** Options of {@link lenet5Architecture}. */
export interface LeNet5Options {
  /** Height, width, channels. Default `[32, 32, 3]`, the paper's; at least 28 x 28, which the third convolution needs. */
  inputShape?: readonly [height: number, width: number, channels: number] | undefined
  /** Activation of every layer but the last. Default `tanh`, the paper's and LeCun's. */
  activation?: Exclude<Activation, 'softmax'> | undefined
}

/**
 * LeNet-5 (LeCun et al. 1998) as the paper trains it: convolutions 6, 16 and 120 at 5x5 with tanh, two average
 * poolings, dense 84 tanh, dense 1 sigmoid; 456 + 2,416 + 48,120 + 40,404 + 85 = 91,481 parameters on 32x32 RGB.
 *
 * @example
 * lenet5Architecture().parameterCount // 91481
 */
export function lenet5Architecture(options: LeNet5Options = {}): Architecture {
  checkOptionNames(options, ['inputShape', 'activation'], 'lenet5')
  const { inputShape = [32, 32, 3], activation = 'tanh' } = options
  return describeArchitecture({
    name: 'lenet5',
    inputShape,
    layers: [
      { kind: 'conv2d', filters: 6, kernelSize: 5, padding: 'same', activation },
      { kind: 'averagePooling2d', poolSize: 2 },
      { kind: 'conv2d', filters: 16, kernelSize: 5, activation },
      { kind: 'averagePooling2d', poolSize: 2 },
      { kind: 'conv2d', filters: 120, kernelSize: 5, activation },
      { kind: 'flatten' },
      { kind: 'dense', units: 84, activation },
      { kind: 'dense', units: 1, activation: 'sigmoid' },
    ],
  })
}

/**
 * A fresh LeNet-5 as a tfjs model: Glorot-uniform kernels and zero biases drawn from `seed` (default 0), so that two
 * calls with one seed give equal weights. Also exported as `LeNet5`.
 *
 * @example
 * lenet5().countParams() // 91481
 */
export function lenet5(options: LeNet5Options & { seed?: number } = {}): LayersModel {
  checkOptionNames(options, ['inputShape', 'activation', 'seed'], 'lenet5')
  const { seed = 0, ...rest } = options
  const architecture = lenet5Architecture(rest)
  return toLayersModel(architecture, initialWeights(architecture, new RandomStream(seed, 'initialisation')))
}
