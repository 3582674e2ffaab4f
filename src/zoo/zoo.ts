import { stat } from 'node:fs/promises'
import type { LayersModel } from '@tensorflow/tfjs-layers'
import {
  type Activation,
  type Architecture,
  describeArchitecture,
  withActivation,
} from '../architecture/architecture.js'
import { toLayersModel } from '../architecture/to-layers-model.js'
import { ZooError } from '../errors.js'
import { checkOptionNames, invalidOption, suggestion } from '../options.js'
import type { Metrics } from '../training/metrics.js'
import { type Checkpoints, readCheckpoints } from './checkpoint-file.js'
import { checkpointPath, modelPath, networkName, weightsHash } from './files.js'
import { type FailureRecord, type LedgerRecord, type NetworkRecord, readLedger } from './ledger.js'
import { architectureOf, isSealed, readManifest, type ZooManifest } from './manifest.js'
import { readModelFile } from './model-file.js'
import { Outputs, OutputsReader } from './outputs.js'
import { NETWORK_PARTS, type NetworkPart, partOf } from './split.js'
import { largestWeight, summaryOf } from './weight-summary.js'

/** Which networks {@link Zoo.select} keeps; all conditions must hold. */
export interface Selection {
  /** A class, or several. */
  class?: string | readonly string[] | undefined
  minAccuracy?: number | undefined
  maxAccuracy?: number | undefined
  minF1?: number | undefined
  minAuc?: number | undefined
  /** Only networks all of whose weights are finite. Needs weight summaries; see {@link withWeightSummaries}. */
  finite?: boolean | undefined
  /** Only networks none of whose weights is larger, whatever its sign. Needs weight summaries. */
  maxAbsWeight?: number | undefined
  /** At most this many networks of each class, the first ones. */
  perClass?: number | undefined
  /** Anything else: networks for which this returns true. */
  where?: ((network: NetworkRecord) => boolean) | undefined
}

/** One layer of one network. Shapes as Keras has them. */
export interface LayerWeights {
  kernel: { shape: readonly number[]; data: Float32Array }
  bias: { shape: readonly number[]; data: Float32Array }
}

/**
 * A zoo directory, open for reading. It holds what the manifest and the ledger say (a few MB); weights are read from
 * their files when asked for. A zoo never changes under its reader: open it again to see networks trained since.
 *
 * @example
 * const zoo = await openZoo('zoo')
 * zoo.select({ class: 'church', minAccuracy: 0.9 }).networks.map(network => network.index)
 */
export class Zoo {
  private readonly byName: ReadonlyMap<string, NetworkRecord>

  /** @internal Use {@link openZoo}. */
  constructor(
    /** The directory. */
    readonly path: string,
    readonly manifest: ZooManifest,
    /** The networks, by class (in the image set's order) and index. */
    readonly networks: readonly NetworkRecord[],
    /** Networks that could not be trained. */
    readonly failures: readonly FailureRecord[],
    /** Every finished network of the directory, of which `networks` may be a selection. */
    readonly allNetworks: readonly NetworkRecord[] = networks,
    readonly architecture: Architecture = describeArchitecture(architectureOf(manifest)),
  ) {
    this.byName = new Map(networks.map(network => [networkName(network.class, network.index), network]))
  }

  /** Names of all classes; a network's label is an index into them. */
  get classNames(): readonly string[] {
    return this.manifest.classNames
  }

  /**
   * The same zoo, restricted to some of its networks.
   *
   * @example
   * zoo.select({ class: 'church', minAccuracy: 0.9 }).networks.length
   *
   * @throws ZooError `option` for an unknown condition or class.
   */
  select(selection: Selection): Zoo {
    checkOptionNames(
      selection,
      [
        'class',
        'minAccuracy',
        'maxAccuracy',
        'minF1',
        'minAuc',
        'finite',
        'maxAbsWeight',
        'perClass',
        'where',
      ],
      'select',
    )
    const classes = selection.class === undefined ? this.classNames : [selection.class].flat()
    for (const name of classes) this.checkClass(name)
    const { minAccuracy, maxAccuracy, minF1, minAuc, finite = false, maxAbsWeight } = selection
    // A metric that is not known meets no bound.
    const within = (value: number | null, least: number | undefined, most?: number) =>
      (least === undefined || (value ?? Number.NaN) >= least) &&
      (most === undefined || (value ?? Number.NaN) <= most)
    const { perClass = Infinity, where = () => true } = selection
    const counts = new Map<string, number>()
    const networks = this.networks.filter(network => {
      const { accuracy, f1, auc }: Metrics = network.metrics
      const kept =
        classes.includes(network.class) &&
        within(accuracy, minAccuracy, maxAccuracy) &&
        within(f1, minF1) &&
        within(auc, minAuc) &&
        (!finite || summaryOf(network).nonFinite === 0) &&
        (maxAbsWeight === undefined || largestWeight(network) <= maxAbsWeight) &&
        where(network) &&
        (counts.get(network.class) ?? 0) < perClass
      if (kept) counts.set(network.class, (counts.get(network.class) ?? 0) + 1)
      return kept
    })
    return new Zoo(this.path, this.manifest, networks, this.failures, this.allNetworks, this.architecture)
  }

