// A zoo of another architecture: describe the layers, the rest stays as it is.
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describeArchitecture, generateImages, trainZoo } from 'weightzoo'

const architecture = describeArchitecture({
  name: 'small-relu',
  inputShape: [32, 32, 3],
  layers: [
    { kind: 'conv2d', filters: 8, kernelSize: 3, padding: 'same', activation: 'relu' },
    { kind: 'maxPooling2d' },
    { kind: 'conv2d', filters: 8, kernelSize: 3, activation: 'relu' },
    { kind: 'maxPooling2d' },
    { kind: 'flatten' },
    { kind: 'dense', units: 1, activation: 'sigmoid' },
  ],
})
console.table(
  architecture.parameters.map(({ layer, part, shape, offset }) => ({
    layer,
    part,
    shape: shape.join('x'),
    offset,
  })),
)

const images = generateImages({ classes: 2, trainPerClass: 100, validationPerClass: 30 })
const out = join(await mkdtemp(join(tmpdir(), 'weightzoo-')), 'zoo')
const zoo = await trainZoo({
  images,
  architecture,
  out,
  perClass: 1,
  epochs: 3,
  optimizer: { kind: 'sgd', learningRate: 0.05, momentum: 0.9 },
})
console.log(
  zoo.networks.map(({ class: name, metrics }) => `${name}: AUC ${metrics.auc?.toFixed(3)}`).join(', '),
)
