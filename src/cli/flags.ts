import { InvalidArgumentError } from 'commander'
import type { CheckpointRule } from '../index.js'
import { EXIT } from './exit.js'

// What commands share: flags turned into values, and Ctrl-C.

let interrupt: AbortController | undefined

/** Aborted by the first Ctrl-C; the second one ends the process at once. */
export function interruptSignal(): AbortSignal {
  if (!interrupt) {
    const controller = new AbortController()
    interrupt = controller
    for (const name of ['SIGINT', 'SIGTERM'] as const) {
      process.on(name, () => {
        if (controller.signal.aborted) process.exit(EXIT.interrupted)
        controller.abort()
      })
    }
  }
  return interrupt.signal
}

export function wholeNumber(least: number) {
  return (text: string): number => {
    const value = Number(text)
    if (text.trim() !== '' && Number.isSafeInteger(value) && value >= least) return value
    throw new InvalidArgumentError(`needs a whole number of at least ${least}.`)
  }
}

export function positiveNumber(text: string): number {
  const value = Number(text)
  if (Number.isFinite(value) && value > 0) return value
  throw new InvalidArgumentError('needs a number above 0.')
}

export function list(text: string): string[] {
  return text
    .split(',')
    .map(name => name.trim())
    .filter(name => name !== '')
}

/** `3/8` */
export function shard(text: string): { number: number; of: number } {
  const [, number, of] = /^(\d+)\/(\d+)$/.exec(text)?.map(Number) ?? []
  if (number !== undefined && of !== undefined && number >= 1 && number <= of) return { number, of }
  throw new InvalidArgumentError('needs a part and their number, e.g. 3/8.')
}

export function fractionRange(text: string): [number, number] {
  const [min, max = min, ...rest] = text.split(',').map(Number)
  if (min !== undefined && max !== undefined && rest.length === 0 && min > 0 && max < 1 && min <= max)
    return [min, max]
  throw new InvalidArgumentError('needs two shares between 0 and 1, e.g. 0.09,0.10.')
}

export function share(text: string): number {
  const value = Number(text)
  if (text.trim() !== '' && value >= 0 && value <= 1) return value
  throw new InvalidArgumentError('needs a number from 0 to 1.')
}

/** `all`, `every:5` or `0,1,10`. */
export function checkpointRule(text: string): CheckpointRule {
  if (text === 'all') return text
  const every = /^every:(\d+)$/.exec(text)
  if (every) return { every: Number(every[1]) }
  const epochs = text.split(',').map(Number)
  if (epochs.every(Number.isSafeInteger)) return epochs
  throw new InvalidArgumentError('needs all, every:<n>, or epochs separated by commas, e.g. 0,1,10.')
}