  /**
   * The networks of one part of the zoo's own split, for work that learns from networks: 70 % `train`, 15 % `validation`
   * and 15 % `test`, the same in every class. A network's part follows from the zoo's seed, its class and index, and stays
   * as the zoo grows.
   *
   * @example
   * const [train, test] = [zoo.split('train'), zoo.split('test')]
   *
   * @throws ZooError `option` for another part.
   */
  split(part: NetworkPart): Zoo {
    if (!NETWORK_PARTS.includes(part))
      throw invalidOption('part', part, suggestion(String(part), NETWORK_PARTS))
    return this.select({ where: network => this.partOf(network) === part })
  }

  /** Which part of the zoo's split a network belongs to. */
  partOf({ class: className, index }: Pick<NetworkRecord, 'class' | 'index'>): NetworkPart {
    return partOf(this.manifest.recipe?.seed ?? 0, className, index)
  }

  /**
   * What the ledger says of one network.
   * @throws ZooError `zoo` when it is not (or not yet) in the zoo.
   */
  network(className: string, index: number): NetworkRecord {
    this.checkClass(className)
    const found = this.byName.get(networkName(className, index))
    if (found) return found
    const count = this.networks.filter(network => network.class === className).length
    const failure = this.failures.find(record => record.class === className && record.index === index)
    const where = this.networks === this.allNetworks ? this.path : `this selection of ${this.path}`
    const why = failure ? `it failed: ${failure.reason}` : `of class "${className}" it has ${count}`
    throw new ZooError('zoo', `no network ${networkName(className, index)} in ${where}; ${why}`, {
      path: this.path,
    })
  }

  /**
   * One network's weights, flat in the order of the parameter table, checked against the ledger's hash.
   * `[parameterCount]`
   * @throws ZooError `zoo` naming the file when it is missing, truncated or altered.
   */
  async weights(className: string, index: number): Promise<Float32Array<ArrayBuffer>> {
    const { sha256 } = this.network(className, index)
    const path = modelPath(this.path, className, index)
    const weights = await readModelFile(path, this.architecture)
    if (weightsHash(weights) !== sha256) {
      throw new ZooError('zoo', `${path} does not hold the weights that the ledger lists (SHA-256 differs)`, {
        path,
      })
    }
    return weights
  }

  /** One layer of one network. */
  async layer(className: string, index: number, layerName: string): Promise<LayerWeights> {
    const weights = await this.weights(className, index)
    const part = (name: 'kernel' | 'bias') => {
      const entry = this.architecture.parameters.find(
        ({ layer, part }) => layer === layerName && part === name,
      )
      if (!entry) {
        const known = [...new Set(this.architecture.parameters.map(({ layer }) => layer))]
        throw invalidOption('layer', layerName, `has no parameters; ${suggestion(layerName, known)}`)
      }
      return { shape: entry.shape, data: weights.subarray(entry.offset, entry.offset + entry.size) }
    }
    return { kernel: part('kernel'), bias: part('bias') }
  }

  /**
   * One network's weights after some of its epochs, the initialisation among them; of zoos trained with `checkpoints`.
   *
   * @example
   * const { epochs, at } = await zoo.checkpoints('church', 3)
   * at(0) // Float32Array(91481), before training
   *
   * @throws ZooError `zoo` where none were kept, or naming the file that is missing, truncated or altered.
   */
  async checkpoints(className: string, index: number): Promise<Checkpoints> {
    const { checkpoints } = this.network(className, index)
    if (!checkpoints) {
      const why = 'has no checkpoints; train one with checkpoints: "all" (--checkpoints all)'
      throw new ZooError('zoo', `${this.path} ${why}`, { path: this.path })
    }
    return readCheckpoints(checkpointPath(this.path, className, index), this.architecture, checkpoints)
  }

