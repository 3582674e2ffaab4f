import { setImmediate } from 'node:timers/promises'
import * as tf from '@tensorflow/tfjs-core'
import { silenceCpuBackend } from '../architecture/to-layers-model.js'
import { ZooError } from '../errors.js'
import { checkOptionNames, invalidOption, isCount } from '../options.js'
import { RandomStream } from '../random.js'
import { classesOf, subsetRows } from '../zoo/rows.js'
import type { WeightMatrix } from '../zoo/weight-matrix.js'
import { openRows, type Weights } from '../zoo/weights.js'
import { fitStandardization, type Standardization, type StandardizePer } from './standardization.js'
import { type WeightView, type WeightViews, weightView } from './weight-views.js'

/** Options of {@link weightBatches}. */
export interface WeightBatchesOptions<View extends keyof WeightViews = 'flat'> {
  /** Networks in a batch. Default 64 (23 MB of LeNet-5). */
  batchSize?: number | undefined
  /** Networks in random order, another in every epoch, in the training part. Default true. */
  shuffle?: boolean | undefined
  /** Leave out the last batch of an epoch where it is smaller, for models that need one size. Default false. */
  dropRemainder?: boolean | undefined
  /** Of order and split. Default 0; equal seeds give equal batches on every machine. */
  seed?: number | undefined
  /**
   * Which rows to train on and which to test on, e.g. of `stratifiedSplit`; rows in neither are left out. Default: a
   * random share of each class, see `testShare`.
   */
  split?: { readonly train: ArrayLike<number>; readonly test?: ArrayLike<number> } | undefined
  /** Share of each class's networks in the test part, rounded. Default 0.2; 0 trains on all. */
  testShare?: number | undefined
  /** Standardise weights with mean and deviation of the training part alone. Default false: weights as they are. */
  standardize?: StandardizePer | false | undefined
  /** Default `flat`. */
  view?: View | undefined
  /** Weights in a token. Default 256: 359 tokens for LeNet-5. */
  tokenSize?: number | undefined
  signal?: AbortSignal | undefined
}

/** Some networks, one after another. */
export interface FedBatch<View extends keyof WeightViews = 'flat'> {
  readonly weights: WeightViews[View]
  /** Class of each network, an index into {@link WeightFeed.classNames}. `[n]` */
  readonly labels: Int32Array<ArrayBuffer>
  readonly names: readonly string[]
}

/** A zoo as training code takes it; see {@link weightBatches}. */
export interface WeightFeed<View extends keyof WeightViews = 'flat'> {
  readonly train: WeightDataset<View>
  /** In the zoo's order. */
  readonly test: WeightDataset<View>
  readonly classNames: readonly string[]
  /** What the weights are standardised with; absent without `standardize`. */
  readonly standardization?: Standardization
  /**
   * Generated values back to weights: undoes view and standardisation. Takes a Float32Array or tensor of the view's
   * numbers (of tokens the values), or for `layers` one for each layer. Flat `[n, weights]`, as `evaluateWeights` takes it.
   */
  toWeights(
    values: Float32Array | tf.Tensor | Readonly<Record<string, Float32Array | tf.Tensor>>,
  ): Float32Array<ArrayBuffer>
  /** Lets go of the zoo's file. */
  close(): void
}

/** Numbers, however they are held. */
type Values = Float32Array | tf.Tensor

/**
 * One part of the networks, in batches. Each `for await` over it is the next epoch.
 *
 * @example
 * for await (const { weights, labels } of train) step(weights, labels)
 */
export class WeightDataset<View extends keyof WeightViews = 'flat'> {
  private next = 0

  /** @internal Use {@link weightBatches}. */
  constructor(
    private readonly matrix: WeightMatrix,
    private readonly rows: Uint32Array,
    private readonly view: WeightView<View>,
    private readonly standardization: Standardization | undefined,
    private readonly options: {
      readonly batchSize: number
      readonly dropRemainder: boolean
      readonly orderOf: (epoch: number) => Uint32Array
      readonly signal: AbortSignal | undefined
    },
  ) {}

  /** Number of networks. */
  get count(): number {
    return this.rows.length
  }

  /** Batches in an epoch. */
  get size(): number {
    const { batchSize, dropRemainder } = this.options
    return dropRemainder ? Math.floor(this.count / batchSize) : Math.ceil(this.count / batchSize)
  }

