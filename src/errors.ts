/**
 * The kinds of error that weightzoo throws on purpose:
 *
 * - `option`: an option, argument or recipe is wrong; fields `name`, `value`.
 * - `images`: an image source is missing, truncated, undecodable or too small for what is asked; field `path`.
 * - `zoo`: a zoo directory or one of its files is missing, corrupt or belongs to another recipe; field `path`.
 * - `training`: a network could not be trained (a loss that is not finite, a failing engine); field `network`.
 * - `engine`: an engine cannot be loaded or cannot do what the architecture asks for; field `engine`.
 * - `interrupted`: an AbortSignal stopped the work; what was finished is kept.
 */
export type ZooErrorTag = keyof ZooErrorFields

/** What each kind of {@link ZooError} carries beside its message. */
export interface ZooErrorFields {
  option: { name: string; value: unknown }
  images: { path: string }
  zoo: { path: string }
  training: { network: string }
  engine: { engine: string }
  interrupted: { finished?: number }
}

/**
 * An error whose message is one line for a person: what failed, the value that made it fail, and what to do.
 * Programs look at `tag` and `fields` instead; see {@link isZooError}.
 *
 * @example
 * try { await openZoo('zo') } catch (error) {
 *   if (isZooError(error)) console.error(error.tag, error.message)
 * }
 */
export class ZooError<Tag extends ZooErrorTag = ZooErrorTag> extends Error {
  override readonly name = 'ZooError'

  constructor(
    readonly tag: Tag,
    message: string,
    readonly fields: ZooErrorFields[Tag],
    options?: { cause?: unknown },
  ) {
    super(oneLine(message), options)
  }
}

/**
 * Text with its control characters escaped, as in JSON: a name from a hostile file may hold line ends, and worse for a
 * terminal, or turn the writing direction of what follows it.
 */
export function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/gu, character => {
    const escaped = JSON.stringify(character).slice(1, -1)
    return escaped === character ? `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}` : escaped
  })
}

/**
 * Whether `error` is one of weightzoo's own errors, and of the kind `tag` where one is given.
 *
 * @example
 * try { await openZoo('zoo') } catch (error) {
 *   if (isZooError(error, 'zoo')) console.error(error.fields.path)
 * }
 */
export function isZooError<Tag extends ZooErrorTag>(error: unknown, tag: Tag): error is ZooError<Tag>
export function isZooError(error: unknown): error is ZooError
export function isZooError(error: unknown, tag?: ZooErrorTag): boolean {
  return error instanceof ZooError && (tag === undefined || error.tag === tag)
}

/** The first line of whatever was thrown, for use inside another message. */
export function reasonOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error)
  return message.split('\n', 1)[0]!.trim()
}