  /**
   * What the networks said of the validation images, as it was kept in training; of zoos trained with `outputs: true`.
   * Rows are in the order of `networks`. In memory: 16 kB a network with Imagenette, 157 MB for 10,000.
   *
   * @example
   * const outputs = await zoo.select({ class: 'church' }).outputs()
   * outputs.row(3)                                     // Float32Array(3925), the probabilities of network 3
   * rocCurve(outputs.row(3), outputs.targets(3)).auc
   *
   * @throws ZooError `zoo` where none were kept, or naming the file whose row is missing or altered.
   */
  async outputs(): Promise<Outputs> {
    const { stores } = this.manifest
    if (!stores?.outputs) {
      const why = 'has no stored outputs; trainZoo with outputs: true (weightzoo train --outputs) adds them'
      throw new ZooError('zoo', `${this.path} ${why}`, { path: this.path })
    }
    const imageLabels = new Uint8Array(Buffer.from(stores.outputs.validationLabels, 'base64'))
    const images = imageLabels.length
    const data = new Float32Array(this.networks.length * images)
    const reader = new OutputsReader(this.path, images)
    try {
      for (const [row, network] of this.networks.entries()) data.set(await reader.read(network), row * images)
    } finally {
      await reader.close()
    }
    const names = this.networks.map(network => networkName(network.class, network.index))
    const labels = Int32Array.from(this.networks, network => this.classNames.indexOf(network.class))
    return new Outputs(names, labels, this.classNames, imageLabels, data)
  }

  /**
   * One network's architecture: the zoo's, but with the activation that the network drew where the recipe varies it.
   * The parameter table is the same for all.
   */
  architectureOf(className: string, index: number): Architecture {
    const { activation } = this.network(className, index).hyperparameters ?? {}
    if (activation === undefined) return this.architecture
    return describeArchitecture(withActivation(this.architecture.spec, activation as Activation))
  }

  /**
   * One network as a tfjs model, ready to predict.
   *
   * @example
   * const model = await zoo.model('church', 3)
   * model.predict(images) // [n, 1], the probability of a church
   */
  async model(className: string, index: number): Promise<LayersModel> {
    return toLayersModel(this.architectureOf(className, index), await this.weights(className, index))
  }

  /** One line in the console and in notebooks, where the whole would be pages. */
  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return `Zoo { ${this.path}: ${this.networks.length} networks of ${this.architecture.name}, ${this.classNames.length} classes }`
  }

  private checkClass(name: string): void {
    if (!this.classNames.includes(name)) {
      throw invalidOption('class', name, `is not in ${this.path}; ${suggestion(name, this.classNames)}`)
    }
  }
}

/**
 * Opens a zoo directory.
 *
 * @throws ZooError `zoo` naming what is missing or damaged.
 *
 * @example
 * const zoo = await openZoo('zoo')
 * zoo.networks.length
 */
export async function openZoo(path: string): Promise<Zoo> {
  return openDirectory(path, { lenient: false })
}

/** The same; `lenient` leaves out ledger lines that cannot be believed. */
export async function openDirectory(path: string, { lenient }: { lenient: boolean }): Promise<Zoo> {
  const directory = await stat(path).catch(() => undefined)
  if (!directory?.isDirectory()) throw new ZooError('zoo', `no such zoo directory: ${path}`, { path })
  const manifest = await readManifest(path)
  if (!manifest) throw new ZooError('zoo', `no zoo.json in ${path}; is it a zoo directory?`, { path })
  const records = await readLedger(path, { sealed: isSealed(manifest), lenient })
  const { classNames } = manifest
  const stranger = records.find(record => !classNames.includes(record.class))
  if (stranger) {
    const name = networkName(stranger.class, stranger.index)
    throw new ZooError('zoo', `the ledger of ${path} has ${name}, whose class zoo.json does not list`, {
      path,
    })
  }
  return zooOf(path, manifest, records)
}

/** A zoo of these records, whose classes are the manifest's. */
export function zooOf(path: string, manifest: ZooManifest, records: readonly LedgerRecord[]): Zoo {
  const { classNames } = manifest
  const byClassAndIndex = (a: NetworkRecord, b: NetworkRecord) =>
    classNames.indexOf(a.class) - classNames.indexOf(b.class) || a.index - b.index
  return new Zoo(
    path,
    manifest,
    records.filter(record => record.status === 'finished').sort(byClassAndIndex),
    records.filter(record => record.status === 'failed'),
  )
}
