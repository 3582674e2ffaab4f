import { invalidOption, suggestion } from '../options.js'
import type { RandomStream } from '../random.js'
import type { Architecture } from './architecture.js'

/**
 * How kernels are drawn before training, as Keras defines it under the same names (`glorot_uniform`, ...). Biases start
 * at zero.
 *
 * - `glorotUniform`, `glorotNormal`: variance `2 / (fanIn + fanOut)` (Glorot & Bengio 2010)
 * - `heUniform`, `heNormal`: variance `2 / fanIn` (He et al. 2015)
 * - `lecunUniform`, `lecunNormal`: variance `1 / fanIn` (LeCun et al. 1998)
 * - `randomUniform` in [-0.05, 0.05), `randomNormal` and `truncatedNormal` of deviation 0.05: Keras's defaults
 *
 * Fans count the receptive field. The normal ones of the first three lines, and `truncatedNormal`, are cut off at two
 * deviations; the former are widened so that the variance is the one above.
 */
export type Initializer =
  | 'glorotUniform'
  | 'glorotNormal'
  | 'heUniform'
  | 'heNormal'
  | 'lecunUniform'
  | 'lecunNormal'
  | 'randomUniform'
  | 'randomNormal'
  | 'truncatedNormal'

type Draw = (stream: RandomStream) => number

const uniform =
  (limit: number): Draw =>
  stream =>
    stream.uniform(-limit, limit)

const truncated =
  (deviation: number): Draw =>
  stream => {
    for (;;) {
      const z = stream.normal()
      if (z > -2 && z < 2) return deviation * z
    }
  }

/** Deviation of a standard normal variable cut off at -2 and 2. */
const TRUNCATED_DEVIATION = 0.87962566103423978

const uniformOf = (variance: number) => uniform(Math.sqrt(3 * variance))
const normalOf = (variance: number) => truncated(Math.sqrt(variance) / TRUNCATED_DEVIATION)

const DRAWS: Readonly<Record<Initializer, (fanIn: number, fanOut: number) => Draw>> = {
  glorotUniform: (fanIn, fanOut) => uniformOf(2 / (fanIn + fanOut)),
  glorotNormal: (fanIn, fanOut) => normalOf(2 / (fanIn + fanOut)),
  heUniform: fanIn => uniformOf(2 / fanIn),
  heNormal: fanIn => normalOf(2 / fanIn),
  lecunUniform: fanIn => uniformOf(1 / fanIn),
  lecunNormal: fanIn => normalOf(1 / fanIn),
  randomUniform: () => uniform(0.05),
  randomNormal: () => stream => stream.normal(0, 0.05),
  truncatedNormal: () => truncated(0.05),
}

/** @throws ZooError `option` for a name that is none of {@link Initializer}. */
export function checkInitializer(name: unknown): asserts name is Initializer {
  if (typeof name === 'string' && Object.hasOwn(DRAWS, name)) return
  throw invalidOption('initializer', name, suggestion(String(name), Object.keys(DRAWS)))
}

/**
 * A network's weights before training: kernels drawn as `initializer` says (default Keras's and the paper's,
 * `glorotUniform`), biases zero, flat in the order of the parameter table. `[parameterCount]`
 *
 * @example
 * initialWeights(lenet5Architecture(), new RandomStream(7, 'church', 3, 'initialisation')).length // 91481
 *
 * @throws ZooError `option` for an unknown initialiser.
 */
export function initialWeights(
  architecture: Architecture,
  stream: RandomStream,
  initializer: Initializer = 'glorotUniform',
): Float32Array<ArrayBuffer> {
  checkInitializer(initializer)
  const weights = new Float32Array(architecture.parameterCount)
  for (const { part, shape, offset, size } of architecture.parameters) {
    if (part === 'bias') continue
    const draw = DRAWS[initializer](...fans(shape))
    for (let i = 0; i < size; i++) weights[offset + i] = draw(stream)
  }
  return weights
}

function fans(kernelShape: readonly number[]): [fanIn: number, fanOut: number] {
  const receptiveField = kernelShape.slice(0, -2).reduce((product, n) => product * n, 1)
  return [receptiveField * kernelShape.at(-2)!, receptiveField * kernelShape.at(-1)!]
}
