import { execFileSync, spawnSync } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as tf from '@tensorflow/tfjs-core'
import { describe, expect, it } from 'vitest'
import { binaryMetrics, ensembles, outputSimilarity, rocCurve } from '../../dist/index.js'
import { fromRoot, pythonWith, smallImages, temporaryFolder, trainSmallZoo } from '../support.js'

const withH5py = pythonWith('h5py')
const withKeras = pythonWith('keras')
const withSklearn = pythonWith('h5py, sklearn')

describe.skipIf(!withH5py)('h5py', () => {
  it('opens every file of a zoo and finds the numbers of the ledger in each', async () => {
    const vary = { activation: ['tanh', 'relu'], learningRate: [0.001, 0.002, 0.003] } as const
    const zoo = await trainSmallZoo(await temporaryFolder(), { perClass: 3, vary })
    const output = execFileSync(withH5py!, [fromRoot('test/interop/check_zoo.py'), zoo.path], {
      encoding: 'utf8',
    })
    const found = JSON.parse(output)
    expect(Object.keys(found.networks)).toHaveLength(6)
    for (const { class: name, index, sha256 } of zoo.networks) {
      expect(found.networks[`${name}_${index}`]).toMatchObject({
        sha256: { model: sha256, ledger: sha256, modelwise: sha256, layerwise: sha256 },
        attributes: { class: name, index, seed: 7, sha256 },
      })
    }
    expect(found.modelwise.shape).toEqual([6, 91481])
    expect(found.modelwise.labels).toEqual([0, 0, 0, 1, 1, 1])
    expect(found.modelwise.columns).toEqual(['accuracy', 'precision', 'recall', 'f1', 'auc'])
    expect(found.modelwise.metrics[4]).toEqual(Object.values(zoo.network('checks', 1).metrics))
    expect(found.layerwise.shapes.checks).toEqual({
      conv2d: [3, 456],
      conv2d_1: [3, 2416],
      conv2d_2: [3, 48120],
      dense: [3, 40404],
      dense_1: [3, 85],
    })
    for (const className of ['stripes', 'checks']) {
      const networks = zoo.networks.filter(network => network.class === className)
      expect(found.layerwise.networks[className]).toEqual({
        index: [0, 1, 2],
        metrics: networks.map(({ metrics }) => Object.values(metrics)),
        split: networks.map(network => ['train', 'validation', 'test'].indexOf(zoo.partOf(network))),
        'hyperparameters/activation': networks.map(({ hyperparameters }) => hyperparameters!.activation),
        'hyperparameters/learningRate': networks.map(({ hyperparameters }) => hyperparameters!.learningRate),
      })
    }
    expect(found.modelwise.networks[1]).toEqual({
      columns: ['accuracy', 'precision', 'recall', 'f1', 'auc'],
      parts: ['train', 'validation', 'test'],
    })
  })
})

describe.skipIf(!withKeras)('Keras', () => {
  it('loads the model files and predicts the same to 1e-6', async () => {
    const folder = await temporaryFolder()
    const zoo = await trainSmallZoo(join(folder, 'zoo'), { perClass: 1, epochs: 2 })
    const { pixels } = smallImages().validation
    const count = 20
    const inputs = pixels.slice(0, count * 3072)
    await writeFile(join(folder, 'inputs.bin'), inputs)
    const args = [
      fromRoot('test/interop/check_keras.py'),
      zoo.path,
      join(folder, 'inputs.bin'),
      String(count),
    ]
    const child = spawnSync(withKeras!, args, { encoding: 'utf8' })
    expect(child.status, child.stderr).toBe(0)
    const { probabilities } = JSON.parse(child.stdout.trim().split('\n').at(-1)!) as {
      probabilities: Record<string, number[][]>
    }
    expect(Object.keys(probabilities)).toHaveLength(2)
    for (const { class: name, index } of zoo.networks) {
      const model = await zoo.model(name, index)
      const ours = (model.predict(tf.tensor4d(inputs, [count, 32, 32, 3])) as tf.Tensor).dataSync()
      const [, theirs] = Object.entries(probabilities).find(([file]) => file.includes(`${name}_${index}`))!
      for (const [i, p] of ours.entries()) expect(Math.abs(p - theirs[i]![0]!)).toBeLessThan(1e-6)
    }
  })
})

describe.skipIf(!withSklearn)('numpy, h5py and scikit-learn', () => {
  it('read outputs and checkpoints and find the same behaviour', async () => {
    const zoo = await trainSmallZoo(await temporaryFolder(), { epochs: 2, outputs: true, checkpoints: 'all' })
    const args = [fromRoot('test/interop/check_outputs.py'), zoo.path]
    const found = JSON.parse(execFileSync(withSklearn!, args, { encoding: 'utf8' }))
    const outputs = await zoo.outputs()
    for (const [row, name] of outputs.names.entries()) {
      const curve = rocCurve(outputs.row(row), outputs.targets(row))
      const theirs = found.networks[name]
      expect([...curve.falsePositiveRate]).toEqual(theirs.fpr)
      expect([...curve.truePositiveRate]).toEqual(theirs.tpr)
      expect([...curve.thresholds.slice(1)]).toEqual(theirs.thresholds)
      expect(curve.auc).toBeCloseTo(theirs.auc, 12)
      expect(theirs).toMatchObject({ epochs: [0, 1, 2], shape: [3, 91481] })
    }
    for (const measure of ['agreement', 'correlation'] as const) {
      const { values } = outputSimilarity(outputs, { measure })
      for (const [i, value] of values.entries()) expect(value).toBeCloseTo(found[measure][i], 12)
    }
    expect(found.split).toEqual(zoo.networks.map(network => zoo.partOf(network)))
    // One class's ensemble is the mean of its networks; with two networks that is easily told.
    const { classes } = ensembles(outputs)
    const mean = outputs.row(0).map((p, i) => (p + outputs.row(1)[i]!) / 2)
    expect(classes[0]!.metrics.accuracy).toBe(binaryMetrics(mean, outputs.targets(0)).accuracy)
  })
})
