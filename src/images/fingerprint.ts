import { createHash, type Hash } from 'node:crypto'
import type { ImageSet } from './image-set.js'

/** Adds the fingerprint to an image set whose arrays are filled and will not change any more. */
export function sealImageSet(images: Omit<ImageSet, 'fingerprint'>): ImageSet {
  const hash = startFingerprint(images)
  for (const bytes of payloadOf(images)) hash.update(bytes)
  return { ...images, fingerprint: hash.digest('hex') }
}

/** The fingerprint's hash after all that goes before the payload. */
export function startFingerprint({
  shape,
  classNames,
  train,
  validation,
}: Omit<ImageSet, 'fingerprint'>): Hash {
  const head = { shape, classNames, train: train.count, validation: validation.count }
  return createHash('sha256').update(`${JSON.stringify(head)}\n`)
}

/** The bytes of labels and pixels, in the order in which the fingerprint and the cache have them. */
export function payloadOf({
  train,
  validation,
}: Pick<ImageSet, 'train' | 'validation'>): Uint8Array<SharedArrayBuffer>[] {
  return [train, validation].flatMap(({ labels, pixels }) => [labels, new Uint8Array(pixels.buffer)])
}
