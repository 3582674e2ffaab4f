import { createHash } from 'node:crypto'

/** The checksum stands last, so that all text before it, and the little after it, is covered. */
const SEAL = /"check":\s*"([0-9a-f]{64})"\s*\}\s*$/

/** Whether a text is as it was sealed. `unsealed`: it bears no checksum, as what earlier versions wrote. */
export type SealState = 'intact' | 'damaged' | 'unsealed'

/**
 * JSON that tells when a byte of it has changed: its last field `check` is the SHA-256 (hex) of the text, line end
 * included, without those 64 digits. Any JSON reader takes it for a field like others.
 */
export function seal(value: object, space?: number): string {
  const unsealed = `${JSON.stringify({ ...value, check: '' }, null, space)}\n`
  const at = unsealed.lastIndexOf('""') + 1
  return unsealed.slice(0, at) + digest(unsealed) + unsealed.slice(at)
}

/** @param text with its line end */
export function sealState(text: string): SealState {
  const match = SEAL.exec(text)
  if (!match) return 'unsealed'
  const digits = match[1]!
  const at = text.indexOf(digits, match.index)
  return digest(text.slice(0, at) + text.slice(at + digits.length)) === digits ? 'intact' : 'damaged'
}

/** Takes the checksum off what was parsed; it is about the text, not the value. */
export function withoutCheck<T>(parsed: T): T {
  if (typeof parsed !== 'object' || parsed === null) return parsed
  const { check: _check, ...value } = parsed as T & { check?: unknown }
  return value as T
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
