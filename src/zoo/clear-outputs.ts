import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { reasonOf, ZooError } from '../errors.js'
import { type LedgerRecord, readLedger } from './ledger.js'
import { whenFree } from './mend.js'
import { clearLeftover, type Leftover, leftoverIn, OUTPUTS_FILE } from './outputs.js'
import { ledgerOf, lockName } from './shard.js'

/**
 * Clears the files of outputs of what is of no network, in a zoo whose networks all have theirs; those that another
 * process writes are left to it. So any byte of them that a network does not have is a zero, or damage.
 *
 * @param images of the validation split
 * @param own name of the ledger whose lock the caller holds
 */
export async function clearOutputs(zooPath: string, images: number, own: string): Promise<void> {
  const records = await recordsOf(zooPath)
  for (const entry of await readdir(zooPath, { withFileTypes: true })) {
    // What is there under such a name and is no file, weightzoo verify names.
    if (!OUTPUTS_FILE.test(entry.name) || !entry.isFile()) continue
    const path = join(zooPath, entry.name)
    const leftover = await look(path, images, records)
    if (!leftover) continue
    const ledger = ledgerOf(entry.name)
    if (ledger === own) {
      await clearLeftover(path, images, leftover)
      continue
    }
    await whenFree(zooPath, lockName(ledger), async () => {
      // A process that had the lock until now may have named rows.
      const present = await look(path, images, await recordsOf(zooPath))
      if (present) await clearLeftover(path, images, present)
    })
  }
}

const recordsOf = (zooPath: string) => readLedger(zooPath, { sealed: true, lenient: true })

async function look(
  path: string,
  images: number,
  records: readonly LedgerRecord[],
): Promise<Leftover | undefined> {
  try {
    return await leftoverIn(path, images, records)
  } catch (error) {
    throw new ZooError('zoo', `cannot read ${path}: ${reasonOf(error)}`, { path }, { cause: error })
  }
}
