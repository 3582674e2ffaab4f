import type { Architecture } from '../architecture/architecture.js'
import type { ImageSet } from '../images/image-set.js'
import { checkOptionNames, invalidOption, suggestion } from '../options.js'
import type { Engine, EngineName } from '../training/engine.js'
import { openEngine } from '../training/engines/open-engine.js'
import { binaryMetrics, type Metrics } from '../training/metrics.js'
import { openRows, type Weights } from '../zoo/weights.js'
import { type Agreement, agreementOf, type Calls, meanAgreement } from './agreement.js'
import { type Architectures, architecturesOf, knownArchitectures } from './architectures.js'
import { type ChosenImages, chooseImages } from './choose-images.js'
import { nearestNetworks } from './nearest-networks.js'
import { type FlatBatch, flatBatch, type WeightBatch } from './weight-batch.js'

/** Options of {@link evaluateWeights}. */
export interface EvaluateWeightsOptions {
  /** Networks are judged on its validation split. */
  images: ImageSet
  /** What the networks should detect: one class for all, or one for each network. */
  class: string | readonly string[]
  /**
   * Of the networks. Default: of rows of a zoo each network's own; else that of the networks of `zoo`, which must then be
   * the same for all; else LeNet-5.
   */
  architecture?: Architecture | undefined
  /**
   * What to compare with: a zoo, a selection of one, or rows; usually what the generator learnt from. Without it there
   * is no {@link EvaluatedNetwork.nearest}. Its weights are read once, which takes most of the time for a large zoo.
   */
  zoo?: Weights | undefined
  /**
   * Judge on about so many images, drawn so that every class keeps its share. Default: all; 500 of Imagenette's 3,925 are
   * eight times as fast, and their accuracy has a standard error of about 1 % where it is near 0.93.
   */
  imageCount?: number | undefined
  /** Of the drawing. Default 0; equal seeds give equal images. */
  seed?: number | undefined
  /** An open engine, which stays open; or the name of one to open for this call. Default `auto`. */
  engine?: Engine | EngineName | 'auto' | undefined
  onProgress?: ((progress: EvaluationProgress) => void) | undefined
  signal?: AbortSignal | undefined
}

/** What {@link evaluateWeights} is at. */
export interface EvaluationProgress {
  /** Running the batch's networks, looking for the nearest networks of the zoo, running these. */
  readonly phase: 'networks' | 'search' | 'nearest'
  /** Networks gone through in this phase; in `search`, the zoo's. */
  readonly done: number
  readonly total: number
}

/** What {@link evaluateWeights} finds. */
export interface WeightsEvaluation {
  /** In the batch's order. */
  readonly networks: readonly EvaluatedNetwork[]
  readonly diversity: Diversity
  /** On how many images. */
  readonly imageCount: number
}

/**
 * One network. Where a weight is not finite, `finite` is false, all scores are NaN and there is no `nearest`: one such
 * network should not end the evaluation of hundreds.
 */
export interface EvaluatedNetwork extends Metrics {
  /** As the batch names it, else `network 0`. */
  readonly name: string
  /** What it should detect. */
  readonly class: string
  readonly finite: boolean
  /** Where there is a zoo to compare with. */
  readonly nearest?: NearestNetwork
}

/** The zoo's network that is nearest in weight space; the agreement is on the same images. */
export interface NearestNetwork extends Agreement {
  readonly name: string
  /**
   * Euclidean distance between the weight vectors: the novelty of the generated network. 0 is a copy. What is far is told
   * by evaluating networks that the generator has not seen: the same call with held-out networks as the batch.
   */
  readonly distance: number
}

/** How different the batch's finite networks are from one another; NaN for fewer than two. */
export interface Diversity {
  /** Root mean square of the Euclidean distances of all pairs in weight space; 0 where all are equal (mode collapse). */
  readonly distance: number
  /** Mean {@link Agreement.agreement} of all pairs; 1 where all call the same images positive. */
  readonly agreement: number
}

/**
 * Judges generated networks: how well each does its task, how new it is, and how diverse the batch is. Networks run
 * through the engine that trains, so on all images of its own set a zoo's network gets the very scores that its ledger has.
 *
 * @example
 * const { networks, diversity } = await evaluateWeights(generated, { images, class: 'church', zoo, imageCount: 500 })
 * networks[0] // { name, class, finite, accuracy, precision, recall, f1, auc, nearest: { name, distance, agreement, kappa } }
 *
 * @throws ZooError `option` where weights, classes, images or architecture do not fit each other; `interrupted`; `engine`.
 */
