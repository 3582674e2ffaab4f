import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { reasonOf } from '../errors.js'
import type { Audit } from './audit.js'
import { checkpointPath, digestFile, networkName } from './files.js'
import type { NetworkRecord } from './ledger.js'
import { OUTPUTS_FILE, OutputsReader } from './outputs.js'
import type { Zoo } from './zoo.js'

const AGAIN = 'weightzoo train makes it again'

/** What networks keep beside their weights: every file of checkpoints and every row of outputs against the ledger. */
export async function verifyStored(audit: Audit, { path: zooPath, networks, manifest }: Zoo): Promise<void> {
  const { checkpoints, outputs } = manifest.stores ?? {}
  if (checkpoints) for (const record of networks) await verifyCheckpoints(audit, record)
  if (!outputs) return
  const reader = new OutputsReader(zooPath, manifest.images?.validation ?? 0)
  try {
    for (const record of networks) {
      await reader.read(record).catch(error => {
        const file = record.outputs?.file
        const name = networkName(record.class, record.index)
        audit.find('damaged', file ?? 'ledger.jsonl', `${withoutPath(zooPath, error)} (${name}); ${AGAIN}`)
      })
    }
  } finally {
    await reader.close()
  }
  for (const file of new Set(networks.flatMap(record => record.outputs?.file ?? []))) {
    if (!OUTPUTS_FILE.test(file)) continue
    audit.known.add(file)
    audit.count((await stat(join(zooPath, file)).catch(() => undefined))?.size ?? 0)
  }
}

async function verifyCheckpoints(audit: Audit, record: NetworkRecord): Promise<void> {
  const path = checkpointPath(audit.zooPath, record.class, record.index)
  const file = path.slice(join(audit.zooPath, '/').length)
  audit.known.add(file)
  try {
    const { bytes, sha256 } = await digestFile(path)
    audit.count(bytes)
    if (sha256 !== record.checkpoints?.fileSha256)
      audit.find('damaged', file, `another checksum (SHA-256) than the ledger has; ${AGAIN}`)
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT'
    const what = missing ? 'no such file, but its ledger line is there' : `cannot be read: ${reasonOf(error)}`
    audit.find(missing ? 'missing' : 'damaged', file, `${what}; ${AGAIN}`)
  }
}

function withoutPath(zooPath: string, error: unknown): string {
  return reasonOf(error).replaceAll(join(zooPath, '/'), '')
}
