import { closest, distance } from 'fastest-levenshtein'
import { ZooError } from './errors.js'

/**
 * Refuses an option that does not exist, with the nearest name that does.
 *
 * @throws ZooError `option`, e.g. `unknown option of trainZoo: "perclass"; did you mean "perClass"?`
 */
export function checkOptionNames(options: object, known: readonly string[], what: string): void {
  if (typeof options !== 'object' || options === null)
    throw invalidOption('options', options, `${what} needs an object of options`)
  for (const name of Object.keys(options)) {
    if (known.includes(name)) continue
    throw new ZooError('option', `unknown option of ${what}: "${name}"; ${suggestion(name, known)}`, {
      name,
      value: (options as Record<string, unknown>)[name],
    })
  }
}

/** `did you mean "x"?` where a known name is near, else the list of them. */
export function suggestion(name: string, known: readonly string[]): string {
  const lower = name.toLowerCase()
  const nearest = closest(lower, [...known])
  const sameLetters = known.find(candidate => candidate.toLowerCase() === lower)
  if (sameLetters) return `did you mean "${sameLetters}"?`
  if (distance(lower, nearest.toLowerCase()) <= Math.max(1, Math.floor(name.length / 3)))
    return `did you mean "${nearest}"?`
  return `known are ${known.join(', ')}`
}

/** Most characters of a value that a message repeats. */
const MAX_SHOWN = 500

/** An error about one option's value: `invalid perClass; needs a positive integer: 0`. */
export function invalidOption(name: string, value: unknown, why: string): ZooError<'option'> {
  const plain = typeof value === 'object' && value !== null ? JSON.stringify(value) : String(value)
  const shown = plain.length > MAX_SHOWN ? `${plain.slice(0, MAX_SHOWN)}...` : plain
  return new ZooError('option', `invalid ${name}; ${why}: ${shown}`, { name, value })
}

/** Whether `value` is an integer of at least 1. */
export function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) > 0
}