export async function evaluateWeights(
  batch: WeightBatch,
  options: EvaluateWeightsOptions,
): Promise<WeightsEvaluation> {
  checkOptionNames(options, OPTIONS, 'evaluateWeights')
  const { images, zoo, imageCount, seed = 0, signal, onProgress } = options
  const architectures = architecturesOf(batch, options.architecture, zoo)
  for (const architecture of architectures.all) checkArchitecture(architecture, images)
  const [{ parameterCount }] = architectures.all
  const flat = await flatBatch(batch, parameterCount)
  const labels = labelsOf(options.class, flat, images.classNames)
  const chosen = chooseImages(images.validation, imageCount, seed)

  const { engine, close } = await engineOf(options.engine)
  try {
    const run = (networks: FlatBatch, of: Architectures['of'], phase: EvaluationProgress['phase']) =>
      runNetworks(engine, of, networks, chosen, (done, total) => onProgress?.({ phase, done, total }), signal)
    const outputs = await run(flat, architectures.of, 'networks')
    const scored = outputs.map((own, i) => ({
      name: flat.names[i]!,
      class: images.classNames[labels[i]!]!,
      ...scoresOf(own, chosen.labels, labels[i]!),
    }))
    const finite = scored.flatMap((network, i) => (network.finite ? [i] : []))
    const calls = outputs.map(callsOf)
    const nearest = zoo && (await findNearest(flat, architectures, finite, calls, zoo, run, options))
    return {
      networks: scored.map((network, i) =>
        nearest?.has(i) ? { ...network, nearest: nearest.get(i)! } : network,
      ),
      diversity: {
        distance: rootMeanSquareDistance(flat, finite, parameterCount),
        agreement: meanAgreement(finite.map(i => calls[i]!)),
      },
      imageCount: chosen.count,
    }
  } finally {
    await close()
  }
}

const OPTIONS = [
  'images',
  'class',
  'architecture',
  'zoo',
  'imageCount',
  'seed',
  'engine',
  'onProgress',
  'signal',
] as const

function checkArchitecture({ name, layers, inputShape }: Architecture, images: ImageSet): void {
  const outputs = layers.at(-1)!.outputShape[0]
  if (outputs !== 1) {
    throw invalidOption('architecture', name, `one-versus-all networks have one output, not ${outputs}`)
  }
  if (images?.shape?.join() !== inputShape.join()) {
    throw invalidOption(
      'images',
      images?.shape,
      `${name} takes images of ${inputShape.join(' x ')}, these are`,
    )
  }
}

/** The class of each network, as an index into `classNames`. */
function labelsOf(
  given: string | readonly string[],
  { count }: FlatBatch,
  classNames: readonly string[],
): number[] {
  const names = typeof given === 'string' ? new Array<string>(count).fill(given) : given
  if (!Array.isArray(names) || names.length !== count) {
    throw invalidOption('class', names?.length, `needs one name, or one for each of the ${count} networks`)
  }
  return names.map(name => {
    const label = classNames.indexOf(name)
    if (label === -1) throw invalidOption('class', name, suggestion(String(name), classNames))
    return label
  })
}

async function engineOf(engine: EvaluateWeightsOptions['engine'] = 'auto') {
  if (typeof engine !== 'string') return { engine, close: async () => {} }
  const opened = await openEngine({ engine })
  return { engine: opened, close: () => opened.close() }
}

/** Networks handed to the engine at a time: 64 MiB, so that a large batch is not in memory twice. */
const BATCH_BYTES = 64 * 2 ** 20

