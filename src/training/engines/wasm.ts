import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { reasonOf, ZooError } from '../../errors.js'
import type { EngineBackend, TrainingJob } from '../engine.js'
import {
  type Algorithm,
  algorithmFromEnvironment,
  compiledBackend,
  type KernelJob,
  type KernelTrainer,
} from './compiled.js'

// TypeScript has WebAssembly's types in its DOM library only.
declare const WebAssembly: {
  compile(bytes: Uint8Array): Promise<WasmModule>
  Instance: new (module: WasmModule) => { readonly exports: unknown }
}
declare const wasmModule: unique symbol
interface WasmModule {
  readonly [wasmModule]: true
}

/** Functions and memory of prebuilds/wasm32/weightzoo.wasm; every number is an address or a size in its memory. */
interface WasmKernel {
  readonly memory: { readonly buffer: ArrayBuffer }
  malloc(size: number): number
  wz_trainer_create(
    layers: number,
    layerCount: number,
    settings: number,
    weights: number,
    error: number,
    errorSize: number,
  ): number
  wz_step(
    trainer: number,
    pixels: number,
    targets: number,
    indices: number,
    count: number,
    loss: number,
    correct: number,
  ): number
  wz_gradient(
    trainer: number,
    pixels: number,
    targets: number,
    indices: number,
    count: number,
    gradient: number,
    loss: number,
    correct: number,
  ): number
  wz_evaluate(
    trainer: number,
    pixels: number,
    targets: number,
    first: number,
    count: number,
    outputs: number,
    loss: number,
    correct: number,
  ): number
  wz_get_weights(trainer: number, weights: number): void
  wz_set_weights(trainer: number, weights: number): void
  wz_arithmetic(algorithm: number): number
}

/** Where the WebAssembly build lies; it is part of the package and of the repository. */
export const WASM_PATH = fileURLToPath(new URL('../../../prebuilds/wasm32/weightzoo.wasm', import.meta.url))

/** Validation images copied in for one call: bounds the memory, changes no bit (a multiple of the kernel's 32). */
const EVALUATION_BATCH = 256
const ERROR_SIZE = 256

/**
 * The C++ kernel as WebAssembly SIMD: needs no compiler and runs wherever Node does, at about the speed of 128-bit
 * vectors without fused multiply-add.
 *
 * @throws ZooError `engine` when the file is missing or this Node cannot run it.
 */
export async function openWasmBackend({
  algorithm = algorithmFromEnvironment(),
}: {
  algorithm?: Algorithm
} = {}): Promise<EngineBackend> {
  const module = await compileWasm()
  return compiledBackend(
    {
      name: 'wasm',
      arithmetic: number => {
        const kernel = instantiate(module)
        return `WebAssembly: ${readText(kernel, kernel.wz_arithmetic(number))}`
      },
      createTrainer: (job, kernelJob) => new WasmTrainer(instantiate(module), job, kernelJob),
    },
    { algorithm, instructionSet: 'auto' },
  )
}

async function compileWasm(): Promise<WasmModule> {
  try {
    return await WebAssembly.compile(await readFile(WASM_PATH))
  } catch (error) {
    throw new ZooError('engine', `${WASM_PATH}: ${reasonOf(error)}`, { engine: 'wasm' }, { cause: error })
  }
}

/** An instance and its memory serve one trainer: dropping them frees everything, and no network sees another's bytes. */
function instantiate(module: WasmModule): WasmKernel {
  return new WebAssembly.Instance(module).exports as WasmKernel
}

class WasmTrainer implements KernelTrainer {
  private readonly trainer: number
  private readonly imageSize: number
  private readonly units: number
  // All memory is taken in the constructor, so these views stay valid.
  private readonly pixels: Float32Array
  private readonly targets: Uint8Array
  private readonly indices: Uint32Array
  private readonly outputs: Float32Array
  private readonly parameters: Float32Array
  private readonly loss: Float64Array
  private readonly correct: Int32Array

