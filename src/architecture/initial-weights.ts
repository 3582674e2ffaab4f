import type { RandomStream } from '../random.js'
import type { Architecture } from './architecture.js'

/**
 * A network's weights before training: Glorot-uniform kernels (Glorot & Bengio 2010; limit `sqrt(6 / (fanIn +
 * fanOut))`, fans counted with the receptive field as Keras does) and zero biases, flat in the order of the
 * parameter table. `[parameterCount]`
 *
 * @example
 * initialWeights(lenet5Architecture(), new RandomStream(7, 'church', 3, 'initialisation')).length // 91481
 */
export function initialWeights(architecture: Architecture, stream: RandomStream): Float32Array<ArrayBuffer> {
  const weights = new Float32Array(architecture.parameterCount)
  for (const { part, shape, offset, size } of architecture.parameters) {
    if (part === 'bias') continue
    const [fanIn, fanOut] = fans(shape)
    const limit = Math.sqrt(6 / (fanIn + fanOut))
    for (let i = 0; i < size; i++) weights[offset + i] = stream.uniform(-limit, limit)
  }
  return weights
}

function fans(kernelShape: readonly number[]): [fanIn: number, fanOut: number] {
  const receptiveField = kernelShape.slice(0, -2).reduce((product, n) => product * n, 1)
  return [receptiveField * kernelShape.at(-2)!, receptiveField * kernelShape.at(-1)!]
}
