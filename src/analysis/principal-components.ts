import { EigenvalueDecomposition, Matrix } from 'ml-matrix'
import { checkOptionNames, invalidOption, isCount } from '../options.js'
import { RandomStream } from '../random.js'
import type { WeightMatrix } from '../zoo/weight-matrix.js'
import { openRows, type Weights } from '../zoo/weights.js'
import { type Block, columnsOf, eachBlock, notFiniteIn, STUDY_OPTIONS, type StudyOptions } from './blocks.js'
import { innerProduct } from './vectors.js'

/** Options of {@link principalComponents}. */
export interface PrincipalComponentsOptions extends StudyOptions {
  /** How many. Default 10, or one fewer than networks. Time grows with them: see {@link principalComponents}. */
  components?: number
  /** Rows to fit on, e.g. the training part of a split; no other row has any influence. Default: all. */
  rows?: ArrayLike<number>
  /** Only this layer's weights. Default: all. */
  layer?: string
  /**
   * Krylov iterations, a pass over the weights each. Default 4. Weight space has a slowly falling spectrum: if the last
   * components matter, more iterations make them sharper.
   */
  iterations?: number
  /** Directions beyond `components` in the start. Default 10, as scikit-learn. */
  oversampling?: number
  /** Of the random start. Default 0. */
  seed?: number
}

/**
 * Principal components and what they explain; `transform` gives the coordinates of networks.
 *
 * @example
 * const pca = await principalComponents(zoo, { components: 50 })
 * const scores = await pca.transform(zoo) // [networks][50]
 */
export class PrincipalComponents {
  /** @internal Use {@link principalComponents}. */
  constructor(
    /** Mean of the rows fitted on. `[weights]` */
    readonly mean: Float64Array,
    /** Unit vectors, the one with most variance first; the entry of largest magnitude is positive. `[k][weights]` */
    readonly components: readonly Float64Array[],
    /** Variance along every component (divided by n - 1). `[k]` */
    readonly explainedVariance: readonly number[],
    /** The same as share of the total variance, 0 to 1. `[k]` */
    readonly explainedVarianceRatio: readonly number[],
    /** The layer whose weights these are; `undefined` for all. */
    readonly layer: string | undefined,
  ) {}

  /**
   * Coordinates of networks along the components, e.g. of the training rows and the test rows alike. One pass.
   *
   * @returns `[networks][k]`
   * @throws ZooError `option` for networks of another size, or naming the one that has a weight that is not finite;
   * `interrupted`.
   */
  async transform(weights: Weights, options: StudyOptions = {}): Promise<number[][]> {
    checkOptionNames(options, STUDY_OPTIONS, 'transform')
    const { matrix, close } = await openRows(weights, options)
    try {
      const columns = columnsOf(matrix, this.layer)
      const size = this.mean.length
      if (columns[1] - columns[0] !== size) {
        throw invalidOption(
          'weights',
          columns[1] - columns[0],
          `the components are of networks with ${size}, these have`,
        )
      }
      const basis = new Basis(this.components.length, size)
      for (const [i, component] of this.components.entries()) basis.vector(i).set(component)
      const scores: number[][] = []
      await eachBlock([matrix], options, block => {
        const rows = Array.from({ length: block.end - block.start }, (_, row) => row)
        const tile = new CenteredRows(block, rows, columns, this.mean)
        const products = basis.productsWith(tile)
        for (const row of rows) {
          const start = row * basis.padded
          const score = [...products.subarray(start, start + basis.count)]
          if (!score.every(Number.isFinite)) throw notFiniteIn(block, row)
          scores.push(score)
        }
      })
      return scores
    } finally {
      close()
    }
  }
}

/**
 * Principal components of weight space: the directions in which the networks differ most. A randomised block Krylov
 * method (Musco & Musco, NeurIPS 2015; the start is a sparse sign sketch) that streams the centred rows in float64. Its
 * memory does not grow with the number of networks: a block, and (iterations + 1) x (components + oversampling) x
 * weights x 8 bytes, 73 MB for 10 components of LeNet-5. It takes about 4 x iterations x networks x weights x
 * (components + oversampling) operations, at 2 a nanosecond on one core: three minutes for 10 components of
 * 10,000 LeNet-5. The scatter matrix within the Krylov space is exact, so explained variances are never too large.
 *
 * @example
 * const pca = await principalComponents(rows, { components: 20, rows: split.train })
 * const scores = await pca.transform(rows) // [networks][20]
 *
 * @throws ZooError `option` for more components than networks - 1 or weights, fewer than two networks, an unusable
 * option, or naming the network that has a weight that is not finite; `interrupted`.
 */
