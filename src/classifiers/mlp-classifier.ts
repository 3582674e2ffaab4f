import * as tf from '@tensorflow/tfjs-core'
import type { LayersModel, Sequential } from '@tensorflow/tfjs-layers'
import { silenceCpuBackend } from '../architecture/to-layers-model.js'
import { checkOptionNames, invalidOption, isCount } from '../options.js'
import { RandomStream } from '../random.js'
import { createOptimizer, type OptimizerStep } from '../training/optimizer.js'
import { arrayRows, finiteBlocks, finiteRows, type Rows, rowsPerBlock, subsetRows } from '../zoo/rows.js'
import {
  type Classifier,
  checkColumns,
  type FitControl,
  indexOfLargest,
  normalizeLogs,
  notFitted,
  trainingClasses,
} from './classifier.js'
import {
  buildMlp,
  type DropoutMask,
  dropoutMask,
  logitsOf,
  STANDARDIZATION,
  standardize,
} from './mlp-network.js'
import { RunningMoments } from './running-moments.js'
import { splitByClass } from './splits.js'
import { onBackend } from './tfjs-backend.js'

/** Options of {@link MlpClassifier}. */
export interface MlpOptions {
  /** Units of the hidden layers. Default `[256, 128, 64]`, the paper's. */
  hidden?: readonly number[]
  /** Share of hidden units dropped in training. Default 0.6, the paper's; 0 for none. */
  dropout?: number
  /** Normalise every hidden layer over the batch, before its ReLU. Default true, as in the paper. */
  batchNormalization?: boolean
  /**
   * Bring every feature to mean 0 and variance 1 of the training rows. Default true: weights of trained networks are
   * of order 0.01 to 1, and an MLP starts best at 1.
   */
  standardize?: boolean
  /** Adam's (Keras's, betas 0.9 and 0.999). Default 1e-3, Keras's. */
  learningRate?: number
  /** Rows per step. Default 32, Keras's; the rows of an epoch are dealt evenly, so batches may be smaller. */
  batchSize?: number
  /** Passes over the training rows at most. Default 100; early stopping usually ends before. */
  epochs?: number
  /**
   * Share of each class's training rows held out to choose the epoch whose weights are kept (the lowest validation
   * loss). Default 0.15. 0: learn from all rows for all `epochs`, and keep the last.
   */
  validationShare?: number
  /** Stop after this many epochs without a lower validation loss. Default 15. */
  patience?: number
  /** Of initial weights, dropout, batches and the validation rows. Default 0. */
  seed?: number
  /**
   * tfjs backend to run on. Default: the active one, but `wasm` where that is `cpu`, which is many times slower. The
   * active backend is the same afterwards.
   */
  backend?: string
}

/** One epoch of {@link MlpClassifier}. */
export interface MlpEpoch {
  readonly epoch: number
  /** Mean cross-entropy (nats) and accuracy over the epoch's batches, with dropout. */
  readonly loss: number
  readonly accuracy: number
  /** Over the validation rows after the epoch, without dropout; null without validation rows. */
  readonly validationLoss: number | null
  readonly validationAccuracy: number | null
}

/**
 * The paper's classifier of networks: a multilayer perceptron with batch normalisation, ReLU, dropout and softmax,
 * trained by Adam on cross-entropy. Equal options, rows and backend give equal weights.
 *
 * Rows are read batch by batch (once where all are below 256 MB). The memory to count on is that of the first layer's
 * `columns x hidden[0]` weights, about 60 bytes each in `fit`: 1.4 GB for LeNet-5's 91,481 columns, where a step of 32
 * rows takes about a second. On principal components of the networks ({@link withPreprocessing}) it takes milliseconds.
 * No tensors outlive a call.
 *
 * @example
 * const mlp = await new MlpClassifier({ seed: 7 }).fit(rows, rows.labels)
 * mlp.history.at(-1) // { epoch: 41, loss: 0.31, ... }
 * await mlp.predict(rows)
 */
export class MlpClassifier implements Classifier {
  private readonly options: Required<Omit<MlpOptions, 'backend'>> & Pick<MlpOptions, 'backend'>
  private fitted: Fitted | undefined

  /** @throws ZooError `option` for an unknown option or an impossible value. */
  constructor(options: MlpOptions = {}) {
    checkOptionNames(options, [...Object.keys(DEFAULTS), 'backend'], 'MlpClassifier')
    this.options = { ...DEFAULTS, ...definedOnly(options) }
    checkOptions(this.options)
  }

  /** The epochs of the last `fit`. */
  get history(): readonly MlpEpoch[] {
    return this.checkFitted().history
  }

  /** Epoch whose weights were kept, counted from 1. */
  get epoch(): number {
    return this.checkFitted().epoch
  }

