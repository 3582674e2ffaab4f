import { checkpointPath, digestFile, modelPath } from './files.js'
import type { NetworkRecord } from './ledger.js'
import type { Stores } from './manifest.js'
import type { OutputsReader } from './outputs.js'

/** Whether all that a network is to have is there, and is what its line says. */
export async function isWhole(
  record: NetworkRecord,
  out: string,
  { checkpoints, outputs }: Stores,
  stored: OutputsReader,
): Promise<boolean> {
  const { class: className, index } = record
  const holds = async (path: string, sha256: string | undefined) =>
    (await digestFile(path).catch(() => undefined))?.sha256 === sha256
  if (!(await holds(modelPath(out, className, index), record.fileSha256))) return false
  if (checkpoints) {
    const { fileSha256 } = record.checkpoints ?? {}
    if (!fileSha256 || !(await holds(checkpointPath(out, className, index), fileSha256))) return false
  }
  return !outputs || (await stored.read(record).catch(() => undefined)) !== undefined
}
