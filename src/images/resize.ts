/** 8-bit pixels as a decoder gives them, `[height, width, channels]` in row-major order. */
export interface DecodedImage {
  data: Uint8Array
  height: number
  width: number
  /** 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha. */
  channels: number
}

/** For each output position along one axis: the two source positions it lies between, and how far along it lies. */
interface AxisWeights {
  lower: Int32Array
  upper: Int32Array
  lerp: Float32Array
}

const { fround } = Math

/**
 * The weights of TensorFlow's `compute_interpolation_weights` with its `HalfPixelScaler`
 * (tensorflow/core/kernels/image/resize_bilinear_op.cc), every operation rounded to float32 as there.
 */
function axisWeights(outSize: number, inSize: number): AxisWeights {
  const scale = fround(inSize / outSize)
  const lower = new Int32Array(outSize)
  const upper = new Int32Array(outSize)
  const lerp = new Float32Array(outSize)
  for (let i = 0; i < outSize; i++) {
    const position = fround(fround((i + 0.5) * scale) - 0.5)
    const floor = Math.floor(position)
    lower[i] = Math.max(floor, 0)
    upper[i] = Math.min(Math.ceil(position), inSize - 1)
    lerp[i] = position - floor
  }
  return { lower, upper, lerp }
}

/**
 * What `tf.image.resize(image, [height, width]) / 255` gives (bilinear, half-pixel centres, no antialias, aspect ratio
 * not kept), bit for bit: float32 `[height, width, channels]` in [0, 1].
 *
 * Alpha is dropped. Grey becomes RGB by repeating the value; RGB becomes grey as the 8-bit luminance of Rec. 601
 * (0.299 R + 0.587 G + 0.114 B, rounded), which leaves a grey of equal R, G and B as it is. For colour JPEGs this is
 * the stored luminance but for rounding and colours out of RGB's range (1.7 % of Imagenette's pixels differ).
 */
export function resizeBilinear(
  image: DecodedImage,
  [height, width]: readonly [height: number, width: number],
  channels: 1 | 3,
): Float32Array {
  const rows = axisWeights(height, image.height)
  const columns = axisWeights(width, image.width)
  const read = sampler(image, channels)
  const result = new Float32Array(height * width * channels)
  let at = 0
  for (let y = 0; y < height; y++) {
    const top = rows.lower[y]! * image.width
    const bottom = rows.upper[y]! * image.width
    const yLerp = rows.lerp[y]!
    for (let x = 0; x < width; x++) {
      const left = columns.lower[x]!
      const right = columns.upper[x]!
      const xLerp = columns.lerp[x]!
      for (let c = 0; c < channels; c++) {
        const upper = lerp(read(top + left, c), read(top + right, c), xLerp)
        const lower = lerp(read(bottom + left, c), read(bottom + right, c), xLerp)
        result[at++] = lerp(upper, lower, yLerp) / 255
      }
    }
  }
  return result
}

/** Both inner results are rounded to float32, as TensorFlow's kernel has them in registers. */
function lerp(a: number, b: number, t: number): number {
  return fround(a + fround(fround(b - a) * t))
}

/** How to read channel `c` of the pixel at a flat position. */
function sampler({ data, channels: stored }: DecodedImage, wanted: 1 | 3): (at: number, c: number) => number {
  if (stored < 3) return at => data[at * stored]!
  if (wanted === 3) return (at, c) => data[at * stored + c]!
  return at => {
    const from = at * stored
    // libjpeg's fixed-point weights; they add up to 65536, so equal R, G and B come out unchanged.
    return (19595 * data[from]! + 38470 * data[from + 1]! + 7471 * data[from + 2]! + 32768) >> 16
  }
}
