import { open, stat } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import {
  type Architecture,
  type ArchitectureSpec,
  describeArchitecture,
} from '../architecture/architecture.js'
import { lenet5Architecture } from '../architecture/lenet5.js'
import { archiveKind } from '../archive.js'
import { ZooError } from '../errors.js'
import { whyNoClassName } from '../images/image-set.js'
import { IMAGENETTE_CLASSES } from '../images/imagenette-classes.js'
import { checkOptionNames, invalidOption } from '../options.js'
import type { Metrics } from '../training/metrics.js'
import { ensureCompiled } from '../zoo/compile.js'
import { modelPath, networkName, weightsHash, ZOO_FILES } from '../zoo/files.js'
import { LedgerWriter, ledgerFiles, type NetworkRecord, readLedger } from '../zoo/ledger.js'
import { lockDirectory } from '../zoo/lock.js'
import {
  FORMAT_VERSION,
  type ImportedZooManifest,
  type ImportOrigin,
  readManifest,
  writeManifest,
} from '../zoo/manifest.js'
import { mendLedgers } from '../zoo/mend.js'
import { writeModelFile } from '../zoo/model-file.js'
import { checkFileName } from '../zoo/plan.js'
import { makeDirectory, removeUnfinished } from '../zoo/prepare.js'
import { openZoo, type Zoo } from '../zoo/zoo.js'
import { kerasArchive, kerasFile, kerasFolder } from './import-keras.js'
import { type ImportedNetwork, importError } from './import-network.js'
import { isPickle, LAYERWISE_WARNING, openNetworkPickle } from './import-pickle.js'
import { findMetrics, readMetrics } from './metrics-csv.js'

/** Options of {@link importZoo}. */
export interface ImportZooOptions {
  /**
   * What to import:
   * - a folder of Keras HDF5 files, or a .tgz, .tar or .zip of them (streamed, not unpacked), or one such file, named
   *   `binary_oneVall_<class>_<index>...` or `<class>_<index>...`, `.h5` or `.hdf5`, of Keras 2 or Keras 3;
   * - the published modelwise or layerwise pickle, or the same list written by `torch.save`.
   */
  source: string
  /** The zoo directory; made where it is missing, continued where it holds an import of the same source. */
  out: string
  /** What the networks are; default LeNet-5, the paper's. */
  architecture?: Architecture | ArchitectureSpec | undefined
  /**
   * Table of metrics, `Class,Count,Accuracy,Precision,Recall,F1 Score,AUC`. Default: one that lies beside the networks.
   * Networks that it does not list have unknown metrics (`NaN`).
   */
  metrics?: string | undefined
  /** Stops between networks; what is imported stays, and a second call goes on. */
  signal?: AbortSignal | undefined
  /** Called after every network, and while compiling. */
  onProgress?: ((progress: ImportProgress) => void) | undefined
}

/** How far {@link importZoo} is. */
export interface ImportProgress {
  readonly stage: 'importing' | 'compiling'
  /** Networks in the zoo so far, those of earlier calls included. */
  readonly imported: number
  /** How much of the source has been gone through, 0 to 1. */
  readonly fraction: number
  /** Networks compiled; 0 while importing. */
  readonly compiled: number
  /** What has to be known before using the networks. */
  readonly warning?: string | undefined
}

/**
 * Imports networks that were trained elsewhere as a zoo, above all the published dataset (Kurtenbach & Shamir 2025,
 * huggingface.co/datasets/dk4120/neural_network_parameter_dataset_lenet5_binary). Layers are matched by type, order and
 * shape. Pickles are read by a machine of our own that executes nothing; one network is in memory at a time.
 *
 * The zoo is like any other for views, analysis and classifiers; but nothing can be trained into it or trained again.
 *
 * @example
 * const zoo = await importZoo({ source: 'model_weights', out: 'published' })
 * zoo.network('church', 649).metrics.accuracy
 *
 * @throws ZooError `zoo` naming the file that is missing, damaged, refused or of another architecture; `option` for a
 * wrong option; `interrupted` when `signal` is aborted.
 */
