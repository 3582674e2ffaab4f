import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { stat, writeFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { ParameterEntry } from '../architecture/architecture.js'
import { toCsv } from '../csv.js'
import { ZooError } from '../errors.js'
import { checkOptionNames } from '../options.js'
import type { HyperparameterName } from '../training/vary.js'
import { COMPILED_FILES, readCompiledState, writeCompiledState } from './compiled-state.js'
import { digestFile, type FileDigest, networkName, safeName, writeWhole, ZOO_FILES } from './files.js'
import { type Hdf5Writer, openHdf5, writeHdf5 } from './hdf5.js'
import type { NetworkRecord } from './ledger.js'
import { withLock } from './lock.js'
import { isSealed } from './manifest.js'
import { attachTable } from './parameter-table.js'
import { NETWORK_PARTS } from './split.js'
import { arraySource, layerRange, type RowInfo } from './weight-matrix.js'
import { openZoo, type Zoo } from './zoo.js'

/** Options of {@link compileZoo}. */
export interface CompileOptions {
  /** Called after every network read. */
  onProgress?: ((done: number, total: number) => void) | undefined
  signal?: AbortSignal | undefined
}

/** Metrics in the compiled file and in `metrics.csv`, in this order. */
export const METRIC_COLUMNS = ['accuracy', 'precision', 'recall', 'f1', 'auc'] as const

/** Networks written at a time: 23 MB of LeNet-5. */
const BLOCK = 64

/**
 * Writes the compiled files of a zoo from its model files: `metrics.csv`, `modelwise.h5` and `layerwise.h5` (paper,
 * section 2, "modelwise" and "layerwise"). They hold every network that the directory has now, also where `zoo` is a
 * selection or older. One pass over the models, 64 of them in memory; every network is checked against the
 * ledger's hash. Rows are in the order of `zoo.networks`, so equal zoos give equal files.
 *
 * @throws ZooError `zoo` naming a damaged model file, or the file that cannot be written; `interrupted` when `signal` is
 * aborted, with the compiled files as they were.
 *
 * @example
 * await compileZoo(await openZoo('zoo'), { onProgress: (done, total) => console.log(done, total) })
 */
export async function compileZoo(zoo: Zoo, options: CompileOptions = {}): Promise<void> {
  checkOptionNames(options, ['onProgress', 'signal'], 'compileZoo')
  await inTurn(zoo.path, options, async () => writeCompiled(await openZoo(zoo.path), options))
}

/**
 * Makes the compiled files where one is missing, damaged or of other networks than the directory's, and returns the
 * networks that they are of.
 *
 * @param thorough read the files through: a flipped byte in them is damage, too
 */
export async function ensureCompiled(
  zoo: Zoo,
  options: CompileOptions,
  thorough = false,
): Promise<readonly NetworkRecord[]> {
  // Thoroughly, it is done in turn in any case: the lock that a dead process left goes away with it.
  if (!thorough && (await isCompiled(zoo, false))) return zoo.allNetworks
  return inTurn(zoo.path, options, async () => {
    // The directory may have grown since `zoo` was opened; a file of fewer networks must not replace one of more.
    const present = await openZoo(zoo.path)
    if (!(await isCompiled(present, thorough))) await writeCompiled(present, options)
    return present.allNetworks
  })
}

const compiling = new Map<string, Promise<unknown>>()

/** One compilation of a directory at a time, in this process and in others: two would write the same files. */
function inTurn<T>(zooPath: string, { signal }: CompileOptions, work: () => Promise<T>): Promise<T> {
  const key = resolve(zooPath)
  const turn = (compiling.get(key) ?? Promise.resolve()).then(() =>
    withLock(zooPath, ZOO_FILES.compileLock, work, signal),
  )
  compiling.set(
    key,
    turn.catch(() => {}),
  )
  return turn
}

async function writeCompiled(zoo: Zoo, options: CompileOptions): Promise<void> {
  const networks = zoo.allNetworks
  if (networks.length === 0) {
    throw new ZooError('zoo', `nothing to compile: ${zoo.path} has no finished network`, { path: zoo.path })
  }
  const files: Record<string, FileDigest> = {}
  const make = (name: string, write: (temporary: string) => Promise<void>) =>
    writeWhole(join(zoo.path, name), async temporary => {
      await write(temporary)
      files[name] = await digestFile(temporary)
    })
  await make(ZOO_FILES.metrics, temporary => writeFile(temporary, metricsCsv(networks)))
  await make(ZOO_FILES.modelwise, modelwise =>
    make(ZOO_FILES.layerwise, layerwise =>
      writeHdf5(modelwise, modelwiseFile =>
        writeHdf5(layerwise, async layerwiseFile => {
          const writers = [startModelwise(modelwiseFile, zoo), startLayerwise(layerwiseFile, zoo)]
          await forEachBlock(zoo, networks, options, (start, data) => {
            for (const write of writers) write(start, data)
          })
        }),
      ),
    ),
  )
  await writeCompiledState(zoo.path, { networks_sha256: stateOf(networks), files })
}

/** Whether the compiled files are there, and of these networks. Without `thorough` by what they say, and their sizes. */
async function isCompiled(zoo: Zoo, thorough: boolean): Promise<boolean> {
  const state = stateOf(zoo.allNetworks)
  for (const name of [ZOO_FILES.modelwise, ZOO_FILES.layerwise]) {
    if ((await stateIn(join(zoo.path, name))) !== state) return false
  }
  const compiled = await readCompiledState(zoo.path).catch(() => undefined)
  // Zoos of format version 1 have no record of their compiled files.
  if (!compiled) return !isSealed(zoo.manifest) && existsSync(join(zoo.path, ZOO_FILES.metrics))
  if (compiled.networks_sha256 !== state) return false
  for (const name of COMPILED_FILES) {
    const path = join(zoo.path, name)
    const { bytes, sha256 } = compiled.files[name] ?? {}
    if ((await stat(path).catch(() => undefined))?.size !== bytes) return false
    if (thorough && (await digestFile(path)).sha256 !== sha256) return false
  }
  return true
}

/** Of which networks a compiled file says that it is; `undefined` for a missing or damaged one, which is as good as none. */
async function stateIn(path: string): Promise<unknown> {
  try {
    const file = await openHdf5(path)
    try {
      return file.attribute('networks_sha256')
    } finally {
      file.close()
    }
  } catch {
    return undefined
  }
}

/** Takes networks `start` onwards, flat `[n, parameterCount]`. */
type BlockWriter = (start: number, data: Float32Array) => void

function startModelwise(file: Hdf5Writer, zoo: Zoo): BlockWriter {
  const { architecture, allNetworks: networks } = zoo
  const rows = rowInfo(zoo, networks)
  file.attribute('networks_sha256', stateOf(networks))
  file.attribute('class_names', [...zoo.classNames])
  file.dataset('labels', rows.labels, [networks.length])
  file.dataset('names', [...rows.names], [networks.length])
  for (const { name, data, width, legend } of columnsOf(zoo, networks)) {
    if (name.includes('/')) file.group(dirname(name))
    file.dataset(name, data, shapeOf(data, width))
    if (legend) file.attribute(...legend, name)
  }
  const matrix = file.matrix('parameters', networks.length, architecture.parameterCount, ROW_CHUNK_BYTES)
  attachTable(file, 'parameters', architecture.parameters)
  return (start, data) => matrix.writeRows(start, data)
}

/** What is known of every network beside its weights: a dataset in one file, an attribute of each class in the other. */
interface Column {
  readonly name: string
  /** Flat `[networks, width]`. */
  readonly data: Int32Array | Float64Array | string[]
  readonly width: number
  /** An attribute beside it that says what its numbers are. */
  readonly legend?: readonly [name: string, value: string[]]
}

function columnsOf(zoo: Zoo, networks: readonly NetworkRecord[]): Column[] {
  const parts = networks.map(network => NETWORK_PARTS.indexOf(zoo.partOf(network)))
  const columns: readonly string[] = METRIC_COLUMNS
  return [
    { name: 'index', data: Int32Array.from(networks, ({ index }) => index), width: 1 },
    { name: 'metrics', data: metricsOf(networks), width: columns.length, legend: ['columns', [...columns]] },
    { name: 'split', data: Int32Array.from(parts), width: 1, legend: ['parts', [...NETWORK_PARTS]] },
    ...hyperparametersOf(networks),
  ]
}

/** What varies, a column each; a network that drew none has NaN or an empty text. */
function hyperparametersOf(networks: readonly NetworkRecord[]): Column[] {
  const drawn = networks.map(({ hyperparameters }) => hyperparameters ?? {})
  const names = [...new Set(drawn.flatMap(values => Object.keys(values)))] as HyperparameterName[]
  return names.map(name => {
    const values = drawn.map(network => network[name])
    const texts = values.some(value => typeof value === 'string')
    const data = texts
      ? values.map(value => String(value ?? ''))
      : Float64Array.from(values, value => Number(value ?? Number.NaN))
    return { name: `hyperparameters/${name}`, data, width: 1 }
  })
}

function shapeOf({ length }: Column['data'], width: number): number[] {
  return width === 1 ? [length] : [length / width, width]
}

function startLayerwise(file: Hdf5Writer, zoo: Zoo): BlockWriter {
  const { architecture, allNetworks: networks } = zoo
  const { parameters, parameterCount: stride } = architecture
  file.attribute('networks_sha256', stateOf(networks))
  file.attribute('class_names', [...zoo.classNames])
  const columns = columnsOf(zoo, networks)
  const groups = classRanges(networks)
  const matrices = groups.flatMap(({ className, start: first, end: last }) => {
    const group = safeName(className)
    file.group(group)
    file.attribute('class', className, group)
    file.attribute('names', networks.slice(first, last).map(nameOf), group)
    // As attributes, so that a group's members are its layers, whatever these are called.
    for (const { name, data, width, legend } of columns) {
      const own = data.slice(first * width, last * width)
      file.attribute(name, own, group, shapeOf(own, width))
      if (legend) file.attribute(...legend, group)
    }
    return layersOf(parameters).map(layer => {
      const [columnStart, columnEnd] = layerRange(parameters, layer)
      const name = `${group}/${layer}`
      const matrix = file.matrix(name, last - first, columnEnd - columnStart, LAYER_CHUNK_BYTES)
      attachTable(file, name, layerTable(parameters, layer))
      return { matrix, first, last, columnStart, columnEnd }
    })
  })
  return (start, data) => {
    const end = start + data.length / stride
    for (const { matrix, first, last, columnStart, columnEnd } of matrices) {
      const from = Math.max(start, first)
      const to = Math.min(end, last)
      if (from >= to) continue
      const part = new Float32Array((to - from) * (columnEnd - columnStart))
      const rows = Uint32Array.from({ length: to - from }, (_, row) => from - start + row)
      arraySource(data, stride).read(rows, columnStart, columnEnd, part)
      matrix.writeRows(from - first, part)
    }
  }
}

/** Modelwise chunks are single networks (HDF5 chunks hold whole rows), so that reading a row reads no more. */
const ROW_CHUNK_BYTES = 4
/** Layerwise chunks hold several networks: 256 KiB is a good size for HDF5's chunk cache of 1 MiB. */
const LAYER_CHUNK_BYTES = 256 * 1024

/** Reads the weights of networks block by block; every one is checked against the ledger. */
export async function forEachBlock(
  zoo: Zoo,
  networks: readonly NetworkRecord[],
  { onProgress, signal }: CompileOptions,
  take: BlockWriter,
): Promise<void> {
  const stride = zoo.architecture.parameterCount
  for (let start = 0; start < networks.length; start += BLOCK) {
    const block = networks.slice(start, start + BLOCK)
    const data = new Float32Array(block.length * stride)
    // h5wasm is synchronous: without a turn of the event loop, no signal, timer or redraw ever comes through.
    await nextTurn()
    for (const [i, network] of block.entries()) {
      if (signal?.aborted) {
        throw new ZooError(
          'interrupted',
          `interrupted after reading ${start + i} of ${networks.length} networks; all networks trained are kept`,
          {
            finished: start + i,
          },
        )
      }
      data.set(await zoo.weights(network.class, network.index), i * stride)
      onProgress?.(start + i + 1, networks.length)
    }
    take(start, data)
  }
}

/** One hash over all networks' names and weights: what a compiled file is of. */
export function stateOf(networks: readonly NetworkRecord[]): string {
  const hash = createHash('sha256')
  for (const network of networks) hash.update(`${nameOf(network)} ${network.sha256}\n`)
  return hash.digest('hex')
}

/**
 * What the rows of a matrix are, and where its source has them.
 * @throws ZooError `zoo` for a network that the source lacks: one that was in the ledger and is so no more.
 */
export function rowInfo(
  zoo: Zoo,
  networks: readonly NetworkRecord[],
  positions: ReadonlyMap<string, number> = positionsIn(networks),
): RowInfo {
  const names = networks.map(nameOf)
  return {
    names,
    labels: Int32Array.from(networks, network => zoo.classNames.indexOf(network.class)),
    classNames: zoo.classNames,
    positions: Uint32Array.from(names, name => {
      const position = positions.get(name)
      if (position !== undefined) return position
      throw new ZooError('zoo', `${name} is no longer in ${zoo.path}; open the zoo again`, { path: zoo.path })
    }),
    architectureOf: row => zoo.architectureOf(networks[row]!.class, networks[row]!.index),
  }
}

/** Flat `[networks, METRIC_COLUMNS.length]`; NaN where a metric is not defined. */
export function metricsOf(networks: readonly NetworkRecord[]): Float64Array {
  return Float64Array.from(
    networks.flatMap(({ metrics }) => METRIC_COLUMNS.map(name => metrics[name] ?? Number.NaN)),
  )
}

const nameOf = (network: NetworkRecord) => networkName(network.class, network.index)

export function positionsIn(networks: readonly NetworkRecord[]): ReadonlyMap<string, number> {
  return new Map(networks.map((network, position) => [nameOf(network), position]))
}

export function layersOf(parameters: readonly ParameterEntry[]): string[] {
  return [...new Set(parameters.map(({ layer }) => layer))]
}

/** A layer's part of the table, its offsets counted from its own first weight. */
export function layerTable(parameters: readonly ParameterEntry[], layer: string): ParameterEntry[] {
  const [first] = layerRange(parameters, layer)
  return parameters
    .filter(entry => entry.layer === layer)
    .map(entry => ({ ...entry, offset: entry.offset - first }))
}

/** Networks come sorted by class: where each class starts and ends. */
export function classRanges(
  networks: readonly NetworkRecord[],
): { className: string; start: number; end: number }[] {
  const ranges: { className: string; start: number; end: number }[] = []
  for (const [position, network] of networks.entries()) {
    const last = ranges.at(-1)
    if (last?.className === network.class) last.end = position + 1
    else ranges.push({ className: network.class, start: position, end: position + 1 })
  }
  return ranges
}

/** One line a network, the paper's columns; Count is the network's index within its class. */
export function metricsCsv(networks: readonly NetworkRecord[]): string {
  // An unknown metric (null or NaN) is an empty field.
  const field = (value: number | null) => (Number.isNaN(value ?? Number.NaN) ? null : value)
  const lines = networks.map(({ class: name, index, metrics }) => [
    name,
    index,
    ...METRIC_COLUMNS.map(column => field(metrics[column])),
  ])
  return toCsv([['Class', 'Count', 'Accuracy', 'Precision', 'Recall', 'F1 Score', 'AUC'], ...lines])
}
