import type { Activation, Architecture, FeatureShape, Layer } from '../../architecture/architecture.js'
import { ZooError } from '../../errors.js'
import { invalidOption, suggestion } from '../../options.js'
import type { EngineBackend, EngineName, LossName, Score, Trainer, TrainingJob } from '../engine.js'

// What the two builds of the C++ kernel (addon and WebAssembly) share: its tables and numbers, as
// native/kernel/kernel.h has them, and all checking of arguments. The C++ trusts what comes from here.

/** How convolutions are computed: as they are defined, or by minimal filtering (Winograd) where that fits. */
export type Algorithm = keyof typeof ALGORITHMS
/** Processor features; `baseline` is what every processor of the platform has. */
export type InstructionSet = keyof typeof INSTRUCTION_SETS

export const ALGORITHMS = { direct: 0, 'minimal-filtering': 1 } as const
export const INSTRUCTION_SETS = { auto: 0, baseline: 1, avx2: 2, avx512: 3 } as const

const KINDS = { conv2d: 0, averagePooling2d: 1, maxPooling2d: 2, flatten: 3, dense: 4 } as const
const ACTIVATIONS = { linear: 0, tanh: 1, relu: 2, sigmoid: 3, softmax: 4 } as const
const LOSSES = { binaryCrossentropy: 0, softmaxCrossentropy: 1 } as const
const OPTIMIZERS = { adam: 0, sgd: 1 } as const
const STATUS_OK = 0
const STATUS_NOT_FINITE = 1
const INTEGERS_PER_LAYER = 15

/** Minimal filtering: faster, and on real images it gives the networks of direct convolution (docs/measurements.md). */
const DEFAULT_ALGORITHM: Algorithm = 'minimal-filtering'

/**
 * The algorithm that `WEIGHTZOO_ALGORITHM` asks for, else the default. For tests and benchmarks: the arithmetic that a
 * zoo was made with is recorded in it.
 *
 * @throws ZooError `option` for a name that does not exist.
 */
export function algorithmFromEnvironment(): Algorithm {
  return fromEnvironment('WEIGHTZOO_ALGORITHM', ALGORITHMS) ?? DEFAULT_ALGORITHM
}

/** The instruction set that `WEIGHTZOO_INSTRUCTION_SET` asks for, else `auto`; no bit of a result depends on it. */
export function instructionSetFromEnvironment(): InstructionSet {
  return fromEnvironment('WEIGHTZOO_INSTRUCTION_SET', INSTRUCTION_SETS) ?? 'auto'
}

function fromEnvironment<Name extends string>(variable: string, known: Record<Name, number>) {
  const value = process.env[variable]
  if (value === undefined || value === '') return undefined
  if (!Object.hasOwn(known, value))
    throw invalidOption(variable, value, suggestion(value, Object.keys(known)))
  return value as Name
}

/** A network and its training in the kernel's numbers. */
export interface KernelJob {
  /** `wz_layer`s, 15 int32 each. */
  readonly layers: Int32Array
  readonly layerCount: number
  /** The int32 fields of `wz_settings`. */
  readonly integers: Int32Array
  /** The float64 fields of `wz_settings`. */
  readonly reals: Float64Array
}

/** One trainer inside the kernel. Calls return its status and set `score` to [loss, correct]. */
export interface KernelTrainer {
  step(batch: Uint32Array, score: Float64Array): number
  gradient(batch: Uint32Array, gradient: Float32Array, score: Float64Array): number
  evaluate(outputs: Float32Array, score: Float64Array): number
  weights(into: Float32Array): void
  setWeights(weights: Float32Array): void
  dispose(): void
}

/** A build of the kernel, loaded. */
export interface Kernel {
  readonly name: Extract<EngineName, 'native' | 'wasm'>
  arithmetic(algorithm: number): string
  /** @throws Error with the kernel's message where it cannot do a layer. */
  createTrainer(job: TrainingJob, kernelJob: KernelJob): KernelTrainer
}

