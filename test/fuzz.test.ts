import { execFile } from 'node:child_process'
import { expect, it } from 'vitest'
import { fromRoot } from './support.js'

// A short run of bench/fuzz.mjs; the long one is `npm run fuzz -- --count 10000 --seed 1`.
it('400 damaged and hostile files are read or refused in one line, and nothing is written elsewhere', async () => {
  const { code, output } = await new Promise<{ code: unknown; output: string }>(resolve => {
    const args = [fromRoot('bench/fuzz.mjs'), '--count', '400', '--seed', '7']
    execFile(process.execPath, args, { timeout: 110_000 }, (error, stdout, stderr) =>
      resolve({ code: error?.code ?? 0, output: stdout + stderr }),
    )
  })
  expect(output).toMatch(/^0 findings$/m)
  expect(code).toBe(0)
})
