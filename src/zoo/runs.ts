/** Goes through positions in runs of neighbours, `first` to `last` (exclusive), of which the first stands at `at`. */
export function forEachRun(
  positions: Uint32Array,
  most: number,
  take: (at: number, first: number, last: number) => void,
): void {
  for (let at = 0; at < positions.length; ) {
    const first = positions[at]!
    let count = 1
    while (count < most && positions[at + count] === first + count) count++
    take(at, first, first + count)
    at += count
  }
}
