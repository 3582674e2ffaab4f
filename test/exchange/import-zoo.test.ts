import { spawnSync } from 'node:child_process'
import { copyFile, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it, test } from 'vitest'
import { archiveEntries } from '../../dist/archive.js'
import {
  crossValidate,
  flattenModelwise,
  GaussianNaiveBayes,
  groupLayerwise,
  type ImportProgress,
  importZoo,
  layerDivergence,
  openZoo,
  summarize,
  type Zoo,
} from '../../dist/index.js'
import { fromRoot, pythonWith, temporaryFolder, trainSmallZoo, weightzoo } from '../support.js'
import { publishedArchitecture as architecture, published } from './published.js'

async function truth(folder = published('.')): Promise<Record<string, string>> {
  return JSON.parse(await readFile(join(folder, 'weights.json'), 'utf8'))
}

/** Weights by network, as hex of float32. */
async function weightsOf(zoo: Zoo): Promise<Record<string, string>> {
  const entries = zoo.networks.map(async ({ class: name, index }) => {
    const weights = await zoo.weights(name, index)
    return [`${name}_${index}`, Buffer.from(weights.buffer).toString('hex')]
  })
  return Object.fromEntries(await Promise.all(entries))
}

async function kerasFolder(folder: string): Promise<string> {
  const root = join(folder, 'model_weights')
  await mkdir(root)
  for await (const { parts, take } of archiveEntries(published('keras.tgz'), 'gzip'))
    await writeFile(join(root, parts.at(-1)!), await take())
  return root
}

describe('Keras files', () => {
  it('of Keras 2 and 3, whole models and weights only, come in as they are, with their metrics', async () => {
    const folder = await temporaryFolder()
    const zoo = await importZoo({ source: await kerasFolder(folder), out: join(folder, 'zoo'), architecture })
    const { church_0, church_1, tench_0, tench_12 } = await truth()
    expect(await weightsOf(zoo)).toEqual({ church_0, church_1, tench_0, tench_12 })
    expect(zoo.classNames).toEqual(['tench', 'church'])
    expect(zoo.networks.map(({ class: name, index }) => `${name}_${index}`)).toEqual([
      'tench_0',
      'tench_12',
      'church_0',
      'church_1',
    ])
    expect(zoo.network('tench', 12).metrics).toEqual({
      accuracy: 0.93,
      precision: 0.5,
      recall: 0.25,
      f1: 0.3333333333333333,
      auc: 0.8,
    })
    expect(zoo.manifest.imported).toMatchObject({ source: 'model_weights', layout: 'keras files' })
  })

  it('come out of an archive the same, and nothing of the unpacking stays', async () => {
    const folder = await temporaryFolder()
    const out = join(folder, 'zoo')
    const zoo = await importZoo({ source: published('keras.tgz'), out, architecture })
    const { church_0, church_1, tench_0, tench_12 } = await truth()
    expect(await weightsOf(zoo)).toEqual({ church_0, church_1, tench_0, tench_12 })
    expect((await readdir(out)).sort()).toEqual([
      'compiled.json',
      'layerwise.h5',
      'ledger.jsonl',
      'metrics.csv',
      'models',
      'modelwise.h5',
      'zoo.json',
    ])
    expect(await readdir(folder)).toEqual(['zoo'])
  })

  it('are read by views, classifiers and analysis, and written again as Keras reads them', async () => {
    const folder = await temporaryFolder()
    const source = await kerasFolder(folder)
    for (let i = 2; i < 6; i++)
      for (const name of ['church', 'tench'])
        await copyFile(join(source, `binary_oneVall_${name}_0_model.h5`), join(source, `${name}_${i}.h5`))
    const zoo = await importZoo({ source, out: join(folder, 'zoo'), architecture })
    const rows = await flattenModelwise(zoo)
    expect(rows.shape).toEqual([12, 127])
    const byLayer = await groupLayerwise(zoo)
    expect(byLayer.matrix('church', 'conv2d_1').shape).toEqual([6, 38])
    expect(Object.keys(await layerDivergence(byLayer))).toEqual(['conv2d', 'conv2d_1', 'dense', 'dense_1'])
    const { accuracy } = await crossValidate(new GaussianNaiveBayes(), rows, { folds: 2, seed: 1 })
    expect(accuracy).toBeGreaterThan(0.8)
    expect((await zoo.model('church', 5)).countParams()).toBe(127)
    const again = await importZoo({
      source: join(folder, 'zoo', 'models'),
      out: join(folder, 'again'),
      architecture,
    })
    expect(await weightsOf(again)).toEqual(await weightsOf(zoo))
    rows.close()
    byLayer.close()
  })

  it('of another architecture, without layers or damaged are named with the layer', async () => {
    const folder = await temporaryFolder()
    const source = await kerasFolder(folder)
    const out = join(folder, 'zoo')
    await expect(importZoo({ source, out })).rejects.toThrow(
      /^cannot import .*church_0_model\.h5: it has 2 conv2d layers \(conv2d_8, conv2d_9\), the architecture has 3$/,
    )
    const wide = {
      ...architecture,
      layers: architecture.layers.with(1, { ...architecture.layers[0]!, filters: 4 } as never),
    }
    await rm(out, { recursive: true })
    await expect(importZoo({ source, out, architecture: wide })).rejects.toThrow(
      /layer conv2d_9 has a bias of 2; small has 4 there$/,
    )
    await writeFile(join(source, 'a_0.h5'), 'no HDF5')
    await rm(out, { recursive: true })
    await expect(importZoo({ source, out, architecture })).rejects.toThrow(
      /a_0\.h5 is truncated, corrupt or no HDF5 file/,
    )
  })
})

