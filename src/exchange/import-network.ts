import { reasonOf, ZooError } from '../errors.js'

/** A network made elsewhere. */
export interface ImportedNetwork {
  readonly className: string
  readonly index: number
  /** The file, and where in it: what a message names. */
  readonly origin: string
  /** How much of the source has been gone through with this network, 0 to 1. */
  readonly fraction: number
  /** Flat, in the order of the parameter table; read only when asked for. */
  weights(): Promise<Float32Array<ArrayBuffer>> | Float32Array<ArrayBuffer>
}

/**
 * Class and number in a name like the published dataset's: `church_3`, `binary_oneVall_church_3_model`,
 * `binary_oneVall_church_3_best_model`. Names that end in other numbers (`church_3_epoch5`) are of no network.
 */
export function parseNetworkName(name: string): { className: string; index: number } | undefined {
  const [, className, digits] = /^(?:binary_oneVall_)?(.+?)_(\d{1,9})(?:_[A-Za-z]+)*$/su.exec(name) ?? []
  return className === undefined ? undefined : { className, index: Number(digits) }
}

/** The same of a file's name; `undefined` for files of other kinds. */
export function parseFileName(file: string): { className: string; index: number } | undefined {
  const [, name] = /^(.+?)(?:\.weights)?\.(?:h5|hdf5)$/isu.exec(file) ?? []
  return name === undefined ? undefined : parseNetworkName(name)
}

/** An error about a source, which it names. */
export function importError(path: string, error: unknown): ZooError {
  if (error instanceof ZooError) return error
  return new ZooError('zoo', `cannot import ${path}: ${reasonOf(error)}`, { path }, { cause: error })
}
