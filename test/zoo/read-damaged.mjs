// Reads damaged HDF5 files, one after another, and says what that left behind: `node read-damaged.mjs <folder> <count>`.
// Of every file, what it was before it was damaged is read from the same path afterwards, and has to be as it was.

import { readdirSync, readFileSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { mutateBytes } from '../../bench/fuzz-mutate.mjs'
import { archiveEntries } from '../../dist/archive.js'
import { readKerasFile } from '../../dist/exchange/keras-files.js'
import { importZoo, isZooError, RandomStream } from '../../dist/index.js'
import { openHdf5 } from '../../dist/zoo/hdf5.js'
import { readModelFile } from '../../dist/zoo/model-file.js'

const [folder, count] = [process.argv[2], Number(process.argv[3])]
const fixture = name => decodeURI(new URL(`../fixtures/published/${name}`, import.meta.url).pathname)
const architecture = JSON.parse(readFileSync(fixture('architecture.json'), 'utf8'))

const zoo = await importZoo({ source: fixture('keras.tgz'), out: join(folder, 'zoo'), architecture })
const keras = []
for await (const { parts, take } of archiveEntries(fixture('keras.tgz'), 'gzip'))
  if (parts.at(-1).endsWith('.h5')) keras.push(Buffer.from(await take()))

const kinds = [
  { bytes: await readFile(join(zoo.path, 'modelwise.h5')), read: readModelwise },
  {
    bytes: await readFile(join(zoo.path, 'models', 'church_0.weights.h5')),
    read: path => readModelFile(path, zoo.architecture),
  },
  ...keras.map(bytes => ({ bytes, read: path => readKerasFile(path, zoo.architecture) })),
]
for (const [i, kind] of kinds.entries()) {
  kind.path = join(folder, `${i}.h5`)
  await writeFile(kind.path, kind.bytes)
  kind.expected = String(await kind.read(kind.path))
}

async function readModelwise(path) {
  const file = await openHdf5(path)
  try {
    const [rows, columns] = file.shape('parameters')
    const all = new Float32Array(rows * columns)
    file.rows(
      'parameters',
      Uint32Array.from({ length: rows }, (_, i) => i),
      0,
      columns,
      all,
    )
    const texts = [file.attribute('networks_sha256'), file.attribute('class_names'), file.values('names')]
    return [...texts, file.floats('parameters'), all]
  } finally {
    file.close()
  }
}

const descriptors = () => readdirSync('/proc/self/fd').length
const before = descriptors()
let [refused, wrong, memory] = [0, 0, 0]
for (let i = 0; i < count; i++) {
  // Memory that is in use and no longer grows by then.
  if (i === Math.floor(count / 3)) memory = process.memoryUsage().rss
  const { path, bytes, read, expected } = kinds[i % kinds.length]
  await writeFile(path, mutateBytes(bytes, new RandomStream(1, `damaged ${i}`)))
  try {
    await read(path)
  } catch (error) {
    if (!isZooError(error)) throw error
    refused++
  }
  await writeFile(path, bytes)
  if (String(await read(path).catch(error => error)) !== expected) wrong++
}
const grown = Math.max(0, process.memoryUsage().rss - memory)
console.log(JSON.stringify({ refused, wrong, left: descriptors() - before, grown }))
