import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import * as tf from '@tensorflow/tfjs-core'
import { beforeAll, describe, expect, it } from 'vitest'
import { type ExportFormat, exportZoo, generateImages, type Zoo } from '../../dist/index.js'
import { fromRoot, pythonWith, sharedFolder, temporaryFolder, trainSmallZoo } from '../support.js'

// Every format is opened by the library that it is for, and the weights found there are hashed: test/interop/check_export.py.

const run = promisify(execFile)
const IMAGES = 5
let zoos: Zoo[]
const folder = sharedFolder()

/** LeNet-5, and a network of everything that PyTorch counts in another order or pads on another side. */
beforeAll(async () => {
  const images = generateImages({ classes: 10, trainPerClass: 30, validationPerClass: 8, size: 22, seed: 3 })
  const architecture = {
    name: 'odd',
    inputShape: [22, 22, 3],
    layers: [
      { kind: 'conv2d', filters: 4, kernelSize: [4, 3], strides: 2, padding: 'same', activation: 'relu' },
      { kind: 'maxPooling2d', poolSize: 3, strides: 2 },
      { kind: 'conv2d', filters: 5, kernelSize: [2, 3], name: 'second' },
      { kind: 'flatten' },
      { kind: 'dense', units: 6, activation: 'sigmoid' },
      { kind: 'dense', units: 3, activation: 'tanh', name: 'middle' },
      { kind: 'dense', units: 1, activation: 'sigmoid' },
    ],
  } as const
  zoos = [
    await trainSmallZoo(join(folder, 'lenet5')),
    await trainSmallZoo(join(folder, 'odd'), { images, architecture }),
  ]
})

interface Found {
  reader: string
  sha256: Record<string, string>
  probabilities: Record<string, number[]>
}

async function check(python: string, kind: string, path: string, inputs?: Float32Array): Promise<Found> {
  const args = [fromRoot('test/interop/check_export.py'), kind, path]
  if (inputs) {
    const file = join(await temporaryFolder(), 'inputs.bin')
    await writeFile(file, inputs)
    args.push(file, String(IMAGES))
  }
  const { stdout } = await run(python, args, { maxBuffer: 2 ** 26 })
  return JSON.parse(stdout.trim().split('\n').at(-1)!) as Found
}

/** Checks the hashes, and where the format holds models their outputs, of both zoos. */
async function expectEqual(python: string, kind: string, format: ExportFormat, models: boolean) {
  for (const zoo of zoos) {
    const out = join(folder, zoo.architecture.name, kind)
    await exportZoo(zoo, { format, out })
    const { inputShape } = zoo.architecture
    const size = IMAGES * inputShape.reduce((product, n) => product * n, 1)
    const inputs = Float32Array.from({ length: size }, (_, i) => (i * 7919) % 256).map(value => value / 255)
    const found = await check(python, kind, out, models ? inputs : undefined)
    const hashes = zoo.networks.map(({ class: name, index, sha256 }) => [`${name}_${index}`, sha256])
    expect(found.sha256, found.reader).toEqual(Object.fromEntries(hashes))
    if (!models) continue
    for (const { class: name, index } of zoo.networks) {
      const model = await zoo.model(name, index)
      const ours = (model.predict(tf.tensor4d(inputs, [IMAGES, ...inputShape])) as tf.Tensor).dataSync()
      const theirs = found.probabilities[`${name}_${index}`]!
      expect(theirs).toHaveLength(IMAGES)
      for (const [i, p] of ours.entries()) expect(Math.abs(p - theirs[i]!)).toBeLessThan(1e-6)
    }
  }
}

describe.each<[format: ExportFormat, module: string, kind?: string]>([
  ['npy', 'numpy'],
  ['csv', 'numpy'],
  ['safetensors', 'safetensors'],
  ['safetensors-networks', 'safetensors'],
  ['parquet', 'pyarrow'],
  ['huggingface', 'datasets'],
  ['huggingface', 'mlcroissant', 'croissant'],
])('%s, read by %s', (format, module, kind = format) => {
  const python = pythonWith(module)
  it.skipIf(!python)('holds the weights byte for byte', () => expectEqual(python!, kind, format, false))
})

describe.each<[format: ExportFormat, module: string, kind?: string]>([
  ['keras', 'keras'],
  ['keras-weights', 'keras'],
  ['keras-legacy', 'keras'],
  ['keras-legacy', 'tf_keras', 'keras-2'],
  ['pytorch', 'torch, safetensors'],
])('%s, read by %s', (format, module, kind = format) => {
  const python = pythonWith(module)
  it.skipIf(!python)('holds the weights byte for byte, and gives the same outputs to 1e-6', () =>
    expectEqual(python!, kind, format, true),
  )
})
