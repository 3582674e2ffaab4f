// What the weights tell: how different the classes are in every layer, and whether a classifier can tell them apart.
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  evaluate,
  GaussianNaiveBayes,
  generateImages,
  layerDivergence,
  RandomForest,
  trainZoo,
  weightStatistics,
} from 'weightzoo'

const images = generateImages({ classes: 3, trainPerClass: 80, validationPerClass: 20 })
const out = join(await mkdtemp(join(tmpdir(), 'weightzoo-')), 'zoo')
const zoo = await trainZoo({ images, out, perClass: 8, epochs: 2, seed: 7 })

for (const [layer, { distance }] of Object.entries(await layerDivergence(zoo, { preset: 'paper' }))) {
  console.log(
    `${layer}: most different are ${distance.max.names.join(' and ')}, ${distance.max.value.toFixed(4)}`,
  )
}

const split = { testShare: 0.3, seed: 7 }
const onWeights = await evaluate(new GaussianNaiveBayes(), zoo, split)
const onStatistics = await evaluate(new RandomForest({ seed: 7 }), await weightStatistics(zoo), split)
for (const [name, { accuracy, interval, chance }] of [
  ['Naive Bayes on weights', onWeights],
  ['random forest on their statistics', onStatistics],
] as const) {
  const [low, high] = interval.map(share => share.toFixed(2))
  console.log(`${name}: ${accuracy.toFixed(2)} (95 % ${low} to ${high}), chance ${chance.toFixed(2)}`)
}
