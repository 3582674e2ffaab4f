import type { EngineBackend, EngineName } from '../engine.js'

/** How each engine's backend is loaded, the fastest first. Loading fails where the machine lacks what it needs. */
export const BACKENDS: Readonly<Record<EngineName, () => Promise<EngineBackend>>> = {
  native: async () => {
    throw new Error('not built')
  },
  wasm: async () => {
    throw new Error('not built')
  },
  tfjs: async () => (await import('./tfjs.js')).openTfjsBackend(),
}
