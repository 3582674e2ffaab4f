import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { binaryMetrics } from '../../dist/training/metrics.js'

interface Case {
  name: string
  labels: number[]
  probabilities: number[]
  accuracy: number
  precision: number
  recall: number
  f1: number
  auc: number | null
}

const { cases } = JSON.parse(readFileSync(new URL('../fixtures/metrics.json', import.meta.url), 'utf8')) as {
  cases: Case[]
}

describe('binaryMetrics', () => {
  it.each(cases)(
    "gives scikit-learn's values: $name",
    ({ name: _, labels, probabilities, auc, ...scores }) => {
      const metrics = binaryMetrics(Float32Array.from(probabilities), Uint8Array.from(labels))
      for (const [score, value] of Object.entries(scores)) {
        expect(metrics[score as keyof typeof metrics], score).toBeCloseTo(value, 12)
      }
      if (auc === null) expect(metrics.auc).toBeNull()
      else expect(metrics.auc).toBeCloseTo(auc, 12)
    },
  )

  it('refuses what it cannot rank or match', () => {
    expect(() => binaryMetrics(Float32Array.of(0.5, Number.NaN), Uint8Array.of(0, 1))).toThrow(
      'invalid probabilities[1]; not a number: NaN',
    )
    expect(() => binaryMetrics(Float32Array.of(0.5), Uint8Array.of(0, 1))).toThrow(
      'invalid probabilities; 2 targets need as many: 1',
    )
  })
})