  /** The next epoch: 0, 1, 2, ... */
  [Symbol.asyncIterator](): AsyncGenerator<FedBatch<View>> {
    return this.epoch(this.next++)
  }

  /**
   * The batches of one epoch, always the same ones for the same number.
   *
   * @example
   * for await (const { weights, labels } of train.epoch(3)) step(weights, labels)
   *
   * @throws ZooError `interrupted` between two batches.
   */
  async *epoch(epoch: number): AsyncGenerator<FedBatch<View>> {
    const { batchSize, signal, orderOf } = this.options
    const order = orderOf(epoch)
    for (let batch = 0; batch < this.size; batch++) {
      // Reading is synchronous: without a turn of the event loop no signal ever comes through.
      await setImmediate()
      if (signal?.aborted) throw new ZooError('interrupted', `interrupted after ${batch} batches`, {})
      yield this.read(order.subarray(batch * batchSize, (batch + 1) * batchSize))
    }
  }

  /**
   * The same as tensors, for tfjs: what `model.fitDataset` takes, and what makes a tf.data dataset
   * (`tf.data.generator(() => train.tensors())`). `xs` are the weights, by layer for the view `layers`.
   *
   * @param ys `labels`: one-hot, `[n, classes]`, for classifiers; `weights`: the weights again, for autoencoders
   *
   * @example
   * await model.fitDataset(train.tensors('labels'), { epochs: 10 })
   */
  tensors(ys: 'labels' | 'weights' = 'labels'): TensorDataset {
    if (ys !== 'labels' && ys !== 'weights') throw invalidOption('ys', ys, 'needs labels or weights')
    silenceCpuBackend()
    const iterate = () => this.tensorsOf(this[Symbol.asyncIterator](), ys)
    return {
      size: this.size,
      iterator: async () => iterate(),
      [Symbol.asyncIterator]: iterate,
    }
  }

  private async *tensorsOf(batches: AsyncGenerator<FedBatch<View>>, ys: 'labels' | 'weights') {
    for await (const { weights, labels } of batches) {
      const make = () => toTensors(weights, labels.length)
      // One of each is for the taker to dispose of, so weights twice are two tensors.
      yield { xs: make(), ys: ys === 'weights' ? make() : oneHot(labels, this.matrix.classNames.length) }
    }
  }

  private read(rows: Uint32Array): FedBatch<View> {
    const data = this.matrix.gather(rows)
    this.standardization?.apply(data)
    return {
      weights: this.view.make(data),
      labels: Int32Array.from(rows, row => this.matrix.labels[row]!),
      names: Array.from(rows, row => this.matrix.names[row]!),
    }
  }
}

/** What tfjs-layers' `fitDataset` and `evaluateDataset` take, and `for await` too; tensors are the taker's to dispose of. */
export interface TensorDataset extends AsyncIterable<TensorPair> {
  readonly size: number
  iterator(): Promise<AsyncGenerator<TensorPair> & { next(): Promise<IteratorResult<TensorPair>> }>
}

/** A batch of inputs and targets. */
export interface TensorPair {
  xs: tf.Tensor | tf.NamedTensorMap
  ys: tf.Tensor | tf.NamedTensorMap
}

/**
 * Batches of weights for training code: shuffled anew in every epoch, split by network, standardised by the training
 * part, flat, by layer or as tokens, with class labels. Rows are read from the zoo's file as they are needed, so that a
 * zoo of any size takes the memory of a batch.
 *
 * @example
 * const { train, test, toWeights } = await weightBatches(zoo, { batchSize: 64, seed: 7, standardize: 'layer' })
 * for (let epoch = 0; epoch < 10; epoch++) {
 *   for await (const { weights, labels, names } of train) step(weights, labels) // weights: Float32Array [64, 91481]
 * }
 * const generated = toWeights(generator.predict(noise)) // no longer standardised: for evaluateWeights
 *
 * @throws ZooError `option` for unknown options and values; naming a network with a weight that is not finite where
 * weights are standardised.
 */
