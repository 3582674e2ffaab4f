import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { mkdir, readFile, truncate, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { join } from 'node:path'
import * as tf from '@tensorflow/tfjs-core'
import { loadLayersModel } from '@tensorflow/tfjs-layers'
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { EXPORT_FORMATS, type ExportFormat, exportZoo, openSafetensors, Zoo } from '../../dist/index.js'
import { openHdf5 } from '../../dist/zoo/hdf5.js'
import { sharedFolder, smallImages, temporaryFolder, trainSmallZoo, weightzoo } from '../support.js'

const shared = sharedFolder()
let zoo: Zoo

beforeAll(async () => {
  zoo = await trainSmallZoo(join(shared, 'zoo'))
})

/** Exports the zoo to a folder that goes away with the test. */
async function exported(format: ExportFormat, of = zoo): Promise<string> {
  const out = join(await temporaryFolder(), 'out')
  await exportZoo(of, { format, out })
  return out
}

const sha256 = (data: Float32Array) =>
  createHash('sha256')
    .update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
    .digest('hex')

describe('exportZoo', () => {
  it.each(Object.keys(EXPORT_FORMATS) as ExportFormat[])('%s: says what it has written', async format => {
    const out = join(await temporaryFolder(), 'deep', 'out')
    const seen: number[] = []
    const { path, networks, files, bytes } = await exportZoo(zoo, {
      format,
      out,
      onProgress: (done, total) => {
        expect(total).toBe(4)
        seen.push(done)
      },
    })
    expect({ path, networks }).toEqual({ path: out, networks: 4 })
    const found = readdirSync(out, { recursive: true, withFileTypes: true }).filter(entry => entry.isFile())
    expect(files).toBe(found.length)
    const sizes = found.map(entry => readFileSync(join(entry.parentPath, entry.name)).length)
    expect(bytes).toBe(sizes.reduce((sum, size) => sum + size, 0))
    const holdsWeights = format !== 'csv' && format !== 'parquet'
    expect(seen).toEqual(holdsWeights ? [1, 2, 3, 4] : [])
    expect(bytes > 4 * 91481 * 4).toBe(holdsWeights)
    expect(existsSync(join(out, 'metadata.csv'))).toBe(!['parquet', 'huggingface'].includes(format))
  })

  it('writes the same bytes again, but for the date of the Croissant file', async () => {
    for (const format of ['keras', 'keras-legacy', 'huggingface'] as const) {
      const [a, b] = [await exported(format), await exported(format)]
      for (const entry of readdirSync(a, { recursive: true, withFileTypes: true })) {
        if (!entry.isFile() || entry.name === 'croissant.json') continue
        const path = join(entry.parentPath, entry.name)
        expect(readFileSync(path).equals(readFileSync(path.replace(a, b))), path).toBe(true)
      }
    }
  })

  it('takes a selection', async () => {
    const out = await exported('npy', zoo.select({ class: 'checks' }))
    expect(JSON.parse(await readFile(join(out, 'names.json'), 'utf8'))).toMatchObject({
      names: ['checks_0', 'checks_1'],
    })
  })

  it('leaves nothing behind when it is interrupted, and says so', async () => {
    const folder = await temporaryFolder()
    const controller = new AbortController()
    const work = exportZoo(zoo, {
      format: 'keras',
      out: join(folder, 'out'),
      signal: controller.signal,
      onProgress: done => done === 2 && controller.abort(),
    })
    await expect(work).rejects.toMatchObject({
      tag: 'interrupted',
      message: 'interrupted after 2 of 4 networks; nothing was exported',
    })
    expect(readdirSync(folder)).toEqual([])
  })

  it('refuses what it cannot do, in one line, and replaces nothing', async () => {
    const folder = await temporaryFolder()
    await mkdir(join(folder, 'full'))
    await writeFile(join(folder, 'full', 'mine.txt'), 'mine')
    await writeFile(join(folder, 'file'), '')
    const refusal = (options: object, of = zoo) =>
      exportZoo(of, { format: 'npy', out: join(folder, 'new'), ...options } as never).catch(error => error)
    expect(await refusal({ format: 'npz' })).toMatchObject({
      tag: 'option',
      message: 'invalid format; is not a format; did you mean "npy"?: npz',
    })
    expect(await refusal({ out: join(folder, 'full') })).toMatchObject({
      tag: 'option',
      message: `invalid out; holds files already; choose a new folder: ${folder}/full`,
    })
    expect(await refusal({ out: join(folder, 'file') })).toMatchObject({ tag: 'option' })
    expect(await refusal({ out: join(folder, 'file', 'below') })).toMatchObject({ fields: { name: 'out' } })
    expect(await refusal({ fromat: 'npy' })).toMatchObject({ message: /did you mean "format"/ })
    expect(await refusal({}, zoo.select({ minAccuracy: 1.1 }))).toMatchObject({
      tag: 'zoo',
      message: `nothing to export from ${zoo.path}: the selection is empty`,
    })
    expect(readdirSync(folder).sort()).toEqual(['file', 'full'])
    expect(readdirSync(join(folder, 'full'))).toEqual(['mine.txt'])
  })

  it('never hands on a damaged network, not even by copying its file', async () => {
    const folder = await temporaryFolder()
    const damaged = await trainSmallZoo(join(folder, 'zoo'), { perClass: 1 })
    await truncate(join(damaged.path, 'models', 'checks_0.weights.h5'), 9000)
    for (const format of ['keras-weights', 'huggingface'] as const) {
      const out = join(folder, format)
      await expect(exportZoo(damaged, { format, out })).rejects.toMatchObject({
        tag: 'zoo',
        message: expect.stringContaining('checks_0.weights.h5 is truncated'),
      })
      expect(existsSync(out)).toBe(false)
    }
  })
})

describe('tfjs', () => {
  it('is loaded by tf.loadLayersModel over HTTP, with the same weights and outputs', async () => {
    const out = await exported('tfjs')
    const server = createServer(async (request, response) => {
      response.end(await readFile(join(out, request.url!)))
    })
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => new Promise(resolve => server.close(() => resolve())))
    const { port } = server.address() as { port: number }
    for (const { class: name, index, sha256: hash } of zoo.networks) {
      const ours = await zoo.model(name, index)
      const model = await loadLayersModel(`http://127.0.0.1:${port}/models/${name}_${index}.json`)
      const flat = zoo.architecture.parameters.flatMap(({ layer, part }) => {
        const [kernel, bias] = model.getLayer(layer).getWeights()
        return [...(part === 'bias' ? bias! : kernel!).dataSync()]
      })
      expect(sha256(Float32Array.from(flat))).toBe(hash)
      const images = tf.tensor4d(smallImages().validation.pixels.slice(0, 4 * 3072), [4, 32, 32, 3])
      const outputs = (from: typeof model) => [...(from.predict(images) as tf.Tensor).dataSync()]
      expect(outputs(model)).toEqual(outputs(ours))
    }
  })
})

