import { type Architecture, KERAS_NAMES, type Layer } from '../architecture/architecture.js'

/** A parameter array of a network made elsewhere, under the name it has there. */
export interface FoundParameter {
  /** E.g. `conv2d_30/conv2d_30/kernel:0` or `layers/conv2d/vars/0`. */
  readonly path: string
  readonly shape: readonly number[]
  read(): Float32Array
}

interface FoundLayer {
  readonly name: string
  readonly parts: Map<'kernel' | 'bias', FoundParameter>
}

/**
 * Puts the parameters of a network that Keras wrote into the order of an architecture's parameter table. Layers are
 * matched by type and, within a type, by their automatic numbers (`conv2d_9` comes before `conv2d_10`, which alphabetical
 * order would turn round); layers with names of their own by `order`. Every shape must agree.
 *
 * @param order names of the layers in their order, where the file says so
 * @throws Error naming the layer that is missing, left over or of another shape.
 */
export function matchParameters(
  architecture: Architecture,
  found: readonly FoundParameter[],
  order: readonly string[] = [],
): Float32Array<ArrayBuffer> {
  const layers = toLayers(found)
  const wanted = architecture.layers.filter(({ name }) =>
    architecture.parameters.some(({ layer }) => layer === name),
  )
  const pairs = layers.every(({ name }) => automaticName(name))
    ? pairByType(wanted, layers)
    : pairInOrder(wanted, sortBy(layers, order))
  const weights = new Float32Array(architecture.parameterCount)
  for (const [layer, source] of pairs) {
    for (const { layer: name, part, shape, offset } of architecture.parameters) {
      if (name !== layer.name) continue
      const parameter = source.parts.get(part)
      if (!parameter) throw new Error(`layer ${source.name} has no ${part}`)
      if (parameter.shape.join() !== shape.join()) {
        const is = `${part} of ${parameter.shape.join('x')}`
        throw new Error(`layer ${source.name} has a ${is}; ${architecture.name} has ${shape.join('x')} there`)
      }
      weights.set(parameter.read(), offset)
    }
  }
  return weights
}

/** Layer and part that a path names; `undefined` for what is no parameter of a layer. */
function parsePath(path: string): { layer: string; part: 'kernel' | 'bias' } | undefined {
  const keras3 = /^(?:layers|_layer_checkpoint_dependencies)\/([^/]+)\/vars\/([01])$/.exec(path)
  if (keras3) return { layer: keras3[1]!, part: keras3[2] === '0' ? 'kernel' : 'bias' }
  const keras2 = /^([^/]+)\/(?:.*\/)?(kernel|bias)(?::0)?$/.exec(path)
  return keras2 ? { layer: keras2[1]!, part: keras2[2] as 'kernel' | 'bias' } : undefined
}

function toLayers(found: readonly FoundParameter[]): FoundLayer[] {
  const layers = new Map<string, FoundLayer>()
  for (const parameter of found) {
    const place = parsePath(parameter.path)
    if (!place) throw new Error(`${JSON.stringify(parameter.path)} is no kernel or bias of a layer`)
    const layer = layers.get(place.layer) ?? { name: place.layer, parts: new Map() }
    if (layer.parts.has(place.part)) throw new Error(`layer ${place.layer} has two arrays of ${place.part}`)
    layer.parts.set(place.part, parameter)
    layers.set(place.layer, layer)
  }
  return [...layers.values()]
}

/** `conv2d_30` -> type conv2d, number 30; `undefined` for a name that Keras does not give by itself. */
function automaticName(name: string): { type: string; number: number } | undefined {
  const [, type, number = '0'] = /^(.+?)(?:_(\d+))?$/.exec(name) ?? []
  return type !== undefined && TYPES.has(type) ? { type, number: Number(number) } : undefined
}

const TYPES: ReadonlySet<string> = new Set(Object.values(KERAS_NAMES))

function pairByType(wanted: readonly Layer[], layers: readonly FoundLayer[]): [Layer, FoundLayer][] {
  return [...new Set([...wanted.map(({ kind }) => KERAS_NAMES[kind]), ...layers.map(typeOf)])].flatMap(
    type => {
      const ofType = layers
        .filter(layer => typeOf(layer) === type)
        .sort((a, b) => automaticName(a.name)!.number - automaticName(b.name)!.number)
      return pair(
        wanted.filter(({ kind }) => KERAS_NAMES[kind] === type),
        ofType,
        `${type} layers`,
      )
    },
  )
}

function typeOf({ name }: FoundLayer): string {
  return automaticName(name)!.type
}

function pairInOrder(wanted: readonly Layer[], layers: readonly FoundLayer[]): [Layer, FoundLayer][] {
  return pair(wanted, layers, 'layers with parameters')
}

function pair(wanted: readonly Layer[], layers: readonly FoundLayer[], what: string): [Layer, FoundLayer][] {
  if (layers.length !== wanted.length) {
    const names = layers.length > 0 ? ` (${layers.map(({ name }) => name).join(', ')})` : ''
    throw new Error(`it has ${layers.length} ${what}${names}, the architecture has ${wanted.length}`)
  }
  return wanted.map((layer, i) => [layer, layers[i]!])
}

function sortBy(layers: readonly FoundLayer[], order: readonly string[]): FoundLayer[] {
  const strange = layers.find(({ name }) => !order.includes(name))
  if (strange)
    throw new Error(
      `layer ${strange.name} has no automatic name (conv2d_3), and the file gives no order of its layers`,
    )
  return [...layers].sort((a, b) => order.indexOf(a.name) - order.indexOf(b.name))
}
