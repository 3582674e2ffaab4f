import { spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { mkdir, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import sharp from 'sharp'
import { describe, expect, it } from 'vitest'
import { variation } from '../dist/cli/vary.js'
import { openZoo } from '../dist/index.js'
import { fromRoot, temporaryFolder, weightzoo } from './support.js'

/** Two classes of eight noisy JPEGs, four to validate: enough for a network of 9-10 % positives of 10 samples. */
async function imageFolder(root: string): Promise<string> {
  for (const [split, count] of [
    ['train', 12],
    ['val', 4],
  ] as const) {
    for (const name of ['cats', 'dogs']) {
      await mkdir(join(root, split, name), { recursive: true })
      for (let i = 0; i < count; i++) {
        const data = Uint8Array.from(
          { length: 20 * 20 * 3 },
          (_, k) => (k * (i + 3) * (name === 'cats' ? 7 : 13)) % 256,
        )
        const image = sharp(data, { raw: { width: 20, height: 20, channels: 3 } }).jpeg()
        await image.toFile(join(root, split, name, `${i}.jpg`))
      }
    }
  }
  return root
}

const small = ['--per-class', '1', '--epochs', '1', '--samples', '10', '--no-cache']

describe('weightzoo train', () => {
  it('goes from a folder of images to a zoo, then inspects and compiles it', async () => {
    const folder = await temporaryFolder()
    const images = await imageFolder(join(folder, 'images'))
    const out = join(folder, 'zoo')
    const trained = await weightzoo(['train', '--images', images, '--out', out, ...small])
    expect(trained).toMatchObject({ code: 0 })
    expect(trained.stderr).toMatch(/images: 24 to train on, 8 to validate, 2 classes, 32x32x3/)
    expect(trained.stderr).toMatch(/training ▕█+▏100 % {2}2\/2 networks/)
    expect(trained.stdout).toMatch(/class +networks +accuracy min +mean +max +F1 mean +AUC mean\ncats +1/)
    for (const file of [
      'zoo.json',
      'ledger.jsonl',
      'metrics.csv',
      'modelwise.h5',
      'layerwise.h5',
      'models/cats_0.weights.h5',
    ]) {
      expect(existsSync(join(out, file)), file).toBe(true)
    }

    const inspected = await weightzoo(['inspect', out])
    expect(inspected.stdout).toMatch(/networks +2 of 2 planned, 0 failed/)
    const record = await weightzoo(['inspect', out, 'dogs', '0', '--json'])
    expect(JSON.parse(record.stdout)).toMatchObject({ class: 'dogs', index: 0, status: 'finished' })
    const json = JSON.parse((await weightzoo(['inspect', out, '--json'])).stdout)
    expect(json).toMatchObject({ finished: 2, manifest: { parameterCount: 91481 } })
    expect(await weightzoo(['compile', out])).toMatchObject({ code: 0 })
  })

  it('takes several image sets, and verifies with them', async () => {
    const folder = await temporaryFolder()
    const sets = await Promise.all(['one', 'two'].map(name => imageFolder(join(folder, name))))
    const images = sets.flatMap(path => ['--images', path])
    const out = join(folder, 'zoo')
    const trained = await weightzoo(['train', ...images, '--out', out, ...small, '--per-class', '4'])
    expect(trained).toMatchObject({ code: 0 })
    const { networks } = await openZoo(out)
    expect(new Set(networks.map(({ hyperparameters }) => hyperparameters!.images))).toEqual(
      new Set(['one', 'two']),
    )
    const verified = await weightzoo(['verify', out, ...images, '--metrics', '--retrain', '2'])
    expect(verified).toMatchObject({ code: 0, stdout: expect.stringContaining('; nothing wrong') })
    const twice = await weightzoo(['train', ...images.slice(0, 2), ...images.slice(0, 2), '--out', out])
    expect(twice.stderr).toMatch(/error: invalid images; two image sets have this name; .*: one\n$/)
  })

  it('is stopped by Ctrl-C and goes on where it stopped', async () => {
    const folder = await temporaryFolder()
    const images = await imageFolder(join(folder, 'images'))
    const out = join(folder, 'zoo')
    const args = ['train', '--images', images, '--out', out, '--samples', '10', '--no-cache']
    const plan = ['--per-class', '400', '--epochs', '40', '--concurrency', '1']
    const child = spawn(process.execPath, [fromRoot('dist/cli.js'), ...args, ...plan])
    let stderr = ''
    child.stderr.on('data', data => {
      stderr += data
    })
    const ledger = join(out, 'ledger.jsonl')
    const finished = () => (existsSync(ledger) ? readFileSync(ledger, 'utf8').split('\n').length - 1 : 0)
    while (finished() < 2 && child.exitCode === null) await new Promise(resolve => setTimeout(resolve, 20))
    child.kill('SIGINT')
    const code = await new Promise(resolve => child.on('exit', resolve))
    expect(code).toBe(130)
    expect(stderr).toMatch(
      /error: interrupted after \d+ of 800 networks; the same call goes on from there\n$/,
    )
    const before = finished()
    expect(before).toBeGreaterThanOrEqual(2)

    const goOn = await weightzoo([...args, '--per-class', '2', '--epochs', '40'])
    expect(goOn).toMatchObject({ code: 0 })
    expect(finished()).toBe(Math.max(4, before))
  })
})

describe('--vary', () => {
  it('gives every network hyperparameters of its own, and says what it cannot read', async () => {
    const out = join(await temporaryFolder(), 'zoo')
    const demo = ['demo', '--out', out, '--per-class', '2', '--classes', 'stripes', '--epochs', '1']
    const varied = [...demo, '--vary', 'learning-rate=log:1e-4..1e-2', '--vary', 'activation=relu', '--quiet']
    expect(await weightzoo(varied)).toMatchObject({ code: 0, stderr: '' })
    const { recipe } = JSON.parse(readFileSync(join(out, 'zoo.json'), 'utf8'))
    expect(recipe.vary).toEqual({ learningRate: { logUniform: [1e-4, 1e-2] }, activation: ['relu'] })
    const refused = await weightzoo([...demo, '--quiet', '--vary', 'epoch=1,2'])
    expect(refused).toMatchObject({ code: 2, stdout: '' })
    expect(refused.stderr).toBe('error: unknown option of vary: "epoch"; did you mean "epochs"?\n')
  })

  it('takes names of image sets as they are', () => {
    expect(variation('images=160, 320px')).toEqual({ images: ['160', '320px'] })
  })

  it.each([
    ['epochs', 'needs name=values, e.g. activation=tanh,relu or learningRate=log:1e-4..1e-2.'],
    ['epochs=int:1..5', '"int" is not one of uniform, log, integer.'],
    ['epochs=integer:1', 'needs two numbers, e.g. integer:1..25.'],
    ['epochs=integer:1..', 'needs two numbers, e.g. integer:1..25.'],
  ])('%s is refused', (text, message) => {
    expect(() => variation(text)).toThrow(message)
  })
})

describe('a wrong command line or input gives one line and no stack trace', () => {
  it.each([
    [['train'], 2, "error: required option '--images <source>' not specified"],
    [
      ['train', '--images', 'x', '--per-clas', '2'],
      2,
      "error: unknown option '--per-clas' (Did you mean --per-class?)",
    ],
    [
      ['train', '--images', 'x', '--per-class', '0'],
      2,
      "error: option '--per-class <n>' argument '0' is invalid. needs a whole number of at least 1.",
    ],
    [['trian'], 2, "error: unknown command 'trian' (Did you mean train?)"],
    [
      ['train', '--images', '/no/such/folder'],
      1,
      'error: cannot read images; no such file or folder: /no/such/folder',
    ],
    [
      ['train', '--images', '360px'],
      2,
      'error: no such folder, archive or Imagenette name: "360px"; did you mean "320px"?',
    ],
    [['inspect', '/no/such/zoo'], 1, 'error: no such zoo directory: /no/such/zoo'],
    [
      ['train', '--images', 'x', '--engine', 'fast'],
      2,
      "error: option '--engine <name>' argument 'fast' is invalid. Allowed choices are auto, native, wasm, tfjs.",
    ],
  ])('%j', async (args, code, message) => {
    const outcome = await weightzoo(args)
    expect(outcome.stderr.startsWith(message), outcome.stderr).toBe(true)
    expect(outcome.stderr.trimEnd().split('\n')).toHaveLength(1)
    expect(outcome).toMatchObject({ code, stdout: '' })
  })

  it('names an image that cannot be decoded, and goes on without it when told', async () => {
    const folder = await temporaryFolder()
    const images = await imageFolder(join(folder, 'images'))
    await truncate(join(images, 'train', 'cats', '3.jpg'), 300)
    const args = ['train', '--images', images, '--out', join(folder, 'zoo'), ...small]
    const refused = await weightzoo(args)
    expect(refused.code).toBe(1)
    expect(refused.stderr.trimEnd().split('\n').at(-1)).toMatch(
      /^error: cannot decode image .*--skip-bad-images.*train\/cats\/3\.jpg$/,
    )
    const skipped = await weightzoo([...args, '--skip-bad-images'])
    expect(skipped).toMatchObject({ code: 0 })
    expect(skipped.stderr).toMatch(/left out .*train\/cats\/3\.jpg/)
  })

  it('names the class that has too few images, with numbers', async () => {
    const folder = await temporaryFolder()
    const images = await imageFolder(join(folder, 'images'))
    const outcome = await weightzoo([
      'train',
      '--images',
      images,
      '--out',
      join(folder, 'zoo'),
      '--no-cache',
      '--samples',
      '20',
    ])
    expect(outcome.code).toBe(1)
    expect(outcome.stderr).toMatch(
      /error: class "cats" has 12 training images of other classes; 9 to 10 % of 20 samples needs at least 18: set samplesPerNetwork to 11 or less/,
    )
  })

  it('names what differs from the zoo in the output directory', async () => {
    const folder = await temporaryFolder()
    const images = await imageFolder(join(folder, 'images'))
    const args = ['train', '--images', images, '--out', join(folder, 'zoo'), ...small]
    await weightzoo(args)
    const outcome = await weightzoo([...args, '--seed', '5'])
    expect(outcome.code).toBe(1)
    expect(outcome.stderr).toMatch(
      /error: .*zoo holds a zoo of another recipe: seed is 5, was 0\. Choose another directory\n$/,
    )
  })

  it('names a truncated model file', async () => {
    const folder = await temporaryFolder()
    const images = await imageFolder(join(folder, 'images'))
    const out = join(folder, 'zoo')
    await weightzoo(['train', '--images', images, '--out', out, ...small])
    await truncate(join(out, 'models', 'dogs_0.weights.h5'), 1000)
    const outcome = await weightzoo(['compile', out, '--quiet'])
    expect(outcome).toMatchObject({ code: 1, stdout: '' })
    expect(outcome.stderr).toMatch(
      /^error: .*dogs_0\.weights\.h5 is truncated, corrupt or no HDF5 file \(1000 bytes; .*\n$/,
    )
  })

  it('says what is wrong with an archive', async () => {
    const folder = await temporaryFolder()
    const path = join(folder, 'images.tgz')
    await writeFile(path, 'no archive')
    const outcome = await weightzoo(['train', '--images', path, '--out', join(folder, 'zoo')])
    expect(outcome).toMatchObject({ code: 1, stdout: '' })
    expect(outcome.stderr).toMatch(/^error: [^\n]*images\.tgz[^\n]*\n$/)
  })
})

describe('weightzoo doctor', () => {
  it('says which engine is taken', async () => {
    const { code, stdout } = await weightzoo(['doctor'])
    expect(code).toBe(0)
    expect(stdout).toMatch(/^tfjs +loads$/m)
    expect(stdout).toMatch(/^auto +(native|wasm|tfjs): /m)
  })
})

describe('help', () => {
  it('lists the commands and how to go on after Ctrl-C', async () => {
    const { code, stdout } = await weightzoo(['--help'])
    expect(code).toBe(0)
    for (const word of ['train', 'compile', 'inspect', 'demo', 'Ctrl-C']) expect(stdout).toContain(word)
  })
})
