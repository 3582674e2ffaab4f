import type { EngineBackend, EngineName } from '../engine.js'

/** How each engine's backend is loaded, the fastest first. Loading fails where the machine lacks what it needs. */
export const BACKENDS: Readonly<Record<EngineName, () => Promise<EngineBackend>>> = {
  native: async () => (await import('./native.js')).openNativeBackend(),
  wasm: async () => (await import('./wasm.js')).openWasmBackend(),
  tfjs: async () => (await import('./tfjs.js')).openTfjsBackend(),
}
