import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { reasonOf, ZooError } from '../errors.js'
import { type FileDigest, readText, writeWhole, ZOO_FILES } from './files.js'
import { seal, sealState } from './seal.js'

/** The files that `compileZoo` makes of models and ledger. */
export const COMPILED_FILES = [ZOO_FILES.metrics, ZOO_FILES.modelwise, ZOO_FILES.layerwise] as const

/** `compiled.json`: of which networks the compiled files are, and what bytes they have to have. */
export interface CompiledState {
  /** A hash over the names and weights' hashes of the networks, which is in the HDF5 files too. */
  readonly networks_sha256: string
  readonly files: Readonly<Record<string, FileDigest>>
}

/**
 * `undefined` where there is none.
 * @throws ZooError `zoo` when it is damaged, or is not of this format.
 */
export async function readCompiledState(zooPath: string): Promise<CompiledState | undefined> {
  const path = join(zooPath, ZOO_FILES.compiled)
  let intact = false
  try {
    const text = await readText(path)
    intact = sealState(text) === 'intact'
    const state: unknown = intact && JSON.parse(text)
    if (isCompiledState(state)) return state
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new ZooError('zoo', `cannot read ${path}: ${reasonOf(error)}`, { path }, { cause: error })
  }
  const what = intact ? 'is not what weightzoo compile writes' : 'is damaged (its checksum differs)'
  throw new ZooError('zoo', `${path} ${what}; weightzoo compile makes it again`, { path })
}

function isCompiledState(value: unknown): value is CompiledState {
  const { networks_sha256, files } = (value ?? {}) as Partial<CompiledState>
  if (typeof networks_sha256 !== 'string' || typeof files !== 'object' || files === null) return false
  return COMPILED_FILES.every(name => {
    const { bytes, sha256 } = files[name] ?? {}
    return typeof bytes === 'number' && typeof sha256 === 'string'
  })
}

export function writeCompiledState(zooPath: string, state: CompiledState): Promise<void> {
  return writeWhole(join(zooPath, ZOO_FILES.compiled), temporary => writeFile(temporary, seal(state, 2)))
}
