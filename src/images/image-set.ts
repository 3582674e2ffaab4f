/**
 * One split of an image set. Pixels are float32 in [0, 1], sample after sample, each `[height, width, channels]` in
 * row-major order (channels last, as Keras and tfjs have them).
 */
export interface ImageSplit {
  /** Pixels, flat `[count, height, width, channels]`; held in shared memory so that worker threads read them in place. */
  readonly pixels: Float32Array<SharedArrayBuffer>
  /** Class of each image, an index into {@link ImageSet.classNames}; `[count]`. */
  readonly labels: Uint8Array<SharedArrayBuffer>
  /** Number of images. */
  readonly count: number
}

/** Images decoded, resized and scaled, ready to train on. Made by `ImagenetteLoader` or {@link createImageSet}. */
export interface ImageSet {
  /** Where the images come from, for people to read (e.g. `imagenette2-320`). */
  readonly name: string
  /** Names of the classes; a label is an index into them. */
  readonly classNames: readonly string[]
  /** Shape of one image: height, width, channels. */
  readonly shape: readonly [height: number, width: number, channels: number]
  readonly train: ImageSplit
  readonly validation: ImageSplit
  /** SHA-256 (hex) over shape, class names, labels and pixels: equal fingerprints mean equal training input. */
  readonly fingerprint: string
}
