import { execFile } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

const root = fileURLToPath(new URL('../../../', import.meta.url))
const run = promisify(execFile)

describe('native/build.mjs', () => {
  const build = (...args: string[]) =>
    run(process.execPath, [join(root, 'native/build.mjs'), ...args], {
      env: { ...process.env, CXX: '/no/such/compiler' },
    })

  it('says in one line that it cannot build, and lets npm ci go on', async () => {
    const { stdout, stderr } = await build()
    expect(stderr).toBe('')
    expect(stdout).toMatch(
      /^weightzoo: native engine not built, wasm will be used \(.*\/no\/such\/compiler\).*\n$/,
    )
  })

  it('fails when the addon is required', async () => {
    await expect(build('required')).rejects.toMatchObject({
      code: 1,
      stderr: 'no C++ compiler found: tried /no/such/compiler\n',
    })
  })
})

// The installed package in miniature: the built files, wasm, and addons that are put there or not.
describe('a package', () => {
  const folder = mkdtempSync(join(tmpdir(), 'weightzoo-package-'))
  const prebuild = join(folder, `prebuilds/${process.platform}-${process.arch}/weightzoo.node`)
  const localBuild = join(folder, 'native/build/weightzoo.node')

  beforeAll(() => {
    for (const name of ['dist', 'prebuilds/wasm32', 'package.json']) {
      cpSync(join(root, name), join(folder, name), { recursive: true })
    }
    symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
  })
  afterAll(() => rmSync(folder, { recursive: true }))

  /** What `openEngine()` takes, and why. */
  async function openAuto(): Promise<{ name: string; reason: string }> {
    const script = `
      const { openEngine } = await import('./dist/training/engines/open-engine.js')
      const engine = await openEngine({ concurrency: 1 })
      console.log(JSON.stringify({ name: engine.name, reason: engine.reason }))
      await engine.close()`
    const { stdout } = await run(process.execPath, ['--input-type=module', '-e', script], { cwd: folder })
    return JSON.parse(stdout)
  }

  it('without an addon takes wasm, and says where it looked', async () => {
    const { name, reason } = await openAuto()
    expect(name).toBe('wasm')
    expect(reason).toContain(`${localBuild} does not exist`)
    expect(reason).toContain(`${prebuild} does not exist`)
  })

  it('with broken addons takes wasm, and says what was wrong with each', async () => {
    for (const path of [localBuild, prebuild]) {
      mkdirSync(join(path, '..'), { recursive: true })
      writeFileSync(path, 'no shared library')
    }
    const { name, reason } = await openAuto()
    expect(name).toBe('wasm')
    expect(reason.match(/weightzoo\.node: /g)).toHaveLength(2)
  })

  const built = existsSync(join(root, 'native/build/weightzoo.node'))
  it.skipIf(!built)('takes the prebuilt addon when the local build is broken', async () => {
    cpSync(join(root, 'native/build/weightzoo.node'), prebuild)
    expect(await openAuto()).toEqual({ name: 'native', reason: 'the fastest engine' })
  })
})
