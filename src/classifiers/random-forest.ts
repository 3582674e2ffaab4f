import { checkOptionNames, invalidOption, isCount } from '../options.js'
import { RandomStream } from '../random.js'
import type { Rows } from '../zoo/rows.js'
import {
  type Classifier,
  checkColumns,
  type FitControl,
  heldRows,
  indexOfLargest,
  notFitted,
  trainingClasses,
} from './classifier.js'
import { growTree, type Tree, treeData } from './decision-tree.js'
import { TimeSlice } from './time-slice.js'

/** Options of {@link RandomForest}. */
export interface RandomForestOptions {
  /** Number of trees. Default 300: more is slower, and hardly better. */
  trees?: number
  /** Features tried at every split. Default the square root of their number, as scikit-learn. */
  features?: number
  /** Grow each tree on rows drawn with replacement, as many as there are. Default true. */
  bootstrap?: boolean
  /** Of bootstraps and of the features tried. Default 0. */
  seed?: number
}

/**
 * Random forest (Breiman 2001): trees on bootstrapped rows, each split the best by Gini impurity among a few features drawn
 * for it, grown until leaves are pure; the mean of the leaves' shares decides (as scikit-learn). Features need no scaling.
 *
 * Rows are held in memory, so give it features of networks rather than their weights: `weightStatistics`, or
 * {@link principalFeatures} in front.
 *
 * @example
 * await evaluate(new RandomForest({ seed: 7 }), await weightStatistics(zoo))
 */
export class RandomForest implements Classifier {
  private readonly options: RandomForestOptions & { trees: number; bootstrap: boolean; seed: number }
  private fitted: { classes: Int32Array; columns: number; trees: Tree[] } | undefined

  /** @throws ZooError `option` for an unknown option or an impossible value. */
  constructor(options: RandomForestOptions = {}) {
    checkOptionNames(options, ['trees', 'features', 'bootstrap', 'seed'], 'RandomForest')
    const { trees = 300, bootstrap = true, seed = 0, features } = options
    if (!isCount(trees)) throw invalidOption('trees', trees, 'needs a positive integer')
    if (features !== undefined && !isCount(features))
      throw invalidOption('features', features, 'needs a positive integer')
    this.options = { ...options, trees, bootstrap, seed }
  }

  /**
   * @throws ZooError `option` for fewer than two classes, labels that do not fit the rows, NaN (naming the row), rows too
   *   large to hold, or more `features` than there are; `interrupted`.
   */
  async fit(rows: Rows, labels: ArrayLike<number>, { onProgress, signal }: FitControl = {}): Promise<this> {
    this.fitted = undefined
    const classes = trainingClasses(rows, labels)
    const [count, columns] = rows.shape
    const {
      trees: wanted,
      bootstrap,
      seed,
      features = Math.max(1, Math.floor(Math.sqrt(columns))),
    } = this.options
    if (features > columns) throw invalidOption('features', features, `the rows have only ${columns}`)
    const targets = Int32Array.from({ length: count }, (_, row) => classes.indexOf(labels[row]!))
    const data = treeData(heldRows(rows), columns, targets, classes.length)
    const trees: Tree[] = []
    const slice = new TimeSlice(signal)
    for (let i = 0; i < wanted; i++) {
      // A stream a tree: more trees leave the first ones as they are.
      const random = new RandomStream(seed, 'forest', i)
      const chosen = Uint32Array.from({ length: count }, (_, row) =>
        bootstrap ? random.integer(count) : row,
      )
      trees.push(growTree(data, chosen, features, random))
      onProgress?.(i + 1, wanted)
      if (slice.isOver) await slice.pause()
    }
    this.fitted = { classes, columns, trees }
    return this
  }

  /** The class with the largest share in each row's leaves. */
  async predict(rows: Rows): Promise<Int32Array> {
    const { classes } = this.checkFitted()
    const shares = this.shares(rows)
    return Int32Array.from(
      { length: rows.shape[0] },
      (_, row) => classes[indexOfLargest(shares, row * classes.length, classes.length)]!,
    )
  }

  /** Logarithms of the mean shares of the classes in each row's leaves, flat `[rows, classes]`; -Infinity for none. */
  async predictLogProbabilities(rows: Rows): Promise<Float64Array> {
    return this.shares(rows).map(Math.log)
  }

  private shares(rows: Rows): Float64Array {
    const { classes, columns, trees } = this.checkFitted()
    checkColumns(rows, columns)
    const data = heldRows(rows)
    const width = classes.length
    const shares = new Float64Array(rows.shape[0] * width)
    for (const { feature, threshold, right, leaf } of trees) {
      for (let row = 0; row < rows.shape[0]; row++) {
        let node = 0
        while (feature[node]! >= 0) {
          node = data[row * columns + feature[node]!]! <= threshold[node]! ? node + 1 : right[node]!
        }
        const first = right[node]! * width
        for (let k = 0; k < width; k++) shares[row * width + k]! += leaf[first + k]! / trees.length
      }
    }
    return shares
  }

  private checkFitted() {
    if (!this.fitted) throw notFitted('RandomForest')
    return this.fitted
  }
}
