import { type FileHandle, open } from 'node:fs/promises'
import type { Architecture } from '../architecture/architecture.js'
import { type ArchiveKind, checkRatio, storedZipFiles } from '../archive.js'
import { layerRange } from '../zoo/weight-matrix.js'
import { Cursor, fileSource } from './byte-source.js'
import { type ImportedNetwork, importError, parseNetworkName } from './import-network.js'
import { matchParameters } from './match-parameters.js'
import { type PickleValue, readPickle } from './pickle.js'
import {
  asTensor,
  dialectWithStorages,
  isLegacyTorch,
  readLegacyTorch,
  TENSOR_DIALECT,
  type Tensor,
} from './pickle-tensors.js'

// The published pickles: a list of dictionaries, one a network ("modelwise") or one a class ("layerwise").

/** What every user of a layerwise file has to know. */
export const LAYERWISE_WARNING =
  "layerwise pickle: its rows pair one network's biases with another's kernel, and row i of one layer need not belong to " +
  'row i of the next, so these are no networks that were ever trained; import the modelwise pickle or the HDF5 files for those'

/** A pickle of networks, open for reading. */
export interface NetworkPickle {
  readonly layout: 'modelwise pickle' | 'layerwise pickle'
  readonly networks: Generator<ImportedNetwork>
  close(): Promise<void>
}

/**
 * Opens a pickle, or a file of `torch.save`, of the published dataset's form; nothing in it is executed.
 * @throws ZooError `zoo` naming the file and what is refused or not as expected.
 */
export async function openNetworkPickle(
  path: string,
  kind: ArchiveKind | undefined,
  architecture: Architecture,
): Promise<NetworkPickle> {
  const handle = await open(path)
  try {
    const elements = await openElements(path, kind, handle)
    const first = elements.next()
    if (first.done) throw new Error('it holds no list of networks')
    const layout = layoutOf(first.value.value)
    const all = prepend(first.value, elements)
    const networks =
      layout === 'modelwise pickle' ? modelwise(path, all, architecture) : layerwise(path, all, architecture)
    const { size } = await handle.stat()
    const bounded = notRepeated(path, networks, size, architecture)
    return { layout, networks: bounded, close: () => handle.close() }
  } catch (error) {
    await handle.close()
    throw importError(path, error)
  }
}

/** Stops where a small pickle refers to the same numbers again and again, or spreads one over a tensor. */
function* notRepeated(
  path: string,
  networks: Iterable<ImportedNetwork>,
  fileBytes: number,
  { parameterCount }: Architecture,
): Generator<ImportedNetwork> {
  let bytes = 0
  for (const network of networks) {
    bytes += 4 * parameterCount
    try {
      checkRatio(fileBytes, bytes)
    } catch (error) {
      throw importError(path, error)
    }
    yield network
  }
}

/** Whether a file begins as a pickle does. */
export function isPickle(head: Buffer): boolean {
  return head[0] === 0x80 && head[1]! <= 5
}

interface Element {
  readonly value: PickleValue
  readonly fraction: number
}

async function openElements(
  path: string,
  kind: ArchiveKind | undefined,
  handle: FileHandle,
): Promise<Generator<Element>> {
  const { size } = await handle.stat()
  const source = fileSource(handle.fd, size)
  if (kind === 'zip') {
    const files = await storedZipFiles(path)
    const [name, range] = [...files].find(([file]) => /^[^/]+\/data\.pkl$/.test(file)) ?? []
    if (!name || !range) throw new Error('a zip without data.pkl, so nothing that torch.save wrote')
    const folder = name.slice(0, -'data.pkl'.length)
    const dialect = dialectWithStorages(key => {
      const storage = files.get(`${folder}data/${key}`)
      if (!storage) throw new Error(`storage ${JSON.stringify(key)} is missing`)
      return { source, ...storage }
    })
    return elementsOf(new Cursor({ source, ...range }), dialect, range.start, range.length)
  }
  if (isLegacyTorch(source.read(0, Math.min(size, 16)))) {
    const { isList, values } = readLegacyTorch({ source, start: 0, length: size })
    if (!isList) throw new Error('it holds no list of networks')
    return (function* () {
      for (const [i, value] of values.entries()) yield { value, fraction: (i + 1) / values.length }
    })()
  }
  return elementsOf(new Cursor({ source, start: 0, length: size }), TENSOR_DIALECT, 0, size)
}

function* elementsOf(
  cursor: Cursor,
  dialect: Parameters<typeof readPickle>[1],
  start: number,
  length: number,
): Generator<Element> {
  for (const value of readPickle(cursor, dialect))
    yield { value, fraction: (cursor.position - start) / length }
}

function* prepend(first: Element, rest: Generator<Element>): Generator<Element> {
  yield first
  yield* rest
}

