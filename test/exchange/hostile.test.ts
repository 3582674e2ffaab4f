import { spawnSync } from 'node:child_process'
import { createWriteStream } from 'node:fs'
import { mkdir, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { crc32, createGzip, deflateRawSync, gzipSync } from 'node:zlib'
import { zipSync } from 'fflate'
import sharp from 'sharp'
import { pack } from 'tar-stream'
import { describe, expect, it } from 'vitest'
import { lenet5Architecture } from '../../dist/architecture/lenet5.js'
import { archiveEntries } from '../../dist/archive.js'
import { oneLine } from '../../dist/errors.js'
import { openNetworkPickle } from '../../dist/exchange/import-pickle.js'
import { Tensor } from '../../dist/exchange/pickle-tensors.js'
import { generateImages, ImageFolderLoader, importZoo, openZoo } from '../../dist/index.js'
import { openHdf5 } from '../../dist/zoo/hdf5.js'
import { fromRoot, pythonWith, temporaryFolder, trainSmallZoo } from '../support.js'
import { publishedArchitecture } from './published.js'

const ONE_PIXEL = await sharp({ create: { width: 1, height: 1, channels: 3, background: 'red' } })
  .png()
  .toBuffer()

/** A tar header: ustar, with the given size or text in the place of one. */
function tarHeader(name: string, size: number | string, type = '0'): Buffer {
  const header = Buffer.alloc(512)
  header.write(name)
  header.write(typeof size === 'string' ? size : size.toString(8).padStart(11, '0'), 124, 'latin1')
  header.write(`${type}`, 156)
  header.write('ustar\x0000', 257)
  header.fill(' ', 148, 156)
  const sum = header.reduce((total, byte) => total + byte, 0)
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
  return header
}

function member(name: string, content: Buffer, type = '0'): Buffer[] {
  return [tarHeader(name, content.length, type), content, Buffer.alloc(-content.length & 511)]
}

/** A tar whose names stand in pax headers, where any character may stand. */
function tarOf(files: [name: string, content: Buffer][]): Buffer {
  const pax = (name: string) => {
    const rest = Buffer.byteLength(` path=${name}\n`)
    return Buffer.from(`${rest + 2} path=${name}\n`)
  }
  const members = files.flatMap(([name, content]) => [...member('', pax(name), 'x'), ...member('', content)])
  return Buffer.concat([...members, Buffer.alloc(1024)])
}

/** A zip all of whose names stand for the same bytes. */
function overlappingZip(names: string[], content: Buffer, size = content.length): Buffer {
  const packed = deflateRawSync(content)
  const common = Buffer.alloc(26)
  common.writeUInt16LE(20, 0)
  common.writeUInt16LE(8, 4)
  common.writeUInt32LE(crc32(content), 10)
  common.writeUInt32LE(packed.length, 14)
  common.writeUInt32LE(size, 18)
  const local = Buffer.concat([Buffer.from('PK\x03\x04'), common, packed])
  const central = names.map(name => {
    const head = Buffer.from(common)
    head.writeUInt16LE(name.length, 22)
    return Buffer.concat([Buffer.from('PK\x01\x02\x14\0'), head, Buffer.alloc(14), Buffer.from(name)])
  })
  const end = Buffer.alloc(22)
  end.write('PK\x05\x06', 'latin1')
  end.writeUInt16LE(names.length, 8)
  end.writeUInt16LE(names.length, 10)
  end.writeUInt32LE(Buffer.concat(central).length, 12)
  end.writeUInt32LE(local.length, 16)
  return Buffer.concat([local, ...central, end])
}

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

  it('that have parts where no file can are refused', async () => {
    const source = join(await temporaryFolder(), 'a.zip')
    const end = Buffer.alloc(20 + 22)
    end.write('PK\x06\x07', 0, 'latin1') // where the end of a large archive's directory is
    end.writeBigUInt64LE(2n ** 63n - 1n, 8)
    end.write('PK\x05\x06', 20, 'latin1')
    await writeFile(source, Buffer.concat([Buffer.from('PK'), Buffer.alloc(100), end]))
    const entries = archiveEntries(source, 'zip')
    await expect(entries.next()).rejects.toThrow(/damaged archive.*at byte 9223372036854776000/)
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

describe('crafted archives', () => {
  const read = async (name: string, bytes: Uint8Array, kind: 'tar' | 'gzip' | 'zip') => {
    const path = join(await temporaryFolder(), name)
    await writeFile(path, bytes)
    let count = 0
    for await (const { isFolder, take } of archiveEntries(path, kind)) {
      count++
      if (!isFolder) await take()
    }
    return count
  }

  it('zips whose files overlap are refused', async () => {
    const names = Array.from({ length: 100 }, (_, i) => `a_${i}.h5`)
    const work = read('overlap.zip', overlappingZip(names, Buffer.alloc(2 ** 20, 'weights')), 'zip')
    await expect(work).rejects.toThrow('refused: its files overlap')
  })

  it('zips of which no file alone, but all together unpack to too much, are refused', async () => {
    const zeros = new Uint8Array(40 * 2 ** 20)
    expect(await read('small.zip', zipSync({ 'a_0.h5': zeros }), 'zip')).toBe(1)
    const work = read('bomb.zip', zipSync({ 'a_0.h5': zeros, 'a_1.h5': zeros }), 'zip')
    await expect(work).rejects.toThrow('refused: it unpacks to more than 100 times its size')
  })

  it('zips that lie about a size give no more than they say', async () => {
    const bytes = overlappingZip(['a_0.h5'], Buffer.alloc(2 ** 20), 1000)
    await expect(read('lie.zip', bytes, 'zip')).rejects.toThrow('too many bytes in the stream')
  })

  it('gzip in gzip is unpacked once', async () => {
    const inner = gzipSync(Buffer.alloc(50 * 2 ** 20))
    const source = join(await temporaryFolder(), 'nested.tgz')
    await writeFile(source, gzipSync(tarOf([['a_0.h5', gzipSync(inner)]])))
    await expect(importZoo({ source, out: `${source}.zoo` })).rejects.toThrow(
      'a_0.h5 is truncated, corrupt or no',
    )
    await writeFile(source, gzipSync(inner))
    await expect(importZoo({ source, out: `${source}.zoo` })).rejects.toThrow('no tar inside')
  })

  it('a tar of a giant file, name or header, or of a wrong size, takes no memory', async () => {
    const end = Buffer.alloc(1024)
    const giant = (type: string, size: number | string) =>
      read('giant.tar', Buffer.concat([tarHeader('a', 0), tarHeader('a_0.h5', size, type), end]), 'tar')
    await expect(giant('0', 7 * 2 ** 30)).rejects.toThrow(
      '7516192768 bytes are more than the limit of 268435456',
    )
    await expect(giant('0', 200 * 2 ** 20)).rejects.toThrow('truncated archive')
    for (const type of ['x', 'L'])
      await expect(giant(type, 2 ** 30)).rejects.toThrow(
        'refused: a name or its attributes of 1073741824 bytes',
      )
    for (const type of ['g', 'K', '2'])
      await expect(giant(type, 2 ** 30)).rejects.toThrow('truncated archive')
    for (const size of ['-0000000001', '\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff', '\xff'])
      await expect(giant('0', size)).rejects.toThrow('a header with a wrong size')
    const pax = (text: string) =>
      read('pax.tar', Buffer.concat([tarHeader('a', 0), ...member('', Buffer.from(text), 'x'), end]), 'tar')
    for (const text of ['9 path=a', '0 path=a\n', '-9 path=a\n', '9999999 path=a\n', 'path=a\n', '1 \n'])
      await expect(pax(text), text).rejects.toThrow('attributes that are none')
    await expect(pax('12 size=-99\n')).rejects.toThrow('a header with a wrong size')
  })

  it('attributes for all files, which could make every file cost millions, are passed over', async () => {
    const many = Array.from({ length: 300_000 }, (_, i) => `12 k${String(i).padStart(6, '0')}=\n`).join('')
    const files = Array.from({ length: 2000 }, () => [
      ...member('', Buffer.from('10 path=a\n'), 'x'),
      tarHeader('b', 0),
    ])
    const start = performance.now()
    const bytes = Buffer.concat([...member('', Buffer.from(many), 'g'), ...files.flat(), Buffer.alloc(1024)])
    expect(await read('attributes.tar', bytes, 'tar')).toBe(2000)
    expect(performance.now() - start).toBeLessThan(20_000)
  })

  it('of empty files without number end where they unpack to too much; 100,000 are gone through', async () => {
    const files = Buffer.concat(Array.from({ length: 1000 }, () => tarHeader('a', 0)))
    const tar = (count: number) =>
      Buffer.concat([...Array<Buffer>(count / 1000).fill(files), Buffer.alloc(1024)])
    expect(await read('many.tar', tar(100_000), 'tar')).toBe(100_000)
    const work = read('many.tgz', gzipSync(tar(200_000)), 'gzip')
    await expect(work).rejects.toThrow('more than 100 times its size')
  })
})

describe('images', () => {
  const errorOf = async (bytes: Buffer, name = 'a.png') => {
    const folder = await temporaryFolder()
    for (const split of ['train', 'val']) await mkdir(join(folder, split, 'x'), { recursive: true })
    await writeFile(join(folder, 'val', 'x', 'a.png'), ONE_PIXEL)
    await writeFile(join(folder, 'train', 'x', name), bytes)
    return new ImageFolderLoader({ source: folder, cache: false }).load().then(
      () => '',
      error => (error as Error).message,
    )
  }

  it('that claim 60,000 x 60,000 pixels are refused', async () => {
    expect(await errorOf(ONE_PIXEL)).toBe('')
    const png = Buffer.from(ONE_PIXEL)
    png.writeUInt32BE(60_000, 16)
    png.writeUInt32BE(60_000, 20)
    png.writeUInt32BE(crc32(png.subarray(12, 29)), 29)
    const jpeg = await sharp({ create: { width: 8, height: 8, channels: 3, background: 'red' } })
      .jpeg()
      .toBuffer()
    const size = jpeg.indexOf(Buffer.from([0xff, 0xc0])) + 5
    jpeg.writeUInt16BE(60_000, size)
    jpeg.writeUInt16BE(60_000, size + 2)
    for (const bytes of [png, jpeg])
      expect(await errorOf(bytes)).toMatch(/^cannot decode image \(more than 100000000 pixels\)/)
  })

  it.each([
    ['SVG', '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'],
    ['PDF', '%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\ntrailer<</Root 1 0 R>>\n'],
    ['GIF', 'GIF89a\x01\0\x01\0\0\0\0;'],
    ['TIFF', 'II*\0\x08\0\0\0\0\0'],
    ['AVIF', '\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf'],
  ])('that are %s are refused, whatever their name', async (_, text) => {
    expect(await errorOf(Buffer.from(text, 'latin1'))).toMatch(
      /^cannot decode image \(not a JPEG, PNG or WebP/,
    )
  })

  it.skipIf(process.platform === 'win32')(
    'that are pipes or devices are refused, not waited for',
    async () => {
      const folder = await temporaryFolder()
      for (const split of ['train', 'val']) await mkdir(join(folder, split, 'x'), { recursive: true })
      await writeFile(join(folder, 'val', 'x', 'a.png'), ONE_PIXEL)
      const load = (source: string) => new ImageFolderLoader({ source, cache: false }).load()
      const path = join(folder, 'train', 'x', 'a.png')
      await symlink('/dev/zero', path)
      await expect(load(folder)).rejects.toThrow(/^cannot decode image \(no regular file\)/)
      await rm(path)
      expect(spawnSync('mkfifo', [path]).status).toBe(0)
      await expect(load(folder)).rejects.toThrow(/^cannot decode image \(no regular file\)/)
      await expect(load(path)).rejects.toThrow(`cannot read images; neither a file nor a folder: ${path}`)
    },
  )

  it('in thousands of class folders, but not in the wanted one, make a short line', async () => {
    const source = join(await temporaryFolder(), 'a.tar')
    const folders = Array.from({ length: 3000 }, (_, i) => tarHeader(`train/${i}/`, 0, '5'))
    await writeFile(source, Buffer.concat([...folders, tarHeader('val/a/', 0, '5'), Buffer.alloc(1024)]))
    const work = new ImageFolderLoader({ source, classNames: { a: 'a' }, cache: false }).load()
    await expect(work).rejects.toThrow(
      /^missing class folder a in split "train"; found 0, 1, .* and 2980 more: /,
    )
  })
})

describe('class names', () => {
  it('of any characters stay within the models folder, and come back', async () => {
    const names = ['../../up', '/abs', 'a b', 'a.b', '.hidden', 'nul', 'CON.x', 'ünï ☃', 'a\\b', '..']
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

  it.each(['a\0b', 'a\nb', 'a\u001b[31mb', 'a\u0085b', 'a\u2028b', 'a\ud800'])('refuses %j', async name => {
    const images = generateImages({ classes: 2, trainPerClass: 12, validationPerClass: 4, seed: 3 })
    const folder = await temporaryFolder()
    const out = join(folder, 'zoo')
    const why = `${oneLine(JSON.stringify(name))}: a class name cannot have control characters or lone surrogates`
    const named = { ...images, classNames: ['x', name] }
    await expect(trainSmallZoo(out, { images: named, perClass: 1 })).rejects.toThrow(
      `invalid classNames[1]; a class name cannot have control characters or lone surrogates: ${oneLine(JSON.stringify(name))}`,
    )
    // In UTF-8, and so in an archive, there are no lone surrogates.
    if (name.includes('\ud800')) return
    const source = join(folder, 'a.tar')
    const members: [string, Buffer][] = [
      `train/${name}/a.png`,
      'train/x/a.png',
      `val/${name}/a.png`,
      'val/x/a.png',
    ].map(path => [path, ONE_PIXEL])
    await writeFile(source, tarOf([...members, [`${name}_1.h5`, Buffer.alloc(9)]]))
    const work = new ImageFolderLoader({ source, cache: false }).load()
    await expect(work).rejects.toMatchObject({ tag: 'images', fields: { path: source } })
    await expect(work).rejects.toThrow(`class folder ${why}; rename it: ${source}`)
    await expect(importZoo({ source, out })).rejects.toThrow(`/${oneLine(name)}_1.h5: ${why}`)
  })
})

const numpy = pythonWith('numpy')
describe.skipIf(!numpy)('pickles', () => {
  it('that refer to the same numbers again and again end where networks are 100 times the file', async () => {
    const path = join(await temporaryFolder(), 'a.pkl')
    const architecture = lenet5Architecture()
    const names = [...new Set(architecture.parameters.map(({ layer }) => layer))]
    const sizes = names.map(name =>
      architecture.parameters.reduce((sum, { layer, size }) => sum + (layer === name ? size : 0), 0),
    )
    const script = `
import json, numpy, pickle, sys
path, names, sizes = sys.argv[1], *map(json.loads, sys.argv[2:])
layers = {name: [numpy.zeros(size, 'f4')] * 1000 for name, size in zip(names, sizes)}
pickle.dump([{'class': 'a', 'parameters': layers}], open(path, 'wb'), protocol=4)`
    const args = ['-c', script, path, JSON.stringify(names), JSON.stringify(sizes)]
    expect(spawnSync(numpy!, args, { encoding: 'utf8' }).stderr).toBe('')
    const pickle = await openNetworkPickle(path, undefined, architecture)
    let count = 0
    const readAll = () => {
      for (const network of pickle.networks) count += Math.sign(network.index + 1)
    }
    expect(readAll).toThrow(`cannot import ${path}: refused: it unpacks to more than 100 times its size`)
    expect(count).toBe(Math.floor((64 * 2 ** 20) / (4 * architecture.parameterCount)))
    await pickle.close()
  })
})

describe('tensors', () => {
  it('of a size that is no number are refused, not spread', () => {
    const shape = [...Array<number>(40).fill(2 ** 53 - 1), 0]
    const tensor = new Tensor(shape, Array<number>(41).fill(0), 0, () => {
      throw new Error('its numbers were asked for')
    })
    expect(() => tensor.floats(100)).toThrow('where at most 100 numbers are expected')
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
