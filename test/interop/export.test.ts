import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import * as tf from '@tensorflow/tfjs-core'
import type { LayersModel } from '@tensorflow/tfjs-layers'
import { beforeAll, describe, expect, it } from 'vitest'
import { type ExportFormat, exportZoo, generateImages, type Zoo } from '../../dist/index.js'
import { fromRoot, pythonWith, sharedFolder, trainSmallZoo } from '../support.js'

// Every format is opened by the library that it is for, and the weights found there are hashed: test/interop/check_export.py.

const run = promisify(execFile)
let zoos: Zoo[]
const folder = sharedFolder()

/** LeNet-5, and networks of everything that PyTorch counts in another order or pads on another side, each with its activation. */
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
  const vary = { activation: ['relu', 'tanh', 'sigmoid'], learningRate: [0.001, 0.01] } as const
  zoos = [
    await trainSmallZoo(join(folder, 'lenet5'), { perClass: 1 }),
    await trainSmallZoo(join(folder, 'odd'), { images, architecture, vary }),
  ]
})

interface Found {
  reader: string
  folders: { sha256: Record<string, string>; probabilities: Record<string, number[]> }[]
}

/** Exports both zoos, and compares what Python finds: the hashes, and where the format holds models their outputs. */
async function expectEqual(python: string, kind: string, format: ExportFormat, imageCount: number) {
  const outs = zoos.map(zoo => join(folder, 'exports', zoo.architecture.name, kind))
  for (const [i, zoo] of zoos.entries()) await exportZoo(zoo, { format, out: outs[i]! })
  const args = [fromRoot('test/interop/check_export.py'), kind, String(imageCount), ...outs]
  const { stdout } = await run(python, args, { maxBuffer: 2 ** 26 })
  const { reader, folders } = JSON.parse(stdout.trim().split('\n').at(-1)!) as Found
  for (const [i, zoo] of zoos.entries()) {
    const { sha256, probabilities } = folders[i]!
    const hashes = zoo.networks.map(({ class: name, index, sha256: hash }) => [`${name}_${index}`, hash])
    expect(sha256, reader).toEqual(Object.fromEntries(hashes))
    if (imageCount === 0) continue
    for (const { class: name, index } of zoo.networks) {
      const ours = outputsOf(await zoo.model(name, index), imageCount)
      const theirs = probabilities[`${name}_${index}`]!
      expect(theirs).toHaveLength(imageCount)
      for (const [k, p] of ours.entries()) expect(Math.abs(p - theirs[k]!)).toBeLessThan(1e-6)
    }
  }
}

/** Of the images that check_export.py makes. */
function outputsOf(model: LayersModel, imageCount: number): Float32Array {
  const [, ...shape] = model.inputs[0]!.shape as number[]
  const size = imageCount * shape.reduce((product, n) => product * n, 1)
  const values = Float32Array.from({ length: size }, (_, i) => ((i * 7919) % 256) / 255)
  return (model.predict(tf.tensor(values, [imageCount, ...shape])) as tf.Tensor).dataSync() as Float32Array
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
  it.skipIf(!python)('holds the weights byte for byte', () => expectEqual(python!, kind, format, 0))
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
    expectEqual(python!, kind, format, 5),
  )
})
