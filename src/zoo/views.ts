import { join } from 'node:path'
import { ZooError } from '../errors.js'
import { checkOptionNames, invalidOption, suggestion } from '../options.js'
import {
  type CompileOptions,
  classRanges,
  ensureCompiled,
  forEachBlock,
  layersOf,
  layerTable,
  positionsIn,
  rowInfo,
} from './compile.js'
import { safeName, ZOO_FILES } from './files.js'
import { type Hdf5Reader, openHdf5 } from './hdf5.js'
import type { NetworkRecord } from './ledger.js'
import { arraySource, fileSource, layerRange, WeightMatrix, type WeightSource } from './weight-matrix.js'
import type { Zoo } from './zoo.js'

/** Options of {@link flattenModelwise} and {@link groupLayerwise}. */
export interface ViewOptions extends CompileOptions {
  /**
   * Hold the weights in memory (4 bytes each) and write nothing. Default false: read from the compiled file, which is
   * written first where it is missing or out of date.
   */
  inMemory?: boolean | undefined
}

/**
 * All networks of a zoo as one matrix `[N, parameterCount]` with labels, one network a row (the paper's modelwise
 * file). A selection gives its rows only.
 *
 * @example
 * const rows = await flattenModelwise(zoo.select({ minAccuracy: 0.9 }))
 * rows.row(0) // Float32Array(91481)
 *
 * @throws ZooError `zoo` for an empty zoo, a damaged file, or one that cannot be written.
 */
export async function flattenModelwise(zoo: Zoo, options: ViewOptions = {}): Promise<WeightMatrix> {
  checkOptionNames(options, VIEW_OPTIONS, 'flattenModelwise')
  checkNotEmpty(zoo)
  const { parameters } = zoo.architecture
  if (options.inMemory) {
    const source = await loadIntoMemory(zoo, options)
    return new WeightMatrix(source, rowInfo(zoo, zoo.networks), parameters)
  }
  const { networks, file } = await openCompiled(zoo, ZOO_FILES.modelwise, options)
  return new WeightMatrix(
    fileSource(file, 'parameters', () => file.close()),
    rowInfo(zoo, zoo.networks, positionsIn(networks)),
    parameters,
  )
}

/**
 * The networks of a zoo by class and layer: for each, a matrix `[networks of the class, weights of the layer]`, rows in
 * the same order in every layer (the paper's layerwise file).
 *
 * @example
 * const byLayer = await groupLayerwise(zoo)
 * byLayer.matrix('church', 'conv2d_2').shape // [1000, 48120]
 *
 * @throws ZooError as {@link flattenModelwise}.
 */
export async function groupLayerwise(zoo: Zoo, options: ViewOptions = {}): Promise<LayerwiseView> {
  checkOptionNames(options, VIEW_OPTIONS, 'groupLayerwise')
  checkNotEmpty(zoo)
  const { parameters, parameterCount } = zoo.architecture
  if (options.inMemory) {
    const { data } = await loadIntoMemory(zoo, options)
    const positions = positionsIn(zoo.networks)
    return new LayerwiseView(
      zoo,
      (networks, layer) => {
        const [first] = layerRange(parameters, layer)
        const source = arraySource(data, parameterCount, first)
        return new WeightMatrix(source, rowInfo(zoo, networks, positions), layerTable(parameters, layer))
      },
      () => {},
    )
  }
  const { networks: compiled, file } = await openCompiled(zoo, ZOO_FILES.layerwise, options)
  const positions = new Map(
    classRanges(compiled).map(({ className, start, end }) => [
      className,
      positionsIn(compiled.slice(start, end)),
    ]),
  )
  return new LayerwiseView(
    zoo,
    (networks, layer, className) => {
      const source = fileSource(file, `${safeName(className)}/${layer}`, () => {})
      const rows = rowInfo(zoo, networks, positions.get(className))
      return new WeightMatrix(source, rows, layerTable(parameters, layer))
    },
    () => file.close(),
  )
}

/**
 * Weights by class and layer; see {@link groupLayerwise}.
 *
 * @example
 * const byLayer = await groupLayerwise(zoo)
 * for (const layer of byLayer.layerNames) byLayer.matrix('church', layer).shape // [networks, weights of the layer]
 */
export class LayerwiseView {
  /** Classes that have networks, in the image set's order. */
  readonly classNames: readonly string[]
  /** Layers that have parameters, in the network's order. */
  readonly layerNames: readonly string[]

  /** @internal Use {@link groupLayerwise}. */
  constructor(
    private readonly zoo: Zoo,
    private readonly open: (
      networks: readonly NetworkRecord[],
      layer: string,
      className: string,
    ) => WeightMatrix,
    private readonly release: () => void,
  ) {
    this.classNames = classRanges(zoo.networks).map(({ className }) => className)
    this.layerNames = layersOf(zoo.architecture.parameters)
  }

  /**
   * The weights of one layer in all networks of a class, bias then kernel. `[networks of the class, size]`
   * @throws ZooError `option` for an unknown class or layer.
   */
  matrix(className: string, layer: string): WeightMatrix {
    if (!this.classNames.includes(className)) {
      throw invalidOption(
        'class',
        className,
        `has no networks here; ${suggestion(className, this.classNames)}`,
      )
    }
    layerRange(this.zoo.architecture.parameters, layer)
    return this.open(
      this.zoo.networks.filter(network => network.class === className),
      layer,
      className,
    )
  }

  /** Lets go of the file; nothing can be read afterwards. */
  close(): void {
    this.release()
  }
}

/** A compiled file, made first where needed, and the networks that it is of. */
async function openCompiled(
  zoo: Zoo,
  name: string,
  { onProgress, signal }: CompileOptions,
): Promise<{ networks: readonly NetworkRecord[]; file: Hdf5Reader }> {
  const networks = await ensureCompiled(zoo, { onProgress, signal })
  return { networks, file: await openHdf5(join(zoo.path, name)) }
}

const VIEW_OPTIONS = ['inMemory', 'onProgress', 'signal'] as const

function checkNotEmpty(zoo: Zoo): void {
  if (zoo.networks.length > 0) return
  const why = zoo.allNetworks.length > 0 ? 'the selection is empty' : 'it has no finished network'
  throw new ZooError('zoo', `nothing to read in ${zoo.path}: ${why}`, { path: zoo.path })
}

async function loadIntoMemory(
  zoo: Zoo,
  options: CompileOptions,
): Promise<WeightSource & { data: Float32Array }> {
  const stride = zoo.architecture.parameterCount
  const data = new Float32Array(zoo.networks.length * stride)
  await forEachBlock(zoo, zoo.networks, options, (start, block) => data.set(block, start * stride))
  return { ...arraySource(data, stride), data }
}
