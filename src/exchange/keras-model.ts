import type { Architecture, Layer } from '../architecture/architecture.js'

// A network's architecture as Keras writes it in JSON. What is left out has Keras's default (glorot_uniform kernels, zero
// biases, channels_last).

interface KerasLayer {
  readonly class_name: string
  readonly config: Readonly<Record<string, unknown>>
}

/** For Keras 2 (`model_config` of its HDF5 files) and TensorFlow.js (`modelTopology`). */
export function kerasLegacyModel(architecture: Architecture): object {
  const { name, inputShape, layers } = architecture
  const input = inputLayer({ batch_input_shape: [null, ...inputShape] })
  return { class_name: 'Sequential', config: { name, layers: [input, ...layers.map(kerasLayer)] } }
}

/** For Keras 3: `config.json` of its `.keras` files. */
export function kerasModel(architecture: Architecture): object {
  const { name, inputShape, layers } = architecture
  const batchShape = [null, ...inputShape]
  const input = inputLayer({ batch_shape: batchShape })
  return {
    module: 'keras',
    class_name: 'Sequential',
    config: {
      name,
      trainable: true,
      layers: [input, ...layers.map(kerasLayer)].map(layer => ({
        module: 'keras.layers',
        ...layer,
        registered_name: null,
      })),
      build_input_shape: batchShape,
    },
    registered_name: null,
    build_config: { input_shape: batchShape },
  }
}

/** What Keras 2 calls `batch_input_shape` is `batch_shape` in Keras 3. */
function inputLayer(shape: Readonly<Record<string, unknown>>): KerasLayer {
  return { class_name: 'InputLayer', config: { ...shape, dtype: 'float32', name: 'input_layer' } }
}

function kerasLayer(layer: Layer): KerasLayer {
  const { name } = layer
  switch (layer.kind) {
    case 'conv2d': {
      const { filters, kernelSize, strides, padding, activation } = layer
      const config = {
        name,
        filters,
        kernel_size: kernelSize,
        strides: [strides, strides],
        padding,
        activation,
      }
      return { class_name: 'Conv2D', config }
    }
    case 'averagePooling2d':
    case 'maxPooling2d': {
      const { poolSize, strides } = layer
      return {
        class_name: layer.kind === 'averagePooling2d' ? 'AveragePooling2D' : 'MaxPooling2D',
        config: { name, pool_size: [poolSize, poolSize], strides: [strides, strides], padding: 'valid' },
      }
    }
    case 'flatten':
      return { class_name: 'Flatten', config: { name } }
    case 'dense':
      return { class_name: 'Dense', config: { name, units: layer.units, activation: layer.activation } }
  }
}
