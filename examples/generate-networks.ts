// A generator of networks in a few lines, and how good, new and diverse what it makes is: a Gaussian over the principal
// components of one class's weights, judged beside networks of the zoo that it has not seen, and beside midpoints of two.
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  evaluateWeights,
  generateImages,
  principalComponents,
  RandomStream,
  trainZoo,
  weightBatches,
} from 'weightzoo'

const images = generateImages({ classes: 3, trainPerClass: 80, validationPerClass: 30 })
const out = join(await mkdtemp(join(tmpdir(), 'weightzoo-')), 'zoo')
const className = images.classNames[0]!
const zoo = await trainZoo({ images, out, classes: [className], perClass: 10, epochs: 3, seed: 7 })

// The networks to learn from, standardised by themselves, and some to compare with.
const feed = await weightBatches(zoo, { testShare: 0.3, seed: 7, standardize: 'layer', batchSize: 100 })
const [seen] = await all(feed.train)
const [held] = await all(feed.test)
const size = zoo.architecture.parameterCount

const pca = await principalComponents({
  data: seen!.weights,
  labels: seen!.labels,
  classNames: feed.classNames,
})
const stream = new RandomStream(7, 'generator')
const generated = Array.from({ length: 8 }, () => {
  const network = Float32Array.from(pca.mean)
  for (const [k, direction] of pca.components.entries()) {
    const scale = gaussian() * Math.sqrt(pca.explainedVariance[k]!)
    for (let i = 0; i < size; i++) network[i]! += scale * direction[i]!
  }
  return feed.toWeights(network)
})
const unseen = feed.toWeights(held!.weights)
const midpoints = feed.toWeights(
  seen!.weights.slice(0, 4 * size).map((weight, i) => (weight + seen!.weights[i + size]!) / 2),
)

const reference = zoo.select({ where: network => seen!.names.includes(`${network.class}_${network.index}`) })
for (const [what, batch] of Object.entries({ 'held-out networks': unseen, generated, midpoints })) {
  const { networks, diversity } = await evaluateWeights(batch, { images, class: className, zoo: reference })
  const mean = (of: (network: (typeof networks)[number]) => number) =>
    (networks.reduce((sum, network) => sum + of(network), 0) / networks.length).toFixed(3)
  console.log(
    `${what}: accuracy ${mean(n => n.accuracy)}, AUC ${mean(n => n.auc ?? Number.NaN)}, novelty ${mean(n => n.nearest!.distance)}, diversity ${diversity.distance.toFixed(3)}`,
  )
}
feed.close()

async function all<T>(batches: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = []
  for await (const batch of batches) list.push(batch)
  return list
}

/** Box and Muller's. */
function gaussian(): number {
  return Math.sqrt(-2 * Math.log(1 - stream.uniform())) * Math.cos(2 * Math.PI * stream.uniform())
}
