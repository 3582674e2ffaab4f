import type { Sharp, SharpOptions } from 'sharp'
import { ZooError } from '../errors.js'
import type { DecodedImage } from './resize.js'

/**
 * Most pixels in one image: 100 megapixels, more than any camera photograph in a training set and 300 MB when decoded,
 * so that a file of a few kB that claims to be 60,000 x 60,000 is refused and not allocated.
 */
const MAX_IMAGE_PIXELS = 100_000_000

type SharpModule = ((input: Uint8Array, options: SharpOptions) => Sharp) & {
  versions: { vips: string; sharp?: string }
}

let loading: Promise<SharpModule> | undefined

/** sharp is loaded at the first decode: without its binary, everything that needs no image files still works. */
function loadSharp(): Promise<SharpModule> {
  loading ??= import('sharp').then(
    module => module.default,
    cause => {
      loading = undefined
      throw new ZooError(
        'images',
        'cannot load the image decoder "sharp"; install it for this platform with: npm install sharp',
        { path: 'sharp' },
        { cause },
      )
    },
  )
  return loading
}

/** Versions of what turns a file into pixels: other versions may decode differently, so they are part of the cache's key. */
export async function decoderVersions(): Promise<Record<string, string | undefined>> {
  const { versions } = (await loadSharp()) as unknown as { versions: Record<string, string | undefined> }
  const { sharp, vips, mozjpeg, png, webp } = versions
  return { sharp, vips, mozjpeg, png, webp }
}

/**
 * Decodes a JPEG, PNG or WebP to 8 bits a channel, as its pixels stand in the file: colour profile and EXIF rotation
 * are not applied, alpha is not blended; CMYK becomes RGB (by libvips' own profile, TensorFlow's differs).
 *
 * JPEGs come out bit for bit as `tf.io.decode_jpeg(file, channels=3, dct_method='INTEGER_ACCURATE')` has them. Where
 * that method is not asked for, TensorFlow 2.21 takes `INTEGER_FAST`, which differs by up to 5 of 255 levels.
 *
 * @throws Error with the decoder's words, where the file is truncated, damaged, too large or of another kind.
 */
export async function decodeImage(bytes: Uint8Array): Promise<DecodedImage> {
  const sharp = await loadSharp()
  // The other formats that libvips knows (SVG, TIFF, ...) only widen what a hostile archive can reach.
  if (!looksLikeImage(bytes)) throw new Error('not a JPEG, PNG or WebP image')
  try {
    const { data, info } = await sharp(bytes, {
      ignoreIcc: true,
      failOn: 'error',
      limitInputPixels: MAX_IMAGE_PIXELS,
    })
      .toColourspace('srgb')
      .raw()
      .toBuffer({ resolveWithObject: true })
    return { data, height: info.height, width: info.width, channels: info.channels }
  } catch (error) {
    throw new Error(plainReason(error), { cause: error })
  }
}

function looksLikeImage(bytes: Uint8Array): boolean {
  const ascii = String.fromCharCode(...bytes.subarray(0, 12))
  const isJpeg = ascii.startsWith('\xff\xd8\xff')
  const isPng = ascii.startsWith('\x89PNG\r\n\x1a\n')
  const isWebp = ascii.startsWith('RIFF') && ascii.endsWith('WEBP')
  return isJpeg || isPng || isWebp
}

/** The decoder's first line, with our limit in it where that was the reason. */
function plainReason(error: unknown): string {
  const [line = ''] = String((error as Error).message).split('\n', 1)
  if (line.includes('exceeds pixel limit')) return `more than ${MAX_IMAGE_PIXELS} pixels`
  return line.replace(/^Input buffer has corrupt header:\s*/, 'corrupt header; ').replace(/[;:\s]+$/, '')
}
