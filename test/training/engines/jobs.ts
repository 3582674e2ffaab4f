import { type ArchitectureSpec, describeArchitecture } from '../../../dist/architecture/architecture.js'
import { initialWeights } from '../../../dist/architecture/initial-weights.js'
import { createImageSet, type ImageSet } from '../../../dist/images/image-set.js'
import { RandomStream } from '../../../dist/random.js'
import type { TrainingJob } from '../../../dist/training/engine.js'

export const ADAM = { kind: 'adam', learningRate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-7 } as const
export const SGD = { kind: 'sgd', learningRate: 0.05, momentum: 0.9 } as const

/** Shapes that LeNet-5 does not have; each is small enough for the scalar reference. */
export const ODD_ARCHITECTURES: readonly ArchitectureSpec[] = [
  {
    name: 'strided, max-pooled, softmax',
    inputShape: [12, 10, 2],
    layers: [
      { kind: 'conv2d', filters: 4, kernelSize: 3, strides: 2, padding: 'same', activation: 'tanh' },
      { kind: 'maxPooling2d' },
      { kind: 'conv2d', filters: 3, kernelSize: 1, activation: 'sigmoid' },
      { kind: 'flatten' },
      { kind: 'dense', units: 5, activation: 'tanh' },
      { kind: 'dense', units: 3, activation: 'softmax' },
    ],
  },
  {
    name: 'uneven stride and pooling that leave rows over',
    inputShape: [11, 14, 1],
    layers: [
      { kind: 'conv2d', filters: 5, kernelSize: [3, 5], strides: 2, activation: 'tanh' },
      { kind: 'averagePooling2d', poolSize: 2, strides: 1 },
      { kind: 'conv2d', filters: 17, kernelSize: 3, padding: 'same', activation: 'linear' },
      { kind: 'maxPooling2d', poolSize: 2 },
      { kind: 'flatten' },
      { kind: 'dense', units: 1, activation: 'sigmoid' },
    ],
  },
  {
    name: 'no convolution',
    inputShape: [3, 5, 1],
    layers: [
      { kind: 'flatten' },
      { kind: 'dense', units: 7, activation: 'sigmoid' },
      { kind: 'dense', units: 1 },
    ],
  },
  {
    name: 'two convolutions in a row, 7x7 and 5x5, 33 filters',
    inputShape: [9, 8, 2],
    layers: [
      { kind: 'conv2d', filters: 33, kernelSize: 7, padding: 'same', activation: 'tanh' },
      { kind: 'conv2d', filters: 2, kernelSize: 5, activation: 'tanh' },
      { kind: 'flatten' },
      { kind: 'dense', units: 4, activation: 'softmax' },
    ],
  },
  {
    name: 'relu',
    inputShape: [8, 8, 3],
    layers: [
      { kind: 'conv2d', filters: 9, kernelSize: 3, padding: 'same', activation: 'relu' },
      { kind: 'averagePooling2d' },
      { kind: 'flatten' },
      { kind: 'dense', units: 20, activation: 'relu' },
      { kind: 'dense', units: 1, activation: 'sigmoid' },
    ],
  },
  {
    name: 'begins with a pool of 3',
    inputShape: [9, 9, 2],
    layers: [
      { kind: 'averagePooling2d', poolSize: 3, strides: 2 },
      { kind: 'conv2d', filters: 6, kernelSize: 3, strides: 3, padding: 'same', activation: 'sigmoid' },
      { kind: 'flatten' },
      { kind: 'dense', units: 2, activation: 'softmax' },
    ],
  },
]

interface JobOptions
  extends Partial<Pick<TrainingJob, 'optimizer' | 'batchSize' | 'epochs' | 'keep' | 'name'>> {
  trainCount?: number
  validationCount?: number
  seed?: number
}

/** A complete job on random images whose targets can be learnt: the higher the class, the brighter the image. */
export function makeJob(spec: ArchitectureSpec, options: JobOptions = {}): TrainingJob {
  const { trainCount = 64, validationCount = 37, seed = 1, epochs = 1, batchSize = 16 } = options
  const { optimizer = ADAM, keep = 'last', name = `${spec.name}_0` } = options
  const architecture = describeArchitecture(spec)
  const units = architecture.layers.at(-1)!.outputShape[0]
  const classes = Math.max(2, units)
  const stream = new RandomStream(seed, 'engine tests')
  const size = spec.inputShape.reduce((product, n) => product * n, 1)
  const split = (count: number) => {
    const labels = Array.from({ length: count }, () => stream.integer(classes))
    const pixels = new Float32Array(count * size)
    for (const [i, label] of labels.entries()) {
      const brightness = (0.3 * label) / (classes - 1)
      for (let k = 0; k < size; k++) pixels[i * size + k] = brightness + stream.uniform(0, 0.7)
    }
    return { pixels, labels }
  }
  const images = createImageSet({
    name: 'random',
    classNames: Array.from({ length: classes }, (_, k) => `class ${k}`),
    shape: spec.inputShape,
    train: split(trainCount),
    validation: split(validationCount),
  })
  const order = new Uint32Array(epochs * trainCount)
  for (let epoch = 0; epoch < epochs; epoch++) {
    const indices = Uint32Array.from({ length: trainCount }, (_, i) => i)
    order.set(stream.shuffle(indices), epoch * trainCount)
  }
  const weights = initialWeights(architecture, stream)
  // Biases that are not zero, so that a bias that is left out shows.
  for (const { part, offset, size: length } of architecture.parameters) {
    if (part === 'bias') for (let i = 0; i < length; i++) weights[offset + i] = stream.uniform(-0.2, 0.2)
  }
  return {
    name,
    architecture,
    initialWeights: weights,
    images,
    order,
    trainTargets: images.train.labels,
    validationTargets: images.validation.labels,
    loss: units === 1 ? 'binaryCrossentropy' : 'softmaxCrossentropy',
    optimizer,
    batchSize,
    epochs,
    keep,
  }
}

/** The images of a batch, one view each. */
export function samplesOf(images: ImageSet, batch: Uint32Array, split: 'train' | 'validation') {
  const size = images.shape.reduce((product, n) => product * n, 1)
  return Array.from(batch, i => images[split].pixels.subarray(i * size, (i + 1) * size))
}
