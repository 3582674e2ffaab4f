import { spawnSync } from 'node:child_process'
import { createWriteStream } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'
import { pack } from 'tar-stream'
import { describe, expect, it } from 'vitest'
import { archiveEntries } from '../../dist/archive.js'
import { generateImages, importZoo, openZoo } from '../../dist/index.js'
import { openHdf5 } from '../../dist/zoo/hdf5.js'
import { fromRoot, pythonWith, temporaryFolder, trainSmallZoo } from '../support.js'
import { publishedArchitecture } from './published.js'

const fixture = fromRoot('test/fixtures/published/keras.tgz')

describe('archives', () => {
  it('with climbing and absolute paths, links and devices write nothing but the zoo', async () => {
    const folder = await temporaryFolder()
    let bytes = Buffer.alloc(0)
    for await (const { parts, take } of archiveEntries(fixture, 'gzip'))
      if (parts.at(-1) === 'binary_oneVall_church_0_model.h5') bytes = Buffer.from(await take())
    const tar = pack()
    tar.entry({ name: '../../escape/church_1.h5' }, bytes)
    tar.entry({ name: '/tmp/weightzoo-escape/church_2.h5' }, bytes)
    tar.entry({ name: 'church_3.h5', type: 'symlink', linkname: '/etc/passwd' })
    tar.entry({ name: 'church_4.h5', type: 'link', linkname: '/etc/passwd' })
    tar.entry({ name: 'church_5.h5', type: 'character-device' })
    tar.entry({ name: 'church_6.h5', type: 'fifo' })
    tar.entry({ name: 'a\\..\\..\\church_7.h5' }, bytes)
    tar.finalize()
    const source = join(folder, 'a.tgz')
    await pipeline(Readable.from(tar as AsyncIterable<Uint8Array>), createGzip(), createWriteStream(source))
    const zoo = await importZoo({ source, out: join(folder, 'zoo'), architecture: publishedArchitecture })
    expect(new Set(zoo.networks.map(({ class: name, index }) => `${name} ${index}`))).toEqual(
      new Set(['a\\..\\..\\church 7', 'church 1', 'church 2']),
    )
    expect((await readdir(folder)).sort()).toEqual(['a.tgz', 'zoo'])
    expect((await readdir(join(folder, 'zoo', 'models'))).sort()).toEqual([
      'a%5C..%5C..%5Cchurch_7.weights.h5',
      'church_1.weights.h5',
      'church_2.weights.h5',
    ])
  })

  it('that unpack to more than 100 times their size are refused, named so', async () => {
    const folder = await temporaryFolder()
    const source = join(folder, 'bomb.tgz')
    const tar = pack()
    tar.entry({ name: 'zeros.bin' }, Buffer.alloc(100 * 2 ** 20))
    tar.finalize()
    await pipeline(Readable.from(tar as AsyncIterable<Uint8Array>), createGzip(), createWriteStream(source))
    await expect(importZoo({ source, out: join(folder, 'zoo') })).rejects.toThrow(
      /^cannot import .*bomb\.tgz: refused: it unpacks to more than 100 times its size$/,
    )
  })
})

describe('class names', () => {
  it('of any characters stay within the models folder, and come back', async () => {
    const names = ['../../up', '/abs', 'a b', 'a.b', '.hidden', 'nul', 'CON.x', 'ünï ☃', 'tab\tNUL\0', '..']
    const images = generateImages({ classes: 10, trainPerClass: 12, validationPerClass: 4, seed: 3 })
    const folder = await temporaryFolder()
    const out = join(folder, 'zoo')
    const named = { ...images, classNames: names }
    const zoo = await trainSmallZoo(out, { images: named, classes: names, perClass: 1 })
    expect(zoo.networks.map(network => network.class)).toEqual(names)
    expect(await readdir(folder)).toEqual(['zoo'])
    const files = await readdir(join(out, 'models'))
    expect(files).toHaveLength(10)
    for (const file of files)
      expect(file).toMatch(/^(?!(con|nul)\.)[A-Za-z0-9%_-][A-Za-z0-9%_.-]*_0\.weights\.h5$/i)
    expect((await openZoo(out)).networks).toHaveLength(10)
  })
})

const python = pythonWith('h5py')
describe.skipIf(!python)('HDF5 by h5py', () => {
  it('that refers to other files, loops or claims giant sizes is refused, and reads nothing of them', async () => {
    const folder = await temporaryFolder()
    const script = `
import h5py, numpy as np, os
os.chdir(${JSON.stringify(folder)})
np.arange(8, dtype='f4').tofile('secret.bin')
with h5py.File('secret.h5', 'w') as f: f['x'] = np.arange(8, dtype='f4')
with h5py.File('external_0.h5', 'w') as f:
    f.create_dataset('conv2d/kernel', shape=(8,), dtype='f4', external=[('secret.bin', 0, 32)])
with h5py.File('link_0.h5', 'w') as f: f['layers'] = h5py.ExternalLink('secret.h5', '/')
with h5py.File('virtual_0.h5', 'w') as f:
    layout = h5py.VirtualLayout((8,), 'f4'); layout[:] = h5py.VirtualSource('secret.h5', 'x', shape=(8,))
    f.create_virtual_dataset('x', layout)
with h5py.File('loop_0.h5', 'w') as f: f.create_group('a'); f['a/b'] = f['/']
with h5py.File('giant_0.h5', 'w') as f:
    f.create_dataset('x', shape=(2**40,), dtype='f4', chunks=(2**20,))
    f.create_dataset('y', shape=(10,), maxshape=(None,), dtype='f4', chunks=(2**28,))
`
    const child = spawnSync(python!, ['-c', script], { encoding: 'utf8' })
    expect(child.status, child.stderr).toBe(0)
    const at = (name: string) => join(folder, name)
    const refused = async (name: string, dataset: string, message: RegExp) => {
      const file = await openHdf5(at(name))
      expect(() => file.floats(dataset)).toThrow(message)
      file.close()
    }
    await refused('external_0.h5', 'conv2d/kernel', /unable to open external raw data file|Permission denied/)
    await refused('virtual_0.h5', 'x', /x refers to other files/)
    await refused('giant_0.h5', 'x', /x has 4398046511104 bytes, at most 536870912 are read/)
    await refused('giant_0.h5', 'y', /a chunk of y has 1073741824 bytes/)
    await expect(importZoo({ source: at('link_0.h5'), out: at('zoo') })).rejects.toThrow(
      /it holds no weights/,
    )
    await expect(importZoo({ source: at('loop_0.h5'), out: at('zoo2') })).rejects.toThrow(
      /groups more than 16 deep/,
    )
  })
})
