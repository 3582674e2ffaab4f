import { type Architecture, KERAS_NAMES, type ParameterEntry } from '../architecture/architecture.js'
import { ZooError } from '../errors.js'
import { digestFile, type FileDigest, writeWhole } from './files.js'
import { openHdf5, writeHdf5 } from './hdf5.js'

/** What a model file says of its network, beside the weights. */
export interface ModelAttributes {
  class: string
  index: number
  /** The zoo's seed; `NaN`, and no attribute, where it is not known. */
  seed: number
  /** SHA-256 of the flat weights. */
  sha256: string
}

/**
 * Writes one network in the layout that Keras 3's `model.load_weights` reads (`<name>.weights.h5`): kernel and bias of
 * every layer as `layers/<layer>/vars/0` and `vars/1`, an empty `vars` group for layers without weights.
 *
 * @returns what the ledger keeps of the file
 */
export async function writeModelFile(
  path: string,
  architecture: Architecture,
  weights: Float32Array,
  attributes: ModelAttributes,
): Promise<FileDigest> {
  let digest: FileDigest | undefined
  await writeWhole(path, async temporary => {
    await writeHdf5(temporary, file => {
      file.attribute('class', attributes.class)
      file.attribute('index', attributes.index)
      if (!Number.isNaN(attributes.seed)) file.attribute('seed', BigInt(attributes.seed))
      file.attribute('sha256', attributes.sha256)
      file.attribute('architecture', architecture.name)
      file.group('vars')
      const paths = kerasPaths(architecture)
      for (const layerPath of paths.values()) file.group(`${layerPath}/vars`)
      for (const entry of architecture.parameters) {
        const { shape, offset, size } = entry
        file.dataset(datasetPath(paths, entry), weights.slice(offset, offset + size), shape)
      }
    })
    digest = await digestFile(temporary)
  })
  return digest!
}

/**
 * Reads one network's weights, flat in the order of the parameter table.
 *
 * @throws ZooError `zoo` naming the file when it is missing, damaged or of another architecture.
 */
export async function readModelFile(
  path: string,
  architecture: Architecture,
): Promise<Float32Array<ArrayBuffer>> {
  const file = await openHdf5(path)
  try {
    const weights = new Float32Array(architecture.parameterCount)
    const paths = kerasPaths(architecture)
    for (const entry of architecture.parameters) {
      weights.set(readEntry(file, paths, entry), entry.offset)
    }
    return weights
  } finally {
    file.close()
  }
}

/** What a model file says of its network; `undefined` for what it does not say. */
export async function readModelAttributes(
  path: string,
): Promise<{ [name in keyof ModelAttributes]: unknown }> {
  const file = await openHdf5(path)
  try {
    const number = (name: string) => {
      const value = file.attribute(name)
      return typeof value === 'bigint' ? Number(value) : value
    }
    return {
      class: file.attribute('class'),
      index: number('index'),
      seed: number('seed'),
      sha256: file.attribute('sha256'),
    }
  } finally {
    file.close()
  }
}

function readEntry(
  file: Awaited<ReturnType<typeof openHdf5>>,
  paths: ReadonlyMap<string, string>,
  entry: ParameterEntry,
): Float32Array {
  const name = datasetPath(paths, entry)
  const shape = file.shape(name)
  if (shape.join() !== entry.shape.join()) {
    throw new ZooError(
      'zoo',
      `${file.path} is of another architecture: ${entry.layer} ${entry.part} is ${shape.join('x')}, not ${entry.shape.join('x')}`,
      { path: file.path },
    )
  }
  return file.floats(name)
}

/**
 * Keras names the groups after the layers' types, numbered in order (`conv2d`, `conv2d_1`), whatever the layers are
 * called. `keras.src.saving.saving_lib`.
 */
function kerasPaths(architecture: Architecture): ReadonlyMap<string, string> {
  const used = new Map<string, number>()
  const paths = new Map<string, string>()
  for (const { name, kind } of architecture.layers) {
    const type = KERAS_NAMES[kind]
    const number = used.get(type) ?? 0
    used.set(type, number + 1)
    paths.set(name, `layers/${type}${number === 0 ? '' : `_${number}`}`)
  }
  return paths
}

function datasetPath(paths: ReadonlyMap<string, string>, { layer, part }: ParameterEntry): string {
  return `${paths.get(layer)}/vars/${part === 'kernel' ? 0 : 1}`
}