/** Makes an engine's backend of a loaded kernel. */
export function compiledBackend(
  kernel: Kernel,
  { algorithm, instructionSet }: { algorithm: Algorithm; instructionSet: InstructionSet },
): EngineBackend {
  return {
    arithmetic: kernel.arithmetic(ALGORITHMS[algorithm]),
    createTrainer(job) {
      checkJob(job)
      const settings = settingsOf(job, ALGORITHMS[algorithm], INSTRUCTION_SETS[instructionSet])
      const kernelJob = { ...layerTable(job), ...settings }
      return new CompiledTrainer(kernel, job, kernelJob)
    },
  }
}

class CompiledTrainer implements Trainer {
  private kernelTrainer: KernelTrainer | undefined
  private readonly score = new Float64Array(2)

  constructor(
    private readonly kernel: Kernel,
    private readonly job: TrainingJob,
    kernelJob: KernelJob,
  ) {
    try {
      this.kernelTrainer = kernel.createTrainer(job, kernelJob)
    } catch (error) {
      throw beyondKernel(kernel.name, job, error)
    }
  }

  step(batch: Uint32Array) {
    this.checkBatch(batch)
    return this.scored(this.trainer.step(batch, this.score))
  }

  gradient(batch: Uint32Array) {
    this.checkBatch(batch)
    const gradient = new Float32Array(this.job.architecture.parameterCount)
    this.scored(this.trainer.gradient(batch, gradient, this.score))
    return gradient
  }

  evaluate() {
    const { images, architecture } = this.job
    const outputs = new Float32Array(images.validation.count * architecture.layers.at(-1)!.outputShape[0])
    return { ...this.scored(this.trainer.evaluate(outputs, this.score)), outputs }
  }

  weights() {
    const weights = new Float32Array(this.job.architecture.parameterCount)
    this.trainer.weights(weights)
    return weights
  }

  setWeights(weights: Float32Array) {
    checkLength('weights', weights.length, this.job.architecture.parameterCount)
    this.trainer.setWeights(weights)
  }

  dispose() {
    this.kernelTrainer?.dispose()
    this.kernelTrainer = undefined
  }

  private get trainer(): KernelTrainer {
    if (this.kernelTrainer) return this.kernelTrainer
    throw new ZooError('engine', `the trainer of ${this.job.name} is disposed`, { engine: this.kernel.name })
  }

  /** A loss that is not finite is for the training loop to report. */
  private scored(status: number): Score {
    if (status !== STATUS_OK && status !== STATUS_NOT_FINITE) {
      throw new ZooError('engine', `${this.kernel.name} engine refused a call (status ${status})`, {
        engine: this.kernel.name,
      })
    }
    return { loss: status === STATUS_NOT_FINITE ? Number.NaN : this.score[0]!, correct: this.score[1]! }
  }

  private checkBatch(batch: Uint32Array): void {
    const { batchSize, images } = this.job
    if (batch.length < 1 || batch.length > batchSize)
      throw invalidOption('batch', batch.length, `needs 1 to ${batchSize} samples`)
    for (const index of batch) {
      if (index >= images.train.count)
        throw invalidOption('batch', index, `there are ${images.train.count} training images`)
    }
  }
}

/** Whatever the C++ would read beyond, were it wrong. */
function checkJob({
  architecture,
  initialWeights,
  images,
  trainTargets,
  validationTargets,
  loss,
}: TrainingJob) {
  const pixels = architecture.inputShape.reduce((product, n) => product * n, 1)
  const units = architecture.layers.at(-1)!.outputShape.reduce((product, n) => product * n, 1)
  const lengths = {
    initialWeights: [initialWeights.length, architecture.parameterCount],
    'images.train.pixels': [images.train.pixels.length, images.train.count * pixels],
    'images.validation.pixels': [images.validation.pixels.length, images.validation.count * pixels],
    trainTargets: [trainTargets.length, images.train.count],
    validationTargets: [validationTargets.length, images.validation.count],
  }
  for (const [name, [length, expected]] of Object.entries(lengths)) {
    checkLength(name, length!, expected!)
  }
  const classes = loss === 'binaryCrossentropy' ? 2 : units
  for (const target of new Set([...trainTargets, ...validationTargets])) {
    if (target >= classes) throw invalidOption('target', target, `not below ${classes}`)
  }
}