export async function importZoo(options: ImportZooOptions): Promise<Zoo> {
  const { source, out, signal, onProgress = () => {} } = checkOptions(options)
  const architecture = resolveArchitecture(options.architecture)
  const networks = await openNetworks(source, architecture, out)
  try {
    const { layout, warning } = networks
    const metrics = await metricsOf(options, networks)
    const origin: ImportOrigin = {
      source: basename(resolve(source)),
      layout,
      architecture: architecture.spec,
      ...(warning && { warning }),
    }
    await makeDirectory(out)
    const lock = await lockDirectory(out, { signal })
    try {
      await checkDirectory(out, origin)
      const tell = (progress: Partial<ImportProgress>) =>
        onProgress({ stage: 'importing', imported: 0, fraction: 0, compiled: 0, warning, ...progress })
      const imported = await importMissing({ ...networks, metrics, origin, architecture, out, signal, tell })
      const zoo = await openZoo(out)
      await ensureCompiled(zoo, {
        signal,
        onProgress: compiled => tell({ stage: 'compiling', imported, fraction: 1, compiled }),
      })
      return zoo
    } finally {
      await lock.release()
    }
  } finally {
    await networks.close()
  }
}

function checkOptions(options: ImportZooOptions): ImportZooOptions {
  checkOptionNames(options, ['source', 'out', 'architecture', 'metrics', 'signal', 'onProgress'], 'importZoo')
  for (const name of ['source', 'out', 'metrics'] as const) {
    const value = options[name]
    if (name === 'metrics' && value === undefined) continue
    if (typeof value !== 'string' || value === '') throw invalidOption(name, value, 'needs a path')
  }
  return options
}

function resolveArchitecture(given: ImportZooOptions['architecture']): Architecture {
  if (given === undefined) return lenet5Architecture()
  return describeArchitecture((given as Partial<Architecture>).spec ?? (given as ArchitectureSpec))
}

interface Networks {
  readonly layout: ImportOrigin['layout']
  readonly warning?: string | undefined
  readonly networks: AsyncIterable<ImportedNetwork> | Iterable<ImportedNetwork>
  close(): Promise<void>
}

/** Tells by its first bytes what a source is. */
async function openNetworks(source: string, architecture: Architecture, out: string): Promise<Networks> {
  const keras = (networks: AsyncIterable<ImportedNetwork>): Networks => ({
    layout: 'keras files',
    networks,
    close: async () => {},
  })
  try {
    const stats = await stat(source)
    if (stats.isDirectory()) return keras(kerasFolder(source, architecture))
    if (!stats.isFile()) throw new Error('neither a file nor a folder')
    const head = await readHead(source)
    if (head.subarray(0, 8).equals(HDF5_SIGNATURE))
      return keras(kerasFile(source, basename(source), architecture))
    const kind = isPickle(head) ? undefined : await archiveKind(source)
    const isTorch = kind === 'zip' && head.includes('/data.pkl')
    if (isPickle(head) || isTorch) {
      const pickle = await openNetworkPickle(source, kind, architecture)
      return { ...pickle, warning: pickle.layout === 'layerwise pickle' ? LAYERWISE_WARNING : undefined }
    }
    if (kind) return keras(kerasArchive(source, kind, architecture, out))
    throw new Error('no folder, HDF5 file, pickle or archive (.tgz, .tar, .zip)')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT')
      throw importError(source, new Error('no such file or folder'))
    throw importError(source, error)
  }
}

const HDF5_SIGNATURE = Buffer.from('\x89HDF\r\n\x1a\n', 'latin1')

async function readHead(path: string): Promise<Buffer> {
  const handle = await open(path)
  try {
    const head = Buffer.alloc(256)
    const { bytesRead } = await handle.read(head, 0, head.length, 0)
    return head.subarray(0, bytesRead)
  } finally {
    await handle.close()
  }
}

/** Metrics are of trained networks: the rows of a layerwise pickle are none. */
async function metricsOf(
  { source, metrics }: ImportZooOptions,
  { layout }: Networks,
): Promise<ReadonlyMap<string, Metrics>> {
  if (layout === 'layerwise pickle') return new Map()
  const path = metrics ?? (await findMetrics(source))
  return path === undefined ? new Map() : readMetrics(path)
}

