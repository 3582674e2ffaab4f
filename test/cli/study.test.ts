import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { layerDivergence, openZoo, weightDistributions } from '../../dist/index.js'
import { digestFile, weightsHash } from '../../dist/zoo/files.js'
import { LedgerWriter } from '../../dist/zoo/ledger.js'
import { writeModelFile } from '../../dist/zoo/model-file.js'
import { fromRoot, temporaryFolder, trainSmallZoo, weightzoo } from '../support.js'

let path: string
beforeAll(async () => {
  const folder = await mkdtemp(join(tmpdir(), 'weightzoo-'))
  path = (await trainSmallZoo(join(folder, 'zoo'), { perClass: 6 })).path
  return () => rm(folder, { recursive: true, force: true })
})

describe('weightzoo stats', () => {
  it('prints the tables', async () => {
    const { code, stdout } = await weightzoo(['stats', path, '--quiet'])
    expect(code).toBe(0)
    expect(stdout).toMatch(/^12 networks of lenet5, 91,481 weights each\n\nWeights by layer\n/)
    expect(stdout).toMatch(/^conv2d_2 bias +1,440 /m)
    expect(stdout).toMatch(/^checks +0\.\d{4} +0\.\d{4} +0\.\d{4} +0\.\d{4} +0\.\d{4}$/m)
    expect(stdout).toMatch(/^dense_1 +0\.\d{4} .* stripes - checks +0\.\d{4}/m)
    expect(stdout).not.toMatch(/NaN|undefined/)
  })

  it('prints as JSON and CSV what the library finds', async () => {
    const zoo = (await openZoo(path)).select({ perClass: 3 })
    const args = ['stats', path, '--quiet', '--per-class', '3', '--unit', 'bits']
    const { distributions, divergence } = JSON.parse((await weightzoo([...args, '--json'])).stdout)
    expect(distributions).toEqual(await weightDistributions(zoo, { unit: 'bits' }))
    const { network, ...byLayer } = divergence
    expect(byLayer).toEqual(await layerDivergence(zoo, { preset: 'paper', unit: 'bits' }))
    expect(network.unit).toBe('bits')
    const lines = (await weightzoo([...args, '--csv', 'divergence'])).stdout.trim().split('\n')
    expect(lines[0]).toBe('layer,class,other,divergence,distance,divergence by chance')
    expect(lines).toHaveLength(1 + 6)
    const { divergence: dense } = byLayer.dense
    expect(lines[4]).toMatch(new RegExp(`^dense,stripes,checks,${dense.values[0][1]},`))
  })

  it('has distributions where there is nothing to compare, and says why there is no divergence', async () => {
    const one = await weightzoo(['stats', path, '--quiet', '--classes', 'checks'])
    expect(one).toMatchObject({ code: 0 })
    expect(one.stdout).toMatch(/No divergence:\ninvalid classes; a divergence needs two classes.*: checks\n$/)
    const lone = await weightzoo(['stats', path, '--quiet', '--per-class', '1', '--csv', 'divergence'])
    expect(lone).toMatchObject({
      code: 2,
      stdout: '',
      stderr: 'error: invalid networks; a divergence needs at least two a class; stripes has: 1\n',
    })
  })
})

describe('flags that select networks', () => {
  /** How many networks `stats` takes. */
  async function selected(zoo: string, ...flags: string[]): Promise<number> {
    const { code, stdout, stderr } = await weightzoo(['stats', zoo, '--quiet', ...flags])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    return Number.parseInt(stdout, 10)
  }

  it('leave out networks whose weights are not finite, with and without summaries in the ledger', async () => {
    const broken = await temporaryFolder()
    const zoo = await trainSmallZoo(broken, { perClass: 3 })
    const { class: name, index, weightSummary: _, ...record } = zoo.networks[1]!
    const weights = await zoo.weights(name, index)
    weights[7] = Number.NaN
    const sha256 = weightsHash(weights)
    const model = join(broken, 'models', `${name}_${index}.weights.h5`)
    await writeModelFile(model, zoo.architecture, weights, { class: name, index, seed: 7, sha256 })
    const { sha256: fileSha256 } = await digestFile(model)
    const ledger = await LedgerWriter.open(broken)
    await ledger.append({ ...record, class: name, index, attempt: 2, sha256, fileSha256 })
    await ledger.close()
    const refused = await weightzoo(['stats', broken, '--quiet'])
    expect(refused.stderr).toMatch(/^error: stripes_1 has a weight that is not finite .*--finite: NaN\n$/)
    expect(await selected(broken, '--finite')).toBe(5)
  })

  it('take networks by their largest weight, or of a part of the split', async () => {
    const zoo = await openZoo(path)
    const largest = zoo.networks.map(({ weightSummary }) => Math.max(-weightSummary!.min, weightSummary!.max))
    const [, , third] = largest.sort((a, b) => a - b)
    expect(await selected(path, '--max-abs-weight', String(third))).toBe(3)
    const train = zoo.split('train')
    expect(train.networks.length).toBeLessThan(12)
    expect(await selected(path, '--split', 'train')).toBe(train.networks.length)
    const two = train.select({ perClass: 2 })
    expect(await selected(path, '--split', 'train', '--per-class', '2')).toBe(two.networks.length)
    const args = ['export', path, '--format', 'csv', '--split', 'train', '--per-class', '2', '--finite']
    const out = join(await temporaryFolder(), 'train')
    expect((await weightzoo([...args, '--out', out])).code).toBe(0)
    const lines = readFileSync(join(out, 'metadata.csv'), 'utf8').trimEnd().split('\n').slice(1)
    expect(lines.map(line => line.split(',')[0])).toEqual(two.networks.map(n => `${n.class}_${n.index}`))
  })

  it.each([
    [['--split', 'tset'], "argument 'tset' is invalid. Allowed choices are train, validation, test."],
    [['--max-abs-weight', '0'], 'needs a number above 0.'],
    [['--max-abs-weight', '1e-9'], 'the selection is empty'],
  ])('refuse %j in one line', async (flags, message) => {
    const { code, stderr } = await weightzoo(['classify', path, '--quiet', ...flags])
    expect(stderr).toContain(message)
    expect(stderr.trimEnd().split('\n')).toHaveLength(1)
    expect(code).not.toBe(0)
  })
})