/** The outputs of every network, `[images]` each. Networks of one architecture run together. */
async function runNetworks(
  engine: Engine,
  architectureOf: Architectures['of'],
  { data, count }: FlatBatch,
  { pixels, count: images }: ChosenImages,
  onProgress: (done: number, total: number) => void,
  signal: AbortSignal | undefined,
): Promise<Float32Array[]> {
  const groups = new Map<Architecture, number[]>()
  for (let network = 0; network < count; network++) {
    const architecture = architectureOf(network)
    const group = groups.get(architecture)
    if (group) group.push(network)
    else groups.set(architecture, [network])
  }
  const outputs = new Array<Float32Array>(count)
  let before = 0
  for (const [architecture, group] of groups) {
    const { parameterCount } = architecture
    const size = Math.max(1, Math.floor(BATCH_BYTES / (4 * parameterCount)))
    for (let start = 0; start < group.length; start += size) {
      const part = group.slice(start, start + size)
      const weights = new Float32Array(part.length * parameterCount)
      for (const [i, network] of part.entries()) {
        const own = data.subarray(network * parameterCount, (network + 1) * parameterCount)
        weights.set(own, i * parameterCount)
      }
      const probabilities = await engine.evaluate(
        { architecture, weights, pixels },
        { signal, onProgress: done => onProgress(before + done, count) },
      )
      for (const [i, network] of part.entries()) {
        outputs[network] = probabilities.subarray(i * images, (i + 1) * images)
      }
      before += part.length
    }
  }
  return outputs
}

function scoresOf(
  outputs: Float32Array,
  imageLabels: Uint8Array,
  label: number,
): Metrics & { finite: boolean } {
  // Of a network that is finite, too large weights can still make an output that is none.
  if (outputs.some(Number.isNaN)) {
    const none = Number.NaN
    return { finite: false, accuracy: none, precision: none, recall: none, f1: none, auc: none }
  }
  const targets = imageLabels.map(own => Number(own === label))
  return { finite: true, ...binaryMetrics(outputs, targets) }
}

const callsOf = (outputs: Float32Array): Calls => Uint8Array.from(outputs, output => Number(output > 0.5))

/** The zoo's nearest network of every finite network of the batch, by its number in the batch. */
async function findNearest(
  flat: FlatBatch,
  architectures: Architectures,
  finite: readonly number[],
  calls: readonly Calls[],
  zoo: Weights,
  run: (networks: FlatBatch, of: Architectures['of'], phase: 'nearest') => Promise<Float32Array[]>,
  { signal, onProgress }: EvaluateWeightsOptions,
): Promise<Map<number, NearestNetwork>> {
  const { matrix, close } = await openRows(zoo, { signal })
  try {
    const [total, columns] = matrix.shape
    if (columns !== flat.data.length / flat.count && flat.count > 0) {
      throw invalidOption('zoo', columns, `its networks need ${flat.data.length / flat.count} weights, have`)
    }
    const theirs = knownArchitectures(matrix)
    if (!theirs && architectures.all.length > 1) {
      const why =
        'needs a zoo or rows of one: the weights are networks of several architectures, and these of'
      throw invalidOption('zoo', 'unknown ones', why)
    }
    const onBlock = (done: number) => onProgress?.({ phase: 'search', done, total })
    const neighbours = await nearestNetworks(flat, finite, matrix, { signal, onBlock })
    const rows = [...new Set(neighbours.map(({ row }) => row))].sort((a, b) => a - b)
    const data = new Float32Array(rows.length * columns)
    for (const [i, row] of rows.entries()) data.set(matrix.row(row), i * columns)
    const names = rows.map(row => matrix.names[row]!)
    const of = (i: number) => (theirs ? theirs.of(rows[i]!) : architectures.all[0])
    const outputs = await run({ data, names, count: rows.length }, of, 'nearest')
    return new Map(
      neighbours.map(({ row, distance }, i) => {
        const theirs = callsOf(outputs[rows.indexOf(row)]!)
        return [
          finite[i]!,
          { name: matrix.names[row]!, distance, ...agreementOf(calls[finite[i]!]!, theirs) },
        ]
      }),
    )
  } finally {
    close()
  }
}

/** Over all pairs of n networks: the sum of squared distances is n times that to the mean network. */
function rootMeanSquareDistance({ data }: FlatBatch, finite: readonly number[], columns: number): number {
  const n = finite.length
  const mean = new Float64Array(columns)
  for (const i of finite) for (let k = 0; k < columns; k++) mean[k]! += data[i * columns + k]! / n
  let sum = 0
  for (const i of finite) for (let k = 0; k < columns; k++) sum += (data[i * columns + k]! - mean[k]!) ** 2
  return n < 2 ? Number.NaN : Math.sqrt((2 * sum) / (n - 1))
}
