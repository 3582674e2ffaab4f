import { checkpointPath, digestFile, modelPath } from './files.js'
import type { NetworkRecord } from './ledger.js'
import type { Stores } from './manifest.js'
import type { OutputsReader } from './outputs.js'

/** Whether all that a network is to have is there, and is what its line says. */
export async function isWhole(
  record: NetworkRecord,
  out: string,
  stores: Stores,
  stored: OutputsReader,
): Promise<boolean> {
  return (await hasWholeFiles(record, out, stores)) && (!stores.outputs || (await hasOutputs(record, stored)))
}

/** Whether a network's own files, those of its weights and checkpoints, are what its line says. */
export async function hasWholeFiles(
  record: NetworkRecord,
  out: string,
  { checkpoints }: Stores,
): Promise<boolean> {
  const { class: className, index } = record
  const holds = async (path: string, sha256: string | undefined) =>
    sha256 !== undefined && (await digestFile(path).catch(() => undefined))?.sha256 === sha256
  if (!(await holds(modelPath(out, className, index), record.fileSha256))) return false
  if (!checkpoints) return true
  return holds(checkpointPath(out, className, index), record.checkpoints?.fileSha256)
}

/** Whether a network's row of outputs is what its line says. */
export async function hasOutputs(record: NetworkRecord, stored: OutputsReader): Promise<boolean> {
  return (await stored.read(record).catch(() => undefined)) !== undefined
}