  constructor(
    private readonly kernel: WasmKernel,
    private readonly job: TrainingJob,
    { layers, layerCount, integers, reals }: KernelJob,
  ) {
    this.imageSize = job.architecture.inputShape.reduce((product, n) => product * n, 1)
    this.units = job.architecture.layers.at(-1)!.outputShape[0]
    const most = Math.max(job.batchSize, EVALUATION_BATCH)
    const bytes = {
      pixels: most * this.imageSize * 4,
      targets: most,
      indices: most * 4,
      outputs: most * this.units * 4,
      parameters: job.architecture.parameterCount * 4,
      loss: 8,
      correct: 4,
      layers: layers.byteLength,
      settings: integers.byteLength + reals.byteLength,
      error: ERROR_SIZE,
    }
    const at = Object.fromEntries(
      Object.entries(bytes).map(([name, size]) => [name, allocate(kernel, size)]),
    ) as typeof bytes

    new Int32Array(kernel.memory.buffer, at.layers).set(layers)
    new Int32Array(kernel.memory.buffer, at.settings).set(integers)
    new Float64Array(kernel.memory.buffer, at.settings + integers.byteLength).set(reals)
    new Float32Array(kernel.memory.buffer, at.parameters).set(job.initialWeights)
    this.trainer = kernel.wz_trainer_create(
      at.layers,
      layerCount,
      at.settings,
      at.parameters,
      at.error,
      ERROR_SIZE,
    )
    if (this.trainer === 0) throw new Error(readText(kernel, at.error))

    const { buffer } = kernel.memory
    this.pixels = new Float32Array(buffer, at.pixels, bytes.pixels / 4)
    this.targets = new Uint8Array(buffer, at.targets, bytes.targets)
    this.indices = new Uint32Array(buffer, at.indices, most)
    for (let i = 0; i < most; i++) this.indices[i] = i
    this.outputs = new Float32Array(buffer, at.outputs, bytes.outputs / 4)
    this.parameters = new Float32Array(buffer, at.parameters, bytes.parameters / 4)
    this.loss = new Float64Array(buffer, at.loss, 1)
    this.correct = new Int32Array(buffer, at.correct, 1)
  }

  step(batch: Uint32Array, score: Float64Array) {
    const { kernel, trainer, pixels, targets, indices, loss, correct } = this
    this.load(batch)
    const status = kernel.wz_step(
      trainer,
      pixels.byteOffset,
      targets.byteOffset,
      indices.byteOffset,
      batch.length,
      loss.byteOffset,
      correct.byteOffset,
    )
    this.readScore(score)
    return status
  }

  gradient(batch: Uint32Array, gradient: Float32Array, score: Float64Array) {
    const { kernel, trainer, pixels, targets, indices, parameters, loss, correct } = this
    this.load(batch)
    const status = kernel.wz_gradient(
      trainer,
      pixels.byteOffset,
      targets.byteOffset,
      indices.byteOffset,
      batch.length,
      parameters.byteOffset,
      loss.byteOffset,
      correct.byteOffset,
    )
    gradient.set(parameters)
    this.readScore(score)
    return status
  }

  evaluate(outputs: Float32Array, score: Float64Array) {
    const { kernel, trainer, pixels, targets, loss, correct } = this
    const { validation } = this.job.images
    this.clearScore()
    for (let first = 0; first < validation.count; first += EVALUATION_BATCH) {
      const count = Math.min(EVALUATION_BATCH, validation.count - first)
      pixels.set(validation.pixels.subarray(first * this.imageSize, (first + count) * this.imageSize))
      targets.set(this.job.validationTargets.subarray(first, first + count))
      const status = kernel.wz_evaluate(
        trainer,
        pixels.byteOffset,
        targets.byteOffset,
        0,
        count,
        this.outputs.byteOffset,
        loss.byteOffset,
        correct.byteOffset,
      )
      if (status !== 0) return status
      outputs.set(this.outputs.subarray(0, count * this.units), first * this.units)
    }
    this.readScore(score)
    return 0
  }

  weights(into: Float32Array) {
    const { kernel, trainer, parameters } = this
    kernel.wz_get_weights(trainer, parameters.byteOffset)
    into.set(parameters)
  }

  setWeights(weights: Float32Array) {
    const { kernel, trainer, parameters } = this
    parameters.set(weights)
    kernel.wz_set_weights(trainer, parameters.byteOffset)
  }

  dispose() {
    // The instance goes when this object does.
  }

  /** Copies a batch in: 1.5 MB for 128 LeNet-5 images, about a hundredth of a step. */
  private load(batch: Uint32Array): void {
    const { images, trainTargets } = this.job
    for (const [row, index] of batch.entries()) {
      const start = index * this.imageSize
      this.pixels.set(images.train.pixels.subarray(start, start + this.imageSize), row * this.imageSize)
      this.targets[row] = trainTargets[index]!
    }
    this.clearScore()
  }

  private clearScore(): void {
    this.loss[0] = 0
    this.correct[0] = 0
  }

  private readScore(score: Float64Array): void {
    score[0] = this.loss[0]!
    score[1] = this.correct[0]!
  }
}

function allocate(kernel: WasmKernel, size: number): number {
  const address = kernel.malloc(size)
  if (address === 0) throw new Error('out of memory')
  return address
}

function readText(kernel: WasmKernel, address: number): string {
  const bytes = new Uint8Array(kernel.memory.buffer, address)
  return new TextDecoder().decode(bytes.slice(0, bytes.indexOf(0)))
}
