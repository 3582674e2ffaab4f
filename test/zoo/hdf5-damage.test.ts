import { spawnSync } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { readFile, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { archiveEntries } from '../../dist/archive.js'
import { openHdf5, writeHdf5 } from '../../dist/zoo/hdf5.js'
import { LoopCheck } from '../../dist/zoo/hdf5-loops.js'
import { published } from '../exchange/published.js'
import { fromRoot, temporaryFolder } from '../support.js'

describe('a damaged file', () => {
  it('is not left open, takes no memory, and is read as it was once it has been mended', async () => {
    const folder = await temporaryFolder()
    const args = [fromRoot('test/zoo/read-damaged.mjs'), folder, '200']
    const { stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', timeout: 100_000 })
    expect(stderr).toBe('')
    const { refused, wrong, left, grown } = JSON.parse(stdout)
    expect(refused).toBeGreaterThan(100)
    expect({ wrong, left }).toEqual({ wrong: 0, left: 0 })
    // Of the library's memory alone, 130 instances have 2.5 GB.
    expect(grown).toBeLessThan(300e6)
  })

  it('disturbs no file that is open, or opened next', async () => {
    const folder = await temporaryFolder()
    const write = (name: string, value: number) =>
      writeHdf5(join(folder, name), file => file.dataset('x', Float32Array.of(value), [1]))
    await write('first.h5', 1)
    await write('second.h5', 2)
    await writeFile(join(folder, 'bad.h5'), (await readFile(join(folder, 'first.h5'))).subarray(0, 300))
    const first = await openHdf5(join(folder, 'first.h5'))
    await expect(openHdf5(join(folder, 'bad.h5'))).rejects.toThrow(/truncated, corrupt/)
    const second = await openHdf5(join(folder, 'second.h5'))
    expect([first, second, first].map(file => file.floats('x')[0])).toEqual([1, 2, 1])
    second.close()
    expect(first.floats('x')[0]).toBe(1)
    first.close()
  })

  it('may fail as often as one likes: what can be read of it still is', async () => {
    const path = join(await temporaryFolder(), 'x.h5')
    await writeHdf5(path, file => {
      const rows = file.matrix('rows', 2, 3, 4)
      rows.writeRows(0, Float32Array.of(1, 2, 3, 4, 5, 6))
    })
    const bytes = await readFile(path)
    bytes[bytes.indexOf(Buffer.from(Float32Array.of(4, 5, 6).buffer))]! ^= 1
    await writeFile(path, bytes)
    const file = await openHdf5(path)
    const read = (row: number) =>
      file.floats('rows', [
        [row, row + 1],
        [0, 3],
      ])
    // Each error would leave a kilobyte on the library's stack, of 2 MiB.
    for (let i = 0; i < 4000; i++) expect(() => read(1)).toThrow(/truncated, corrupt/)
    expect(read(0)).toEqual(Float32Array.of(1, 2, 3))
    file.close()
  })
})

/** What is thrown where a file is read, by a process that is stopped if it does not end. */
function errorOf(path: string, read: string): string {
  const script = `
    import { openHdf5 } from ${JSON.stringify(new URL('../../dist/zoo/hdf5.js', import.meta.url).href)}
    try {
      const file = await openHdf5(${JSON.stringify(path)})
      ${read}
    } catch (error) { console.log(error.message) }`
  const args = ['--input-type=module', '-e', script]
  const { stdout, signal } = spawnSync(process.execPath, args, { encoding: 'utf8', timeout: 20_000 })
  expect(signal).toBeNull()
  return stdout
}

/** A file with texts, and where its heap begins and has its free space. */
async function fileWithHeap() {
  const path = join(await temporaryFolder(), 'x.h5')
  await writeHdf5(path, file => file.attribute('names', ['a', 'the second']))
  const bytes = await readFile(path)
  const heap = bytes.indexOf('GCOL')
  let free = heap + 16
  while (bytes.readUInt16LE(free) !== 0) free += 16 + Math.ceil(bytes.readUInt32LE(free + 8) / 8) * 8
  return { path, bytes, heap, free }
}

/** A file that Keras wrote, in the oldest format. */
async function kerasFile() {
  const path = join(await temporaryFolder(), 'keras.h5')
  for await (const { parts, take } of archiveEntries(published('keras.tgz'), 'gzip')) {
    if (parts.at(-1) === 'binary_oneVall_church_0_model.h5') await writeFile(path, await take())
  }
  return { path, bytes: await readFile(path) }
}

describe('what would hold the library forever', () => {
  it('is refused in a file of any size: a heap', async () => {
    const { path, bytes, heap, free } = await fileWithHeap()
    bytes.writeUInt32LE(0, free + 8)
    await writeFile(path, bytes)
    await truncate(path, 5e9)
    expect(errorOf(path, "file.attribute('names')")).toBe(
      `${path} is truncated, corrupt or no HDF5 file (damaged heap at byte ${heap})\n`,
    )
  })

  it('is found where a read begins with it, and nothing is seen in what is sound or no heap', async () => {
    const { path, bytes, heap, free } = await fileWithHeap()
    const check = (start: number) => {
      const fd = openSync(path, 'r')
      onTestFinished(() => closeSync(fd))
      new LoopCheck(fd).check(bytes.subarray(start), start)
    }
    check(heap)
    bytes.writeUInt32LE(0, free + 8)
    await writeFile(path, bytes)
    expect(() => check(heap)).toThrow(`damaged heap at byte ${heap}`)
    check(heap - 8)
    // An object of 2^32 - 16 bytes is none, in 32 bits.
    bytes.writeUInt16LE(1, free)
    bytes.writeUInt32LE(2 ** 32 - 16, free + 8)
    await writeFile(path, bytes)
    expect(() => check(heap)).toThrow(`damaged heap at byte ${heap}`)
    // In a cache image it would be in the middle of a read.
    bytes.write('MDCI\0', 0, 'latin1')
    expect(() => check(0)).toThrow('it has a metadata cache image')
  })

  it('is refused: a list of free blocks that leads into itself', async () => {
    const { path, bytes } = await kerasFile()
    const heap = bytes.indexOf('HEAP')
    const [free, blocks] = [bytes.readUInt32LE(heap + 16), bytes.readUInt32LE(heap + 24)]
    expect(await openHdf5(path).then(file => file.datasets())).not.toEqual([])
    bytes.writeUInt32LE(free, blocks + free)
    await writeFile(path, bytes)
    const file = await openHdf5(path)
    expect(() => file.datasets()).toThrow(`(damaged heap at byte ${heap})`)
    file.close()
  })

  it('is refused: a tree of groups whose nodes lead to one leaf on 32^8 ways', async () => {
    const { path, bytes } = await kerasFile()
    const root = bytes.indexOf('TREE')
    const leaf = bytes.readBigUInt64LE(root + 32)
    bytes.writeUInt16LE(0, Number(leaf) + 6) // no members, which would fill memory
    const nodeBytes = 24 + 8 + 16 * 32
    const nodes = Buffer.alloc(8 * nodeBytes)
    const addressOf = (level: number) => BigInt(bytes.length + level * nodeBytes)
    for (let level = 0; level < 8; level++) {
      const node = nodes.subarray(level * nodeBytes)
      node.write('TREE\0', 'latin1')
      node[5] = level
      node.writeUInt16LE(32, 6)
      node.fill(0xff, 8, 24) // no neighbours
      for (let i = 0; i < 32; i++)
        node.writeBigUInt64LE(level === 0 ? leaf : addressOf(level - 1), 24 + 8 + 16 * i)
    }
    bytes[root + 5] = 8
    bytes.writeBigUInt64LE(addressOf(7), root + 32)
    bytes.writeBigUInt64LE(addressOf(8), 40) // the file's end
    await writeFile(path, Buffer.concat([bytes, nodes]))
    expect(errorOf(path, 'file.datasets()')).toContain(`damaged group at byte ${root})`)
  })

  it('is no heap that the file does not hold whole', async () => {
    const { path, bytes, heap } = await fileWithHeap()
    const fd = openSync(path, 'r')
    onTestFinished(() => closeSync(fd))
    const loops = new LoopCheck(fd)
    // The library has zeros where a file has ended meanwhile.
    await truncate(path, heap + 16)
    expect(() => loops.check(bytes.subarray(heap), heap)).toThrow(`damaged heap at byte ${heap}`)
    new LoopCheck(fd).check(bytes.subarray(heap), heap)
  })

  it('cannot be a heap that hides behind sizes of other than 8 bytes', async () => {
    const { path, bytes } = await fileWithHeap()
    expect(bytes[8]).toBe(2)
    for (const [at, message] of [
      [9, 'addresses of 4 and sizes of 8 bytes, and only 8 are read'],
      [10, 'addresses of 8 and sizes of 4 bytes, and only 8 are read'],
    ] as const) {
      const other = Buffer.from(bytes)
      other[at] = 4
      await writeFile(path, other)
      await expect(openHdf5(path)).rejects.toThrow(message)
    }
  })
})