export async function principalComponents(
  weights: Weights,
  options: PrincipalComponentsOptions = {},
): Promise<PrincipalComponents> {
  checkOptionNames(
    options,
    [...STUDY_OPTIONS, 'components', 'rows', 'layer', 'iterations', 'oversampling', 'seed'],
    'principalComponents',
  )
  const { matrix, close } = await openRows(weights, options)
  try {
    return await fit(matrix, options)
  } finally {
    close()
  }
}

async function fit(matrix: WeightMatrix, options: PrincipalComponentsOptions): Promise<PrincipalComponents> {
  const { layer, iterations = 4, oversampling = 10, seed = 0 } = options
  const columns = columnsOf(matrix, layer)
  const size = columns[1] - columns[0]
  const chosen = chosenRows(matrix, options.rows)
  const networks = chosen.size
  const most = Math.min(networks - 1, size)
  const { components = Math.min(10, most) } = options
  if (!isCount(components) || components > most)
    throw invalidOption('components', components, `${networks} networks of ${size} weights have 1 to ${most}`)
  if (!isCount(iterations)) throw invalidOption('iterations', iterations, 'needs a positive integer')
  if (!(Number.isInteger(oversampling) && oversampling >= 0))
    throw invalidOption('oversampling', oversampling, 'needs an integer of at least 0')

  const passes = iterations + 1
  const rowsIn = (block: Block) =>
    Array.from({ length: block.end - block.start }, (_, row) => row).filter(row =>
      chosen.has(block.start + row),
    )
  const width = Math.min(components + oversampling, networks, size)

  const start = new Sketch(width, size, networks, seed)
  await eachBlock([matrix], options, block => start.add(block, rowsIn(block), columns), { passes })
  const { mean, variance } = start.moments()

  // The Krylov space of the scatter matrix S and the random start, and S within it, S taken a pass to apply.
  let next = start.basis(mean)
  const vectors: Float64Array[] = []
  const scatter = Matrix.zeros(width * iterations, width * iterations)
  for (let iteration = 0; iteration < iterations; iteration++) {
    const basis = next
    basis.orthonormalize(vectors)
    vectors.push(...basis.vectors())
    next = new Basis(width, size)
    await eachBlock(
      [matrix],
      options,
      block => {
        const tile = new CenteredRows(block, rowsIn(block), columns, mean)
        next.addTransposed(tile, basis.productsWith(tile))
      },
      { pass: iteration + 1, passes },
    )
    const products = innerProducts(next.vectors(), vectors)
    for (let j = 0; j < width; j++) {
      const column = iteration * width + j
      for (let i = 0; i < vectors.length; i++) {
        const value = products[j * vectors.length + i]!
        scatter.set(i, column, value)
        scatter.set(column, i, value)
      }
    }
  }

  const { realEigenvalues, eigenvectorMatrix } = new EigenvalueDecomposition(scatter, {
    assumeSymmetric: true,
  })
  const order = realEigenvalues.map((_, i) => i).sort((a, b) => realEigenvalues[b]! - realEigenvalues[a]!)
  const kept = order.slice(0, components)
  const explained = kept.map(i => Math.max(0, realEigenvalues[i]! / (networks - 1)))
  return new PrincipalComponents(
    mean,
    kept.map(i => combined(vectors, eigenvectorMatrix.getColumn(i))),
    explained,
    explained.map(value => (variance > 0 ? value / variance : Number.NaN)),
    layer,
  )
}

function chosenRows(matrix: WeightMatrix, rows: ArrayLike<number> | undefined): ReadonlySet<number> {
  const [count] = matrix.shape
  const chosen = new Set(rows ? Array.from(rows) : Array.from({ length: count }, (_, row) => row))
  for (const row of chosen) {
    if (!Number.isInteger(row) || row < 0 || row >= count)
      throw invalidOption('rows', row, `there are ${count}`)
  }
  if (chosen.size < 2) throw invalidOption('rows', chosen.size, 'principal components need two networks')
  return chosen
}

