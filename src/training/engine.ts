import type { Architecture } from '../architecture/architecture.js'
import type { ImageSet } from '../images/image-set.js'

/**
 * An engine trains one network at a time as often as it is asked to, runs finished or generated networks over images,
 * and knows nothing of zoos, seeds or files.
 *
 * A {@link TrainingJob} is complete: the weights to start from, the order of the samples in every epoch, the labels
 * and the hyperparameters are all in it. So an engine draws no random number, two engines can be compared step by
 * step, and a network is a pure function of its job and the engine's arithmetic. What an engine is not: it does not
 * sample, validate options, compute F1 or AUC, or write files; those are done once, in TypeScript, for all engines.
 */
export interface Engine {
  /** Which engine this is, as the `engine` option names it. */
  readonly name: EngineName
  /**
   * The arithmetic that the weights' bits depend on, in words (library and version, convolution algorithm). Equal
   * words promise equal bits for equal jobs; the words are recorded in `zoo.json`.
   */
  readonly arithmetic: string
  /** Why this engine was chosen, and what was wrong with the faster ones; for people to read. */
  readonly reason: string
  /** How many calls of {@link Engine.train} run side by side, each on a thread of its own; further ones wait. */
  readonly concurrency: number
  /**
   * Trains one network, off the calling thread.
   * @throws ZooError `interrupted` within one batch of `signal` being aborted; `training` when the loss is not finite;
   * `engine` when a layer is beyond the engine.
   */
  train(job: TrainingJob, control?: TrainingControl): Promise<TrainingResult>
  /**
   * Runs many networks of one architecture over the same images, off the calling thread; the networks are shared out
   * over all threads. The bits are those of {@link TrainingResult.validationOutputs} for equal weights and images.
   *
   * @returns outputs (probabilities), flat `[networks, images, outputs]`; NaN for a network whose weights are not all
   * finite
   *
   * @example
   * const { pixels } = images.validation
   * const outputs = await engine.evaluate({ architecture: zoo.architecture, weights: rows.rows(0, 64), pixels })
   *
   * @throws ZooError `option` where a length does not fit the architecture; `interrupted` within one network of `signal`
   * being aborted; `engine` when a layer is beyond the engine.
   */
  evaluate(evaluation: EvaluationJob, control?: EvaluationControl): Promise<Float32Array<ArrayBuffer>>
  /** Ends the worker threads; running jobs are abandoned. */
  close(): Promise<void>
}

/** An engine, as the `engine` option names it. */
export type EngineName = 'native' | 'wasm' | 'tfjs'

/**
 * What an engine has to bring: a way to put one network into memory and take training steps with it. Everything
 * around that (epochs, history, keeping the best, threads, cancelling) is shared; see `train-network.ts` and
 * `worker-engine.ts`.
 */
export interface EngineBackend {
  readonly arithmetic: string
  /** @throws ZooError `engine` naming the layer, loss or optimiser that this backend cannot do. */
  createTrainer(job: TrainingJob): Trainer
}

/** One network in training. All calls are synchronous: they run on a worker thread. */
export interface Trainer {
  /** One optimiser step on a batch of training images; its scores are those before the step. */
  step(batch: Uint32Array): Score
  /** Scores and outputs of the whole validation split. Outputs are probabilities, `[validation.count, outputs]`. */
  evaluate(): Score & { outputs: Float32Array<ArrayBuffer> }
  /** The gradient of the mean loss of a batch, flat; for checking engines against each other. `[parameterCount]` */
  gradient(batch: Uint32Array): Float32Array<ArrayBuffer>
  /** A copy of the weights, flat. `[parameterCount]` */
  weights(): Float32Array<ArrayBuffer>
  /** Replaces the weights; the optimiser's state stays as it is. `[parameterCount]` */
  setWeights(weights: Float32Array): void
  dispose(): void
}

/** Sums over samples, so that batches of different size add up. */
export interface Score {
  loss: number
  correct: number
}