export async function weightBatches<View extends keyof WeightViews = 'flat'>(
  zoo: Weights,
  options: WeightBatchesOptions<View> = {},
): Promise<WeightFeed<View>> {
  checkOptionNames(options, OPTIONS, 'weightBatches')
  const { batchSize = 64, shuffle = true, dropRemainder = false, seed = 0, signal } = options
  const { standardize = false, view: viewName = 'flat', tokenSize = 256 } = options
  if (!isCount(batchSize)) throw invalidOption('batchSize', batchSize, 'needs a positive integer')
  const { matrix, close } = await openRows(zoo, { signal })
  try {
    const view = weightView(viewName, matrix.parameters, tokenSize) as WeightView<View>
    const { train, test } = splitOf(matrix, options)
    const standardization = standardize
      ? fitStandardization(subsetRows(matrix, train), matrix.parameters, standardize)
      : undefined
    const shuffled = (epoch: number) => new RandomStream(seed, 'weight batches', epoch).shuffle(train.slice())
    const dataset = (rows: Uint32Array, orderOf: (epoch: number) => Uint32Array) =>
      new WeightDataset(matrix, rows, view, standardization, { batchSize, dropRemainder, orderOf, signal })
    return {
      train: dataset(train, shuffle ? shuffled : () => train),
      test: dataset(test, () => test),
      classNames: matrix.classNames,
      ...(standardization && { standardization }),
      toWeights(values) {
        const data = view.undo(numbersOf(values))
        standardization?.invert(data)
        return data
      },
      close,
    }
  } catch (error) {
    close()
    throw error
  }
}

const OPTIONS = [
  'batchSize',
  'shuffle',
  'dropRemainder',
  'seed',
  'split',
  'testShare',
  'standardize',
  'view',
  'tokenSize',
  'signal',
] as const

/** Rows of both parts, ascending. */
function splitOf(
  { labels, shape: [count] }: WeightMatrix,
  { split, testShare = 0.2, seed = 0 }: WeightBatchesOptions<keyof WeightViews>,
): { train: Uint32Array; test: Uint32Array } {
  if (split) {
    const [train, test] = [split.train, split.test ?? []].map(rows => Uint32Array.from(rows)) as [
      Uint32Array,
      Uint32Array,
    ]
    const both = [...train, ...test]
    const beyond = both.find(row => row >= count)
    if (beyond !== undefined) throw invalidOption('split', beyond, `there are ${count} networks`)
    if (new Set(both).size < both.length)
      throw invalidOption('split', both.length, 'a row is in it twice, of')
    if (train.length === 0) throw invalidOption('split.train', 0, 'needs at least one network')
    return { train, test }
  }
  if (!(testShare >= 0 && testShare < 1)) throw invalidOption('testShare', testShare, 'not in [0, 1)')
  // The streams of stratifiedSplit, which wants two classes: a generator may well learn a single one.
  const test = Array.from(classesOf(labels)).flatMap(label => {
    const members = Array.from(labels.keys()).filter(row => labels[row] === label)
    const tested = Math.min(Math.round(testShare * members.length), members.length - 1)
    return new RandomStream(seed, 'split', label).shuffle(members).slice(0, tested)
  })
  const isTest = new Set(test)
  const all = Uint32Array.from(labels.keys())
  return { train: all.filter(row => !isTest.has(row)), test: all.filter(row => isTest.has(row)) }
}

function toTensors(weights: WeightViews[keyof WeightViews], count: number): tf.Tensor | tf.NamedTensorMap {
  const matrix = (data: Float32Array) => tf.tensor2d(data, [count, data.length / count])
  if (weights instanceof Float32Array) return matrix(weights)
  if (isTokens(weights)) return tf.tensor3d(weights.values, [...weights.shape])
  return Object.fromEntries(Object.entries(weights).map(([layer, data]) => [layer, matrix(data)]))
}

function isTokens(weights: WeightViews['layers'] | WeightViews['tokens']): weights is WeightViews['tokens'] {
  return Array.isArray(weights.shape)
}

function oneHot(labels: Int32Array, classes: number): tf.Tensor2D {
  const data = new Float32Array(labels.length * classes)
  for (const [i, label] of labels.entries()) data[i * classes + label] = 1
  return tf.tensor2d(data, [labels.length, classes])
}

function numbersOf(values: Values | Readonly<Record<string, Values>>) {
  const one = (part: Values) => (part instanceof Float32Array ? part : Float32Array.from(part.dataSync()))
  if (values instanceof Float32Array || typeof values.dataSync === 'function') return one(values as Values)
  return Object.fromEntries(Object.entries(values).map(([layer, part]) => [layer, one(part)]))
}
