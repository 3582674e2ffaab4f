import type { Activation, Architecture, Layer } from '../../../dist/architecture/architecture.js'
import type { LossName } from '../../../dist/training/engine.js'

/** What the network makes of one batch; losses and `correct` are sums over its samples. */
export interface Reference {
  loss: number
  correct: number
  /** Probabilities, `[samples, units]`. */
  outputs: Float64Array
  /** Of the mean loss, flat, `[parameterCount]`. */
  gradient: Float64Array
}

/**
 * The naive network: forward and backward pass in float64, one multiplication at a time, straight from the
 * definitions. The oracle of every engine, and slow (LeNet-5: about 15 ms a sample).
 *
 * @param samples one image each, `[height, width, channels]`
 */
export function reference(
  architecture: Architecture,
  weights: ArrayLike<number>,
  samples: readonly ArrayLike<number>[],
  targets: ArrayLike<number>,
  loss: LossName,
): Reference {
  const units = architecture.layers.at(-1)!.outputShape[0]
  const result: Reference = {
    loss: 0,
    correct: 0,
    outputs: new Float64Array(samples.length * units),
    gradient: new Float64Array(architecture.parameterCount),
  }
  for (const [n, sample] of samples.entries()) {
    // Values before (z) and after (a) each layer's activation; the last layer's a is its z, the logits.
    const z: Float64Array[] = []
    const a: Float64Array[] = [Float64Array.from(sample)]
    for (const [i, layer] of architecture.layers.entries()) {
      z.push(forward(layer, a[i]!, parametersOf(architecture, layer, weights)))
      const isLast = i === architecture.layers.length - 1
      a.push(isLast ? z[i]! : z[i]!.map(value => activate(activationOf(layer), value)))
    }
    const logits = a.at(-1)!
    const scored = score(logits, targets[n]!, loss)
    result.loss += scored.loss
    result.correct += scored.correct
    result.outputs.set(scored.outputs, n * units)

    let d: Float64Array = scored.dLogits.map(value => value / samples.length)
    for (const [i, layer] of [...architecture.layers.entries()].reverse()) {
      if (i < architecture.layers.length - 1)
        d = d.map((value, k) => value * derivative(activationOf(layer), z[i]![k]!))
      d = backward(layer, a[i]!, d, parametersOf(architecture, layer, weights), result.gradient)
    }
  }
  return result
}

interface Parameters {
  bias: { offset: number; values: ArrayLike<number> }
  kernel: { offset: number; values: ArrayLike<number> }
}

function parametersOf(architecture: Architecture, layer: Layer, weights: ArrayLike<number>): Parameters {
  const find = (part: 'bias' | 'kernel') => ({
    offset:
      architecture.parameters.find(entry => entry.layer === layer.name && entry.part === part)?.offset ?? 0,
    values: weights,
  })
  return { bias: find('bias'), kernel: find('kernel') }
}

/** Calls `visit(output, input, weight)` for every multiplication of a convolution or dense layer. */
function eachProduct(layer: Layer, visit: (o: number, i: number, w: number) => void): void {
  if (layer.kind === 'dense') {
    for (let i = 0; i < layer.inputShape[0]; i++) {
      for (let o = 0; o < layer.units; o++) visit(o, i, i * layer.units + o)
    }
  }
  if (layer.kind !== 'conv2d') return
  const [height, width, channels] = layer.inputShape as readonly [number, number, number]
  const [outHeight, outWidth, filters] = layer.outputShape as readonly [number, number, number]
  const [kernelHeight, kernelWidth] = layer.kernelSize
  const [top, , left] = layer.pad
  for (let oy = 0; oy < outHeight; oy++) {
    for (let ox = 0; ox < outWidth; ox++) {
      for (let ky = 0; ky < kernelHeight; ky++) {
        const y = oy * layer.strides + ky - top
        if (y < 0 || y >= height) continue
        for (let kx = 0; kx < kernelWidth; kx++) {
          const x = ox * layer.strides + kx - left
          if (x < 0 || x >= width) continue
          for (let c = 0; c < channels; c++) {
            for (let f = 0; f < filters; f++) {
              visit(
                (oy * outWidth + ox) * filters + f,
                (y * width + x) * channels + c,
                ((ky * kernelWidth + kx) * channels + c) * filters + f,
              )
            }
          }
        }
      }
    }
  }
}

