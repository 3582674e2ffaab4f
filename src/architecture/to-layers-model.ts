import '@tensorflow/tfjs-backend-cpu'
import * as tf from '@tensorflow/tfjs-core'
import * as layers from '@tensorflow/tfjs-layers'
import { invalidOption } from '../options.js'
import type { Architecture, Layer } from './architecture.js'

/**
 * Builds the tfjs model of an architecture, with the given flat weights or Keras's default initialisation.
 *
 * It runs on whichever tfjs backend is active; without one that is tfjs's pure JavaScript `cpu`, which is enough for
 * looking and for a few predictions. For more, `await tf.setBackend('wasm')` first.
 *
 * @param weights flat, in the order of the parameter table; `[parameterCount]`
 *
 * @example
 * toLayersModel(zoo.architectureOf('church', 3), await zoo.weights('church', 3)).summary()
 */
export function toLayersModel(architecture: Architecture, weights?: Float32Array): layers.LayersModel {
  silenceCpuBackend()
  const model = layers.sequential({ name: architecture.name })
  for (const [position, layer] of architecture.layers.entries()) {
    const built = toTfjsLayer(layer, position === 0 ? { inputShape: [...architecture.inputShape] } : {})
    model.add(built)
  }
  if (weights) setFlatWeights(model, architecture, weights)
  return model
}

/** Copies flat weights into a model built from the same architecture. */
export function setFlatWeights(
  model: layers.LayersModel,
  architecture: Architecture,
  weights: Float32Array,
): void {
  if (weights.length !== architecture.parameterCount) {
    throw invalidOption(
      'weights',
      weights.length,
      `${architecture.name} has ${architecture.parameterCount} parameters`,
    )
  }
  for (const layer of model.layers) {
    const entries = keepKerasOrder(architecture, layer.name)
    if (entries.length === 0) continue
    tf.tidy(() => {
      layer.setWeights(
        entries.map(({ shape, offset, size }) => tf.tensor(weights.slice(offset, offset + size), [...shape])),
      )
    })
  }
}

/** Kernel, then bias: the order in which Keras and tfjs list a layer's weights. */
function keepKerasOrder(architecture: Architecture, layerName: string) {
  return architecture.parameters.filter(entry => entry.layer === layerName).reverse()
}

function toTfjsLayer(layer: Layer, input: { inputShape?: number[] }) {
  const { name } = layer
  switch (layer.kind) {
    case 'conv2d':
      return layers.layers.conv2d({
        ...input,
        name,
        filters: layer.filters,
        kernelSize: [...layer.kernelSize],
        strides: layer.strides,
        padding: layer.padding,
        activation: layer.activation,
      })
    case 'averagePooling2d':
    case 'maxPooling2d': {
      const { poolSize, strides } = layer
      return layers.layers[layer.kind]({ ...input, name, poolSize, strides })
    }
    case 'flatten':
      return layers.layers.flatten({ ...input, name })
    case 'dense':
      return layers.layers.dense({ ...input, name, units: layer.units, activation: layer.activation })
  }
}

/** tfjs's cpu backend advertises tfjs-node on first use; a library should not print that for its user. */
export function silenceCpuBackend(): void {
  const backend = tf.backend() as { firstUse?: boolean }
  if (tf.getBackend() === 'cpu') backend.firstUse = false
}
