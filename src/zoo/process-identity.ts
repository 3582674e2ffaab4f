import { createHash } from 'node:crypto'
import { readFileSync, readlinkSync } from 'node:fs'
import { hostname } from 'node:os'

// Who a process is, so that another one can tell later whether it still runs.

/** A process, as locks name it. */
export interface ProcessIdentity {
  readonly pid: number
  readonly host: string
  /** When the process started (clock ticks since boot): a pid may be given out again. Linux only. */
  readonly started?: string | undefined
  /** Where process numbers mean the same: one boot of one machine, one pid namespace. Linux only. */
  readonly place?: string | undefined
}

export function thisProcess(): ProcessIdentity {
  return { pid: process.pid, host: hostname(), started: lookUp(process.pid)?.started, place: placeHere() }
}

/** Whether a process runs; `undefined` where that cannot be told from here: another machine or container. */
export function isRunning({ pid, host, started, place }: ProcessIdentity): boolean | undefined {
  if (host !== hostname() || (place !== undefined && place !== placeHere())) return undefined
  return runsHere(pid, started)
}

/**
 * Whether a process with this number runs here, and is the one that started then. One that has ended does not, also
 * where its parent has not asked how (a zombie): in a container that may be for good.
 */
export function runsHere(pid: number, started?: string): boolean {
  // Looked up first: what ends between the two is told by the second.
  const seen = lookUp(pid)
  try {
    process.kill(pid, 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false
  }
  // Of other users' processes /proc may show nothing.
  if (!seen) return true
  return !seen.hasEnded && (started === undefined || seen.started === started)
}

/** A few letters that stand in file names for where a process runs. */
export function placeTag(
  { host, place }: Pick<ProcessIdentity, 'host' | 'place'> = { host: hostname(), place: placeHere() },
): string {
  return createHash('sha256')
    .update(`${host} ${place ?? ''}`)
    .digest('hex')
    .slice(0, 8)
}

let place: string | undefined | null = null

/** Machines of one host name (`localhost`) and containers differ in it. */
function placeHere(): string | undefined {
  if (place !== null) return place
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
    place = `${boot} ${readlinkSync('/proc/self/ns/pid')}`
  } catch {
    place = undefined
  }
  return place
}

/**
 * Fields 3 (state), 20 (threads) and 22 (start) of /proc/<pid>/stat; the name in field 2 may hold spaces and brackets. A
 * process whose first thread has ended may still have others that write.
 */
function lookUp(pid: number): { hasEnded: boolean; started: string } | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    const hasEnded = ['Z', 'X'].includes(fields[0]!) && Number(fields[17]) <= 1
    return { hasEnded, started: fields[19]! }
  } catch {
    return undefined
  }
}
