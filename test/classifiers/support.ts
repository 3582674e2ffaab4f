import { readFileSync } from 'node:fs'
import { RandomStream } from '../../dist/random.js'
import { arrayRows, type LabelledRows, type Rows, withLabels } from '../../dist/zoo/rows.js'
import { fromRoot } from '../support.js'

/** Labelled points of classes that overlap little: class k stands out in the columns j with j % classes = k. */
export function separable({
  perClass = 20,
  columns = 12,
  classes = 3,
  distance = 2,
  seed = 1,
} = {}): LabelledRows {
  const stream = new RandomStream(seed, 'separable')
  const count = perClass * classes
  const labels = Int32Array.from({ length: count }, (_, row) => row % classes)
  const data = Float32Array.from({ length: count * columns }, (_, i) => {
    const [row, column] = [Math.floor(i / columns), i % columns]
    const noise = Math.sqrt(-2 * Math.log(1 - stream.uniform())) * Math.cos(2 * Math.PI * stream.uniform())
    return 5 + 0.1 * (noise + (column % classes === labels[row] ? distance : 0))
  })
  const names = Array.from(labels, (label, row) => `class${label}_${Math.floor(row / classes)}`)
  return withLabels(arrayRows(data, columns, names), labels, [...'abcdefghij'].slice(0, classes))
}

/** The same rows, and a list of which were read. */
export function watched<T extends Rows>(rows: T): { rows: T; read: number[] } {
  const read: number[] = []
  const spied = Object.assign(Object.create(rows), {
    rows(start: number, end: number) {
      for (let row = start; row < end; row++) read.push(row)
      return rows.rows(start, end)
    },
  }) as T
  return { rows: spied, read }
}

interface Fixture {
  naiveBayes: {
    name: string
    columns: number
    classes: number[]
    varSmoothing: number
    priors: number[] | null
    epsilon: number
  }[]
  machines: {
    name: string
    kernel: 'rbf' | 'linear'
    cost: number
    gamma?: number
    standardize: boolean
  }[]
  /** Feature and threshold by the way from the root, `l` and `r`. */
  tree: Record<string, [number, number]>
  scores: Record<
    'expected' | 'predicted' | 'precision' | 'sensitivity' | 'specificity' | 'f1' | 'support',
    number[]
  > & { accuracy: number; confusion: number[][] }
  wilson: { successes: number; count: number; interval: [number, number] }[]
  arrays: Record<string, { dtype: 'float32' | 'float64' | 'int32'; shape: number[]; offset: number }>
}

const TYPES = { float32: Float32Array, float64: Float64Array, int32: Int32Array } as const

/** What scikit-learn and scipy say; see test/fixtures/golden_classifiers.py. */
export function readGolden() {
  const golden = JSON.parse(readFileSync(fromRoot('test/fixtures/classifiers.json'), 'utf8')) as Fixture
  const { buffer } = new Uint8Array(readFileSync(fromRoot('test/fixtures/classifiers.bin')))
  const array = (name: string) => {
    const { dtype, shape, offset } = golden.arrays[name]!
    return new TYPES[dtype](
      buffer,
      offset,
      shape.reduce((product, n) => product * n, 1),
    )
  }
  return { golden, array }
}
