// Takes a lock, looks whether it is alone, and dies while it holds it every other time: node locker.mjs <folder>
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { withLock } from '../../dist/zoo/lock.js'

const [, , folder] = process.argv
const inside = `${folder}/inside`
await withLock(folder, 'zoo.lock', async () => {
  const other = readPid()
  if (other && isAlive(other)) console.log(`violation: ${other} is inside, too`)
  writeFileSync(inside, String(process.pid))
  await sleep(2)
  if (readPid() !== process.pid) console.log(`violation: ${readPid()} came in`)
  if (process.pid % 2) process.kill(process.pid, 'SIGKILL')
  rmSync(inside)
})
console.log('left')

function readPid() {
  try {
    return Number(readFileSync(inside, 'utf8'))
  } catch {
    return undefined
  }
}

/** A process that was killed is there as a zombie until its parent has asked for it. */
function isAlive(pid) {
  try {
    process.kill(pid, 0)
    return process.platform !== 'linux' || !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return false
  }
}