/** How many sketch vectors a row goes into (Martinsson & Tropp, *Randomized numerical linear algebra*, 2020, sec. 9.2). */
const SIGNS_PER_ROW = 4

/** The first pass: mean, total variance, and random sums of rows that span roughly where the variance is. */
class Sketch {
  private readonly random: RandomStream
  private readonly vectors: Basis
  /** Sum of the signs with which rows went into each vector. */
  private readonly weights: Float64Array
  private readonly first: Float64Array
  private readonly sums: Float64Array
  private readonly squares: Float64Array
  private seen = 0

  constructor(
    private readonly width: number,
    private readonly size: number,
    private readonly networks: number,
    seed: number,
  ) {
    this.random = new RandomStream(seed, 'principal-components')
    this.vectors = new Basis(width, size)
    this.weights = new Float64Array(width)
    this.first = new Float64Array(size)
    this.sums = new Float64Array(size)
    this.squares = new Float64Array(size)
  }

  add(block: Block, rows: readonly number[], [first, last]: readonly [number, number]): void {
    const columns = block.matrix.shape[1]
    for (const row of rows) {
      const weights = block.data.subarray(row * columns + first, row * columns + last)
      if (!Number.isFinite(this.addMoments(weights))) throw notFiniteIn(block, row)
      for (const { vector, sign } of this.targets()) {
        const into = this.vectors.vector(vector)
        for (let i = 0; i < into.length; i++) into[i]! += sign * weights[i]!
        this.weights[vector]! += sign
      }
      this.seen++
    }
  }

  /** With room for every row, each has a vector of its own and nothing is left to chance. */
  private targets(): { vector: number; sign: number }[] {
    if (this.width === this.networks) return [{ vector: this.seen, sign: 1 }]
    const vectors = Uint32Array.from({ length: this.width }, (_, i) => i)
    const chosen = this.random.choose(vectors, Math.min(SIGNS_PER_ROW, this.width))
    return Array.from(chosen, vector => ({ vector, sign: this.random.integer(2) * 2 - 1 }))
  }

  /** Deviations are from the first row, so that no digits go where the mean is far from zero. Returns their sum. */
  private addMoments(weights: Float32Array): number {
    const { first, sums, squares } = this
    let sum = 0
    if (this.seen === 0) first.set(weights)
    for (let i = 0; i < weights.length; i++) {
      const deviation = weights[i]! - first[i]!
      sums[i]! += deviation
      squares[i]! += deviation * deviation
      sum += deviation
    }
    return sum
  }

  moments(): { mean: Float64Array; variance: number } {
    let variance = 0
    const mean = new Float64Array(this.size)
    for (let i = 0; i < this.size; i++) {
      mean[i] = this.first[i]! + this.sums[i]! / this.seen
      variance += (this.squares[i]! - this.sums[i]! ** 2 / this.seen) / (this.seen - 1)
    }
    return { mean, variance }
  }

  /** The random sums of centred rows. */
  basis(mean: Float64Array): Basis {
    for (let i = 0; i < this.width; i++) {
      const vector = this.vectors.vector(i)
      for (let at = 0; at < vector.length; at++) vector[at]! -= this.weights[i]! * mean[at]!
    }
    return this.vectors
  }
}

/** Columns handled at a time, so that all rows' and vectors' parts stay in the cache. */
const CHUNK = 512

/** Rows of a block less the mean, in float64, made chunk by chunk; their number is rounded up to fours with zeros. */
class CenteredRows {
  readonly rows: number
  readonly padded: number
  readonly size: number

  constructor(
    private readonly block: Block,
    private readonly chosen: readonly number[],
    private readonly columns: readonly [number, number],
    private readonly mean: Float64Array,
  ) {
    this.rows = chosen.length
    this.padded = roundUp(chosen.length)
    this.size = columns[1] - columns[0]
  }

