import { reasonOf } from '../../../dist/errors.js'
import type { EngineBackend } from '../../../dist/training/engine.js'
import { ALGORITHMS, type Algorithm, type InstructionSet } from '../../../dist/training/engines/compiled.js'
import { openNativeBackend } from '../../../dist/training/engines/native.js'
import { openTfjsBackend } from '../../../dist/training/engines/tfjs.js'
import { openWasmBackend } from '../../../dist/training/engines/wasm.js'

/** One way of computing, which the engine suite is run over. */
export interface Variant {
  name: string
  engine: 'native' | 'wasm' | 'tfjs'
  algorithm?: Algorithm
  backend: EngineBackend
  /** How far a gradient may be off, as a share of the largest gradient of its array (see kernel.h). */
  tolerance: number
}

const NATIVE_SETS: InstructionSet[] = ['avx512', 'avx2', 'baseline']

/** Every variant that loads here; prints a line for each that does not. */
export async function openVariants(): Promise<Variant[]> {
  const algorithms = Object.keys(ALGORITHMS) as Algorithm[]
  const wanted: [Omit<Variant, 'backend'>, () => Promise<EngineBackend>][] = [
    [{ name: 'tfjs', engine: 'tfjs', tolerance: 5e-5 }, openTfjsBackend],
  ]
  for (const algorithm of algorithms) {
    const tolerance = algorithm === 'direct' ? 2e-5 : 5e-5
    for (const instructionSet of NATIVE_SETS) {
      wanted.push([
        { name: `native ${instructionSet} ${algorithm}`, engine: 'native', algorithm, tolerance },
        () => openNativeBackend({ algorithm, instructionSet }),
      ])
    }
    wanted.push([
      { name: `wasm ${algorithm}`, engine: 'wasm', algorithm, tolerance },
      () => openWasmBackend({ algorithm }),
    ])
  }
  const variants: Variant[] = []
  for (const [variant, open] of wanted) {
    try {
      variants.push({ ...variant, backend: await open() })
    } catch (error) {
      console.log(`skipped ${variant.name}: ${reasonOf(error)}`)
    }
  }
  return variants
}