describe('pickles', () => {
  for (const file of ['modelwise-2.pkl', 'modelwise-4.pkl', 'modelwise.pt', 'modelwise-legacy.pt'])
    it(`${file}: the networks of the modelwise list, in the order of the layers`, async () => {
      const out = join(await temporaryFolder(), 'zoo')
      const zoo = await importZoo({ source: published(file), out, architecture })
      const { church_0, tench_0 } = await truth()
      expect(await weightsOf(zoo)).toEqual({ church_0, tench_0 })
      expect(zoo.manifest.imported!.layout).toBe('modelwise pickle')
    })

  for (const file of ['layerwise-2.pkl', 'layerwise-4.pkl', 'layerwise-5.pkl'])
    it(`${file}: the rows of the layerwise list, with a warning that stays`, async () => {
      const out = join(await temporaryFolder(), 'zoo')
      const warnings = new Set<string | undefined>()
      const onProgress = ({ warning }: ImportProgress) => warnings.add(warning)
      const zoo = await importZoo({ source: published(file), out, architecture, onProgress })
      const all = Object.entries(await truth()).filter(([name]) => name.startsWith('layerwise '))
      expect(await weightsOf(zoo)).toEqual(
        Object.fromEntries(all.map(([name, hex]) => [name.replace('layerwise ', ''), hex])),
      )
      expect([...warnings]).toEqual([expect.stringMatching(/no networks that were ever trained/)])
      expect((await openZoo(out)).manifest.imported!.warning).toMatch(
        /one network's biases with another's kernel/,
      )
    })

  test.each([
    [
      'os.system',
      '\x80\x04]\x8c\x02os\x8c\x06system\x93\x8c\x02id\x85Ra.',
      /refused: it asks for "os\.system"/,
    ],
    [
      'builtins.eval, as GLOBAL',
      '\x80\x02]cbuiltins\neval\nX\x01\x00\x00\x001\x85Ra.',
      /asks for "builtins\.eval"/,
    ],
    ['an attribute of what is allowed', '\x80\x04]\x8c\x05torch\x8c\x04load\x93a.', /asks for "torch\.load"/],
    [
      'an instance (INST)',
      '\x80\x02](ios\nsystem\na.',
      /refused: the pickle instruction INST \(0x69\) at byte 4/,
    ],
    ['NEWOBJ', '\x80\x02]\x81.', /the pickle instruction NEWOBJ \(0x81\) at byte 3/],
    ['an extension', '\x80\x02]\x82\x01a.', /the pickle instruction EXT1/],
    ['storages elsewhere', '\x80\x02]NQa.', /refers to objects outside the file/],
    ['BUILD of a dictionary', '\x80\x02]}}ba.', /it is damaged, or no pickle/],
    ['a call of text', '\x80\x02]X\x01\x00\x00\x00a)Ra.', /it is damaged, or no pickle/],
    ['protocol 1', '\x80\x01].', /pickle protocol 1; protocols 2 to 5 are read/],
    ['a truncated file', '\x80\x04]\x94(}', /it ends early/],
    ['a length beyond the file', '\x80\x04]B\xff\xff\xff\xffabc', /it ends early/],
    ['no list', '\x80\x04}.', /it holds no list of networks/],
    ['other dictionaries', '\x80\x04]}a.', /its elements are neither dictionaries of model/],
    ['memory by repetition', `\x80\x02](${'('.repeat(4_000_001)}`, /refused: more than 4000000 values/],
  ])('refuse %s', async (_, text, message) => {
    const folder = await temporaryFolder()
    const source = join(folder, 'x.pkl')
    await writeFile(source, Buffer.from(text, 'latin1'))
    await expect(importZoo({ source, out: join(folder, 'zoo') })).rejects.toThrow(message)
    expect(await readdir(folder)).toEqual(['x.pkl'])
  })

  it('refuse what lies between the elements and inside a storage too', async () => {
    const folder = await temporaryFolder()
    const good = (await readFile(published('modelwise-4.pkl'))).toString('latin1')
    const cases: [string, RegExp][] = [
      [
        good.replace('_rebuild_tensor_v2', '_rebuild_tensor_vX'),
        /asks for "torch\._utils\._rebuild_tensor_vX"/,
      ],
      [good.replace('ctorch\nFloatStorage', 'cposix\nsystemXXXXXX'), /asks for "posix\.systemXXXXXX"/],
      [good.replace('ctorch\nFloatStorage', 'ctorch\nHalffStorage'), /asks for "torch\.HalffStorage"/],
    ]
    for (const [i, [text, message]] of cases.entries()) {
      const source = join(folder, `${i}.pkl`)
      await writeFile(source, Buffer.from(text, 'latin1'))
      await expect(importZoo({ source, out: join(folder, `zoo${i}`), architecture })).rejects.toThrow(message)
    }
  })
})

