// What is fuzzed: good files to start from, and how each kind is read.

import { readFileSync } from 'node:fs'
import { cp, mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gunzipSync, gzipSync } from 'node:zlib'
import sharp from 'sharp'
import { pack } from 'tar-stream'
import { archiveEntries } from '../dist/archive.js'
import {
  compileZoo,
  flattenModelwise,
  groupLayerwise,
  ImageFolderLoader,
  importZoo,
  openZoo,
  RandomStream,
  summarize,
} from '../dist/index.js'
import { openHdf5 } from '../dist/zoo/hdf5.js'
import { seal, withoutCheck } from '../dist/zoo/seal.js'
import { mutateBytes, mutateJson, mutateText, pick } from './fuzz-mutate.mjs'

const published = file => new URL(`../test/fixtures/published/${file}`, import.meta.url)

// The networks of the fixtures.
const architecture = JSON.parse(readFileSync(published('architecture.json'), 'utf8'))

/** @returns by name: `run(random, folder)` makes and reads a case, `check()` reads a good file */
export async function prepareTargets(root) {
  await mkdir(root, { recursive: true })
  const images = await imageFiles()
  const tar = await tarOf(images)
  const keras = {}
  for await (const { parts, take } of archiveEntries(decodeURI(published('keras.tgz').pathname), 'gzip'))
    keras[parts.at(-1)] = Buffer.from(await take())
  const kerasTar = gunzipSync(await readFile(published('keras.tgz')))
  const pickles = await Promise.all(
    (await readdir(published('.')))
      .filter(file => /\.(pkl|pt)$/.test(file))
      .map(file => readFile(published(file))),
  )
  const zooPath = join(root, 'zoo')
  const kerasPath = join(root, 'keras')
  await mkdir(kerasPath, { recursive: true })
  for (const [name, bytes] of Object.entries(keras)) await writeFile(join(kerasPath, name), bytes)
  const zoo = await importZoo({ source: kerasPath, out: zooPath, architecture })
  const trained = await readFile(new URL('../test/fixtures/trained-zoo.json', import.meta.url), 'utf8').catch(
    () => '',
  )
  const manifests = [await readFile(join(zooPath, 'zoo.json'), 'utf8'), trained].filter(text => text !== '')
  const ledger = await readFile(join(zooPath, 'ledger.jsonl'), 'utf8')
  const goodFile = join(zooPath, 'models', 'church_0.weights.h5')
  const expected = (await zoo.weights('church', 0)).join()

  /** A good file still reads as it did: the HDF5 library has not been spoilt. */
  const check = async () => {
    const weights = await (await openZoo(zooPath)).weights('church', 0)
    if (weights.join() !== expected) throw new Error('it has other weights')
  }
  const copyZoo = async folder => {
    const copy = join(folder, 'zoo')
    await cp(zooPath, copy, { recursive: true })
    return copy
  }

  return {
    archive: {
      run: async (random, folder) => {
        const packed =
          random.integer(10) < 7
            ? gzipSync(mutateBytes(tar, random), { level: 1 })
            : mutateBytes(gzipSync(tar), random)
        const plain = random.integer(4) === 0
        const source = join(folder, plain ? 'a.tar' : 'a.tgz')
        await writeFile(source, plain ? mutateBytes(tar, random) : packed)
        await new ImageFolderLoader({
          source,
          size: 4,
          cache: false,
          skipBadImages: random.integer(2) === 0,
        }).load()
      },
    },
    image: {
      run: async (random, folder) => {
        const files = { ...images }
        const name = pick(Object.keys(files), random)
        files[name] = mutateBytes(files[name], random)
        for (const [path, bytes] of Object.entries(files)) {
          const file = join(folder, 'images', path)
          await mkdir(join(file, '..'), { recursive: true })
          await writeFile(file, bytes)
        }
        await new ImageFolderLoader({ source: join(folder, 'images'), size: 4, cache: false }).load()
      },
    },
    manifest: {
      run: async (random, folder) => {
        const copy = await copyZoo(folder)
        const text = pick(manifests, random)
        const mutated =
          random.integer(5) === 0
            ? mutateText(text, random)
            : seal(mutateJson(withoutCheck(JSON.parse(text)), random), 2)
        await writeFile(join(copy, 'zoo.json'), mutated)
        await readWhole(copy)
      },
      check,
    },
    ledger: {
      run: async (random, folder) => {
        const copy = await copyZoo(folder)
        const lines = ledger.trimEnd().split('\n')
        const at = random.integer(lines.length)
        const mutated = seal(mutateJson(withoutCheck(JSON.parse(lines[at])), random)).trimEnd()
        lines[at] = mutated
        const text = `${lines.join('\n')}\n`
        await writeFile(
          join(copy, 'ledger.jsonl'),
          random.integer(4) === 0 ? mutateText(ledger, random) : text,
        )
        await readWhole(copy)
      },
      check,
    },
    model: {
      run: async (random, folder) => {
        const copy = await copyZoo(folder)
        const file = join(copy, 'models', 'church_0.weights.h5')
        await writeFile(file, mutateBytes(await readFile(goodFile), random))
        const opened = await openZoo(copy)
        await opened.weights('church', 0)
      },
      check,
    },
    compiled: {
      run: async (random, folder) => {
        const copy = await copyZoo(folder)
        const name = pick(['modelwise.h5', 'layerwise.h5', 'compiled.json', 'metrics.csv'], random)
        const file = join(copy, name)
        await writeFile(file, mutateBytes(await readFile(file), random))
        try {
          // Before the damaged file is made again.
          if (name.endsWith('.h5')) await readRows(file, name)
        } finally {
          await readWhole(copy)
        }
      },
      check,
    },
    pickle: {
      run: async (random, folder) => {
        const source = join(folder, 'networks.pkl')
        await writeFile(source, mutatePickle(pick(pickles, random), random))
        await importZoo({ source, out: join(folder, 'zoo'), architecture })
      },
      check,
    },
    keras: {
      run: async (random, folder) => {
        const source = join(folder, pick(['x_0.h5', 'archive.tgz'], random))
        const bytes = pick(
          Object.values(keras).filter(file => file[0] === 0x89),
          random,
        )
        if (source.endsWith('.h5')) await writeFile(source, mutateBytes(bytes, random))
        else await writeFile(source, gzipSync(mutateBytes(kerasTar, random), { level: 1 }))
        await importZoo({ source, out: join(folder, 'zoo'), architecture })
      },
      check,
    },
  }
}