/** Everything that training one network depends on. */
export interface TrainingJob {
  /** For messages: `church_3`. */
  readonly name: string
  readonly architecture: Architecture
  /** Weights before the first step, flat, in the order of the architecture's parameter table; `[parameterCount]`. */
  readonly initialWeights: Float32Array
  /** The images; an engine may keep one rearranged copy of them per ImageSet, shared by all its networks. */
  readonly images: ImageSet
  /**
   * Which training images are used, and in which order: indices into `images.train`, flat `[epochs, samplesPerEpoch]`.
   * Each epoch is cut into batches of `batchSize`; the last one of an epoch is smaller when it does not divide.
   */
  readonly order: Uint32Array
  /** Target of every image of `images.train` (0 or 1 for binary cross-entropy, else the class); `[train.count]`. */
  readonly trainTargets: Uint8Array
  /** Target of every image of `images.validation`; `[validation.count]`. */
  readonly validationTargets: Uint8Array
  readonly loss: LossName
  readonly optimizer: OptimizerSettings
  readonly batchSize: number
  readonly epochs: number
  /** Which epoch's weights to return: the last, or the one with the lowest validation loss (the earliest on a tie). */
  readonly keep: 'last' | 'best'
}

/**
 * Both losses are taken from the logits, i.e. before the last layer's sigmoid or softmax, as Keras does, and averaged
 * over the batch.
 */
export type LossName = 'binaryCrossentropy' | 'softmaxCrossentropy'

/**
 * Adam as Keras has it: step size `learningRate * sqrt(1 - beta2^t) / (1 - beta1^t)`, update
 * `m / (sqrt(v) + epsilon)`. SGD as Keras has it: `velocity = momentum * velocity - learningRate * gradient`.
 */
export type OptimizerSettings =
  | {
      readonly kind: 'adam'
      readonly learningRate: number
      readonly beta1: number
      readonly beta2: number
      readonly epsilon: number
    }
  | { readonly kind: 'sgd'; readonly learningRate: number; readonly momentum: number }

/** Networks to run over images; everything is copied into shared memory once, unless it is there already. */
export interface EvaluationJob {
  readonly architecture: Architecture
  /** One network after another, each flat in the order of the parameter table; `[networks, parameterCount]`. */
  readonly weights: Float32Array
  /** Flat `[images, height, width, channels]`. */
  readonly pixels: Float32Array
}

/** What a caller can hand to {@link Engine.evaluate}. */
export interface EvaluationControl {
  readonly signal?: AbortSignal | undefined
  /** Called after every network. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined
}

/** How a caller watches and stops the training of one network. */
export interface TrainingControl {
  readonly signal?: AbortSignal | undefined
  /** Called after every epoch, in order. */
  readonly onEpoch?: ((epoch: EpochRecord) => void) | undefined
  /** Hand over the weights after so many epochs, too; ascending, 0 for the initial weights. Default: none. */
  readonly checkpoints?: readonly number[] | undefined
}

/** Losses are means over samples; accuracies are shares of samples (probability > 0.5, or the largest logit). */
export interface EpochRecord {
  /** Counted from 0. */
  readonly epoch: number
  /** Over the epoch's training samples, each seen with the weights of its own step (Keras's running mean). */
  readonly loss: number
  readonly accuracy: number
  /** Over the whole validation split, with the weights at the end of the epoch. */
  readonly validationLoss: number
  readonly validationAccuracy: number
}

/** A trained network. */
export interface TrainingResult {
  /** Flat weights of the kept epoch; `[parameterCount]`. */
  readonly weights: Float32Array<ArrayBuffer>
  /** Epoch that `weights` belong to, counted from 0. */
  readonly epoch: number
  readonly history: readonly EpochRecord[]
  /** The network's outputs (probabilities) on the validation split with `weights`; `[validation.count, outputs]`. */
  readonly validationOutputs: Float32Array<ArrayBuffer>
  /** Weights after the epochs of {@link TrainingControl.checkpoints}; `[checkpoints, parameterCount]`, empty for none. */
  readonly checkpoints: Float32Array<ArrayBuffer>
}