describe('an imported zoo', () => {
  it('goes on where it was stopped, and is the same then', async () => {
    const folder = await temporaryFolder()
    const source = await kerasFolder(folder)
    const [once, twice] = [join(folder, 'once'), join(folder, 'twice')]
    await importZoo({ source, out: once, architecture })
    const stop = new AbortController()
    const onProgress = ({ imported }: ImportProgress) => imported === 2 && stop.abort()
    await expect(
      importZoo({ source, out: twice, architecture, signal: stop.signal, onProgress }),
    ).rejects.toThrow('interrupted after 2 networks; the same call goes on from there')
    expect((await openZoo(twice)).networks).toHaveLength(2)
    await importZoo({ source, out: twice, architecture })
    for (const file of ['zoo.json', 'ledger.jsonl', 'metrics.csv', 'modelwise.h5', 'layerwise.h5'])
      expect(await readFile(join(twice, file)), file).toEqual(await readFile(join(once, file)))
  })

  it('cannot be trained, and a trained one takes no imports', async () => {
    const folder = await temporaryFolder()
    const out = join(folder, 'zoo')
    await importZoo({ source: published('keras.tgz'), out, architecture })
    await expect(trainSmallZoo(out)).rejects.toThrow(
      `${out} was imported from keras.tgz and has no recipe to train by; choose another directory to train into`,
    )
    await expect(importZoo({ source: published('modelwise.pt'), out, architecture })).rejects.toThrow(
      `${out} holds an import of keras.tgz; choose another directory`,
    )
    const trained = await trainSmallZoo(join(folder, 'trained'), { perClass: 1 })
    await expect(
      importZoo({ source: published('keras.tgz'), out: trained.path, architecture }),
    ).rejects.toThrow('holds a zoo that was trained; choose another directory')
  })

  it('without metrics has none: in memory NaN, in files null or nothing, and no selection by them', async () => {
    const out = join(await temporaryFolder(), 'zoo')
    const zoo = await importZoo({ source: published('keras.tgz'), out, architecture })
    expect(zoo.network('church', 0)).toMatchObject({
      seed: Number.NaN,
      metrics: { accuracy: Number.NaN, auc: null },
    })
    expect(await readFile(join(out, 'ledger.jsonl'), 'utf8')).toContain('"accuracy":null')
    expect((await readFile(join(out, 'metrics.csv'), 'utf8')).split('\n')[1]).toBe('tench,0,,,,,')
    expect(zoo.select({}).networks).toHaveLength(4)
    expect(zoo.select({ minAccuracy: 0 }).networks).toHaveLength(0)
    expect(summarize(zoo)[0]).toMatchObject({ networks: 2, accuracy: { mean: Number.NaN } })
  })

  it('refuses a network that comes twice, a wrong table of metrics, and a source without networks', async () => {
    const folder = await temporaryFolder()
    const source = await kerasFolder(folder)
    await copyFile(join(source, 'binary_oneVall_church_0_model.h5'), join(source, 'church_0.h5'))
    const out = join(folder, 'zoo')
    await expect(importZoo({ source, out, architecture })).rejects.toThrow(
      /church_0 is also in .*; give a source/,
    )
    await rm(join(source, 'church_0.h5'))
    const metrics = join(folder, 'wrong.csv')
    await writeFile(metrics, 'Class,Count,Accuracy,Precision,Recall,F1 Score,AUC\nchurch,0,7,0,0,0,0\n')
    await expect(importZoo({ source, out, architecture, metrics })).rejects.toThrow(
      /wrong\.csv: line 2 is not of the form Class,/,
    )
    await expect(importZoo({ source: join(folder, 'absent'), out })).rejects.toThrow(
      /absent: no such file or folder/,
    )
    await rm(metrics)
    await mkdir(join(folder, 'empty'))
    await expect(importZoo({ source: join(folder, 'empty'), out: join(folder, 'none') })).rejects.toThrow(
      /no network in it; files are to be named binary_oneVall_<class>_<index>/,
    )
  })
})