  /** Columns `from` to `from + CHUNK`, flat `[padded, CHUNK]`; beyond the last column there is no meaning. */
  *chunks(): Generator<{ from: number; width: number; data: Float64Array }> {
    const { block, chosen, columns, mean } = this
    const stride = block.matrix.shape[1]
    const data = new Float64Array(this.padded * CHUNK)
    for (let from = 0; from < this.size; from += CHUNK) {
      const width = Math.min(CHUNK, this.size - from)
      for (const [i, row] of chosen.entries()) {
        const start = row * stride + columns[0] + from
        copyCentered(data, i * CHUNK, block.data, start, mean, from, width)
      }
      yield { from, width, data }
    }
  }
}

function copyCentered(
  to: Float64Array,
  toStart: number,
  weights: Float32Array,
  start: number,
  mean: Float64Array,
  meanStart: number,
  count: number,
): void {
  for (let i = 0; i < count; i++) to[toStart + i] = weights[start + i]! - mean[meanStart + i]!
}

/** Vectors of weight space, flat `[padded, size]`; their number is rounded up to fours with zeros. */
class Basis {
  readonly padded: number
  private readonly data: Float64Array

  constructor(
    readonly count: number,
    private readonly size: number,
  ) {
    this.padded = roundUp(count)
    this.data = new Float64Array(this.padded * size)
  }

  vector(index: number): Float64Array {
    return this.data.subarray(index * this.size, (index + 1) * this.size)
  }

  /** Inner products of rows and vectors, flat `[rows.padded, padded]`. */
  productsWith(rows: CenteredRows): Float64Array {
    const { padded, size, data } = this
    const products = new Float64Array(rows.padded * padded)
    for (const { from, width, data: x } of rows.chunks()) {
      for (let j = 0; j < padded; j += 4) {
        for (let i = 0; i < rows.padded; i += 4) {
          addProducts(products, i * padded + j, padded, x, i * CHUNK, data, j * size + from, size, width)
        }
      }
    }
    return products
  }

  /** Adds to vector j the rows, each `products[row, j]` times. */
  addTransposed(rows: CenteredRows, products: Float64Array): void {
    const { padded, size, data } = this
    for (const { from, width, data: x } of rows.chunks()) {
      for (let j = 0; j < padded; j += 4) {
        for (let i = 0; i < rows.padded; i += 4) {
          addCombinations(data, j * size + from, size, x, i * CHUNK, products, i * padded + j, padded, width)
        }
      }
    }
  }

  vectors(): Float64Array[] {
    return Array.from({ length: this.count }, (_, i) => this.vector(i))
  }

  /**
   * Makes the vectors orthonormal, also to `earlier` ones: block Gram-Schmidt, twice (which is enough: Giraud et al.
   * 2005). A vector that depends on others becomes zero.
   */
  orthonormalize(earlier: readonly Float64Array[]): void {
    const vectors = this.vectors()
    for (let round = 0; round < 2; round++) {
      const lengths = vectors.map(lengthOf)
      const shares = innerProducts(vectors, earlier)
      for (const from of chunkStarts(this.size)) {
        for (const [i, vector] of vectors.entries()) {
          for (const [j, other] of earlier.entries()) {
            addScaled(vector, other, -shares[i * earlier.length + j]!, from, from + CHUNK)
          }
        }
      }
      for (const [i, vector] of vectors.entries()) {
        for (const other of vectors.slice(0, i)) addScaled(vector, other, -dot(vector, other))
        const length = lengthOf(vector)
        const scale = length > 1e-12 * lengths[i]! ? 1 / length : 0
        for (let at = 0; at < vector.length; at++) vector[at]! *= scale
      }
    }
  }
}

/** All inner products of `a` and `b`, flat `[a, b]`. */
function innerProducts(a: readonly Float64Array[], b: readonly Float64Array[]): Float64Array {
  const products = new Float64Array(a.length * b.length)
  const size = a[0]!.length
  for (const from of chunkStarts(size)) {
    const length = Math.min(CHUNK, size - from)
    for (const [i, vector] of a.entries()) {
      for (const [j, other] of b.entries()) {
        products[i * b.length + j]! += innerProduct(vector, from, other, from, length)
      }
    }
  }
  return products
}

const chunkStarts = (size: number) => Array.from({ length: Math.ceil(size / CHUNK) }, (_, i) => i * CHUNK)

