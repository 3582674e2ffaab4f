import * as tf from '@tensorflow/tfjs-core'
import * as layers from '@tensorflow/tfjs-layers'
import type { RandomStream } from '../random.js'

/** The shape of an MLP. */
export interface MlpShape {
  readonly columns: number
  readonly hidden: readonly number[]
  readonly classes: number
  readonly dropout: number
  readonly batchNormalization: boolean
}

/**
 * An MLP as a tfjs model that takes rows as they are: standardisation, then for each hidden width dense, batch
 * normalisation, ReLU and dropout, then dense and softmax. All weights are zero until they are set.
 *
 * Standardisation is a batch normalisation that is never trained; its moving mean and variance are the training rows'.
 */
export function buildMlp(shape: MlpShape): layers.Sequential {
  const { columns, hidden, classes, dropout, batchNormalization } = shape
  const model = layers.sequential({ name: 'mlp' })
  model.add(
    layers.layers.batchNormalization({
      name: STANDARDIZATION,
      inputShape: [columns],
      center: false,
      scale: false,
      epsilon: 0,
      trainable: false,
    }),
  )
  for (const units of hidden) {
    model.add(layers.layers.dense({ units, kernelInitializer: 'zeros' }))
    if (batchNormalization) model.add(layers.layers.batchNormalization({ momentum: MOMENTUM }))
    model.add(layers.layers.reLU())
    if (dropout > 0) model.add(layers.layers.dropout({ rate: dropout }))
  }
  model.add(layers.layers.dense({ units: classes, kernelInitializer: 'zeros' }))
  model.add(layers.layers.softmax())
  return model
}

/** Name of the first layer. */
export const STANDARDIZATION = 'standardization'

/** Of batch normalisation's moving moments. Keras's 0.99 needs hundreds of steps; a small zoo has 20 an epoch. */
const MOMENTUM = 0.9

/** What training adds to a forward pass: factors of the units that dropout keeps (1 / (1 - rate)) or drops (0). */
export type DropoutMask = (size: number) => Float32Array

/** A mask that drops others every time. */
export function dropoutMask(rate: number, stream: RandomStream): DropoutMask {
  const kept = 1 / (1 - rate)
  return size => {
    const mask = new Float32Array(size)
    for (let i = 0; i < size; i++) mask[i] = stream.uniform() < rate ? 0 : kept
    return mask
  }
}

/** The first layer, `[n, columns]` to `[n, columns]`. (tfjs cannot run it while it records gradients.) */
export function standardize(model: layers.Sequential, rows: tf.Tensor2D): tf.Tensor2D {
  return model.layers[0]!.apply(rows) as tf.Tensor2D
}

/**
 * The model's output before the softmax, `[n, classes]`, for standardised rows. With a mask as in training: batch
 * normalisation by the batch's own moments, and dropout by the mask, since tfjs's dropout with a seed drops the same
 * units in every batch.
 */
export function logitsOf(
  model: layers.Sequential,
  standardized: tf.Tensor2D,
  mask?: DropoutMask,
): tf.Tensor2D {
  let x = standardized
  for (const layer of model.layers.slice(1, -1)) {
    if (layer.getClassName() === 'Dense') {
      const [kernel, bias] = layer.weights
      x = tf.add(matMul(x, kernel!.read() as tf.Tensor2D, x === standardized), bias!.read())
    } else if (layer.getClassName() === 'Dropout') {
      if (mask) x = tf.mul(x, tf.tensor2d(mask(x.size), x.shape))
    } else {
      x = layer.apply(x, { training: mask !== undefined }) as tf.Tensor2D
    }
  }
  return x
}

/**
 * x times w, `[n, in] x [in, out]`. tfjs's own gradient asks for products of transposed matrices, for which the wasm
 * backend (4.22) has only a loop: 5 times as slow as to transpose first. The first layer's input needs no gradient.
 */
function matMul(x: tf.Tensor2D, w: tf.Tensor2D, isInput: boolean): tf.Tensor2D {
  if (isInput) {
    const product = tf.customGrad(kernel => ({
      value: tf.matMul(x, kernel as tf.Tensor2D),
      gradFunc: dy => tf.matMul(tf.transpose(x), dy as tf.Tensor2D) as tf.Tensor,
    }))
    return product(w) as tf.Tensor2D
  }
  const product = tf.customGrad((input, kernel, save) => {
    ;(save as tf.GradSaveFunc)([input as tf.Tensor, kernel as tf.Tensor])
    return {
      value: tf.matMul(input as tf.Tensor2D, kernel as tf.Tensor2D),
      gradFunc: (dy, [savedInput, savedKernel]) => [
        tf.matMul(dy as tf.Tensor2D, tf.transpose(savedKernel!)) as tf.Tensor,
        tf.matMul(tf.transpose(savedInput!), dy as tf.Tensor2D) as tf.Tensor,
      ],
    }
  })
  return product(x, w) as tf.Tensor2D
}
