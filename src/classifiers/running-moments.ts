/** Mean and sum of squared deviations of every column, one row at a time (Welford 1962), in float64. */
export class RunningMoments {
  count = 0
  readonly mean: Float64Array
  readonly squares: Float64Array

  constructor(private readonly columns: number) {
    this.mean = new Float64Array(columns)
    this.squares = new Float64Array(columns)
  }

  /** Variance of every column; 1 for one that does not vary, so that dividing by its root changes nothing. */
  variances(): Float64Array {
    const { count, mean } = this
    // Below float32's own rounding of the values there is nothing but noise to blow up.
    const isConstant = (sum: number, j: number) => sum / count <= (mean[j]! * 1e-6) ** 2
    return this.squares.map((sum, j) => (isConstant(sum, j) ? 1 : sum / count))
  }

  /** Adds the row that starts at `offset`. */
  add(data: Float32Array, offset: number): void {
    const { mean, squares, columns } = this
    const share = 1 / ++this.count
    for (let j = 0; j < columns; j++) {
      const value = data[offset + j]!
      const deviation = value - mean[j]!
      const moved = mean[j]! + deviation * share
      mean[j] = moved
      squares[j] = squares[j]! + deviation * (value - moved)
    }
  }
}