describe('weightzoo classify', () => {
  it('scores every classifier on the same networks, the same for the same seed', async () => {
    const args = ['classify', path, '--quiet', '--test-share', '0.5', '--seed', '1', '--by', 'both', '--json']
    const run = async () => JSON.parse((await weightzoo(args)).stdout)
    const results = await run()
    expect(
      results.slice(0, 6).map((r: Record<string, string>) => `${r['classifier']} ${r['features']}`),
    ).toEqual([
      'naive-bayes weights',
      'naive-bayes statistics',
      'mlp statistics',
      'random-forest statistics',
      'linear-svm statistics',
      'rbf-svm statistics',
    ])
    expect(results).toHaveLength(6 * 6)
    expect(results.at(-1).of).toBe('dense_1')
    for (const { evaluation } of results) expect(evaluation).toMatchObject({ count: 6, chance: 0.5 })
    const untimed = (all: { seconds: number }[]) => all.map(({ seconds, ...rest }) => rest)
    expect(untimed(await run())).toEqual(untimed(results))
  })

  it('prints accuracy with its interval, chance, and the confusion', async () => {
    const args = [
      '--quiet',
      '--folds',
      '3',
      '--classifiers',
      'naive-bayes',
      '--features',
      'weights,components',
    ]
    const { code, stdout } = await weightzoo(['classify', path, ...args])
    expect(code).toBe(0)
    expect(stdout).toMatch(/^2 classes, each of 12 networks tested once, over 3 folds\nchance 50\.0 %, /)
    expect(stdout).toMatch(/^naive-bayes +components +network +\d+\.\d % +\d+\.\d % to \d+\.\d % /m)
    expect(stdout).toMatch(/^1 checks +\d +\d$/m)
  })

  it.each([
    [['--per-class', '3']],
    [['--per-class', '4', '--folds', '2']],
    [['--per-class', '6', '--test-share', '0.7', '--classifiers', 'mlp']],
    [['--per-class', '2', '--classifiers', 'rbf-svm,naive-bayes', '--folds', '2']],
  ])('takes as few networks as it says: %j', async args => {
    const { code, stderr } = await weightzoo([
      'classify',
      path,
      '--quiet',
      '--features',
      'statistics',
      ...args,
    ])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  })

  it.each([
    [['--classes', 'checks'], 'invalid labels; needs at least two classes, has: ["checks"]'],
    [
      ['--per-class', '2'],
      'error: classifying with mlp needs at least 3 networks of each class, stripes has 2; train more, or leave the class out with --classes, or mlp with --classifiers\n',
    ],
    [
      ['--per-class', '3', '--folds', '2'],
      'classifying over 2 folds with mlp needs at least 4 networks of each class, stripes has 3; ',
    ],
    [
      ['--per-class', '1', '--classifiers', 'rbf-svm'],
      'error: classifying needs at least 2 networks of each class, stripes has 1; train more, or leave the class out with --classes\n',
    ],
    [
      ['--per-class', '5', '--test-share', '0.7', '--classifiers', 'mlp'],
      'classifying with mlp needs at least 6 networks of each class, stripes has 5; ',
    ],
    [['--folds', '7'], 'classifying over 7 folds needs at least 7 networks of each class, stripes has 6; '],
    [['--min-accuracy', '1'], 'the selection is empty'],
    [['--classes', 'chekcs'], 'did you mean "checks"?'],
    [['--classifiers', 'forest'], 'needs some of naive-bayes, mlp, random-forest, linear-svm, rbf-svm.'],
    [['--test-share', '1'], 'needs a number between 0 and 1.'],
    [['--classifiers', 'rbf-svm', '--features', 'weight'], 'needs some of weights, statistics, components.'],
  ])('gives one line for %j', async (args, message) => {
    const { code, stdout, stderr } = await weightzoo(['classify', path, '--quiet', ...args])
    expect(stderr).toContain(message)
    expect(stderr.trimEnd().split('\n')).toHaveLength(1)
    expect(code).not.toBe(0)
    expect(stdout).toBe('')
  })

  it('is stopped by Ctrl-C', async () => {
    const args = ['classify', path, '--classifiers', 'mlp', '--features', 'weights']
    const child = spawn(process.execPath, [fromRoot('dist/cli.js'), ...args])
    let stderr = ''
    child.stderr.on('data', data => {
      stderr += data
      // Once: a second one would end it without a word.
      if (/mlp on weights/.test(stderr) && !child.killed) child.kill('SIGINT')
    })
    expect(await new Promise(resolve => child.on('exit', resolve))).toBe(130)
    expect(stderr).toMatch(/error: interrupted while fitting a classifier\n$/)
  })
})