/** The sum of vectors, each `shares[i]` times; of the two signs the one whose largest entry is positive. */
function combined(vectors: readonly Float64Array[], shares: readonly number[]): Float64Array {
  const sum = new Float64Array(vectors[0]!.length)
  for (const [i, vector] of vectors.entries()) addScaled(sum, vector, shares[i]!)
  let largest = 0
  for (const value of sum) if (Math.abs(value) > Math.abs(largest)) largest = value
  return largest < 0 ? sum.map(value => -value) : sum
}

function addScaled(to: Float64Array, vector: Float64Array, share: number, from = 0, end = to.length): void {
  const last = Math.min(end, to.length)
  for (let i = from; i < last; i++) to[i]! += share * vector[i]!
}

const dot = (a: Float64Array, b: Float64Array) => innerProduct(a, 0, b, 0, a.length)
const lengthOf = (vector: Float64Array) => Math.sqrt(dot(vector, vector))

const roundUp = (count: number) => 4 * Math.ceil(count / 4)

/** `out[4, 4] += x[4, n] z[4, n]^T`: sixteen sums stay in registers. */
function addProducts(
  out: Float64Array,
  outStart: number,
  outStride: number,
  x: Float64Array,
  xStart: number,
  z: Float64Array,
  zStart: number,
  zStride: number,
  n: number,
): void {
  let s00 = 0
  let s01 = 0
  let s02 = 0
  let s03 = 0
  let s10 = 0
  let s11 = 0
  let s12 = 0
  let s13 = 0
  let s20 = 0
  let s21 = 0
  let s22 = 0
  let s23 = 0
  let s30 = 0
  let s31 = 0
  let s32 = 0
  let s33 = 0
  for (let p = 0; p < n; p++) {
    const x0 = x[xStart + p]!
    const x1 = x[xStart + CHUNK + p]!
    const x2 = x[xStart + 2 * CHUNK + p]!
    const x3 = x[xStart + 3 * CHUNK + p]!
    const z0 = z[zStart + p]!
    const z1 = z[zStart + zStride + p]!
    const z2 = z[zStart + 2 * zStride + p]!
    const z3 = z[zStart + 3 * zStride + p]!
    s00 += x0 * z0
    s01 += x0 * z1
    s02 += x0 * z2
    s03 += x0 * z3
    s10 += x1 * z0
    s11 += x1 * z1
    s12 += x1 * z2
    s13 += x1 * z3
    s20 += x2 * z0
    s21 += x2 * z1
    s22 += x2 * z2
    s23 += x2 * z3
    s30 += x3 * z0
    s31 += x3 * z1
    s32 += x3 * z2
    s33 += x3 * z3
  }
  const sums = [s00, s01, s02, s03, s10, s11, s12, s13, s20, s21, s22, s23, s30, s31, s32, s33]
  for (let i = 0; i < 4; i++) {
    for (let j = 0; j < 4; j++) out[outStart + i * outStride + j]! += sums[4 * i + j]!
  }
}

/** `out[4, n] += y[4, 4]^T x[4, n]`, two rows of `out` at a time. */
function addCombinations(
  out: Float64Array,
  outStart: number,
  outStride: number,
  x: Float64Array,
  xStart: number,
  y: Float64Array,
  yStart: number,
  yStride: number,
  n: number,
): void {
  for (let j = 0; j < 4; j += 2) {
    const a = outStart + j * outStride
    const b = a + outStride
    const a0 = y[yStart + j]!
    const a1 = y[yStart + yStride + j]!
    const a2 = y[yStart + 2 * yStride + j]!
    const a3 = y[yStart + 3 * yStride + j]!
    const b0 = y[yStart + j + 1]!
    const b1 = y[yStart + yStride + j + 1]!
    const b2 = y[yStart + 2 * yStride + j + 1]!
    const b3 = y[yStart + 3 * yStride + j + 1]!
    for (let p = 0; p < n; p++) {
      const x0 = x[xStart + p]!
      const x1 = x[xStart + CHUNK + p]!
      const x2 = x[xStart + 2 * CHUNK + p]!
      const x3 = x[xStart + 3 * CHUNK + p]!
      out[a + p]! += x0 * a0 + x1 * a1 + (x2 * a2 + x3 * a3)
      out[b + p]! += x0 * b0 + x1 * b1 + (x2 * b2 + x3 * b3)
    }
  }
}
