import { afterEach, expect, it, vi } from 'vitest'
import { diagnose } from '../../../dist/training/engines/doctor.js'

afterEach(() => vi.unstubAllEnvs())

it('says what every engine does here and which one auto takes', async () => {
  const { engines, auto, node, cores, advice } = await diagnose()
  expect(engines.map(({ name }) => name)).toEqual(['native', 'wasm', 'tfjs'])
  for (const engine of engines) {
    if (engine.loads) expect(engine.arithmetic).toBeTruthy()
    else expect(engine.problem).toBeTruthy()
  }
  expect(auto?.engine).toBe(engines.find(({ loads }) => loads)?.name)
  expect(node).toBe(process.version)
  expect(cores).toBeGreaterThan(0)
  expect(advice).toHaveLength(engines[0]!.loads ? 0 : 1)
})

it('goes on where an engine does not load, and says why', async () => {
  vi.stubEnv('WEIGHTZOO_INSTRUCTION_SET', 'avx513')
  const { engines, auto, advice } = await diagnose()
  const [native] = engines
  expect(native).toMatchObject({ loads: false })
  // A setting that is wrong is no reason for training on a slower engine.
  expect(auto).toBeUndefined()
  expect(advice.at(-1)).toContain('WEIGHTZOO_INSTRUCTION_SET=avx513')
})
