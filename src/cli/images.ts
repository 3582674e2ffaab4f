import { existsSync } from 'node:fs'
import type { Command } from 'commander'
import { ImageFolderLoader, type ImageLoaderOptions, ImagenetteLoader, type ImageSet } from '../index.js'
import { interruptSignal } from './flags.js'
import { count, imageStatus, StatusLine } from './output.js'

/** What `--images` takes beside paths: names of published archives. */
export const PUBLISHED = ['320px', '160px', 'full']

export interface ImageFlags {
  images?: string[]
  skipBadImages?: boolean
  cache: boolean
  cacheDir?: string
  quiet?: boolean
}

/** The flags beside `--images` of every command that reads images. */
export function withImageFlags(command: Command): Command {
  return command
    .option('--skip-bad-images', 'go on without images that cannot be decoded')
    .option('--no-cache', 'decode the images anew, and keep no decoded copy')
    .option('--cache-dir <directory>', 'where downloads and decoded images are kept')
}

/** `--images a.tgz --images b.tgz`: gathers what is given. */
export function sources(source: string, earlier: readonly string[] = []): string[] {
  return [...earlier, source]
}

/** All image sets that are given, one after the other. */
export async function loadImages(flags: ImageFlags): Promise<ImageSet[]> {
  const sets: ImageSet[] = []
  for (const source of flags.images ?? []) sets.push(await loadSet(source, flags))
  return sets
}

async function loadSet(source: string, flags: ImageFlags): Promise<ImageSet> {
  const { skipBadImages = false, cache, cacheDir, quiet = false } = flags
  const status = new StatusLine(quiet)
  const options: ImageLoaderOptions = {
    skipBadImages,
    cache,
    cacheDir,
    signal: interruptSignal(),
    onProgress: progress => {
      if (progress.stage === 'skip') status.note(`left out ${progress.path}: ${progress.reason}`)
      else if (progress.stage === 'warning') status.note(`warning: ${progress.message}`)
      else status.show(imageStatus(progress) ?? '')
    },
  }
  // A bare word that is no path can only be meant as a published name; the loader of those knows the right ones.
  const isName = !/[/\\.]/.test(source) && !existsSync(source)
  const loader = isName
    ? new ImagenetteLoader({ ...options, source })
    : new ImageFolderLoader({ ...options, source })
  const images = await loader.load()
  const { train, validation, classNames, shape } = images
  status.note(
    `images   ${images.name}: ${count(train.count)} to train on, ${count(validation.count)} to validate, ${classNames.length} classes, ${shape.join('x')}`,
  )
  return images
}
