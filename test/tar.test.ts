import { spawnSync } from 'node:child_process'
import { createReadStream } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pack } from 'tar-stream'
import { describe, expect, it } from 'vitest'
import { tarMembers } from '../dist/tar.js'
import { pythonWith, temporaryFolder } from './support.js'

type Members = [name: string, content: string | undefined][]

async function read(source: AsyncIterable<Uint8Array>): Promise<Members> {
  const found: Members = []
  for await (const { name, isFolder, read } of tarMembers(source))
    found.push([name, isFolder ? undefined : Buffer.from(await read()).toString()])
  return found
}

const LONG = `${'folder/'.repeat(30)}file with ünï ☃.png`

describe('tarMembers', () => {
  it('reads what tar-stream writes, from chunks of any size, taken or passed over', async () => {
    const tar = pack()
    tar.entry({ name: 'a/', type: 'directory' })
    tar.entry({ name: 'a/1.png' }, 'x'.repeat(511))
    tar.entry({ name: 'a/2.png' }, 'y'.repeat(512))
    tar.entry({ name: LONG }, 'z'.repeat(513))
    tar.entry({ name: 'link', type: 'symlink', linkname: 'a/1.png' })
    tar.entry({ name: 'empty' }, '')
    tar.finalize()
    const bytes = Buffer.concat(await Readable.from(tar as AsyncIterable<Uint8Array>).toArray())
    const wanted: Members = [
      ['a/', undefined],
      ['a/1.png', 'x'.repeat(511)],
      ['a/2.png', 'y'.repeat(512)],
      [LONG, 'z'.repeat(513)],
      ['empty', ''],
    ]
    for (const size of [1, 7, 512, 1000, bytes.length]) {
      const chunks = Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
        bytes.subarray(i * size, (i + 1) * size),
      )
      expect(await read(Readable.from(chunks))).toEqual(wanted)
      const names: string[] = []
      for await (const { name } of tarMembers(Readable.from(chunks))) names.push(name)
      expect(names).toEqual(wanted.map(([name]) => name))
    }
    for (const cut of [100, 600, 1100])
      await expect(read(Readable.from([bytes.subarray(0, cut)]))).rejects.toThrow('it ends early')
  })

  const python = pythonWith('tarfile')
  it.skipIf(!python).each(['USTAR_FORMAT', 'GNU_FORMAT', 'PAX_FORMAT'])('reads Python’s %s', async format => {
    const path = join(await temporaryFolder(), 'a.tar')
    const names = format === 'USTAR_FORMAT' ? [`${'folder/'.repeat(30)}plain.png`] : [LONG, 'x'.repeat(300)]
    const script = `
import io, json, sys, tarfile
with tarfile.open(sys.argv[1], 'w', format=tarfile.${format}) as tar:
    for name in json.loads(sys.argv[2]):
        info = tarfile.TarInfo(name); info.size = 5; info.mtime = 1.5
        tar.addfile(info, io.BytesIO(b'bytes'))
    link = tarfile.TarInfo('link'); link.type = tarfile.LNKTYPE; link.linkname = 'l' * 90; tar.addfile(link)
    info = tarfile.TarInfo('folder'); info.type = tarfile.DIRTYPE; tar.addfile(info)`
    const { stderr } = spawnSync(python!, ['-c', script, path, JSON.stringify(names)], { encoding: 'utf8' })
    expect(stderr).toBe('')
    expect(await read(createReadStream(path))).toEqual([
      ...names.map(name => [name, 'bytes']),
      ['folder/', undefined],
    ])
  })
})
