import { execFile } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

const run = promisify(execFile)
const root = fileURLToPath(new URL('..', import.meta.url))
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))

// A project of a user's, with weightzoo among its node_modules.
let project: string

beforeAll(async () => {
  project = await mkdtemp(join(tmpdir(), 'weightzoo-package-'))
  await mkdir(join(project, 'node_modules/@types'), { recursive: true })
  await symlink(root, join(project, 'node_modules/weightzoo'), 'dir')
  await symlink(join(root, 'node_modules/@types/node'), join(project, 'node_modules/@types/node'), 'dir')
})
afterAll(() => rm(project, { recursive: true, force: true }))

describe('package.json', () => {
  it('leads old and new resolvers to one file and its types', () => {
    expect(manifest.exports['.']).toEqual({ types: manifest.types, default: manifest.main })
    for (const path of [manifest.main, manifest.types, ...Object.values<string>(manifest.bin)]) {
      expect(existsSync(join(root, path)), path).toBe(true)
    }
  })

  it('installs without a script of its own', () => {
    for (const script of ['preinstall', 'install', 'postinstall']) {
      expect(manifest.scripts).not.toHaveProperty(script)
    }
  })

  it('names a command that a shell can run', () => {
    const command = readFileSync(join(root, manifest.bin.weightzoo), 'utf8')
    expect(command.startsWith('#!/usr/bin/env node\n')).toBe(true)
  })
})

describe('npm pack', () => {
  let paths: string[]
  let unpackedSize: number

  beforeAll(async () => {
    const { stdout } = await run('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], { cwd: root })
    const [tarball] = JSON.parse(stdout)
    paths = tarball.files.map(({ path }: { path: string }) => path)
    unpackedSize = tarball.unpackedSize
  })

  it('holds what runs and nothing else', () => {
    const expected = /^(dist\/.+(\.js|\.d\.ts)|prebuilds\/[\w-]+\/weightzoo\.(node|wasm))$|^[\w.]+$/
    expect(paths.filter(path => !expected.test(path))).toEqual([])
    const top = ['package.json', 'README.md', 'LICENSE', 'CHANGELOG.md']
    expect(paths.filter(path => !path.includes('/') && !top.includes(path))).toEqual([])
    expect(paths).toEqual(
      expect.arrayContaining([
        'dist/index.js',
        'dist/index.d.ts',
        'dist/cli.js',
        'prebuilds/wasm32/weightzoo.wasm',
      ]),
    )
  })

  // 0.4 MB of JavaScript and WebAssembly, and 0.9 MB for each platform's addon.
  it('is small', () => {
    expect(unpackedSize).toBeLessThan(8e6)
  })
})

describe('a user of the package', () => {
  const use = 'console.log(zoo.lenet5().countParams())'
  const node = (...args: string[]) => run(process.execPath, args, { cwd: project })

  it.each([
    ['require', ['-e', `const zoo = require('weightzoo'); ${use}`]],
    ['import', ['--input-type=module', '-e', `import * as zoo from 'weightzoo'; ${use}`]],
    ['import() from CommonJS', ['-e', `import('weightzoo').then(zoo => ${use})`]],
  ])('loads it by %s, prints nothing else, and ends by itself', async (_, args) => {
    const { stdout } = await node(...args)
    expect(stdout).toBe('91481\n')
  })

  it('gets the same module from require and import', async () => {
    const script = `import('weightzoo').then(zoo => console.log(zoo.LeNet5 === require('weightzoo').LeNet5))`
    expect((await node('-e', script)).stdout).toBe('true\n')
  })

  // tslab and older projects resolve as Node 10 did; new ones as Node 16 and later.
  it.each([
    ['commonjs', 'node10', 'cts'],
    ['nodenext', 'nodenext', 'mts'],
  ])('finds its types: module %s, resolution %s', async (module, resolution, extension) => {
    const file = join(project, `use-${resolution}.${extension}`)
    await writeFile(
      file,
      `import { lenet5, type Zoo } from 'weightzoo'
       export const count: number = lenet5({ seed: 1 }).countParams()
       export const model = (zoo: Zoo) => zoo.model('church', 3)
       // @ts-expect-error: a seed is a number
       lenet5({ seed: 'one' })
      `,
    )
    const options = ['--noEmit', '--strict', '--skipLibCheck', '--target', 'es2022', '--types', 'node']
    const resolve = ['--module', module, '--moduleResolution', resolution, '--ignoreDeprecations', '6.0']
    const tsc = join(root, 'node_modules/typescript/bin/tsc')
    const complaints = await run(process.execPath, [tsc, ...options, ...resolve, file], {
      cwd: project,
    }).then(
      ({ stdout }) => stdout,
      error => error.stdout,
    )
    expect(complaints).toBe('')
  })
})
