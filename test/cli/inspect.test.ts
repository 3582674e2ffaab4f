import { describe, expect, it } from 'vitest'
import { failureLines } from '../../dist/cli/inspect.js'
import { temporaryFolder, trainSmallZoo, weightzoo } from '../support.js'

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
  })
})
