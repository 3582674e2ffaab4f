import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { reasonOf, ZooError } from '../../errors.js'
import type { EngineBackend, TrainingJob } from '../engine.js'
import {
  type Algorithm,
  algorithmFromEnvironment,
  compiledBackend,
  INSTRUCTION_SETS,
  type InstructionSet,
  instructionSetFromEnvironment,
  type KernelJob,
  type KernelTrainer,
} from './compiled.js'

/** The functions of native/addon/addon.cpp; a `NativeHandle` is a trainer. */
export interface NativeAddon {
  create(
    layers: Int32Array,
    layerCount: number,
    integers: Int32Array,
    reals: Float64Array,
    weights: Float32Array,
  ): NativeHandle
  destroy(trainer: NativeHandle): void
  step(
    trainer: NativeHandle,
    pixels: Float32Array,
    targets: Uint8Array,
    batch: Uint32Array,
    score: Float64Array,
  ): number
  gradient(
    trainer: NativeHandle,
    pixels: Float32Array,
    targets: Uint8Array,
    batch: Uint32Array,
    gradient: Float32Array,
    score: Float64Array,
  ): number
  evaluate(
    trainer: NativeHandle,
    pixels: Float32Array,
    targets: Uint8Array,
    first: number,
    count: number,
    outputs: Float32Array | null,
    score: Float64Array,
  ): number
  getWeights(trainer: NativeHandle, weights: Float32Array): void
  setWeights(trainer: NativeHandle, weights: Float32Array): void
  available(instructionSet: number): number
  instructionSetName(instructionSet: number): string
  arithmetic(algorithm: number): string
}

declare const nativeHandle: unique symbol
interface NativeHandle {
  readonly [nativeHandle]: true
}

/** Where an addon may lie, in the order in which it is looked for: this machine's own build, then the package's. */
const NATIVE_PATHS = [
  'native/build/weightzoo.node',
  `prebuilds/${process.platform}-${process.arch}/weightzoo.node`,
].map(path => fileURLToPath(new URL(`../../../${path}`, import.meta.url)))

/**
 * Loads the addon: the local build, else the prebuilt one.
 *
 * @throws ZooError `engine` with what was wrong with each.
 */
export function loadAddon(): { addon: NativeAddon; path: string } {
  const require = createRequire(import.meta.url)
  const failures: string[] = []
  for (const path of NATIVE_PATHS) {
    if (!existsSync(path)) {
      failures.push(`${path} does not exist`)
      continue
    }
    try {
      return { addon: require(path) as NativeAddon, path }
    } catch (error) {
      const reason = reasonOf(error)
      failures.push(reason.startsWith(path) ? reason : `${path}: ${reason}`)
    }
  }
  throw new ZooError('engine', `no addon for ${process.platform}-${process.arch}: ${failures.join(', ')}`, {
    engine: 'native',
  })
}

/**
 * The C++ kernel as a Node-API addon: the fastest engine. Takes the widest instruction set that the processor has; all
 * of them give equal bits.
 *
 * @throws ZooError `engine` when no addon loads, or the processor lacks the instruction set. Plain C++ (`baseline` on
 * x64) has to be asked for: it exists to give the same bits everywhere, at a fraction of WebAssembly's speed.
 */
export async function openNativeBackend({
  algorithm = algorithmFromEnvironment(),
  instructionSet = instructionSetFromEnvironment(),
}: {
  algorithm?: Algorithm
  instructionSet?: InstructionSet
} = {}): Promise<EngineBackend> {
  const { addon } = loadAddon()
  if (!addon.available(INSTRUCTION_SETS[instructionSet])) {
    throw new ZooError('engine', `this processor has no ${instructionSet}`, { engine: 'native' })
  }
  if (instructionSet === 'auto' && addon.instructionSetName(INSTRUCTION_SETS.auto) === 'baseline') {
    const why = 'this processor has neither AVX2 nor AVX-512, and without them wasm is faster'
    throw new ZooError('engine', `${why}; WEIGHTZOO_INSTRUCTION_SET=baseline insists`, { engine: 'native' })
  }
  return compiledBackend(
    {
      name: 'native',
      arithmetic: addon.arithmetic,
      createTrainer: (job, kernelJob) => new NativeTrainer(addon, job, kernelJob),
    },
    { algorithm, instructionSet },
  )
}

class NativeTrainer implements KernelTrainer {
  private readonly handle: NativeHandle

  constructor(
    private readonly addon: NativeAddon,
    private readonly job: TrainingJob,
    { layers, layerCount, integers, reals }: KernelJob,
  ) {
    this.handle = addon.create(layers, layerCount, integers, reals, job.initialWeights)
  }

  step(batch: Uint32Array, score: Float64Array) {
    const { images, trainTargets } = this.job
    return this.addon.step(this.handle, images.train.pixels, trainTargets, batch, score)
  }

  gradient(batch: Uint32Array, gradient: Float32Array, score: Float64Array) {
    const { images, trainTargets } = this.job
    return this.addon.gradient(this.handle, images.train.pixels, trainTargets, batch, gradient, score)
  }

  evaluate(outputs: Float32Array, score: Float64Array) {
    const { pixels, count } = this.job.images.validation
    return this.addon.evaluate(this.handle, pixels, this.job.validationTargets, 0, count, outputs, score)
  }

  weights(into: Float32Array) {
    this.addon.getWeights(this.handle, into)
  }

  setWeights(weights: Float32Array) {
    this.addon.setWeights(this.handle, weights)
  }

  dispose() {
    this.addon.destroy(this.handle)
  }
}