function checkLength(name: string, length: number, expected: number): void {
  if (length !== expected) throw invalidOption(name, length, `needs a length of ${expected}`)
}

function layerTable({ architecture, loss }: TrainingJob): Pick<KernelJob, 'layers' | 'layerCount'> {
  const rows = architecture.layers.map((layer, position) => {
    const isLast = position === architecture.layers.length - 1
    const activation = isLast ? outputActivation(layer, loss) : activationOf(layer)
    const geometry = geometryOf(layer)
    return [
      KINDS[layer.kind],
      ACTIVATIONS[activation],
      ...sizeOf(layer.inputShape),
      ...sizeOf(layer.outputShape),
      ...geometry,
      offsetOf(architecture, layer, 'bias'),
      offsetOf(architecture, layer, 'kernel'),
    ]
  })
  return { layers: Int32Array.from(rows.flat()), layerCount: rows.flat().length / INTEGERS_PER_LAYER }
}

/** Kernel height and width, stride, zeros at the top and left. */
function geometryOf(layer: Layer): number[] {
  switch (layer.kind) {
    case 'conv2d':
      return [...layer.kernelSize, layer.strides, layer.pad[0], layer.pad[2]]
    case 'averagePooling2d':
    case 'maxPooling2d':
      return [layer.poolSize, layer.poolSize, layer.strides, 0, 0]
    default:
      return [0, 0, 0, 0, 0]
  }
}

function sizeOf(shape: FeatureShape): readonly [height: number, width: number, channels: number] {
  return shape.length === 3 ? shape : [1, 1, shape[0]]
}

function activationOf(layer: Layer): Activation {
  return 'activation' in layer ? layer.activation : 'linear'
}

/** The loss is taken from the logits, so a last layer that ends in logits and one with the loss's own function are equal. */
function outputActivation(layer: Layer, loss: LossName): Activation {
  const own = loss === 'binaryCrossentropy' ? 'sigmoid' : 'softmax'
  return activationOf(layer) === 'linear' && layer.kind === 'dense' ? own : activationOf(layer)
}

function offsetOf(architecture: Architecture, layer: Layer, part: 'bias' | 'kernel'): number {
  return architecture.parameters.find(entry => entry.layer === layer.name && entry.part === part)?.offset ?? 0
}

function settingsOf(
  { architecture, loss, optimizer, batchSize }: TrainingJob,
  algorithm: number,
  instructionSet: number,
): Pick<KernelJob, 'integers' | 'reals'> {
  const { learningRate } = optimizer
  const isAdam = optimizer.kind === 'adam'
  return {
    integers: Int32Array.of(
      LOSSES[loss],
      OPTIMIZERS[optimizer.kind],
      algorithm,
      instructionSet,
      batchSize,
      architecture.parameterCount,
      0,
      0,
    ),
    reals: Float64Array.of(
      learningRate,
      isAdam ? 0 : optimizer.momentum,
      isAdam ? optimizer.beta1 : 0,
      isAdam ? optimizer.beta2 : 0,
      isAdam ? optimizer.epsilon : 0,
    ),
  }
}

/** The kernel numbers layers; people name them. */
function beyondKernel(engine: EngineName, job: TrainingJob, error: unknown): ZooError<'engine'> {
  const message = (error as Error).message.replace(
    /^layer (\d+)/,
    (text, position: string) => `layer ${job.architecture.layers[Number(position)]?.name ?? text}`,
  )
  return new ZooError('engine', `${engine} engine cannot run ${job.name}: ${message}; try engine: 'tfjs'`, {
    engine,
  })
}