/** Refuses a directory that holds another zoo; clears what a crash left. The caller holds the lock. */
async function checkDirectory(out: string, origin: ImportOrigin): Promise<void> {
  const present = await readManifest(out)
  if (present && JSON.stringify(present.imported) !== JSON.stringify(origin)) {
    const what = present.imported ? `an import of ${present.imported.source}` : 'a zoo that was trained'
    throw new ZooError('zoo', `${out} holds ${what}; choose another directory`, { path: out })
  }
  if (!present && (await ledgerFiles(out)).length > 0) {
    throw new ZooError('zoo', `${out} has a ledger but no zoo.json; choose another directory`, { path: out })
  }
  await removeUnfinished(out)
  await makeDirectory(join(out, ZOO_FILES.models))
  await mendLedgers(out)
}

interface Import extends Networks {
  metrics: ReadonlyMap<string, Metrics>
  origin: ImportOrigin
  architecture: Architecture
  out: string
  signal: AbortSignal | undefined
  tell: (progress: Partial<ImportProgress>) => void
}

/** Writes every network that the directory lacks. @returns how many it has then */
async function importMissing(work: Import): Promise<number> {
  const { networks, out, signal, tell, origin } = work
  const records = await readLedger(out, { sealed: true })
  const present = new Set(records.map(record => networkName(record.class, record.index)))
  const seen = new Map<string, string>()
  const counts = new Map<string, number>()
  const ledger = await LedgerWriter.open(out)
  try {
    for await (const network of networks) {
      if (signal?.aborted) throw interrupted(seen.size)
      const { className, index } = network
      const name = networkName(className, index)
      const twin = seen.get(name)
      if (twin !== undefined)
        throw importError(
          network.origin,
          new Error(`${name} is also in ${twin}; give a source with each network once`),
        )
      seen.set(name, network.origin)
      if (!counts.has(className)) {
        const why = whyNoClassName(className)
        if (why) throw importError(network.origin, new Error(`${JSON.stringify(className)}: ${why}`))
        checkFileName(className, [...counts.keys(), className])
        counts.set(className, 0)
        await writeManifest(out, manifestOf(work, counts))
      }
      counts.set(className, counts.get(className)! + 1)
      if (!present.has(name)) await ledger.append(await store(network, work))
      tell({ imported: seen.size, fraction: network.fraction })
    }
  } finally {
    await ledger.close()
  }
  if (seen.size === 0) {
    const pattern = 'binary_oneVall_<class>_<index>_model.h5 or <class>_<index>.weights.h5'
    throw importError(origin.source, new Error(`no network in it; files are to be named ${pattern}`))
  }
  await writeManifest(out, manifestOf(work, counts))
  return seen.size
}

function interrupted(finished: number): ZooError<'interrupted'> {
  const message = `interrupted after ${finished} networks; the same call goes on from there`
  return new ZooError('interrupted', message, { finished })
}

async function store(
  network: ImportedNetwork,
  { architecture, metrics, out }: Import,
): Promise<NetworkRecord> {
  const { className, index } = network
  const weights = await network.weights()
  const sha256 = weightsHash(weights)
  const line = { class: className, index, seed: Number.NaN }
  const path = modelPath(out, className, index)
  const { sha256: fileSha256 } = await writeModelFile(path, architecture, weights, { ...line, sha256 })
  return {
    ...line,
    status: 'finished',
    sha256,
    fileSha256,
    metrics: metrics.get(networkName(className, index)) ?? UNKNOWN,
    positiveFraction: Number.NaN,
    epoch: Number.NaN,
    history: { loss: [], accuracy: [], validationLoss: [], validationAccuracy: [] },
    seconds: 0,
    engine: 'imported',
  }
}

const UNKNOWN: Metrics = {
  accuracy: Number.NaN,
  precision: Number.NaN,
  recall: Number.NaN,
  f1: Number.NaN,
  auc: null,
}

function manifestOf(
  { architecture, origin }: Import,
  counts: ReadonlyMap<string, number>,
): ImportedZooManifest {
  const { parameters, parameterCount } = architecture
  const classNames = inOrder([...counts.keys()])
  return {
    format: 'weightzoo',
    formatVersion: FORMAT_VERSION,
    imported: origin,
    parameters,
    parameterCount,
    classNames,
    plan: Object.fromEntries(classNames.map(name => [name, Math.max(1, counts.get(name)!)])),
  }
}

/** Imagenette's classes in its order, as in the paper, then others by name. */
function inOrder(names: readonly string[]): string[] {
  const known: string[] = Object.values(IMAGENETTE_CLASSES)
  return [
    ...known.filter(name => names.includes(name)),
    ...names.filter(name => !known.includes(name)).sort(),
  ]
}
