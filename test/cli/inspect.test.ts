import { describe, expect, it } from 'vitest'
import { contentLines, contentsOf } from '../../dist/cli/contents.js'
import { failureLines } from '../../dist/cli/inspect.js'
import { type NetworkRecord, Zoo } from '../../dist/index.js'
import { sharedFolder, temporaryFolder, trainSmallZoo, weightzoo } from '../support.js'

const failure = (name: string, index: number, reason: string) => ({
  status: 'failed' as const,
  class: name,
  index,
  seed: 7,
  seconds: 1,
  engine: 'native',
  reason,
})

describe('weightzoo inspect', () => {
  it('sums up failures by reason, however they differ in network, epoch and value', () => {
    const lines = failureLines([
      failure('church', 3, 'native engine failed on church_3: out of memory'),
      failure('church', 4, 'loss of church_4 is not finite in epoch 1: NaN'),
      failure('dog', 12, 'loss of dog_12 is not finite in epoch 10: Infinity'),
      failure('dog', 13, 'validation loss of dog_13 is not finite in epoch 2: -Infinity'),
      failure('dog', 14, 'loss of dog_14 is not finite in epoch 0: NaN'),
    ])
    expect(lines).toEqual([
      '3 failed alike, the first church_4: loss of church_4 is not finite in epoch 1: NaN',
      '1 failed, church_3: native engine failed on church_3: out of memory',
      '1 failed, dog_13: validation loss of dog_13 is not finite in epoch 2: -Infinity',
    ])
  })

  it('shows a zoo of failures in few lines, and each of them with --json', async () => {
    const out = await temporaryFolder()
    const optimizer = { kind: 'sgd', learningRate: 1e38, momentum: 0.9 } as const
    const { failures } = await trainSmallZoo(out, { optimizer, epochs: 5 })
    const { stdout } = await weightzoo(['inspect', out])
    expect(stdout).toMatch(/networks +0 of 4 planned, 4 failed/)
    const summed = stdout
      .split('\n')
      .filter(line => / failed(?: alike|, )/.test(line) && !line.startsWith('networks'))
    const counts = summed.map(line => Number.parseInt(line, 10))
    expect(counts.reduce((sum, n) => sum + n, 0)).toBe(4)
    expect(summed.join()).toContain(failures[0]!.reason)
    expect(JSON.parse((await weightzoo(['inspect', out, '--json'])).stdout).failures).toHaveLength(4)
    expect(stdout).not.toMatch(/^(split|varies|checkpoints|outputs|not finite|outliers) /m)
  })

  it('says how a zoo is divided, what varies and what is stored', async () => {
    const out = await temporaryFolder()
    const zoo = await trainSmallZoo(out, {
      perClass: 4,
      epochs: 3,
      vary: { learningRate: { logUniform: [1e-4, 1e-2] }, activation: ['relu', 'tanh', 'linear'] },
      checkpoints: [0, 1, 3],
      outputs: true,
    })
    const { stdout } = await weightzoo(['inspect', out])
    const drawn = (activation: string) =>
      zoo.networks.filter(({ hyperparameters }) => hyperparameters!.activation === activation).length
    const activations = ['relu', 'tanh', 'linear'].map(name => `${name} (${drawn(name)})`).join(', ')
    const parts = (['train', 'validation', 'test'] as const).map(
      part => `${zoo.split(part).networks.length} ${part}`,
    )
    expect(stdout).toContain(
      [
        `split         ${parts.join(', ')}`,
        'varies        learningRate: logUniform 0.0001 to 0.01',
        `              activation: ${activations}`,
        'checkpoints   after epochs 0 to 1, 3',
        'outputs       of 8 of 8 networks',
        '',
      ].join('\n'),
    )
    const json = JSON.parse((await weightzoo(['inspect', out, '--json'])).stdout)
    expect(json).toMatchObject({
      split: { train: zoo.split('train').networks.length },
      varies: [
        { name: 'learningRate', distribution: { logUniform: [1e-4, 1e-2] } },
        { name: 'activation', values: [{ value: 'relu', networks: drawn('relu') }, {}, {}] },
      ],
      stored: { checkpoints: [0, 1, 3], outputs: 8 },
    })
    expect(json.outliers).toBeInstanceOf(Array)
  })
})

describe('contentLines', async () => {
  const { path, manifest, networks } = await trainSmallZoo(sharedFolder(), { perClass: 1 })
  const [first] = networks

  /** A zoo of networks like the first, but for what `change` says of each. */
  function zooOf(count: number, change: (index: number) => Partial<NetworkRecord>, recipe = {}): Zoo {
    const own = Array.from(
      { length: count },
      (_, index): NetworkRecord => ({ ...first!, index, ...change(index) }),
    )
    return new Zoo(
      path,
      { ...manifest, recipe: { ...manifest.recipe!, ...recipe } } as Zoo['manifest'],
      own,
      [],
    )
  }

  const linesOf = (zoo: Zoo) => contentLines(contentsOf(zoo), zoo.networks.length).slice(1)

  it('counts words as they are drawn, also those that no network draws, and cuts long lists short', () => {
    const vary = {
      images: ['clean', 'clean', 'noisy', 'dark'],
      seed: Array.from({ length: 30 }, (_, i) => i),
    }
    const zoo = zooOf(5, seed => ({ hyperparameters: { images: seed < 4 ? 'clean' : 'noisy', seed } }), {
      vary,
    })
    expect(linesOf(zoo)).toEqual([
      'varies        images: clean (4), noisy (1), dark (0)',
      '              seed: 0 (1), 1 (1), 2 (1), 3 (1), 4 (1), 5 (0), 6 (0), 7 (0) and 22 more',
    ])
    expect(contentsOf(zoo).varies[0]!.values![0]).toEqual({ value: 'clean', networks: 4 })
  })

  it('names broken networks and outliers, each once', () => {
    const summary = (norm: number, max: number, nonFinite = 0) => ({ min: -1, max, norm, nonFinite })
    const zoo = zooOf(14, index => {
      if (index === 11) return { weightSummary: summary(10, 1, 3) }
      if (index === 12) return { weightSummary: summary(90, 50) }
      return { weightSummary: summary(10 + index / 100, 1 + index / 100) }
    })
    const name = `${first!.class}_12`
    expect(linesOf(zoo)).toEqual([
      `not finite    1: ${first!.class}_11`,
      `outliers      1: ${name} (weight norm, largest weight)`,
    ])
    expect(contentsOf(zoo).outliers).toContainEqual({ name, measure: 'weight norm', value: 90 })
  })

  it('says so where outliers are not known, and nothing where there is nothing', () => {
    expect(linesOf(zooOf(2, () => ({})))).toEqual([])
    const old = zooOf(2, () => ({ weightSummary: undefined as never }))
    expect(contentsOf(old).outliers).toBe(null)
    expect(linesOf(old)).toEqual(['outliers      not known: older and imported zoos list no weight norms'])
  })

  it('counts checkpoints of all epochs that networks have, and the outputs that are there', () => {
    const outputs = { file: 'outputs.f32', row: 0, sha256: '' }
    const zoo = zooOf(3, index => ({
      checkpoints: { epochs: index === 2 ? [0, 5, 10, 12] : [0, 5, 6], fileSha256: '' },
      ...(index > 0 && { outputs }),
    }))
    expect(linesOf(zoo)).toEqual([
      'checkpoints   after epochs 0, 5 to 6, 10, 12',
      'outputs       of 2 of 3 networks',
    ])
  })
})
