import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { reasonOf } from '../errors.js'
import type { Audit } from './audit.js'
import { checkpointPath, digestFile, networkName, ZOO_FILES } from './files.js'
import type { LedgerRecord, NetworkRecord } from './ledger.js'
import { type Leftover, leftoverIn, OUTPUTS_FILE, OutputsReader } from './outputs.js'
import type { Zoo } from './zoo.js'

const AGAIN = 'weightzoo train makes it again'

/**
 * What networks keep beside their weights: every file of checkpoints and every row of outputs against the ledger.
 *
 * @param files of the zoo
 * @param records of the whole zoo, networks that are not of it included
 */
export async function verifyStored(
  audit: Audit,
  { networks, manifest }: Zoo,
  files: readonly string[],
  records: readonly LedgerRecord[],
): Promise<void> {
  const { checkpoints, outputs } = manifest.stores ?? {}
  if (checkpoints) for (const record of networks) await verifyCheckpoints(audit, record)
  if (!outputs) return
  const images = manifest.images?.validation ?? 0
  await verifyRows(audit, networks, images)
  for (const file of files) if (OUTPUTS_FILE.test(file)) await verifyOutputsFile(audit, file, images, records)
}

/** Every network's row of outputs. */
async function verifyRows(audit: Audit, networks: readonly NetworkRecord[], images: number): Promise<void> {
  const [first, ...others] = networks.filter(record => record.outputs === undefined)
  if (first) {
    const name = networkName(first.class, first.index)
    const which = others.length === 0 ? `${name} has` : `${others.length + 1} networks have`
    const text = `${which} no outputs yet${others.length === 0 ? '' : `, the first ${name}`}`
    audit.find('unfinished', ZOO_FILES.ledger, `${text}; weightzoo train --outputs adds them`)
  }
  const reader = new OutputsReader(audit.zooPath, images)
  try {
    for (const record of networks) {
      if (record.outputs === undefined) continue
      await reader.read(record).catch(error => {
        const name = networkName(record.class, record.index)
        const message = `${withoutPath(audit.zooPath, error)} (${name}); ${AGAIN}`
        audit.find('damaged', record.outputs?.file ?? ZOO_FILES.ledger, message)
      })
    }
  } finally {
    await reader.close()
  }
}

/** What of a file of outputs is of no network. */
async function verifyOutputsFile(
  audit: Audit,
  file: string,
  images: number,
  records: readonly LedgerRecord[],
): Promise<void> {
  audit.known.add(file)
  const path = join(audit.zooPath, file)
  try {
    audit.count((await stat(path)).size)
    const leftover = await leftoverIn(path, images, records)
    if (leftover?.all)
      audit.notes.push(`${file}: the outputs of no network are in it; weightzoo train removes it`)
    else if (leftover) audit.find('unfinished', file, `${inWords(leftover)}; weightzoo train clears them`)
  } catch (error) {
    audit.find('damaged', file, `cannot be read: ${reasonOf(error)}`)
  }
}

function inWords({ rows, behind }: Leftover): string {
  const parts = [
    ...(rows.length > 0
      ? [rows.length === 1 ? '1 row is of no network' : `${rows.length} rows are of no network`]
      : []),
    ...(behind > 0 ? [`${behind} bytes stand behind its last row`] : []),
  ]
  return `${parts.join(' and ')}, left by a crash or damage`
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
