import { spawnSync } from 'node:child_process'
import { copyFile, open, readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { RandomStream } from '../../dist/index.js'
import { type Hdf5Reader, openHdf5, writeHdf5 } from '../../dist/zoo/hdf5.js'
import { ChunkedRows, isFletcher32 } from '../../dist/zoo/hdf5-chunks.js'
import { pythonWith, temporaryFolder } from '../support.js'

/** Writes a matrix of random numbers, a few rows at a time. */
async function writeMatrix(rows: number, columns: number, chunkBytes: number, attributes = 0) {
  const path = join(await temporaryFolder(), 'matrix.h5')
  const stream = new RandomStream(rows, columns)
  const data = Float32Array.from({ length: rows * columns }, () => stream.uniform(-1, 1))
  await writeHdf5(path, file => {
    file.group('class')
    const matrix = file.matrix('class/layer', rows, columns, chunkBytes)
    for (let i = 0; i < attributes; i++) file.attribute(`attribute ${i}`, 'x'.repeat(50), 'class/layer')
    for (let row = 0; row < rows; row += 7)
      matrix.writeRows(row, data.slice(row * columns, (row + 7) * columns))
  })
  return { path, data }
}

/** Rows as they are read from the file itself; fails where that is not possible. */
function readChunked(file: Hdf5Reader, positions: number[], start: number, end: number) {
  const { chunked } = file as unknown as { chunked: Map<string, ChunkedRows | undefined> }
  const out = new Float32Array(positions.length * (end - start))
  file.rows('class/layer', Uint32Array.from(positions), start, end, out)
  expect(chunked.get('class/layer')).toBeInstanceOf(ChunkedRows)
  return out
}

describe('rows from the file itself', () => {
  it.each([
    ['one row a chunk', 300, 101, 4, 0],
    ['several rows a chunk, the last chunk not full', 301, 64, 1024, 0],
    ['a single chunk', 3, 5, 100_000, 0],
    ['chunks that lie behind a tree of three levels', 5_000, 2, 8, 0],
    ['a header that goes on elsewhere', 20, 11, 4, 7],
  ])('are those that were written: %s', async (_, rows, columns, chunkBytes, attributes) => {
    const { path, data } = await writeMatrix(rows, columns, chunkBytes, attributes)
    const file = await openHdf5(path)
    const stream = new RandomStream(2)
    const positions = Array.from({ length: 50 }, () => stream.integer(rows))
    // Twice: the first reading of a chunk checks it, the second does not.
    for (let round = 0; round < 2; round++) {
      for (const [start, end] of [
        [0, columns],
        [1, columns - 1],
        [columns - 1, columns],
      ] as const) {
        const expected = positions.flatMap(p => [...data.slice(p * columns + start, p * columns + end)])
        expect(readChunked(file, positions, start, end)).toEqual(Float32Array.from(expected))
      }
      const all = Array.from({ length: rows }, (_, row) => row)
      expect(readChunked(file, all, 0, columns)).toEqual(data)
    }
    file.close()
    file.close()
    expect(() => readChunked(file, [0], 0, 1)).toThrow('is closed')
  })

  it('notices any flipped bit of a chunk, when it is first read', async () => {
    const { path } = await writeMatrix(40, 30, 4)
    const bytes = await readFile(path)
    const needle = Buffer.alloc(4)
    const file = await openHdf5(path)
    needle.writeFloatLE(readChunked(file, [25], 17, 18)[0]!)
    file.close()
    const at = bytes.indexOf(needle)
    for (const offset of [0, 3, 4 * 12 + 4]) {
      const damaged = `${path}.${offset}`
      await copyFile(path, damaged)
      const handle = await open(damaged, 'r+')
      await handle.write(Uint8Array.of(bytes[at + offset]! ^ 0x10), 0, 1, at + offset)
      await handle.close()
      const flipped = await openHdf5(damaged)
      // The last offset is in the checksum, 12 weights after the one looked for.
      expect(() => readChunked(flipped, [25], 0, 30)).toThrow(
        /truncated, corrupt .*checksum of chunk 25 differs/,
      )
      expect(readChunked(flipped, [24], 0, 30)).toHaveLength(30)
      flipped.close()
    }
  })

  it('are never those of a file that took its place', async () => {
    const first = await writeMatrix(10, 10, 4)
    const second = await writeMatrix(11, 10, 4)
    const file = await openHdf5(first.path)
    await rename(second.path, first.path)
    const out = new Float32Array(100)
    file.rows(
      'class/layer',
      Uint32Array.from({ length: 10 }, (_, i) => i),
      0,
      10,
      out,
    )
    expect(out).toEqual(first.data)
    file.close()
  })
})

describe('other layouts', () => {
  const python = pythonWith('h5py')

  it.skipIf(!python).each([
    ['contiguous', ''],
    ['compressed', 'chunks=(1, 30), compression="gzip", fletcher32=True'],
    ['chunks that are narrower', 'chunks=(2, 10)'],
    ['chunks that do not exist yet', 'chunks=(1, 30), fillvalue=1'],
    ['an index of another kind', 'chunks=(1, 30), maxshape=(None, 30), fletcher32=True'],
  ])('are read through the library: %s', async (name, keywords) => {
    const path = join(await temporaryFolder(), 'matrix.h5')
    const script = `
import h5py, numpy
x = numpy.arange(600, dtype='<f4').reshape(20, 30)
libver = 'latest' if ${name === 'an index of another kind' ? 'True' : 'False'} else 'earliest'
with h5py.File(${JSON.stringify(path)}, 'w', libver=libver) as f:
    d = f.create_dataset('class/layer', (20, 30), '<f4', ${keywords})
    d[:10] = x[:10]
    if ${name === 'chunks that do not exist yet' ? 'False' : 'True'}: d[10:] = x[10:]
`
    expect(spawnSync(python!, ['-c', script], { encoding: 'utf8' }).stderr).toBe('')
    const file = await openHdf5(path)
    const out = new Float32Array(4 * 5)
    file.rows('class/layer', Uint32Array.of(3, 4, 19, 0), 7, 12, out)
    const missing = name === 'chunks that do not exist yet'
    const expected = [3, 4, 19, 0].flatMap(row =>
      [7, 8, 9, 10, 11].map(column => (missing && row >= 10 ? 1 : row * 30 + column)),
    )
    expect([...out]).toEqual(expected)
    file.close()
  })
})

describe('isFletcher32', () => {
  /** As HDF5 has it: H5checksum.c's loop, word by word. */
  function reference(bytes: Uint8Array): number {
    let [sum1, sum2] = [0, 0]
    for (let i = 0; i < bytes.length; i += 2) {
      sum1 = (sum1 + bytes[i]! * 256 + bytes[i + 1]!) % 65535
      sum2 = (sum2 + sum1) % 65535
    }
    return sum2 * 65536 + sum1
  }

  it.each([0, 2, 718, 720, 722, 4_000, 100_000])('knows the checksum of %i bytes', length => {
    const stream = new RandomStream(length)
    const bytes = Uint8Array.from({ length }, () => stream.integer(256))
    const sum = reference(bytes)
    expect(isFletcher32(bytes, sum)).toBe(true)
    expect(isFletcher32(bytes, sum ^ 0x0100)).toBe(false)
    if (length === 0) return
    bytes[length >> 1]! ^= 1
    expect(isFletcher32(bytes, sum)).toBe(false)
  })

  it('does not overflow at the largest words', () => {
    const bytes = new Uint8Array(10_000).fill(0xff)
    bytes[0] = 0xfe
    expect(isFletcher32(bytes, reference(bytes))).toBe(true)
  })
})