function layoutOf(value: PickleValue): NetworkPickle['layout'] {
  if (value instanceof Map) {
    if (value.has('model')) return 'modelwise pickle'
    if (value.has('class') && value.has('parameters')) return 'layerwise pickle'
  }
  throw new Error(
    'its elements are neither dictionaries of model, parameters_by_layer, parameters_flat (modelwise) nor of class, parameters (layerwise)',
  )
}

/** `{'model': 'church_649', 'parameters_by_layer': {'conv2d/conv2d/bias:0': tensor, ...}, 'parameters_flat': tensor}` */
function* modelwise(
  path: string,
  elements: Generator<Element>,
  architecture: Architecture,
): Generator<ImportedNetwork> {
  try {
    for (const { value, fraction } of elements) {
      if (!(value instanceof Map)) throw new Error('an element is no dictionary')
      const model = value.get('model')
      const name = typeof model === 'string' ? parseNetworkName(model) : undefined
      if (!name) throw new Error(`model ${JSON.stringify(model)} says no class and number, e.g. church_649`)
      const origin = `${path} (${model})`
      const weights = () => {
        try {
          return weightsOf(value, architecture)
        } catch (error) {
          throw importError(origin, error)
        }
      }
      yield { ...name, origin, fraction, weights }
    }
  } catch (error) {
    throw importError(path, error)
  }
}

/**
 * The arrays by layer where they are there: the flat vector has the layers in alphabetical order, which is another one
 * where automatic numbers gain a digit (`conv2d_10` before `conv2d_9`).
 */
function weightsOf(
  network: Map<PickleValue, PickleValue>,
  architecture: Architecture,
): Float32Array<ArrayBuffer> {
  const { parameterCount } = architecture
  const byLayer = network.get('parameters_by_layer')
  if (byLayer instanceof Map) {
    const found = [...byLayer].map(([path, value]) => {
      const tensor = asTensor(value)
      if (typeof path !== 'string' || !tensor)
        throw new Error('parameters_by_layer holds something else than tensors')
      return { path, shape: tensor.shape, read: () => tensor.floats(parameterCount) }
    })
    return matchParameters(architecture, found)
  }
  const flat = asTensor(network.get('parameters_flat'))
  if (!flat) throw new Error('it has neither parameters_by_layer nor parameters_flat')
  if (flat.size !== parameterCount)
    throw new Error(`parameters_flat has ${flat.size} weights, ${architecture.name} has ${parameterCount}`)
  return flat.floats(parameterCount)
}

/** `{'class': 'church', 'parameters': {'conv2d': [array, ...], ...}}`; a row is a bias and a kernel, flat. */
function* layerwise(
  path: string,
  elements: Generator<Element>,
  architecture: Architecture,
): Generator<ImportedNetwork> {
  try {
    for (const { value, fraction } of elements) {
      const className = value instanceof Map ? value.get('class') : undefined
      const parameters = value instanceof Map ? value.get('parameters') : undefined
      if (typeof className !== 'string' || !(parameters instanceof Map))
        throw new Error('an element is no dictionary of class and parameters')
      const layers = rowsByLayer(className, parameters, architecture)
      const [first] = layers
      for (let index = 0; index < first!.rows.length; index++) {
        const origin = `${path} (${className}, row ${index})`
        const weights = () => {
          try {
            return stitch(layers, index, architecture)
          } catch (error) {
            throw importError(origin, error)
          }
        }
        yield { className, index, origin, fraction, weights }
      }
    }
  } catch (error) {
    throw importError(path, error)
  }
}

interface LayerRows {
  readonly layer: string
  readonly rows: readonly Tensor[]
}

function rowsByLayer(
  className: string,
  parameters: Map<PickleValue, PickleValue>,
  architecture: Architecture,
): LayerRows[] {
  const names = [...new Set(architecture.parameters.map(({ layer }) => layer))]
  const layers = names.map(layer => {
    const list = parameters.get(layer)
    if (!Array.isArray(list)) throw new Error(`class ${className} has no list of layer ${layer}`)
    const rows = list.map(value => {
      const tensor = asTensor(value)
      if (!tensor) throw new Error(`layer ${layer} of class ${className} holds something else than arrays`)
      return tensor
    })
    return { layer, rows }
  })
  const counts = new Set(layers.map(({ rows }) => rows.length))
  if (counts.size > 1)
    throw new Error(`the layers of class ${className} have ${[...counts].join(' and ')} rows`)
  return layers
}

function stitch(
  layers: readonly LayerRows[],
  index: number,
  { parameters, parameterCount }: Architecture,
): Float32Array<ArrayBuffer> {
  const weights = new Float32Array(parameterCount)
  for (const { layer, rows } of layers) {
    const [start, end] = layerRange(parameters, layer)
    const row = rows[index]!
    if (row.size !== end - start)
      throw new Error(`layer ${layer} has ${row.size} weights, the architecture has ${end - start}`)
    weights.set(row.floats(end - start), start)
  }
  return weights
}
