import type { RandomStream } from '../random.js'

/** What trees grow on. */
export interface TreeData {
  /** `[features][rows]` */
  readonly columns: readonly Float32Array[]
  /** Place of each value in its ascending column, equal values at the same place, times 2^32, plus the row. */
  readonly ranks: readonly Float64Array[]
  /** Class of each row, 0 to `classes` - 1. */
  readonly targets: Int32Array
  readonly classes: number
}

/** A binary tree, nodes in the order in which they were grown: a left child directly follows its parent. */
export interface Tree {
  /** Feature that decides, or -1 for a leaf. */
  readonly feature: readonly number[]
  /** Rows with at most this go left. */
  readonly threshold: readonly number[]
  /** Right child; of a leaf, its number. */
  readonly right: readonly number[]
  /** Shares of the classes in each leaf, flat `[leaves, classes]`. */
  readonly leaf: readonly number[]
}

/**
 * Grows a classification tree (CART, Breiman et al. 1984) on some rows, which may be in it several times, until leaves are
 * pure or their rows equal. Every split is the one with the least Gini impurity among `features` features drawn at random;
 * more are drawn where none of them varies.
 */
export function growTree(data: TreeData, rows: Uint32Array, features: number, random: RandomStream): Tree {
  const tree = {
    feature: [] as number[],
    threshold: [] as number[],
    right: [] as number[],
    leaf: [] as number[],
  }
  const order = Uint32Array.from(data.columns.keys())
  // Depth first, left before right; `parent` is the node whose right child this is.
  const open: { rows: Uint32Array; parent: number }[] = [{ rows, parent: -1 }]
  for (let next = open.pop(); next; next = open.pop()) {
    const node = tree.feature.length
    if (next.parent >= 0) tree.right[next.parent] = node
    const counts = countsOf(data, next.rows)
    const split = isPure(counts) ? undefined : bestSplit(data, next.rows, counts, features, order, random)
    if (!split) {
      tree.feature.push(-1)
      tree.threshold.push(0)
      tree.right.push(tree.leaf.length / data.classes)
      for (const count of counts) tree.leaf.push(count / next.rows.length)
      continue
    }
    const { feature, threshold } = split
    tree.feature.push(feature)
    tree.threshold.push(threshold)
    tree.right.push(-1)
    const column = data.columns[feature]!
    open.push({ rows: next.rows.filter(row => column[row]! > threshold), parent: node })
    open.push({ rows: next.rows.filter(row => column[row]! <= threshold), parent: -1 })
  }
  return tree
}

function countsOf({ targets, classes }: TreeData, rows: Uint32Array): Float64Array {
  const counts = new Float64Array(classes)
  for (const row of rows) counts[targets[row]!]!++
  return counts
}

const isPure = (counts: Float64Array) => counts.filter(count => count > 0).length < 2

interface TreeSplit {
  feature: number
  threshold: number
  /** Sum over both sides of the squared class counts over their number: the larger, the purer. */
  purity: number
}

function bestSplit(
  data: TreeData,
  rows: Uint32Array,
  counts: Float64Array,
  features: number,
  order: Uint32Array,
  random: RandomStream,
): TreeSplit | undefined {
  let best: TreeSplit | undefined
  for (let drawn = 0; drawn < order.length && (drawn < features || !best); drawn++) {
    const at = drawn + random.integer(order.length - drawn)
    const feature = order[at]!
    order[at] = order[drawn]!
    order[drawn] = feature
    const split = splitOf(data, rows, counts, feature)
    if (split && !(best && split.purity <= best.purity)) best = split
  }
  return best
}

/** The best split by one feature; nothing where the feature does not vary. */
function splitOf(
  { columns, ranks, targets }: TreeData,
  rows: Uint32Array,
  counts: Float64Array,
  feature: number,
): TreeSplit | undefined {
  const column = columns[feature]!
  const sorted = sortedBy(ranks[feature]!, rows)
  const count = rows.length
  const left = new Float64Array(counts.length)
  let leftSquares = 0
  let rightSquares = 0
  for (const n of counts) rightSquares += n * n
  let best: TreeSplit | undefined
  for (let i = 1; i < count; i++) {
    const row = sorted[i - 1]!
    const target = targets[row]!
    const before = left[target]!++
    leftSquares += 2 * before + 1
    rightSquares -= 2 * (counts[target]! - before) - 1
    const value = column[row]!
    const next = column[sorted[i]!]!
    if (value === next) continue
    const purity = leftSquares / i + rightSquares / (count - i)
    if (best && purity <= best.purity) continue
    // Halfway between two neighbouring float32 the mean may round up to the larger one.
    const middle = Math.fround((value + next) / 2)
    best = { feature, threshold: middle < next ? middle : value, purity }
  }
  return best
}

const ROWS = 2 ** 32

/** Columns and ranks of rows, flat `[rows, width]`. */
export function treeData(data: Float32Array, width: number, targets: Int32Array, classes: number): TreeData {
  const count = targets.length
  const columns = Array.from({ length: width }, (_, j) =>
    Float32Array.from({ length: count }, (_, row) => data[row * width + j]!),
  )
  const ranks = columns.map(column => {
    const sorted = Uint32Array.from(column.keys()).sort((a, b) => column[a]! - column[b]!)
    const keys = new Float64Array(count)
    let rank = 0
    for (const [i, row] of sorted.entries()) {
      if (i > 0 && column[row] !== column[sorted[i - 1]!]) rank++
      keys[row] = rank * ROWS + row
    }
    return keys
  })
  return { columns, ranks, targets, classes }
}

/** Rows by ascending value: plain numbers are sorted ten times as fast as by comparing values of rows. */
function sortedBy(ranks: Float64Array, rows: Uint32Array): Uint32Array {
  const keys = new Float64Array(rows.length)
  for (let i = 0; i < rows.length; i++) keys[i] = ranks[rows[i]!]!
  keys.sort()
  const sorted = new Uint32Array(rows.length)
  for (let i = 0; i < rows.length; i++) sorted[i] = keys[i]! % ROWS
  return sorted
}
