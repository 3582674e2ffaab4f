import { join } from 'node:path'
import type { Architecture } from '../architecture/architecture.js'
import { isZooError } from '../errors.js'
import { digestFile, modelPath, weightsHash, ZOO_FILES } from './files.js'
import { isSound, type LedgerRecord, ledgerFiles, ledgerLines, rewriteLedger } from './ledger.js'
import { lockDirectory } from './lock.js'
import { readModelFile } from './model-file.js'
import { ledgerName, lockName, type Shard } from './shard.js'

/**
 * Takes lines that cannot be believed out of the ledgers: damaged ones, and the half line of a crash. Their networks
 * count as not trained then. A ledger that another process writes is left to that one. The caller holds its own's lock.
 */
export async function mendLedgers(zooPath: string, shard?: Shard): Promise<void> {
  for (const name of await ledgerFiles(zooPath)) {
    const path = join(zooPath, name)
    if (await isSoundLedger(path)) continue
    if (name === ledgerName(shard)) await mendLedger(path)
    else await whenFree(zooPath, lockName(name), () => mendLedger(path))
  }
}

async function isSoundLedger(path: string): Promise<boolean> {
  for await (const line of ledgerLines(path)) if (!isSound(line, true)) return false
  return true
}

async function mendLedger(path: string): Promise<void> {
  const sound: LedgerRecord[] = []
  for await (const line of ledgerLines(path)) if (isSound(line, true)) sound.push(line.record)
  await rewriteLedger(path, sound)
}

/** Does a moment's `work` under a lock, if no other process has it. */
export async function whenFree(zooPath: string, name: string, work: () => Promise<unknown>): Promise<void> {
  const lock = await lockDirectory(zooPath, { name, brief: true }).catch(error => {
    if (isZooError(error, 'zoo')) return undefined
    throw error
  })
  try {
    if (lock) await work()
  } finally {
    await lock?.release()
  }
}

/**
 * Gives the ledger of a zoo of format version 1 its checksums, and those of the model files that hold what the ledger
 * says; the others count as not trained then. The caller holds the ledger's lock.
 */
export async function sealLedger(zooPath: string, architecture: Architecture): Promise<void> {
  const path = join(zooPath, ZOO_FILES.ledger)
  const records: LedgerRecord[] = []
  let lines = 0
  for await (const line of ledgerLines(path)) {
    lines++
    if (!isSound(line, false)) continue
    const { record } = line
    if (record.status === 'failed' || record.fileSha256) {
      records.push(record)
      continue
    }
    const model = modelPath(zooPath, record.class, record.index)
    const weights = await readModelFile(model, architecture).catch(() => undefined)
    if (!weights || weightsHash(weights) !== record.sha256) continue
    records.push({ ...record, fileSha256: (await digestFile(model)).sha256 })
  }
  if (lines > 0) await rewriteLedger(path, records)
}
