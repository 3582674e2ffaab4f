import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { ZooError } from '../errors.js'
import { checkOptionNames, invalidOption, suggestion } from '../options.js'
import { defaultCacheDir } from './cache.js'
import { download } from './download.js'
import {
  checkLoaderOptions,
  ImageFolderLoader,
  type ImageLoaderOptions,
  LOADER_OPTIONS,
  throwIfInterrupted,
} from './image-folder-loader.js'
import type { ImageSet } from './image-set.js'
import { IMAGENETTE_CLASSES } from './imagenette-classes.js'

/** The published archives of Imagenette v2; files and checksums as in torchvision's `Imagenette`. */
const ARCHIVES: Readonly<Record<ImagenetteName, { file: string; md5: string }>> = {
  '320px': { file: 'imagenette2-320.tgz', md5: '3df6f0d01a2c9592104656642f5e78a3' },
  '160px': { file: 'imagenette2-160.tgz', md5: 'e793b78cc4c9e9a4ccc0c1155377a412' },
  full: { file: 'imagenette2.tgz', md5: 'fe2fc210e6bb7c5664d602c3cd71e612' },
}

const BASE_URL = 'https://s3.amazonaws.com/fast-ai-imageclas/'

/** A published archive of Imagenette v2, by the length of its images' shorter side (`full`: as in ImageNet). */
export type ImagenetteName = '320px' | '160px' | 'full'

/** Options of {@link ImagenetteLoader}. */
export interface ImagenetteOptions extends ImageLoaderOptions {
  /**
   * An extracted folder, a .tgz, or the name of a published archive, which is downloaded into `cacheDir` once:
   * `'320px'` (340 MB), `'160px'` (99 MB) or `'full'` (1.6 GB). A folder of such a name is `./320px`.
   * Default `'320px'`: what the published dataset of networks was trained on.
   */
  source?: ImagenetteName | (string & {}) | undefined
  /** Where the archives are published. Default: fast.ai's own place; give another for a mirror. */
  baseUrl?: string | undefined
}

/**
 * Loads Imagenette v2 (Howard, github.com/fastai/imagenette): ten easy classes of ImageNet, 9,469 training and 3,925
 * validation images. Result: float32 RGB in [0, 1], 32x32 by default, labels in the order of
 * {@link IMAGENETTE_CLASSES}; see {@link ImageFolderLoader} for what is done to the pixels.
 *
 * The images are ImageNet's: for research use.
 *
 * @example
 * const images = await new ImagenetteLoader({ source: 'imagenette2-320.tgz' }).load()
 * images.train.pixels.length // 9469 * 32 * 32 * 3
 */
export class ImagenetteLoader {
  private readonly options: ImagenetteOptions

  /** @throws ZooError `option` where an option is unknown or its value cannot be used. */
  constructor(options: ImagenetteOptions = {}) {
    checkOptionNames(options, ['source', 'baseUrl', ...LOADER_OPTIONS], 'ImagenetteLoader')
    checkLoaderOptions(options)
    const { source = '320px', baseUrl = BASE_URL } = options
    if (typeof source !== 'string' || source === '')
      throw invalidOption('source', source, 'needs a path or a name')
    if (!URL.canParse(baseUrl)) throw invalidOption('baseUrl', baseUrl, 'needs a URL')
    this.options = options
  }

  /**
   * Downloads the archive where a name was given and it is not there yet, then decodes all images or takes them from
   * the cache.
   *
   * @throws ZooError `images` where the download fails, or the source is missing, truncated, holds an image that cannot
   * be decoded or lacks one of the ten classes; `option` where the source is neither a path nor a known name;
   * `interrupted` where the signal stopped it.
   */
  async load(): Promise<ImageSet> {
    const { source = '320px', baseUrl = BASE_URL, ...options } = this.options
    const path = isArchiveName(source) ? await this.fetchArchive(source, baseUrl) : source
    const looksLikeName = !/[/\\.]/.test(path)
    if (looksLikeName && !existsSync(path))
      throw new ZooError(
        'option',
        `no such folder, archive or Imagenette name: "${source}"; ${suggestion(source, Object.keys(ARCHIVES))}`,
        { name: 'source', value: source },
      )
    // Loaded like any folder, so that both loaders share one cache; only another set of classes has to be told apart.
    const images = await new ImageFolderLoader({ ...options, source: path }).load()
    const names = Object.values(IMAGENETTE_CLASSES)
    if (images.classNames.join() === names.join()) return images
    return new ImageFolderLoader({ ...options, source: path, classNames: IMAGENETTE_CLASSES }).load()
  }

  private async fetchArchive(name: ImagenetteName, baseUrl: string): Promise<string> {
    const { cacheDir = defaultCacheDir(), onProgress, signal } = this.options
    throwIfInterrupted(signal)
    const { file, md5 } = ARCHIVES[name]
    const path = join(cacheDir, file)
    const url = new URL(file, baseUrl.endsWith('/') ? baseUrl : `${baseUrl}/`).href
    try {
      await download({
        url,
        file: path,
        md5,
        signal,
        onBytes: (bytes, total) =>
          onProgress?.({ stage: 'download', bytes, ...(total !== undefined && { total }) }),
        onWarning: message => onProgress?.({ stage: 'warning', message }),
      })
    } catch (error) {
      throwIfInterrupted(signal)
      throw error
    }
    return path
  }
}

function isArchiveName(source: string): source is ImagenetteName {
  return Object.hasOwn(ARCHIVES, source)
}
