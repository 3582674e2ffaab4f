import type {
  Activation,
  Architecture,
  FeatureShape,
  Layer,
  ParameterEntry,
} from '../architecture/architecture.js'

/** A tensor of a PyTorch state_dict and where its values lie in weightzoo's flat weights. */
export interface PytorchTensor {
  /** `conv1.weight` */
  readonly name: string
  /** Convolutions `[out, in, height, width]`, dense layers `[out, in]`, biases `[out]`. */
  readonly shape: readonly number[]
  /** For each value of the tensor, row-major, its position in the flat weights. */
  readonly from: Uint32Array
}

/**
 * The state_dict of an architecture. PyTorch counts channels before height and width: kernels are transposed, and the
 * dense layer behind a flattening takes its inputs in another order (Keras flattens height, width, channels; PyTorch
 * channels, height, width).
 */
export function pytorchTensors(architecture: Architecture): PytorchTensor[] {
  const names = moduleNames(architecture)
  let image: FeatureShape = architecture.inputShape
  return architecture.layers.flatMap(layer => {
    if (layer.kind === 'flatten') image = layer.inputShape
    const entries = architecture.parameters.filter(entry => entry.layer === layer.name)
    const tensors = entries.map(entry => {
      const name = `${names.get(layer.name)}.${entry.part === 'kernel' ? 'weight' : 'bias'}`
      return { name, ...transposed(entry, image) }
    })
    // Behind the first dense layer, inputs are units, which both count alike.
    if (layer.kind === 'dense') image = layer.outputShape
    // Weight, then bias, as PyTorch lists them.
    return tensors.reverse()
  })
}

/** `image`: what the flattening before a dense layer was given. */
function transposed(
  { part, shape, offset, size }: ParameterEntry,
  image: FeatureShape,
): Pick<PytorchTensor, 'shape' | 'from'> {
  if (part === 'bias') return { shape, from: Uint32Array.from({ length: size }, (_, i) => offset + i) }
  const from = new Uint32Array(size)
  let next = 0
  if (shape.length === 4) {
    const [height, width, inputs, outputs] = shape as [number, number, number, number]
    for (let out = 0; out < outputs; out++)
      for (let input = 0; input < inputs; input++)
        for (let at = 0; at < height * width; at++)
          from[next++] = offset + (at * inputs + input) * outputs + out
    return { shape: [outputs, inputs, height, width], from }
  }
  const [inputs, outputs] = shape as [number, number]
  const [height, width, channels] = image.length === 3 ? image : [1, 1, inputs]
  for (let out = 0; out < outputs; out++)
    for (let channel = 0; channel < channels; channel++)
      for (let at = 0; at < height * width; at++)
        from[next++] = offset + (at * channels + channel) * outputs + out
  return { shape: [outputs, inputs], from }
}

/** PyTorch's habit: `conv1`, `conv2`, …, `fc1`, … in the order of the layers. */
function moduleNames(architecture: Architecture): ReadonlyMap<string, string> {
  const counts = { conv2d: 0, dense: 0 }
  return new Map(
    architecture.layers.flatMap(({ kind, name }) => {
      if (kind !== 'conv2d' && kind !== 'dense') return []
      counts[kind]++
      return [[name, `${kind === 'conv2d' ? 'conv' : 'fc'}${counts[kind]}`]]
    }),
  )
}

/**
 * Python source of the nn.Module that the state_dicts are of. `varied`: its activation is an argument, used in every layer
 * but the last.
 */
export function pytorchModule(architecture: Architecture, varied: boolean): string {
  const { name, inputShape, layers } = architecture
  const [height, width, channels] = inputShape
  const names = moduleNames(architecture)
  const modules = layers.flatMap(layer => {
    const made = moduleOf(layer)
    return made ? [`        self.${names.get(layer.name)} = ${made}`] : []
  })
  const steps = layers.flatMap(layer =>
    stepsOf(layer, names.get(layer.name), varied && layer !== layers.at(-1)),
  )
  const argument = varied ? 'activation' : ''
  return `"""${name} in PyTorch, written by weightzoo for the state_dicts in models/.

    from safetensors.torch import load_file
    network = Network(${argument})${varied ? "  # 'relu', ...: hyperparameter_activation in metadata.csv" : ''}
    network.load_state_dict(load_file('models/<network>.safetensors'))
    network.eval()(images)  # images [n, ${channels}, ${height}, ${width}], float32 from 0 to 1
"""

import torch
from torch import nn
from torch.nn import functional as F
${varied ? ACTIVATIONS : ''}

class Network(nn.Module):
    def __init__(self${varied ? ', activation' : ''}):
        super().__init__()
${[...(varied ? ['        self.activation = ACTIVATIONS[activation]'] : []), ...modules].join('\n')}

    def forward(self, x):
${steps.map(step => `        x = ${step}`).join('\n')}
        return x
`
}

const ACTIVATIONS = `
ACTIVATIONS = {'linear': nn.Identity(), 'relu': torch.relu, 'sigmoid': torch.sigmoid, 'tanh': torch.tanh}
`

function moduleOf(layer: Layer): string | undefined {
  if (layer.kind === 'dense') return `nn.Linear(${layer.inputShape[0]}, ${layer.units})`
  if (layer.kind !== 'conv2d') return undefined
  const { inputShape, filters, kernelSize, strides } = layer
  return `nn.Conv2d(${inputShape[2]}, ${filters}, (${kernelSize.join(', ')}), stride=${strides})`
}

function stepsOf(layer: Layer, module: string | undefined, varied: boolean): string[] {
  switch (layer.kind) {
    case 'conv2d': {
      const [top, bottom, left, right] = layer.pad
      const padded =
        top + bottom + left + right > 0 ? `F.pad(x, (${left}, ${right}, ${top}, ${bottom}))` : 'x'
      return [activated(`self.${module}(${padded})`, layer.activation, varied)]
    }
    case 'averagePooling2d':
      return [`F.avg_pool2d(x, ${layer.poolSize}, ${layer.strides})`]
    case 'maxPooling2d':
      return [`F.max_pool2d(x, ${layer.poolSize}, ${layer.strides})`]
    case 'flatten':
      return ['torch.flatten(x, 1)']
    case 'dense':
      return [activated(`self.${module}(x)`, layer.activation, varied)]
  }
}

function activated(value: string, activation: Activation, varied: boolean): string {
  if (varied) return `self.activation(${value})`
  if (activation === 'linear') return value
  return activation === 'softmax' ? `torch.softmax(${value}, 1)` : `torch.${activation}(${value})`
}
