import * as tf from '@tensorflow/tfjs-core'
import type { LayersModel } from '@tensorflow/tfjs-layers'
import { describeArchitecture } from '../../architecture/architecture.js'
import { setFlatWeights, toLayersModel } from '../../architecture/to-layers-model.js'
import type { EngineBackend, Trainer, TrainingJob } from '../engine.js'
import { createOptimizer } from '../optimizer.js'
import { registerConv2DBackpropFilter } from './conv2d-backprop-filter.js'
import { replaceMaxPoolGrad } from './max-pool-grad.js'

/** Validation images per forward pass: bounds memory, changes no result (samples do not interact). */
const EVALUATION_BATCH = 256

/**
 * The tfjs engine: slow, general, and the oracle that the compiled engines are checked against. Runs on tfjs-node's
 * `tensorflow` backend where that package is installed, else on tfjs's `wasm` backend.
 */
export async function openTfjsBackend(): Promise<EngineBackend> {
  const name = (await useTfjsNode()) ? 'tensorflow' : await useWasm()
  return {
    arithmetic: `tfjs ${tf.version_core}, ${name} backend`,
    createTrainer: job => new TfjsTrainer(job),
  }
}

async function useTfjsNode(): Promise<boolean> {
  const optionalPeer = '@tensorflow/tfjs-node'
  try {
    await import(optionalPeer)
    return await tf.setBackend('tensorflow')
  } catch {
    return false
  }
}

async function useWasm(): Promise<string> {
  await import('@tensorflow/tfjs-backend-wasm')
  await tf.setBackend('wasm')
  registerConv2DBackpropFilter('wasm')
  replaceMaxPoolGrad('wasm')
  return 'wasm'
}

class TfjsTrainer implements Trainer {
  /** Ends in logits: the loss is taken before the last layer's sigmoid or softmax. */
  private readonly model: LayersModel
  private readonly variables: tf.Variable[]
  private readonly flat: Float32Array<ArrayBuffer>
  private readonly optimize: (weights: Float32Array, gradient: Float32Array) => void

  constructor(private readonly job: TrainingJob) {
    const { architecture, initialWeights, optimizer } = job
    const last = architecture.spec.layers.at(-1)!
    const logits = describeArchitecture({
      ...architecture.spec,
      layers: [...architecture.spec.layers.slice(0, -1), { ...last, activation: 'linear' } as typeof last],
    })
    this.flat = Float32Array.from(initialWeights)
    this.model = toLayersModel(logits, this.flat)
    this.variables = architecture.parameters.map(({ layer, part }) => {
      const [kernel, bias] = this.model.getLayer(layer).trainableWeights
      return (part === 'kernel' ? kernel : bias)!.read() as tf.Variable
    })
    this.optimize = createOptimizer(optimizer, architecture.parameterCount)
  }

  step(batch: Uint32Array) {
    const { gradient, score } = this.backpropagate(batch)
    this.optimize(this.flat, gradient)
    setFlatWeights(this.model, this.job.architecture, this.flat)
    return score
  }

  gradient(batch: Uint32Array) {
    return this.backpropagate(batch).gradient
  }

  evaluate() {
    const { images, validationTargets, architecture } = this.job
    const { count } = images.validation
    const width = architecture.layers.at(-1)!.outputShape[0]
    const outputs = new Float32Array(count * width)
    const score = { loss: 0, correct: 0 }
    for (let start = 0; start < count; start += EVALUATION_BATCH) {
      const indices = Uint32Array.from(
        { length: Math.min(EVALUATION_BATCH, count - start) },
        (_, i) => start + i,
      )
      tf.tidy(() => {
        const logits = this.model.apply(this.gather(images.validation.pixels, indices)) as tf.Tensor2D
        const targets = indices.map(i => validationTargets[i]!)
        score.loss += this.meanLoss(logits, targets).dataSync()[0]! * indices.length
        score.correct += countCorrect(logits, targets)
        outputs.set((width === 1 ? tf.sigmoid(logits) : tf.softmax(logits)).dataSync(), start * width)
      })
    }
    return { ...score, outputs }
  }

  weights() {
    return this.flat.slice()
  }

  setWeights(weights: Float32Array) {
    setFlatWeights(this.model, this.job.architecture, weights)
    this.flat.set(weights)
  }

  dispose() {
    this.model.dispose()
  }

  private backpropagate(batch: Uint32Array) {
    const { images, trainTargets, architecture } = this.job
    const targets = batch.map(i => trainTargets[i]!)
    const gradient = new Float32Array(architecture.parameterCount)
    const score = { loss: 0, correct: 0 }
    tf.tidy(() => {
      const inputs = this.gather(images.train.pixels, batch)
      const { value, grads } = tf.variableGrads(() => {
        const logits = this.model.apply(inputs, { training: true }) as tf.Tensor2D
        score.correct = countCorrect(logits, targets)
        return this.meanLoss(logits, targets)
      }, this.variables)
      score.loss = value.dataSync()[0]! * batch.length
      for (const [i, { offset }] of architecture.parameters.entries()) {
        gradient.set(grads[this.variables[i]!.name]!.dataSync(), offset)
      }
    })
    return { gradient, score }
  }

  private gather(pixels: Float32Array, indices: Uint32Array): tf.Tensor4D {
    const [height, width, channels] = this.job.images.shape
    const size = height * width * channels
    const gathered = new Float32Array(indices.length * size)
    for (const [row, i] of indices.entries())
      gathered.set(pixels.subarray(i * size, (i + 1) * size), row * size)
    return tf.tensor4d(gathered, [indices.length, height, width, channels])
  }

  private meanLoss(logits: tf.Tensor2D, targets: Uint32Array): tf.Scalar {
    if (this.job.loss === 'binaryCrossentropy') {
      const expected = tf.tensor2d(Float32Array.from(targets), [targets.length, 1])
      return tf.losses.sigmoidCrossEntropy(expected, logits)
    }
    const expected = tf.oneHot(tf.tensor1d(Int32Array.from(targets), 'int32'), logits.shape[1])
    return tf.losses.softmaxCrossEntropy(expected, logits)
  }
}

/** Samples whose probability lies on the right side of 0.5, or whose largest logit is the target's. */
function countCorrect(logits: tf.Tensor2D, targets: Uint32Array): number {
  const values = logits.dataSync()
  const width = logits.shape[1]
  let correct = 0
  for (const [row, target] of targets.entries()) {
    const scores = values.subarray(row * width, (row + 1) * width)
    const predicted = width === 1 ? Number(scores[0]! > 0) : scores.indexOf(Math.max(...scores))
    if (predicted === target) correct++
  }
  return correct
}
