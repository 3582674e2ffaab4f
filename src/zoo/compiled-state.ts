import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { reasonOf, ZooError } from '../errors.js'
import { type FileDigest, writeWhole, ZOO_FILES } from './files.js'
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
 * @throws ZooError `zoo` when it is damaged.
 */
export async function readCompiledState(zooPath: string): Promise<CompiledState | undefined> {
  const path = join(zooPath, ZOO_FILES.compiled)
  try {
    const text = await readFile(path, 'utf8')
    if (sealState(text) === 'intact') return JSON.parse(text) as CompiledState
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new ZooError('zoo', `cannot read ${path}: ${reasonOf(error)}`, { path }, { cause: error })
  }
  throw new ZooError('zoo', `${path} is damaged (its checksum differs); weightzoo compile makes it again`, {
    path,
  })
}

export function writeCompiledState(zooPath: string, state: CompiledState): Promise<void> {
  return writeWhole(join(zooPath, ZOO_FILES.compiled), temporary => writeFile(temporary, seal(state, 2)))
}