/** Calls `visit(output, inputs)` for every window of a pooling layer. */
function eachWindow(layer: Layer, visit: (o: number, inputs: number[]) => void): void {
  if (layer.kind !== 'averagePooling2d' && layer.kind !== 'maxPooling2d') return
  const [, width, channels] = layer.inputShape as readonly [number, number, number]
  const [outHeight, outWidth] = layer.outputShape as readonly [number, number, number]
  for (let oy = 0; oy < outHeight; oy++) {
    for (let ox = 0; ox < outWidth; ox++) {
      for (let c = 0; c < channels; c++) {
        const inputs = Array.from({ length: layer.poolSize ** 2 }, (_, k) => {
          const y = oy * layer.strides + Math.floor(k / layer.poolSize)
          const x = ox * layer.strides + (k % layer.poolSize)
          return (y * width + x) * channels + c
        })
        visit((oy * outWidth + ox) * channels + c, inputs)
      }
    }
  }
}

function forward(layer: Layer, input: Float64Array, { bias, kernel }: Parameters): Float64Array {
  const size = layer.outputShape.reduce((product, n) => product * n, 1)
  if (layer.kind === 'flatten') return input
  const output = new Float64Array(size)
  if (layer.kind === 'conv2d' || layer.kind === 'dense') {
    const filters = layer.outputShape.at(-1)!
    for (let o = 0; o < size; o++) output[o] = bias.values[bias.offset + (o % filters)]!
    eachProduct(layer, (o, i, w) => {
      output[o]! += input[i]! * kernel.values[kernel.offset + w]!
    })
  }
  eachWindow(layer, (o, inputs) => {
    const values = inputs.map(i => input[i]!)
    output[o] =
      layer.kind === 'maxPooling2d'
        ? Math.max(...values)
        : values.reduce((sum, value) => sum + value, 0) / values.length
  })
  return output
}

/** Adds the layer's share to `gradient` and returns the gradient of its input. */
function backward(
  layer: Layer,
  input: Float64Array,
  dOutput: Float64Array,
  { bias, kernel }: Parameters,
  gradient: Float64Array,
): Float64Array {
  if (layer.kind === 'flatten') return dOutput
  const dInput = new Float64Array(input.length)
  if (layer.kind === 'conv2d' || layer.kind === 'dense') {
    const filters = layer.outputShape.at(-1)!
    for (const [o, value] of dOutput.entries()) gradient[bias.offset + (o % filters)]! += value
    eachProduct(layer, (o, i, w) => {
      gradient[kernel.offset + w]! += input[i]! * dOutput[o]!
      dInput[i]! += kernel.values[kernel.offset + w]! * dOutput[o]!
    })
  }
  eachWindow(layer, (o, inputs) => {
    if (layer.kind === 'maxPooling2d') {
      const largest = Math.max(...inputs.map(i => input[i]!))
      dInput[inputs.find(i => input[i] === largest)!]! += dOutput[o]!
    } else {
      for (const i of inputs) dInput[i]! += dOutput[o]! / inputs.length
    }
  })
  return dInput
}

function activationOf(layer: Layer): Activation {
  return 'activation' in layer ? layer.activation : 'linear'
}

function activate(activation: Activation, z: number): number {
  if (activation === 'tanh') return Math.tanh(z)
  if (activation === 'relu') return Math.max(0, z)
  if (activation === 'sigmoid') return 1 / (1 + Math.exp(-z))
  return z
}

function derivative(activation: Activation, z: number): number {
  const a = activate(activation, z)
  if (activation === 'tanh') return 1 - a * a
  if (activation === 'relu') return z > 0 ? 1 : 0
  if (activation === 'sigmoid') return a * (1 - a)
  return 1
}

function score(logits: Float64Array, target: number, loss: LossName) {
  if (loss === 'binaryCrossentropy') {
    const z = logits[0]!
    const probability = 1 / (1 + Math.exp(-z))
    return {
      loss: Math.max(z, 0) - z * target + Math.log1p(Math.exp(-Math.abs(z))),
      correct: Number(Number(z > 0) === target),
      outputs: Float64Array.of(probability),
      dLogits: Float64Array.of(probability - target),
    }
  }
  const largest = Math.max(...logits)
  const exponentials = logits.map(z => Math.exp(z - largest))
  const sum = exponentials.reduce((total, value) => total + value, 0)
  const outputs = exponentials.map(value => value / sum)
  return {
    loss: -Math.log(outputs[target]!),
    correct: Number(logits.indexOf(largest) === target),
    outputs,
    dLogits: outputs.map((value, k) => value - Number(k === target)),
  }
}