it('weightzoo import: the command, its warning and its exit codes', async () => {
  const folder = await temporaryFolder()
  const spec = join(folder, 'small.json')
  await writeFile(spec, JSON.stringify(architecture))
  const args = ['import', published('layerwise-4.pkl'), '--architecture', spec, '--out', join(folder, 'zoo')]
  const { code, stdout, stderr } = await weightzoo(args)
  expect(code, stderr).toBe(0)
  expect(stderr).toMatch(/^warning: layerwise pickle: /m)
  expect(stdout).toMatch(/church +2 +- +-/)
  const inspected = await weightzoo(['inspect', join(folder, 'zoo')])
  expect(inspected.stdout).toMatch(/^imported +layerwise pickle of layerwise-4\.pkl$/m)
  const missing = await weightzoo(['import', join(folder, 'absent'), '--out', join(folder, 'other')])
  expect(missing).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/^error: cannot import .*absent: no such file/),
  })
})

// Everything again in the paper's size, written now by the libraries that are here.
const peers = pythonWith('keras, torch, h5py')
describe.skipIf(!peers)('LeNet-5 by Keras and torch', () => {
  it('comes in from every form', async () => {
    const folder = await temporaryFolder()
    const written = join(folder, 'written')
    const script = fromRoot('test/fixtures/published.py')
    const child = spawnSync(peers!, [script, written, '--lenet', '--folder'], {
      encoding: 'utf8',
      env: { ...process.env, KERAS_BACKEND: 'torch' },
    })
    expect(child.status, child.stderr).toBe(0)
    const expected = await truth(written)
    const pickles = (await readdir(written)).filter(file => /\.(pkl|pt)$/.test(file))
    expect(pickles.length).toBe(9)
    const keras = await importZoo({ source: written, out: join(folder, 'keras') })
    expect(keras.networks.length).toBeGreaterThanOrEqual(2)
    expect(await weightsOf(keras)).toEqual(
      Object.fromEntries(
        keras.networks.map(({ class: name, index }) => [`${name}_${index}`, expected[`${name}_${index}`]]),
      ),
    )
    for (const file of pickles) {
      const zoo = await importZoo({ source: join(written, file), out: join(folder, file) })
      for (const [name, hex] of Object.entries(await weightsOf(zoo)))
        expect(
          hex === expected[file.startsWith('layerwise') ? `layerwise ${name}` : name],
          `${file} ${name}`,
        ).toBe(true)
    }
  })
})
