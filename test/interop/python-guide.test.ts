import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { type ExportFormat, exportZoo, openSafetensors } from '../../dist/index.js'
import { fromRoot, pythonWith, sharedFolder, smallImages, trainSmallZoo } from '../support.js'

// Runs every Python program of docs/python.md, in a folder with a zoo and the exports that the guide makes.

const folder = sharedFolder()
const EXPORTS: Record<string, ExportFormat> = {
  npy: 'npy',
  metadata: 'parquet',
  keras: 'keras',
  'keras-legacy': 'keras-legacy',
  pytorch: 'pytorch',
  safetensors: 'safetensors',
  dataset: 'huggingface',
}

beforeAll(async () => {
  const images = smallImages()
  const named = { ...images, classNames: ['tench', 'church', ...images.classNames.slice(2)] }
  const zoo = await trainSmallZoo(join(folder, 'zoo'), { images: named, perClass: 2 })
  for (const [out, format] of Object.entries(EXPORTS))
    await exportZoo(zoo, { format, out: join(folder, out) })
})

const guide = readFileSync(fromRoot('docs/python.md'), 'utf8')
const programs = [...guide.matchAll(/^```python\n(.*?)^```/gms)].map(match => match[1]!)

/** Modules that a program imports, but for the exported network.py. */
function modulesOf(program: string): string[] {
  const imports = program.matchAll(/^(?:from|import) (\w+)/gm)
  return [...new Set([...imports].map(match => match[1]!))].filter(name => name !== 'network')
}

describe('docs/python.md', () => {
  it('makes the exports that are made here', () => {
    for (const [out, format] of Object.entries(EXPORTS)) {
      expect(guide).toMatch(new RegExp(`--format ${format} --out ${out}\\b`))
    }
  })

  describe.each(programs.map((program, i) => [i + 1, modulesOf(program).join(', '), program]))(
    'program %i: %s',
    (_, modules, program) => {
      const python = pythonWith(modules as string)
      it.skipIf(!python)('runs', () => {
        const env = {
          ...process.env,
          HF_HUB_OFFLINE: '1',
          HF_HOME: join(folder, 'cache'),
          TF_CPP_MIN_LOG_LEVEL: '3',
        }
        const child = spawnSync(python!, ['-c', program as string], { cwd: folder, encoding: 'utf8', env })
        expect(child.status, child.stderr).toBe(0)
      })
    },
  )

  it.skipIf(!pythonWith('numpy, safetensors'))('brings generated weights back', async () => {
    const file = await openSafetensors(join(folder, 'generated.safetensors'))
    expect(file.shape('parameters')).toEqual([4, 91481])
    expect(await file.floats('parameters')).toHaveLength(4 * 91481)
    await file.close()
  })
})
