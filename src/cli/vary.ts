import { InvalidArgumentError } from 'commander'
import type { VaryOptions } from '../index.js'
import { list } from './flags.js'

const DISTRIBUTIONS = { uniform: 'uniform', log: 'logUniform', integer: 'integer' } as const

/**
 * `--vary learningRate=log:1e-4..1e-2 --vary activation=tanh,relu --vary epochs=integer:5..25`: one flag a
 * hyperparameter, gathered into the recipe's `vary`. Names and values are the recipe's to check. Image sets may have
 * numbers or anything else for names.
 */
export function variation(text: string, earlier: VaryOptions = {}): VaryOptions {
  const [, name, values] = /^([^=]+)=(.+)$/.exec(text) ?? []
  if (name === undefined || values === undefined) {
    throw new InvalidArgumentError(
      'needs name=values, e.g. activation=tanh,relu or learningRate=log:1e-4..1e-2.',
    )
  }
  const key = name.trim().replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase())
  return { ...earlier, [key]: key === 'images' ? list(values) : parseValues(values) }
}

function parseValues(text: string): unknown {
  const [, kind, range] = /^(\w+):(.*)$/.exec(text) ?? []
  if (kind === undefined) return text.split(',').map(value => numberOrWord(value.trim()))
  if (!Object.hasOwn(DISTRIBUTIONS, kind)) {
    throw new InvalidArgumentError(`"${kind}" is not one of ${Object.keys(DISTRIBUTIONS).join(', ')}.`)
  }
  const ends = range!.split('..')
  const [low, high] = ends.map(end => (end.trim() === '' ? Number.NaN : Number(end)))
  if (ends.length !== 2 || !Number.isFinite(low) || !Number.isFinite(high)) {
    throw new InvalidArgumentError(`needs two numbers, e.g. ${kind}:1..25.`)
  }
  return { [DISTRIBUTIONS[kind as keyof typeof DISTRIBUTIONS]]: [low, high] }
}

function numberOrWord(text: string): number | string {
  const number = Number(text)
  return text !== '' && Number.isFinite(number) ? number : text
}
