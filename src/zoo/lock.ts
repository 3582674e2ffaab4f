import { randomBytes } from 'node:crypto'
import { link, open, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { reasonOf, ZooError } from '../errors.js'
import { isTemporaryOf, temporaryFiles, temporaryName, ZOO_FILES } from './files.js'
import { isRunning, type ProcessIdentity, thisProcess } from './process-identity.js'

/** Milliseconds between two signs of life of who holds a lock. */
const HEARTBEAT = 15_000
/** A holder on another machine that has given no sign of life for so many milliseconds is dead. */
const STALE = 120_000
/** Milliseconds between two looks at a lock that is waited for. */
const PAUSE = 100

/** A lock that this process holds. */
export interface Lock {
  /** @throws ZooError `zoo` when the lock, or the directory around it, is no longer this process's. */
  check(): Promise<void>
  release(): Promise<void>
}

interface LockOptions {
  /** Default: that of whole calls. */
  readonly name?: string | undefined
  /** Held for moments only, e.g. to mend a file: who comes meanwhile waits in place of being refused. Default false. */
  readonly brief?: boolean
  /** Wait for whoever has it, for as long as it takes, in place of being refused. Default false. */
  readonly patient?: boolean
  readonly signal?: AbortSignal | undefined
}

/**
 * Keeps a second process (or a second call in this one) from writing the same ledger. A lock whose process has died
 * is taken over: on this machine that is seen at once, of another one when its signs of life have stopped for two
 * minutes; until they have, or until one comes, this waits.
 *
 * @throws ZooError `zoo` saying who holds the lock; `interrupted` when `signal` is aborted while this waits.
 */
export async function lockDirectory(
  zooPath: string,
  { name = ZOO_FILES.lock, brief = false, patient = false, signal }: LockOptions = {},
): Promise<Lock> {
  const path = join(zooPath, name)
  let lastSign: number | undefined
  for (;;) {
    const taken = await acquire(path, brief)
    if ('token' in taken) return hold(zooPath, path, taken.token)
    const { owner, touched } = taken
    const alive = owner === undefined ? undefined : isRunning(owner)
    const gaveSign = lastSign !== undefined && touched !== lastSign
    if (!patient && !owner?.brief && (alive || gaveSign || owner?.token === undefined)) {
      const who = owner ? `process ${owner.pid} on ${owner.host}` : 'another process'
      const message = `${zooPath} is being trained by ${who}; wait for it, or delete ${path} if it is not`
      throw new ZooError('zoo', message, { path: zooPath })
    }
    lastSign = touched
    if (signal?.aborted) throw new ZooError('interrupted', `interrupted while waiting for ${path}`, {})
    await sleep(PAUSE)
  }
}

/** Does `work` while no other process does work under the same name; waits for its turn. */
export async function withLock<T>(
  zooPath: string,
  name: string,
  work: () => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  const lock = await lockDirectory(zooPath, { name, patient: true, signal })
  try {
    return await work()
  } finally {
    await lock.release()
  }
}

interface Owner extends ProcessIdentity {
  /** One acquisition of a lock; locks of earlier versions have none, and no signs of life. */
  readonly token?: string
  readonly brief?: boolean
}

/** A lock held by somebody, and when it last gave a sign of life. */
interface Held {
  readonly owner: Owner | undefined
  readonly touched: number
}

/**
 * Takes the lock at `path`, or says who has it. A lock appears whole (a link to a file that is written already), and a
 * dead one is replaced under a lock of its own, so that of several processes that find it dead one gets it.
 */
async function acquire(path: string, brief = false): Promise<{ token: string } | Held> {
  // Who waits for a process of this machine writes nothing meanwhile.
  const there = await readLock(path).catch(() => undefined)
  if (there?.owner && isRunning(there.owner)) return there
  const token = randomBytes(8).toString('hex')
  const candidate = temporaryName(`${path}.${token}`)
  try {
    const owner: Owner = { ...thisProcess(), token, ...(brief && { brief }) }
    // On the disk before it is linked: of a lock that a power failure left empty nobody could tell whose it is.
    await writeFile(candidate, JSON.stringify(owner), { flag: 'wx', flush: true })
    if (await claim(candidate, path)) return { token }
    const held = await readLock(path)
    if (!held) return acquire(path, brief)
    // The file system's clock, not this machine's: the candidate has just been written.
    const now = (await stat(candidate)).mtimeMs
    if (!isDead(held, now)) return held
    const guard = await acquire(`${path}.takeover`)
    if (!('token' in guard)) return held
    try {
      const present = await readLock(path)
      if (!present || present.owner?.token !== held.owner?.token || !isDead(present, now)) return held
      await rename(candidate, path)
      if (present.owner) await removeUnfinishedOf(present.owner, dirname(path))
      return { token }
    } finally {
      await rm(`${path}.takeover`, { force: true })
    }
  } catch (error) {
    if (error instanceof ZooError) throw error
    throw new ZooError('zoo', `cannot write ${path}: ${reasonOf(error)}`, { path }, { cause: error })
  } finally {
    await rm(candidate, { force: true }).catch(() => {})
  }
}

/** Of a process on another machine, or before a reboot, only its lock says that it is dead. */
async function removeUnfinishedOf(owner: Owner, zooPath: string): Promise<void> {
  for (const path of await temporaryFiles(zooPath))
    if (isTemporaryOf(path, owner)) await rm(path, { force: true }).catch(() => {})
}

/** Makes the lock unless there is one. */
async function claim(candidate: string, path: string): Promise<boolean> {
  try {
    await link(candidate, path)
    return true
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST') return false
    if (!['EPERM', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP', 'EMLINK'].includes(code ?? '')) throw error
  }
  // A file system without links (FAT, some network shares).
  try {
    await writeFile(path, await readFile(candidate), { flag: 'wx', flush: true })
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

function isDead({ owner, touched }: Held, now: number): boolean {
  // A lock that cannot be read is one that is just being written, or that a crash left so.
  if (!owner) return now - touched > HEARTBEAT
  const running = isRunning(owner)
  if (running !== undefined) return !running
  return owner.token !== undefined && now - touched > STALE
}

/** `undefined` where there is no lock. Opened anew every time: network file systems look at the server then. */
async function readLock(path: string): Promise<Held | undefined> {
  try {
    const handle = await open(path, 'r')
    try {
      const { mtimeMs: touched } = await handle.stat()
      return { owner: parseOwner(await handle.readFile('utf8')), touched }
    } finally {
      await handle.close()
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

function parseOwner(text: string): Owner | undefined {
  try {
    const owner = JSON.parse(text) as Owner
    return Number.isSafeInteger(owner.pid) && typeof owner.host === 'string' ? owner : undefined
  } catch {
    return undefined
  }
}

/** Writes what stands there already: the time is then the file system's; `utimes` could only give this machine's. */
async function touch(path: string): Promise<void> {
  const handle = await open(path, 'r+')
  try {
    await handle.write('{', 0)
  } finally {
    await handle.close()
  }
}

/** Takes the lock away, then looks whether it was still this process's, or had just been taken over: then it goes back. */
async function remove(path: string, token: string): Promise<void> {
  const away = temporaryName(`${path}.${token}`)
  await rename(path, away)
  if ((await readLock(away))?.owner?.token !== token) await claim(away, path)
  await rm(away, { force: true })
}

function hold(zooPath: string, path: string, token: string): Lock {
  const present = () => readLock(path).catch(() => undefined)
  const heartbeat = setInterval(async () => {
    if ((await present())?.owner?.token === token) await touch(path).catch(() => {})
  }, HEARTBEAT).unref()
  return {
    async check() {
      const held = await present()
      if (held?.owner?.token === token) return
      const what = held
        ? `${zooPath} was taken over by process ${held.owner?.pid} on ${held.owner?.host}, since this one had given no sign of life`
        : `${zooPath} has vanished while it was being trained (deleted, moved or unmounted)`
      const rest = held ? 'its networks are kept' : 'bring it back and run the same command to go on'
      throw new ZooError('zoo', `${what}; ${rest}`, { path: zooPath })
    },
    async release() {
      clearInterval(heartbeat)
      if ((await present())?.owner?.token === token) await remove(path, token).catch(() => {})
    },
  }
}
