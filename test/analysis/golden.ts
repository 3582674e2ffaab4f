import { readFileSync } from 'node:fs'
import type { WeightArray } from '../../dist/zoo/weights.js'
import { fromRoot } from '../support.js'

/** A distribution as test/fixtures/golden_analysis.py has it. */
export interface GoldenDistribution {
  class: string | null
  layer: string | null
  part: string | null
  count: number
  min: number
  max: number
  mean: number
  sd: number
  skewness: number
  kurtosis: number
  quantiles: number[]
  sparsity: number
  entropy: number
  bits: number
  histogram: GoldenHistogram
  extent: GoldenHistogram
}

export interface GoldenHistogram {
  edges: number[]
  counts: number[]
  below: number
  above: number
}

export interface GoldenDivergence {
  distance: number[][]
  mean: number
  sd: number
  min: number
  max: number
}

interface Golden {
  classNames: string[]
  labels: number[]
  parameters: { layer: string; part: 'bias' | 'kernel'; shape: number[]; offset: number; size: number }[]
  probabilities: number[]
  threshold: number
  decimals: number
  range: [number, number]
  train: number[]
  all: GoldenDistribution
  byClass: GoldenDistribution[]
  byLayer: GoldenDistribution[]
  byPart: GoldenDistribution[]
  byClassAndLayer: GoldenDistribution[]
  common: { most: number[]; counts: Record<string, number> }[]
  divergence: {
    paper: Record<string, GoldenDivergence>
    plain: Record<string, GoldenDivergence>
    network: GoldenDivergence
  }
  distances: Record<'means' | 'dense' | 'networks', Record<'euclidean' | 'cosine', number[][]>>
  pca: { explainedVariance: number[]; explainedVarianceRatio: number[]; denseVarianceRatio: number[] }
  silhouettes: { mean: number; values: number[] }
  kMeans: { inertia: number; silhouette: number }
  arrays: Record<string, { shape: number[]; offset: number }>
}

/** numpy's, scipy's and scikit-learn's results of test/fixtures/golden_analysis.py. */
export const golden = JSON.parse(readFileSync(fromRoot('test/fixtures/analysis.json'), 'utf8')) as Golden

const bytes = new Uint8Array(readFileSync(fromRoot('test/fixtures/analysis.bin'))).buffer

function flat<T extends Float32Array | Float64Array>(
  name: string,
  Type: new (buffer: ArrayBuffer, offset: number, length: number) => T,
): T {
  const { offset, shape } = golden.arrays[name]!
  return new Type(bytes, offset, shape[0]! * shape[1]!)
}

function rowsOf(name: string): number[][] {
  const values = flat(name, Float64Array)
  const [rows, columns] = golden.arrays[name]!.shape as [number, number]
  return Array.from({ length: rows }, (_, i) => [...values.subarray(i * columns, (i + 1) * columns)])
}

/** The networks that the golden values are of, 42 of three classes in turn. */
export const weights: WeightArray = {
  data: flat('weights', Float32Array),
  labels: golden.labels,
  classNames: golden.classNames,
  parameters: golden.parameters,
}

/** scikit-learn's components `[5][weights]` and the coordinates of all networks `[42][5]`. */
export const components = rowsOf('components')
export const scores = rowsOf('scores')

/** The weights with one of them changed. */
export function withWeight(row: number, column: number, value: number): WeightArray {
  const data = (weights.data as Float32Array).slice()
  data[(row * data.length) / golden.labels.length + column] = value
  return { ...weights, data }
}

/** Only the networks for which `keep` is true. */
export function filtered(keep: (row: number) => boolean): WeightArray {
  const data = weights.data as Float32Array
  const columns = data.length / golden.labels.length
  const rows = golden.labels.flatMap((_, row) => (keep(row) ? [row] : []))
  return {
    ...weights,
    data: rows.map(row => data.slice(row * columns, (row + 1) * columns)),
    labels: rows.map(row => golden.labels[row]!),
  }
}

/** Largest difference between two nested arrays of numbers. */
export function farthest(a: readonly (readonly number[])[], b: readonly (readonly number[])[]): number {
  return Math.max(...a.flatMap((row, i) => row.map((value, j) => Math.abs(value - b[i]![j]!))))
}
