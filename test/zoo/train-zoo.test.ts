import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { appendFile, readFile, rm, truncate, utimes, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import * as tf from '@tensorflow/tfjs-core'
import { describe, expect, it } from 'vitest'
import {
  binaryMetrics,
  createImageSet,
  groupLayerwise,
  type ImageSplit,
  openZoo,
  type TrainingProgress,
  trainZoo,
  verifyZoo,
} from '../../dist/index.js'
import { placeTag } from '../../dist/zoo/process-identity.js'
import { smallImages, temporaryFolder, trainSmallZoo } from '../support.js'

/** Every file of a zoo that must not depend on how the work was done. */
function bytesOf(zooPath: string): Record<string, string> {
  const models = readdirSync(join(zooPath, 'models')).map(name => join('models', name))
  const files = [...models, 'modelwise.h5', 'layerwise.h5', 'metrics.csv', 'zoo.json']
  return Object.fromEntries(files.map(name => [name, readFileSync(join(zooPath, name)).toString('base64')]))
}

describe('trainZoo', () => {
  it('trains the networks asked for and says how good they are', async () => {
    const zoo = await trainSmallZoo(join(await temporaryFolder(), 'zoo'), { epochs: 3 })
    expect(zoo.networks.map(({ class: name, index }) => `${name}_${index}`)).toEqual([
      'stripes_0',
      'stripes_1',
      'checks_0',
      'checks_1',
    ])
    for (const network of zoo.networks) {
      expect(network.metrics.accuracy).toBeGreaterThan(0.5)
      expect(network.history.loss).toHaveLength(3)
      expect(network.history.loss.at(-1)!).toBeLessThan(network.history.loss[0]!)
      expect(network.positiveFraction).toBeGreaterThanOrEqual(0.09)
      expect(network.positiveFraction).toBeLessThanOrEqual(0.1)
    }
    expect(new Set(zoo.networks.map(({ sha256 }) => sha256)).size).toBe(4)
  })

  it('gives equal bytes for equal seeds, whatever the concurrency, and others for another seed', async () => {
    const folder = await temporaryFolder()
    await trainSmallZoo(join(folder, 'a'), { concurrency: 1 })
    await trainSmallZoo(join(folder, 'b'), { concurrency: 3 })
    const other = await trainSmallZoo(join(folder, 'c'), { seed: 8 })
    expect(bytesOf(join(folder, 'a'))).toEqual(bytesOf(join(folder, 'b')))
    const hashes = (await openZoo(join(folder, 'a'))).networks.map(({ sha256 }) => sha256)
    expect(other.networks.map(({ sha256 }) => sha256)).not.toEqual(hashes)
  })

  it('grows: more networks and more classes leave the first ones as they are', async () => {
    const folder = await temporaryFolder()
    const grown = join(folder, 'grown')
    await trainSmallZoo(grown, { perClass: 2, classes: ['checks'] })
    const first = await trainSmallZoo(grown, { perClass: 1, classes: ['stripes'] })
    const zoo = await trainSmallZoo(grown, { perClass: 2, classes: ['stripes', 'checks'] })
    expect(zoo.network('stripes', 0)).toEqual(first.network('stripes', 0))
    await trainSmallZoo(join(folder, 'at once'))
    expect(bytesOf(grown)).toEqual(bytesOf(join(folder, 'at once')))
  })

  it('refuses a class whose files would be those of another where case makes no difference', async () => {
    const images = { ...smallImages(), classNames: ['Cat', 'cat', ...smallImages().classNames.slice(2)] }
    const out = await temporaryFolder()
    await trainSmallZoo(out, { images, classes: ['Cat'], perClass: 1 })
    await expect(trainSmallZoo(out, { images, classes: ['cat'], perClass: 1 })).rejects.toThrow(
      'invalid class name; differs only in case from',
    )
  })

  it('does not train what is there already', async () => {
    const out = await temporaryFolder()
    await trainSmallZoo(out)
    const seen: TrainingProgress[] = []
    await trainSmallZoo(out, { onProgress: progress => seen.push(progress) })
    expect(seen.map(({ stage, finished, total }) => `${stage} ${finished}/${total}`)).toEqual([
      'training 4/4',
    ])
  })

  it('stops on a signal and goes on later as if nothing had happened', async () => {
    const folder = await temporaryFolder()
    const out = join(folder, 'interrupted')
    const controller = new AbortController()
    const work = trainSmallZoo(out, {
      signal: controller.signal,
      concurrency: 1,
      onProgress: ({ finished }) => finished === 1 && controller.abort(),
    })
    await expect(work).rejects.toMatchObject({ tag: 'interrupted', fields: { finished: 1 } })
    expect((await openZoo(out)).networks).toHaveLength(1)
    await trainSmallZoo(out)
    await trainSmallZoo(join(folder, 'undisturbed'))
    expect(bytesOf(out)).toEqual(bytesOf(join(folder, 'undisturbed')))
  })

  it('goes on after a crash between a model file and its ledger line, and after half a line', async () => {
    const folder = await temporaryFolder()
    const out = join(folder, 'crashed')
    await trainSmallZoo(out)
    const ledger = join(out, 'ledger.jsonl')
    const lines = (await readFile(ledger, 'utf8')).split('\n').slice(0, -1)
    await writeFile(ledger, `${lines.slice(0, 2).join('\n')}\n${lines[2]!.slice(0, 40)}`)
    expect((await openZoo(out)).networks).toHaveLength(2)
    await trainSmallZoo(out)
    await trainSmallZoo(join(folder, 'undisturbed'))
    expect(bytesOf(out)).toEqual(bytesOf(join(folder, 'undisturbed')))
  })

  it('removes what a dead process on another machine left half-written, with its lock', async () => {
    const out = await temporaryFolder()
    await trainSmallZoo(out)
    const owner = { pid: 4711, host: 'elsewhere', place: 'its boot', token: '00ff' }
    const unfinished = (pid: number) =>
      join(out, 'models', `checks_0.weights.h5.${placeTag(owner)}-${pid}.tmp`)
    await writeFile(unfinished(4711), '')
    await writeFile(unfinished(4712), '')
    const lock = join(out, 'zoo.lock')
    await writeFile(lock, JSON.stringify(owner))
    const longAgo = Date.now() / 1000 - 180
    await utimes(lock, longAgo, longAgo)
    await trainSmallZoo(out)
    expect(existsSync(unfinished(4711))).toBe(false)
    expect(existsSync(unfinished(4712))).toBe(true)
  })

  it('varies hyperparameters: recorded, and equal bytes however the work was done', async () => {
    const folder = await temporaryFolder()
    const vary = {
      activation: ['tanh', 'relu'],
      learningRate: { logUniform: [1e-4, 1e-2] },
      epochs: { integer: [1, 3] },
      initializer: ['heNormal', 'lecunUniform'],
    } as const
    const zoo = await trainSmallZoo(join(folder, 'a'), { vary, perClass: 3 })
    await trainSmallZoo(join(folder, 'b'), { vary, perClass: 1, concurrency: 1 })
    await trainSmallZoo(join(folder, 'b'), { vary, perClass: 3, concurrency: 1 })
    expect(bytesOf(join(folder, 'b'))).toEqual(bytesOf(join(folder, 'a')))
    for (const { hyperparameters, history } of zoo.networks) {
      expect(Object.keys(hyperparameters!)).toEqual(['initializer', 'learningRate', 'activation', 'epochs'])
      expect(history.loss).toHaveLength(hyperparameters!.epochs as number)
    }
    expect(new Set(zoo.networks.map(({ hyperparameters }) => hyperparameters!.activation)).size).toBe(2)

    const relu = zoo.networks.find(({ hyperparameters }) => hyperparameters!.activation === 'relu')!
    const { validation } = smallImages()
    const model = await zoo.model(relu.class, relu.index)
    const inputs = tf.tensor4d(validation.pixels.slice(), [validation.count, 32, 32, 3])
    const probabilities = (model.predict(inputs) as tf.Tensor).dataSync() as Float32Array
    const label = zoo.classNames.indexOf(relu.class)
    const targets = validation.labels.map(l => Number(l === label))
    expect(binaryMetrics(probabilities, targets)).toEqual(relu.metrics)

    const verified = await verifyZoo(zoo, { images: smallImages(), retrain: 1, metrics: true })
    expect(verified).toMatchObject({ findings: [], metrics: 6 })

    await expect(trainSmallZoo(join(folder, 'a'))).rejects.toThrow('another recipe: vary is undefined, was {')
    await expect(trainSmallZoo(join(folder, 'a'), { vary: { ...vary, epochs: [1] } })).rejects.toThrow(
      'another recipe: vary epochs is [1], was {"integer":[1,3]}',
    )
  })

  it('reports progress: networks, work under way, rate and time left', async () => {
    const seen: TrainingProgress[] = []
    await trainSmallZoo(await temporaryFolder(), { epochs: 2, onProgress: progress => seen.push(progress) })
    expect(seen[0]).toMatchObject({ finished: 0, total: 4, underWay: 0, secondsLeft: undefined })
    expect(seen.some(({ underWay }) => underWay > 0 && underWay <= 2)).toBe(true)
    expect(seen.at(-1)).toMatchObject({ stage: 'compiling', finished: 4, failed: 0, compiled: 4 })
    expect(seen.at(-1)!.networksPerHour).toBeGreaterThan(0)
    expect(seen.filter(({ network }) => network).map(({ finished }) => finished)).toEqual([1, 2, 3, 4])
  })

  it('hands on what the caller throws in onProgress, and leaves a zoo that goes on', async () => {
    const out = await temporaryFolder()
    const work = trainSmallZoo(out, {
      onProgress: ({ underWay }) => {
        if (underWay > 0) throw new Error("the caller's own")
      },
    })
    await expect(work).rejects.toThrow("the caller's own")
    expect((await trainSmallZoo(out)).networks).toHaveLength(4)
  })

  it('records a network whose loss is not finite, trains the others, and tries again only when told', async () => {
    const out = await temporaryFolder()
    const broken = { optimizer: { kind: 'sgd', learningRate: 1e38, momentum: 0.9 } as const, epochs: 5 }
    const zoo = await trainSmallZoo(out, broken)
    expect(zoo.failures).toHaveLength(4)
    expect(zoo.failures[0]!.reason).toMatch(/^loss of \w+_\d is not finite in epoch \d/)
    const again: TrainingProgress[] = []
    await trainSmallZoo(out, { ...broken, onProgress: progress => again.push(progress) })
    expect(again).toHaveLength(1)
    const retried: TrainingProgress[] = []
    await trainSmallZoo(out, { ...broken, retryFailed: true, onProgress: progress => retried.push(progress) })
    expect(retried.at(-1)).toMatchObject({ failed: 4, total: 4 })
    expect((await openZoo(out)).failures).toHaveLength(4)
  })
})

describe('trainZoo refuses', () => {
  it.each([
    [{ perClass: 0 }, 'invalid perClass; needs a positive integer: 0'],
    [{ perClass: 5e9 }, 'invalid perClass; a zoo has at most 10000000 networks in all: 5000000000'],
    [{ perclass: 2 }, 'unknown option of trainZoo: "perclass"; did you mean "perClass"?'],
    [{ classes: ['stripe'] }, 'invalid classes; is not in the image set; did you mean "stripes"?: stripe'],
    [{ concurrency: 0.5 }, 'invalid concurrency; needs a positive integer: 0.5'],
    [{ engine: 'nativ' }, 'invalid engine; did you mean "native"?: nativ'],
    [{ out: '' }, 'invalid out; needs the path of the zoo directory: '],
  ])('%j', async (options, message) => {
    const work = trainZoo({ images: smallImages(), out: 'never-made', ...options } as never)
    await expect(work).rejects.toThrow(message)
  })

  it('a directory with a zoo of another recipe, saying what differs', async () => {
    const out = await temporaryFolder()
    await trainSmallZoo(out)
    await expect(trainSmallZoo(out, { epochs: 4, seed: 8 })).rejects.toMatchObject({
      tag: 'zoo',
      message: `${out} holds a zoo of another recipe: epochs is 4, was 1; seed is 8, was 7. Choose another directory`,
    })
  })

  it('other images under the same name', async () => {
    const out = await temporaryFolder()
    await trainSmallZoo(out)
    const { name, classNames, shape, train, validation } = smallImages()
    const pixels = train.pixels.slice()
    pixels[0] = 0.123
    const altered = createImageSet({
      name,
      classNames,
      shape,
      train: { pixels, labels: train.labels },
      validation,
    })
    await expect(trainSmallZoo(out, { images: altered })).rejects.toThrow(
      /another recipe: images is "\w{12}", was "\w{12}"/,
    )
  })

  it('another activation or kernel size, naming the layer; but not the same network written otherwise', async () => {
    const out = await temporaryFolder()
    const tiny = (activation: 'tanh' | 'relu', kernelSize: number | [number, number]) => ({
      architecture: {
        name: 'tiny',
        inputShape: [32, 32, 3] as const,
        layers: [
          { kind: 'conv2d' as const, filters: 2, kernelSize, activation },
          { kind: 'flatten' as const },
          { kind: 'dense' as const, units: 1, activation: 'sigmoid' as const },
        ],
      },
    })
    await trainSmallZoo(out, tiny('tanh', 5))
    await trainSmallZoo(out, tiny('tanh', [5, 5]))
    await expect(trainSmallZoo(out, tiny('relu', 5))).rejects.toThrow(
      'another recipe: architecture layer conv2d activation is "relu", was "tanh".',
    )
    await expect(trainSmallZoo(out, tiny('tanh', 3))).rejects.toThrow(
      'another recipe: architecture layer conv2d kernelSize is [3,3], was [5,5].',
    )
  })

  it('a directory whose ledger has lost its zoo.json', async () => {
    const out = await temporaryFolder()
    await trainSmallZoo(out)
    await rm(join(out, 'zoo.json'))
    await expect(trainSmallZoo(out, { seed: 99 })).rejects.toThrow(
      `${out} has a ledger but no zoo.json, so that nothing says of which recipe its networks are`,
    )
  })

  it('a directory that is being trained, and takes over from a process that died', async () => {
    const out = await temporaryFolder()
    const stop = new AbortController()
    let first: Promise<unknown> | undefined
    await new Promise<void>(resolve => {
      const options = { perClass: 500, signal: stop.signal, onProgress: () => resolve() }
      first = trainSmallZoo(out, options)
    })
    await expect(trainSmallZoo(out)).rejects.toThrow(`${out} is being trained by process ${process.pid} on `)
    stop.abort()
    await expect(first).rejects.toMatchObject({ tag: 'interrupted' })

    const { pid } = spawnSync(process.execPath, ['-e', ''])
    const other = await temporaryFolder()
    const dead = JSON.stringify({ pid, host: hostname() })
    await writeFile(join(other, 'zoo.lock'), dead)
    expect((await trainSmallZoo(other)).networks).toHaveLength(4)
    expect(readdirSync(other).filter(name => name.includes('lock'))).toEqual([])
    // Of a process that died after compiling, so that nothing is left to compile.
    await writeFile(join(other, 'compile.lock'), dead)
    await trainSmallZoo(other)
    expect(readdirSync(other).filter(name => name.includes('lock'))).toEqual([])
  })

  it('class names that make no file name of their own', async () => {
    const named = (...classNames: string[]) => {
      const { train, validation, shape } = smallImages()
      const keep = (split: ImageSplit) => {
        const chosen = [...split.labels.keys()].filter(i => split.labels[i]! < classNames.length)
        return {
          pixels: Float32Array.from(
            chosen.flatMap(i => [...split.pixels.subarray(i * 3072, (i + 1) * 3072)]),
          ),
          labels: Uint8Array.from(chosen, i => split.labels[i]!),
        }
      }
      return createImageSet({
        name: 'named',
        classNames,
        shape,
        train: keep(train),
        validation: keep(validation),
      })
    }
    const out = await temporaryFolder()
    const strange = ['__proto__', 'constructor', '..', 'a/b c', 'Kirche ⛪']
    const zoo = await trainSmallZoo(out, { images: named(...strange), classes: strange, perClass: 1 })
    expect(zoo.networks.map(network => network.class)).toEqual(strange)
    expect(readdirSync(join(out, 'models')).sort()).toEqual(
      ['%2E._0', '__proto___0', 'a%2Fb%20c_0', 'constructor_0', 'Kirche%20%E2%9B%AA_0']
        .map(name => `${name}.weights.h5`)
        .sort(),
    )
    const byLayer = await groupLayerwise(zoo)
    expect(byLayer.matrix('a/b c', 'dense_1').row(0)).toEqual((await zoo.weights('a/b c', 0)).slice(-85))
    byLayer.close()
    const twins = named('Church', 'church')
    await expect(
      trainSmallZoo(await temporaryFolder(), { images: twins, classes: ['Church', 'church'] }),
    ).rejects.toThrow('invalid class name; differs only in case from "church": Church')
    const long = named('x'.repeat(201), 'y')
    await expect(trainSmallZoo(await temporaryFolder(), { images: long })).rejects.toThrow(
      'makes a file name of 201 characters',
    )
  })

  it('a directory that cannot be written', async () => {
    const file = join(await temporaryFolder(), 'file')
    await writeFile(file, 'not a directory')
    await expect(trainSmallZoo(file)).rejects.toThrow(`not a directory: ${file}`)
  })
})

describe('a damaged zoo', () => {
  it('names the truncated model file', async () => {
    const out = await temporaryFolder()
    const zoo = await trainSmallZoo(out)
    const path = join(out, 'models', 'stripes_1.weights.h5')
    await truncate(path, 100_000)
    await expect(zoo.weights('stripes', 1)).rejects.toThrow(
      `${path} is truncated, corrupt or no HDF5 file (100000 bytes; `,
    )
  })

  it('names the model file whose weights were altered', async () => {
    const out = await temporaryFolder()
    const zoo = await trainSmallZoo(out)
    const path = join(out, 'models', 'stripes_1.weights.h5')
    const bytes = await readFile(path)
    bytes[200_000]! ^= 1
    await writeFile(path, bytes)
    await expect(zoo.weights('stripes', 1)).rejects.toThrow(
      `${path} does not hold the weights that the ledger lists (SHA-256 differs)`,
    )
  })

  it('names the missing model file, the broken ledger line and the broken manifest', async () => {
    const out = await temporaryFolder()
    const zoo = await trainSmallZoo(out)
    const path = join(out, 'models', 'stripes_1.weights.h5')
    await rm(path)
    await expect(zoo.weights('stripes', 1)).rejects.toThrow(`no such file: ${path}`)
    await appendFile(join(out, 'ledger.jsonl'), 'garbage\n')
    await expect(openZoo(out)).rejects.toThrow(`${join(out, 'ledger.jsonl')}:5 is not a ledger line`)
    await writeFile(join(out, 'zoo.json'), '{"format":')
    await expect(openZoo(out)).rejects.toThrow(`${join(out, 'zoo.json')} is not readable JSON`)
    await expect(openZoo(join(out, 'nowhere'))).rejects.toThrow(
      `no such zoo directory: ${join(out, 'nowhere')}`,
    )
  })
})