  /** Labels among the training rows, ascending: the order of the model's outputs. */
  get classes(): Int32Array {
    return this.checkFitted().classes
  }

  /** Means and standard deviations by which features are standardised, of the training rows. Each `[columns]`. */
  get standardization(): { readonly means: Float32Array; readonly deviations: Float32Array } {
    const { means, variances } = this.checkFitted().standardization
    return { means: means.slice(), deviations: variances.map(Math.sqrt) }
  }

  /**
   * @throws ZooError `option` for fewer than two classes, a class of one row (it takes a second one to validate with), labels
   *   that do not fit the rows, NaN (naming the row); `engine` for a backend that cannot be used; `interrupted`.
   */
  async fit(rows: Rows, labels: ArrayLike<number>, control: FitControl = {}): Promise<this> {
    const { onProgress, signal, classNames } = control
    this.fitted = undefined
    const classes = trainingClasses(rows, labels)
    const targets = Int32Array.from({ length: labels.length }, (_, row) => classes.indexOf(labels[row]!))
    const { options } = this
    const { train, test: validation } = this.validationSplit(
      targets,
      Array.from(classes, label => classNames?.[label] ?? String(label)),
    )
    const data: TrainingData = {
      rows: heldIfSmall(rows),
      targets,
      train,
      validation,
      classes: classes.length,
    }
    const work = () => trainMlp(data, options, done => onProgress?.(done, options.epochs))
    const trained = await onBackend(options.backend, work, signal)
    this.fitted = { ...trained, columns: rows.shape[1], classes }
    return this
  }

  /** The most probable class of each row. */
  async predict(rows: Rows): Promise<Int32Array> {
    const logits = await this.logits(rows)
    const { classes } = this.checkFitted()
    return Int32Array.from(
      { length: rows.shape[0] },
      (_, row) => classes[indexOfLargest(logits, row * classes.length, classes.length)]!,
    )
  }

  /** Logarithms of the softmax, flat `[rows, classes]`. */
  async predictLogProbabilities(rows: Rows): Promise<Float64Array> {
    return normalizeLogs(await this.logits(rows), this.classes.length)
  }

  /**
   * The network as a tfjs model that takes rows as they are (its first layer standardises them) and gives
   * probabilities, `[n, columns]` to `[n, classes]`. Every call makes a new one; `dispose()` it after use.
   */
  toLayersModel(): LayersModel {
    silenceCpuBackend()
    return this.build()
  }

  private build(): Sequential {
    const { columns, classes, weights } = this.checkFitted()
    const model = buildMlp({ ...this.options, columns, classes: classes.length })
    setWeights(model, weights)
    return model
  }

  private async logits(rows: Rows): Promise<Float64Array> {
    const { columns, classes } = this.checkFitted()
    checkColumns(rows, columns)
    const build = () => this.build()
    return onBackend(this.options.backend, function* () {
      const model = build()
      const out = new Float64Array(rows.shape[0] * classes.length)
      try {
        for (const { start, data } of finiteBlocks(rows)) {
          out.set(readLogits(model, data), start * classes.length)
          yield
        }
      } finally {
        model.dispose()
      }
      return out
    })
  }

  private validationSplit(targets: Int32Array, names: readonly string[]) {
    const { validationShare, seed } = this.options
    if (validationShare === 0) return { train: Uint32Array.from(targets.keys()), test: new Uint32Array(0) }
    const lone = names.find((_, target) => targets.indexOf(target) === targets.lastIndexOf(target))
    if (lone !== undefined) {
      const why =
        'each class needs a second training row to choose the epoch by (validationShare: 0 for none); '
      throw invalidOption('labels', 1, `${why}${lone} has`)
    }
    return splitByClass(targets, validationShare, label => new RandomStream(seed, 'mlp', 'validation', label))
  }

  private checkFitted(): Fitted {
    if (!this.fitted) throw notFitted('MlpClassifier')
    return this.fitted
  }
}

const DEFAULTS = {
  hidden: [256, 128, 64] as readonly number[],
  dropout: 0.6,
  batchNormalization: true,
  standardize: true,
  learningRate: 1e-3,
  batchSize: 32,
  epochs: 100,
  validationShare: 0.15,
  patience: 15,
  seed: 0,
}

type Settings = typeof DEFAULTS

function definedOnly(options: MlpOptions): object {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))
}

