import type { Architecture } from '../architecture/architecture.js'
import { lenet5Architecture } from '../architecture/lenet5.js'
import { invalidOption } from '../options.js'
import type { Rows } from '../zoo/rows.js'
import type { Weights } from '../zoo/weights.js'
import { Zoo } from '../zoo/zoo.js'
import type { WeightBatch } from './weight-batch.js'

/** Architectures of networks; they have one parameter table. */
export interface Architectures {
  /** Each one once. */
  readonly all: readonly [first: Architecture, ...others: Architecture[]]
  /** That of a network, one of `all`. */
  readonly of: (network: number) => Architecture
}

/**
 * What networks of a batch are: the zoo's, where they are rows of one, each with the activation that it drew; else
 * `given`; else what all networks of `zoo` are; else LeNet-5.
 *
 * @throws ZooError `option` where `given` is not what the rows are, or networks of `zoo` differ
 */
export function architecturesOf(batch: WeightBatch, given?: Architecture, zoo?: Weights): Architectures {
  const own = knownArchitectures(batch)
  if (own) {
    if (given && own.all.some(architecture => specOf(architecture) !== specOf(given))) {
      const why = 'the rows are of a zoo that knows the architecture of each, which is another; leave it out'
      throw invalidOption('architecture', given.name, why)
    }
    return own
  }
  if (given) return one(given)
  const theirs = zoo && knownArchitectures(zoo)
  if (theirs && theirs.all.length > 1) {
    const why =
      "the zoo's networks differ in activation; give zoo.architectureOf(class, index) of one like these"
    throw invalidOption('architecture', theirs.all.map(activationOf), why)
  }
  return one(theirs ? theirs.all[0] : lenet5Architecture())
}

/** `undefined` for weights of which nothing is known. */
export function knownArchitectures(weights: WeightBatch | Weights): Architectures | undefined {
  if (weights instanceof Zoo) {
    const { networks } = weights
    const of = ({ class: name, index }: (typeof networks)[number]) => weights.architectureOf(name, index)
    return distinct(networks.map(of)) ?? one(weights.architecture)
  }
  const { architectureOf, shape } = (weights ?? {}) as Partial<Rows>
  return architectureOf && distinct(Array.from({ length: shape![0] }, (_, row) => architectureOf(row)))
}

function one(architecture: Architecture): Architectures {
  return { all: [architecture], of: () => architecture }
}

function distinct(architectures: readonly Architecture[]): Architectures | undefined {
  const bySpec = new Map<string, Architecture>()
  const each = architectures.map(architecture => {
    const spec = specOf(architecture)
    const known = bySpec.get(spec) ?? architecture
    bySpec.set(spec, known)
    return known
  })
  const [first, ...others] = bySpec.values()
  return first && { all: [first, ...others], of: network => each[network]! }
}

const specOf = ({ spec }: Architecture) => JSON.stringify(spec)

/** That of the first layer that has one, which is what a zoo varies. */
function activationOf({ layers }: Architecture): string {
  const [first] = layers.flatMap(layer => ('activation' in layer ? [layer.activation] : []))
  return first!
}
