// Trains two networks for each of three classes of generated images, then looks at them.
//   npm run build && npx tsx examples/small-zoo.ts        (or plain node, from version 22.18)
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { flattenModelwise, generateImages, groupLayerwise, summarize, trainZoo } from 'weightzoo'

const images = generateImages({ classes: 3, trainPerClass: 100, validationPerClass: 30 })
const out = join(await mkdtemp(join(tmpdir(), 'weightzoo-')), 'zoo')
const zoo = await trainZoo({ images, out, perClass: 2, epochs: 4, seed: 7 })

for (const { class: name, accuracy, auc } of summarize(zoo)) {
  console.log(`${name}: accuracy ${accuracy.mean.toFixed(3)}, AUC ${auc.mean.toFixed(3)}`)
}

const rows = await flattenModelwise(zoo)
console.log(`${rows.shape.join(' x ')} weights, the first of ${rows.names[0]}: ${rows.row(0)[0]}`)
rows.close()

const byLayer = await groupLayerwise(zoo)
for (const layer of byLayer.layerNames) {
  console.log(`${layer}: ${byLayer.matrix(zoo.networks[0]!.class, layer).shape.join(' x ')}`)
}
byLayer.close()