/** Reads all that a zoo holds, the way users do. */
async function readWhole(path) {
  const zoo = await openZoo(path)
  summarize(zoo)
  zoo.select({ minAccuracy: 0.5, perClass: 1 })
  String(zoo[Symbol.for('nodejs.util.inspect.custom')]())
  for (const { class: name, index } of zoo.networks.slice(0, 2)) await zoo.weights(name, index)
  const rows = await flattenModelwise(zoo, { inMemory: true })
  rows.row(0)
  const filed = await flattenModelwise(zoo)
  try {
    filed.row(0)
  } finally {
    filed.close()
  }
  const byLayer = await groupLayerwise(zoo)
  try {
    byLayer.matrix(byLayer.classNames[0], byLayer.layerNames[0]).row(0)
  } finally {
    byLayer.close()
  }
  await compileZoo(zoo)
}

/** A compiled file as it is, past the check that makes a damaged one anew. */
async function readRows(path, name) {
  const file = await openHdf5(path)
  try {
    const dataset = name === 'modelwise.h5' ? 'parameters' : 'church/conv2d'
    const [rows = 0, columns = 0] = file.shape(dataset)
    if (!(rows * columns <= 1e6)) return
    file.floats(dataset)
    file.rows(
      dataset,
      Uint32Array.from({ length: rows }, (_, i) => i),
      0,
      columns,
      new Float32Array(rows * columns),
    )
  } finally {
    file.close()
  }
}

/** Bytes, or an instruction or a name in exchange for another. */
function mutatePickle(bytes, random) {
  if (random.integer(3) > 0) return mutateBytes(bytes, random)
  const out = Buffer.from(bytes)
  const opcodes =
    '()]}.0123BCGIJKLMNPQRSTUVXabcdeghijlopqrstu\x80\x81\x82\x85\x86\x87\x8a\x8b\x8c\x8d\x8e\x93\x94\x95\x96\x97'
  for (let i = random.integer(10); i >= 0; i--)
    out[random.integer(out.length)] = opcodes.charCodeAt(random.integer(opcodes.length))
  return out
}

async function imageFiles() {
  const random = new RandomStream(1, 'fuzz images')
  const files = {}
  for (const [i, kind] of ['jpeg', 'png', 'webp', 'jpeg'].entries())
    for (const split of ['train', 'val'])
      for (const name of ['cat', 'dog']) {
        const data = Uint8Array.from({ length: 8 * 8 * 3 }, () => random.integer(256))
        const picture = sharp(data, { raw: { width: 8, height: 8, channels: 3 } })
        files[`set/${split}/${name}/${i}.${kind}`] = await picture.toFormat(kind).toBuffer()
      }
  return files
}

async function tarOf(files) {
  const tar = pack()
  for (const [name, bytes] of Object.entries(files)) tar.entry({ name }, bytes)
  tar.finalize()
  const chunks = []
  for await (const chunk of tar) chunks.push(chunk)
  return Buffer.concat(chunks)
}
