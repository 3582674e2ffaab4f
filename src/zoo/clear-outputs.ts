import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { reasonOf, ZooError } from '../errors.js'
import { readLedger } from './ledger.js'
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
  const look = async (path: string): Promise<Leftover | undefined> => {
    const records = await readLedger(zooPath, { sealed: true, lenient: true })
    return leftoverIn(path, images, records).catch(error => {
      throw new ZooError('zoo', `cannot read ${path}: ${reasonOf(error)}`, { path }, { cause: error })
    })
  }
  for (const entry of await readdir(zooPath, { withFileTypes: true })) {
    // What is there under such a name and is no file, weightzoo verify names.
    if (!OUTPUTS_FILE.test(entry.name) || !entry.isFile()) continue
    const path = join(zooPath, entry.name)
    const clear = async (leftover: Leftover | undefined) =>
      leftover && (await clearLeftover(path, images, leftover))
    const leftover = await look(path)
    if (!leftover) continue
    const ledger = ledgerOf(entry.name)
    if (ledger === own) await clear(leftover)
    // Its lines are read again under the lock: rows may have been named meanwhile.
    else await whenFree(zooPath, lockName(ledger), async () => clear(await look(path)))
  }
}
