import type { OptimizerSettings } from './engine.js'

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
