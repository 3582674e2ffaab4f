import { checkOptionNames, invalidOption } from '../options.js'
import type { OptimizerSettings } from './engine.js'

/** An optimiser with some of its settings; the rest are Keras's defaults. */
export type OptimizerOptions =
  | {
      kind: 'adam'
      learningRate?: number | undefined
      beta1?: number | undefined
      beta2?: number | undefined
      epsilon?: number | undefined
    }
  | { kind: 'sgd'; learningRate?: number | undefined; momentum?: number | undefined }

/** Applies one gradient to the weights, in place. */
export type OptimizerStep = (weights: Float32Array, gradient: Float32Array) => void

/**
 * Keras's Adam and SGD over a flat weight vector, in float32 storage: the reference for the engines, and the
 * optimiser of the tfjs engine. (tfjs's own Adam scales epsilon differently.) Formulas: {@link OptimizerSettings}.
 */
export function createOptimizer(settings: OptimizerSettings, parameterCount: number): OptimizerStep {
  const first = new Float32Array(parameterCount)
  if (settings.kind === 'sgd') {
    const { learningRate, momentum } = settings
    return (weights, gradient) => {
      for (let i = 0; i < parameterCount; i++) {
        first[i] = momentum * first[i]! - learningRate * gradient[i]!
        weights[i]! += first[i]!
      }
    }
  }
  const { learningRate, beta1, beta2, epsilon } = settings
  const second = new Float32Array(parameterCount)
  let step = 0
  return (weights, gradient) => {
    step++
    const rate = (learningRate * Math.sqrt(1 - beta2 ** step)) / (1 - beta1 ** step)
    for (let i = 0; i < parameterCount; i++) {
      const g = gradient[i]!
      first[i]! += (1 - beta1) * (g - first[i]!)
      second[i]! += (1 - beta2) * (g * g - second[i]!)
      weights[i]! -= (rate * first[i]!) / (Math.sqrt(second[i]!) + epsilon)
    }
  }
}

/** Fills in and checks an optimiser's settings. */
export function resolveOptimizer(given: 'adam' | 'sgd' | OptimizerOptions): OptimizerSettings {
  const options = typeof given === 'string' ? ({ kind: given } as OptimizerOptions) : given
  if (options?.kind === 'adam') {
    checkOptionNames(options, ['kind', 'learningRate', 'beta1', 'beta2', 'epsilon'], 'optimizer adam')
    const { learningRate = 1e-3, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-7 } = options
    for (const [name, value] of Object.entries({ learningRate, epsilon })) checkPositive(name, value)
    for (const [name, value] of Object.entries({ beta1, beta2 })) checkShare(name, value)
    return { kind: 'adam', learningRate, beta1, beta2, epsilon }
  }
  if (options?.kind === 'sgd') {
    checkOptionNames(options, ['kind', 'learningRate', 'momentum'], 'optimizer sgd')
    const { learningRate = 1e-2, momentum = 0 } = options
    checkPositive('learningRate', learningRate)
    checkShare('momentum', momentum)
    return { kind: 'sgd', learningRate, momentum }
  }
  throw invalidOption('optimizer', given, 'is not one of adam, sgd')
}

function checkPositive(name: string, value: number): void {
  if (!(Number.isFinite(value) && value > 0))
    throw invalidOption(`optimizer.${name}`, value, 'needs a number above 0')
}

function checkShare(name: string, value: number): void {
  if (!(Number.isFinite(value) && value >= 0 && value < 1))
    throw invalidOption(`optimizer.${name}`, value, 'not in [0, 1)')
}
