// What the weights tell: how different the classes are in every layer, and whether a classifier can tell them apart.
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  evaluate,
  flattenModelwise,
  GaussianNaiveBayes,
  generateImages,
  groupLayerwise,
  layerDivergence,
  trainZoo,
} from 'weightzoo'

const images = generateImages({ classes: 3, trainPerClass: 80, validationPerClass: 20 })
const out = join(await mkdtemp(join(tmpdir(), 'weightzoo-')), 'zoo')
const zoo = await trainZoo({ images, out, perClass: 8, epochs: 2, seed: 7 })

const byLayer = await groupLayerwise(zoo)
for (const [layer, { distance }] of Object.entries(await layerDivergence(byLayer, { preset: 'paper' }))) {
  console.log(
    `${layer}: most different are ${distance.max.names.join(' and ')}, ${distance.max.value.toFixed(4)}`,
  )
}
byLayer.close()

const rows = await flattenModelwise(zoo)
const { accuracy, interval, chance } = await evaluate(new GaussianNaiveBayes(), rows, {
  testShare: 0.3,
  seed: 7,
})
console.log(
  `Naive Bayes: ${accuracy.toFixed(2)} (95 % ${interval.map(p => p.toFixed(2)).join(' to ')}), chance ${chance.toFixed(2)}`,
)
rows.close()
