import { readdirSync } from 'node:fs'
import { describe, expect, it, vi } from 'vitest'
import { fromRoot } from './support.js'

const examples = readdirSync(fromRoot('examples')).filter(name => name.endsWith('.ts'))

describe('examples', () => {
  it.each(examples)('%s runs', async name => {
    const lines: unknown[] = []
    vi.spyOn(console, 'log').mockImplementation(line => void lines.push(line))
    vi.spyOn(console, 'table').mockImplementation(() => {})
    await import(fromRoot(`examples/${name}`))
    vi.restoreAllMocks()
    expect(lines.length).toBeGreaterThan(0)
  })
})
