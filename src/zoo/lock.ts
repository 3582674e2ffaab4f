import { readFile, rm, stat, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { reasonOf, ZooError } from '../errors.js'
import { ZOO_FILES } from './files.js'

/**
 * Keeps a second process (or a second call in this one) from training into the same directory: both would train the
 * same networks and write the same ledger. A lock whose process has died on this machine is taken over.
 *
 * @returns how to unlock
 * @throws ZooError `zoo` saying who holds the lock.
 */
export async function lockDirectory(zooPath: string): Promise<() => Promise<void>> {
  const path = join(zooPath, ZOO_FILES.lock)
  const owner = JSON.stringify({ pid: process.pid, host: hostname() })
  for (;;) {
    try {
      await writeFile(path, owner, { flag: 'wx' })
      return () => rm(path, { force: true })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') {
        throw new ZooError('zoo', `cannot write ${path}: ${reasonOf(error)}`, { path }, { cause: error })
      }
    }
    const holder = await readOwner(path)
    if (await isHeld(path, holder)) {
      const who = holder ? `process ${holder.pid} on ${holder.host}` : 'another process'
      throw new ZooError(
        'zoo',
        `${zooPath} is being trained by ${who}; wait for it, or delete ${path} if it is not`,
        {
          path: zooPath,
        },
      )
    }
    await rm(path, { force: true })
  }
}

interface Owner {
  pid: number
  host: string
}

/** A lock without an owner is one that is just being written, or that a crash left so. */
async function isHeld(path: string, owner: Owner | undefined): Promise<boolean> {
  if (owner) return !isGone(owner)
  const written = await stat(path).catch(() => undefined)
  return written !== undefined && Date.now() - written.mtimeMs < 10_000
}

/** `undefined` where the lock is empty or not readable. */
async function readOwner(path: string): Promise<Owner | undefined> {
  try {
    const owner = JSON.parse(await readFile(path, 'utf8')) as Owner
    return Number.isSafeInteger(owner.pid) && typeof owner.host === 'string' ? owner : undefined
  } catch {
    return undefined
  }
}

/** Whether a process of this machine has ended; of another machine that cannot be told. */
function isGone({ pid, host }: Owner): boolean {
  if (host !== hostname()) return false
  try {
    process.kill(pid, 0)
    return false
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH'
  }
}