function checkOptions({ hidden, dropout, learningRate, validationShare, ...counts }: Settings): void {
  if (!(Array.isArray(hidden) && hidden.every(isCount))) {
    throw invalidOption('hidden', hidden, 'needs a list of positive integers')
  }
  if (!(dropout >= 0 && dropout < 1)) throw invalidOption('dropout', dropout, 'not in [0, 1)')
  if (!(learningRate > 0 && learningRate < Infinity)) {
    throw invalidOption('learningRate', learningRate, 'needs a positive number')
  }
  if (!(validationShare >= 0 && validationShare < 1)) {
    throw invalidOption('validationShare', validationShare, 'not in [0, 1)')
  }
  for (const name of ['batchSize', 'epochs', 'patience'] as const) {
    if (!isCount(counts[name])) throw invalidOption(name, counts[name], 'needs a positive integer')
  }
  if (counts.batchNormalization && counts.batchSize < 2) {
    throw invalidOption('batchSize', counts.batchSize, 'batch normalisation needs at least 2 rows')
  }
}

interface Standardization {
  readonly means: Float32Array
  readonly variances: Float32Array
}

interface Trained {
  readonly history: readonly MlpEpoch[]
  readonly epoch: number
  readonly standardization: Standardization
  /** In the order of the model's `weights`. */
  readonly weights: readonly Float32Array[]
}

interface Fitted extends Trained {
  readonly columns: number
  readonly classes: Int32Array
}

interface TrainingData {
  readonly rows: Rows
  /** Index of each row's class. */
  readonly targets: Int32Array
  readonly train: Uint32Array
  readonly validation: Uint32Array
  readonly classes: number
}

/** Rows below this are read once; a small row costs more to look up in a file than to learn from. */
const HELD_BYTES = 256 * 2 ** 20

function heldIfSmall(rows: Rows): Rows {
  const [count, columns] = rows.shape
  if (4 * count * columns > HELD_BYTES) return rows
  return arrayRows(rows.rows(0, count), columns, rows.names)
}

/** Mean and variance of every column, read once; a column that does not vary keeps its scale. */
function* momentsOf(rows: Rows): Generator<void, Standardization> {
  const columns = rows.shape[1]
  const moments = new RunningMoments(columns)
  for (const { data } of finiteBlocks(rows)) {
    for (let offset = 0; offset < data.length; offset += columns) moments.add(data, offset)
    yield
  }
  return { means: Float32Array.from(moments.mean), variances: Float32Array.from(moments.variances()) }
}

function noChange({ shape: [, columns] }: Rows): Standardization {
  return { means: new Float32Array(columns), variances: new Float32Array(columns).fill(1) }
}

/** Trains from the first to the last epoch, one batch between two `yield`s. */
function* trainMlp(
  data: TrainingData,
  settings: Settings,
  onEpoch: (done: number) => void,
): Generator<void, Trained> {
  const { rows, train } = data
  const learned = subsetRows(rows, train)
  const standardization = settings.standardize ? yield* momentsOf(learned) : noChange(learned)
  const model = buildMlp({ ...settings, columns: rows.shape[1], classes: data.classes })
  try {
    initialize(model, standardization, new RandomStream(settings.seed, 'mlp', 'initialization'))
    const optimize = createModelOptimizer(model, settings.learningRate)
    const mask = dropoutMask(settings.dropout, new RandomStream(settings.seed, 'mlp', 'dropout'))
    const history: MlpEpoch[] = []
    let best = { loss: Infinity, epoch: 0, weights: [] as Float32Array[] }
    for (let epoch = 1; epoch <= settings.epochs; epoch++) {
      const order = new RandomStream(settings.seed, 'mlp', 'order', epoch).shuffle(train.slice())
      const total = { loss: 0, correct: 0 }
      for (const batch of batchesOf(order, settings.batchSize)) {
        const { gradients, loss, correct } = backpropagate(model, data, batch, mask)
        optimize(gradients)
        total.loss += loss
        total.correct += correct
        yield
      }
      if (!Number.isFinite(total.loss)) {
        throw invalidOption(
          'learningRate',
          settings.learningRate,
          `the loss is no number in epoch ${epoch}, lower it`,
        )
      }
      const validation = yield* evaluateMlp(model, data)
      history.push({
        epoch,
        loss: total.loss / train.length,
        accuracy: total.correct / train.length,
        validationLoss: validation?.loss ?? null,
        validationAccuracy: validation?.accuracy ?? null,
      })
      onEpoch(epoch)
      if (!validation) continue
      if (validation.loss < best.loss) best = { loss: validation.loss, epoch, weights: weightsOf(model) }
      if (epoch - best.epoch >= settings.patience) break
    }
    const isBestKept = best.epoch > 0
    return {
      history,
      standardization,
      epoch: isBestKept ? best.epoch : history.length,
      weights: isBestKept ? best.weights : weightsOf(model),
    }
  } finally {
    model.dispose()
  }
}

/** Even parts of at most `size` rows: a last batch of one row would leave batch normalisation nothing to normalise. */
function batchesOf(order: Uint32Array, size: number): Uint32Array[] {
  const count = Math.ceil(order.length / size)
  const start = (i: number) => Math.floor((i * order.length) / count)
  return Array.from({ length: count }, (_, i) => order.slice(start(i), start(i + 1)).sort())
}