describe('keras-legacy', () => {
  it("has the layout of the paper's own files", async () => {
    const file = await openHdf5(join(await exported('keras-legacy'), 'models', 'stripes_1.h5'))
    expect(file.shape('model_weights/conv2d_1/conv2d_1/kernel:0')).toEqual([5, 5, 6, 16])
    expect(file.shape('model_weights/dense/dense/bias:0')).toEqual([84])
    expect(file.attribute('weight_names', 'model_weights/dense')).toEqual(['dense/kernel:0', 'dense/bias:0'])
    file.close()
  })
})

describe('safetensors', () => {
  it('is read back, whole and in part', async () => {
    const file = await openSafetensors(join(await exported('safetensors'), 'zoo.safetensors'))
    expect(file.names).toEqual(['metrics', 'parameters', 'labels'])
    expect(file.shape('parameters')).toEqual([4, 91481])
    expect([...(await file.floats('labels'))]).toEqual([0, 0, 1, 1])
    expect(JSON.parse(file.metadata['names']!)).toEqual(['stripes_0', 'stripes_1', 'checks_0', 'checks_1'])
    for (const [row, { sha256: hash }] of zoo.networks.entries()) {
      expect(sha256(await file.rows('parameters', row, row + 1))).toBe(hash)
    }
    await file.close()
  })
})

describe('csv', () => {
  it('has a line for every network, and puts names in quotes that need them', async () => {
    const folder = await temporaryFolder()
    const images = smallImages()
    const named = { ...images, classNames: ['a "b", c', ...images.classNames.slice(1)] }
    const odd = await trainSmallZoo(join(folder, 'zoo'), { images: named, perClass: 1 })
    const out = join(folder, 'out')
    await exportZoo(odd, { format: 'csv', out })
    const lines = (await readFile(join(out, 'metadata.csv'), 'utf8')).split('\n')
    expect(lines).toHaveLength(4)
    expect(lines[0]).toMatch(
      /^name,class,label,index,seed,split,accuracy,precision,recall,f1,auc,positive_fraction,/,
    )
    expect(lines[1]).toMatch(/^"a ""b"", c_0","a ""b"", c",0,0,7,train,0\.\d+,/)
    expect(lines[1]).toContain(odd.networks[0]!.sha256)
  })

  it('has a column for every hyperparameter that networks have, empty where one lacks it', async () => {
    const [first, ...others] = zoo.networks
    const hyperparameters = { learningRate: 0.01, activation: 'relu', seed: 3 }
    const varied = new Zoo(zoo.path, zoo.manifest, [{ ...first!, hyperparameters }, ...others], [])
    const out = await exported('csv', varied)
    const lines = (await readFile(join(out, 'metadata.csv'), 'utf8')).trim().split('\n')
    expect(lines[0]).toMatch(
      /,sha256,hyperparameter_activation,hyperparameter_learningRate,hyperparameter_seed$/,
    )
    expect(lines.filter(line => line.endsWith(',relu,0.01,3'))).toHaveLength(1)
    expect(lines.filter(line => line.endsWith(',,,'))).toHaveLength(3)
  })
})

describe('weightzoo export', () => {
  it('exports a selection, and names what is wrong', async () => {
    const folder = await temporaryFolder()
    const out = join(folder, 'out')
    const done = await weightzoo([
      'export',
      zoo.path,
      '--format',
      'safetensors',
      '--out',
      out,
      '--class',
      'checks',
    ])
    expect(done).toMatchObject({ code: 0 })
    expect(done.stdout).toMatch(/out\/: 2 networks, 3 files, 0\.7 MB/)
    const file = await openSafetensors(join(out, 'zoo.safetensors'))
    expect(file.shape('parameters')).toEqual([2, 91481])
    await file.close()
    const again = await weightzoo(['export', zoo.path, '--format', 'npy', '--out', out])
    expect(again).toMatchObject({ code: 2, stdout: '' })
    expect(again.stderr).toBe(`error: invalid out; holds files already; choose a new folder: ${out}\n`)
  })
})
