/** Two rows of a {@link PairMatrix} and their value. */
export interface Pair {
  readonly names: readonly [string, string]
  readonly value: number
}

/** A symmetric matrix between classes or networks, and its summary over pairs of different ones. */
export interface PairMatrix {
  /** `[rows][rows]`, zeros on the diagonal. */
  readonly values: readonly (readonly number[])[]
  readonly mean: number
  /** Population standard deviation over pairs (numpy's default). */
  readonly sd: number
  /** The most similar pair. */
  readonly min: Pair
  /** The most different pair. */
  readonly max: Pair
}

/** Sums up the upper triangle of a symmetric matrix of at least two rows. */
export function summarized(names: readonly string[], values: readonly (readonly number[])[]): PairMatrix {
  const pairs = (names.length * (names.length - 1)) / 2
  let sum = 0
  let min = { i: 0, j: 1 }
  let max = min
  forEachPair(values, (value, i, j) => {
    sum += value
    if (value < values[min.i]![min.j]!) min = { i, j }
    if (value > values[max.i]![max.j]!) max = { i, j }
  })
  const mean = sum / pairs
  let squares = 0
  forEachPair(values, value => {
    squares += (value - mean) ** 2
  })
  const pair = ({ i, j }: typeof min): Pair => ({ names: [names[i]!, names[j]!], value: values[i]![j]! })
  return { values, mean, sd: Math.sqrt(squares / pairs), min: pair(min), max: pair(max) }
}

function forEachPair(
  values: readonly (readonly number[])[],
  visit: (value: number, i: number, j: number) => void,
): void {
  for (const [i, row] of values.entries()) {
    for (let j = i + 1; j < row.length; j++) visit(row[j]!, i, j)
  }
}
