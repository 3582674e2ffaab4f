import { checkOptionNames, invalidOption, isCount } from '../options.js'
import { RandomStream } from '../random.js'
import { classesOf } from '../zoo/rows.js'

/** Which rows to learn from and which to test on; indices ascending. */
export interface Split {
  readonly train: Uint32Array
  readonly test: Uint32Array
}

/** Options of {@link stratifiedSplit}. */
export interface SplitOptions {
  /** Share of each class's rows to test on, rounded, at least one and not all. Default 0.3, the paper's. */
  testShare?: number
  /** Default 0. */
  seed?: number
  /** Names by label, for messages. */
  classNames?: readonly string[]
}

/**
 * Splits rows at random into a training and a test part in which each class has the same share. One row is one network,
 * so no network is on both sides. Each class has its own random stream: adding a class moves no row of another.
 *
 * @example
 * const { train, test } = stratifiedSplit(rows.labels, { testShare: 0.3, seed: 7 })
 *
 * @throws ZooError `option` for a single class, or a class of one row.
 */
export function stratifiedSplit(labels: ArrayLike<number>, options: SplitOptions = {}): Split {
  checkOptionNames(options, ['testShare', 'seed', 'classNames'], 'stratifiedSplit')
  const { testShare = 0.3, seed = 0, classNames } = options
  return splitByClass(labels, testShare, label => new RandomStream(seed, 'split', label), classNames)
}

/** The same with any random streams; a class's rows are shuffled by its own. */
export function splitByClass(
  labels: ArrayLike<number>,
  testShare: number,
  streamOf: (label: number) => RandomStream,
  classNames?: readonly string[],
): Split {
  if (!(testShare > 0 && testShare < 1)) throw invalidOption('testShare', testShare, 'not in (0, 1)')
  const train: number[] = []
  const test: number[] = []
  for (const [label, members] of membersByClass(labels, 2, classNames)) {
    const tested = testedOf(members.length, testShare)
    streamOf(label).shuffle(members)
    test.push(...members.slice(0, tested))
    train.push(...members.slice(tested))
  }
  return { train: ascending(train), test: ascending(test) }
}

/** How many of a class's rows the test part takes: at least one, and not all. */
export function testedOf(rows: number, testShare: number): number {
  return Math.min(Math.max(1, Math.round(testShare * rows)), rows - 1)
}

/** Options of {@link kFold}. */
export interface KFoldOptions {
  /** Number of parts, each of which is the test part once. Default 5. */
  folds?: number
  /** Default 0. */
  seed?: number
  /** Names by label, for messages. */
  classNames?: readonly string[]
}

/**
 * Splits rows into `folds` parts with the same share of each class; every row is in exactly one test part.
 *
 * @throws ZooError `option` for a single class, or a class with fewer rows than folds.
 *
 * @example
 * kFold([0, 0, 1, 1], { folds: 2 }).length // 2, each with { train, test }
 */
export function kFold(labels: ArrayLike<number>, options: KFoldOptions = {}): Split[] {
  checkOptionNames(options, ['folds', 'seed', 'classNames'], 'kFold')
  const { folds = 5, seed = 0, classNames } = options
  if (!isCount(folds) || folds < 2) throw invalidOption('folds', folds, 'needs a whole number of at least 2')
  const foldOf = new Uint32Array(labels.length)
  let next = 0 // dealt on from class to class, so that the folds are of equal size
  for (const [label, members] of membersByClass(labels, folds, classNames)) {
    for (const row of new RandomStream(seed, 'folds', label).shuffle(members)) foldOf[row] = next++ % folds
  }
  const rows = Uint32Array.from({ length: labels.length }, (_, row) => row)
  return Array.from({ length: folds }, (_, fold) => ({
    train: rows.filter(row => foldOf[row] !== fold),
    test: rows.filter(row => foldOf[row] === fold),
  }))
}

/**
 * Refuses a split made elsewhere that lacks a class on one side, uses a row twice or names one that does not exist.
 */
export function checkSplit(
  { train, test }: Split,
  labels: ArrayLike<number>,
  classNames?: readonly string[],
): void {
  const seen = new Uint8Array(labels.length)
  for (const row of [...train, ...test]) {
    if (row >= labels.length) throw invalidOption('split', row, `there are ${labels.length} rows`)
    if (seen[row]) throw invalidOption('split', row, 'a row is in it twice')
    seen[row] = 1
  }
  for (const [name, part] of Object.entries({ training: train, test })) {
    const present = new Set(Array.from(part, row => labels[row]!))
    for (const label of classesOf(labels)) {
      if (present.has(label)) continue
      throw invalidOption('split', classNames?.[label] ?? label, `the ${name} part lacks a class`)
    }
  }
}

function membersByClass(
  labels: ArrayLike<number>,
  least: number,
  classNames?: readonly string[],
): Map<number, number[]> {
  const members = new Map<number, number[]>(Array.from(classesOf(labels), label => [label, []]))
  for (let row = 0; row < labels.length; row++) members.get(labels[row]!)!.push(row)
  const nameOf = (label: number) => classNames?.[label] ?? String(label)
  if (members.size < 2) {
    throw invalidOption('labels', [...members.keys()].map(nameOf), 'needs at least two classes, has')
  }
  for (const [label, { length }] of members) {
    if (length < least) {
      throw invalidOption(
        'labels',
        length,
        `a split needs at least ${least} networks of each class (train more, or leave the class out), ${nameOf(label)} has`,
      )
    }
  }
  return members
}

function ascending(rows: number[]): Uint32Array {
  return Uint32Array.from(rows).sort()
}