function backpropagate(
  model: Sequential,
  { rows, targets, classes }: TrainingData,
  batch: Uint32Array,
  mask: DropoutMask,
) {
  const score = { loss: 0, correct: 0 }
  const gradients = new Map<string, Float32Array>()
  tf.tidy(() => {
    const x = standardize(
      model,
      toTensor(finiteRows(subsetRows(rows, batch), 0, batch.length), rows.shape[1]),
    )
    const expected = batch.map(row => targets[row]!)
    const { value, grads } = tf.variableGrads(() => {
      const logits = logitsOf(model, x, mask)
      score.correct = countCorrect(logits.dataSync(), expected, classes)
      const oneHot = tf.oneHot(tf.tensor1d(Int32Array.from(expected), 'int32'), classes)
      return tf.losses.softmaxCrossEntropy(oneHot, logits)
    }, variablesOf(model))
    score.loss = value.dataSync()[0]! * batch.length
    for (const [name, gradient] of Object.entries(grads)) {
      gradients.set(name, gradient.dataSync() as Float32Array)
    }
  })
  return { ...score, gradients }
}

/** Loss and accuracy over the validation rows. */
function* evaluateMlp(model: Sequential, { rows, targets, validation, classes }: TrainingData) {
  if (validation.length === 0) return undefined
  const held = subsetRows(rows, validation)
  const total = { loss: 0, correct: 0 }
  for (const { start, end, data } of finiteBlocks(held, Math.min(256, rowsPerBlock(held)))) {
    const expected = validation.slice(start, end).map(row => targets[row]!)
    const logits = readLogits(model, data)
    total.correct += countCorrect(logits, expected, classes)
    const logs = normalizeLogs(logits, classes)
    for (const [i, target] of expected.entries()) total.loss -= logs[i * classes + target]!
    yield
  }
  return { loss: total.loss / validation.length, accuracy: total.correct / validation.length }
}

function countCorrect(logits: ArrayLike<number>, expected: Uint32Array, width: number): number {
  return expected.filter((target, row) => indexOfLargest(logits, row * width, width) === target).length
}

/** Glorot-uniform kernels; the rest is as Keras starts it (zeros, and ones for scales and variances). */
function initialize(model: Sequential, standardization: Standardization, stream: RandomStream): void {
  const weights = model.weights.map(({ name, shape }) => {
    const { means, variances } = standardization
    if (name.startsWith(STANDARDIZATION)) return name.includes('variance') ? variances : means
    const [inputs, outputs] = shape as number[]
    const values = new Float32Array(inputs! * (outputs ?? 1))
    if (/gamma|variance/.test(name)) return values.fill(1)
    if (!name.includes('kernel')) return values
    const limit = Math.sqrt(6 / (inputs! + outputs!))
    for (let i = 0; i < values.length; i++) values[i] = stream.uniform(-limit, limit)
    return values
  })
  setWeights(model, weights)
}

/** Keras's Adam over every trainable variable of the model. */
function createModelOptimizer(model: Sequential, learningRate: number) {
  const settings = { kind: 'adam', learningRate, beta1: 0.9, beta2: 0.999, epsilon: 1e-7 } as const
  const states = variablesOf(model).map(variable => {
    const values = (variable.dataSync() as Float32Array).slice()
    const step: OptimizerStep = createOptimizer(settings, values.length)
    return { variable, values, step }
  })
  return (gradients: ReadonlyMap<string, Float32Array>) => {
    for (const { variable, values, step } of states) {
      step(values, gradients.get(variable.name)!)
      tf.tidy(() => variable.assign(tf.tensor(values, variable.shape)))
    }
  }
}

function readLogits(model: Sequential, data: Float32Array): Float64Array {
  let logits = new Float64Array(0)
  tf.tidy(() => {
    const x = standardize(model, toTensor(data, model.inputs[0]!.shape[1]!))
    logits = Float64Array.from(logitsOf(model, x).dataSync())
  })
  return logits
}

function variablesOf(model: Sequential): tf.Variable[] {
  return model.trainableWeights.map(weight => weight.read() as tf.Variable)
}

function weightsOf(model: Sequential): Float32Array[] {
  return model.weights.map(weight => (weight.read().dataSync() as Float32Array).slice())
}

function setWeights(model: Sequential, weights: readonly Float32Array[]): void {
  tf.tidy(() => {
    for (const [i, weight] of model.weights.entries()) {
      weight.write(tf.tensor(weights[i]!, weight.shape as number[]))
    }
  })
}

function toTensor(data: Float32Array, columns: number): tf.Tensor2D {
  return tf.tensor2d(data, [data.length / columns, columns])
}
