import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type Architecture, describeArchitecture } from '../architecture/architecture.js'
import { reasonOf, ZooError } from '../errors.js'
import type { Audit } from './audit.js'
import { COMPILED_FILES } from './compiled-state.js'
import {
  cannotList,
  digestFile,
  isTemporary,
  modelPath,
  networkName,
  readText,
  weightsHash,
  ZOO_FILES,
} from './files.js'
import {
  isSound,
  type LedgerLine,
  type LedgerRecord,
  ledgerFiles,
  ledgerLines,
  type NetworkRecord,
  supersedes,
} from './ledger.js'
import { architectureOf, isSealed, parseManifest, type ZooManifest } from './manifest.js'
import { readModelAttributes, readModelFile } from './model-file.js'
import { OUTPUTS_FILE } from './outputs.js'
import type { VerifyOptions } from './verify.js'

/** Every file under a zoo directory, by its path within it; anything that is no file or folder ends in `@`. */
export async function listFiles(zooPath: string, folder = ''): Promise<string[]> {
  const path = join(zooPath, folder)
  const entries = await readdir(path, { withFileTypes: true }).catch(error => {
    throw cannotList(path, error)
  })
  const lists = await Promise.all(
    entries.map(async entry => {
      const name = folder ? `${folder}/${entry.name}` : entry.name
      if (entry.isDirectory()) return listFiles(zooPath, name)
      return [entry.isFile() ? name : `${name}@`]
    }),
  )
  return lists.flat().sort()
}

/** `undefined` where `zoo.json` cannot be read at all. */
export async function verifyManifest(audit: Audit): Promise<ZooManifest | undefined> {
  const file = ZOO_FILES.manifest
  audit.known.add(file)
  const path = join(audit.zooPath, file)
  let text: string
  try {
    text = await readText(path)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    audit.find(code === 'ENOENT' ? 'missing' : 'damaged', file, `cannot be read: ${reasonOf(error)}`)
    return undefined
  }
  audit.count(Buffer.byteLength(text))
  try {
    const manifest = parseManifest(path, text)
    const { parameters } = describeArchitecture(architectureOf(manifest))
    if (JSON.stringify(parameters) !== JSON.stringify(manifest.parameters)) {
      audit.find('damaged', file, 'its parameter table is not that of its architecture')
    }
    if (!isSealed(manifest)) {
      audit.notes.push(
        `format version ${manifest.formatVersion}: zoo.json, ledger lines and whole files bear no checksums; weightzoo train with the zoo's recipe adds them`,
      )
    }
    return manifest
  } catch (error) {
    audit.find('damaged', file, reasonOf(error).replace(`${path} `, ''))
    return undefined
  }
}

/** Every line of every ledger. Returns the line that counts of each network. */
export async function verifyLedgers(
  audit: Audit,
  manifest: ZooManifest | undefined,
): Promise<LedgerRecord[]> {
  const records = new Map<string, LedgerRecord>()
  const sealed = manifest === undefined || isSealed(manifest)
  const names = await ledgerFiles(audit.zooPath)
  if (!names.includes(ZOO_FILES.ledger) && names.length === 0) {
    audit.find('missing', ZOO_FILES.ledger, 'no such file; weightzoo train makes it again, and every network')
  }
  for (const file of names) {
    audit.known.add(file)
    const path = join(audit.zooPath, file)
    try {
      audit.count((await digestFile(path)).bytes)
      for await (const line of ledgerLines(path)) {
        if (!isSound(line, sealed)) audit.find('damaged', file, whatIsWrong(line))
        else takeLine(audit, file, line, records)
      }
    } catch (error) {
      audit.find('damaged', file, reasonOf(error))
    }
  }
  if (manifest) checkPlan(audit, manifest, records)
  return [...records.values()]
}

function whatIsWrong({ number, record, state }: LedgerLine): string {
  const name = record ? ` (${networkName(record.class, record.index)})` : ''
  if (state === 'unfinished') return `line ${number}${name} is cut off; weightzoo train goes on from there`
  if (state === 'damaged') return `line ${number}${name} has another checksum than its text`
  if (record) return `line ${number}${name} has lost its checksum`
  return `line ${number} is not a ledger line`
}

function takeLine(
  audit: Audit,
  file: string,
  { number, record }: LedgerLine & { record: LedgerRecord },
  records: Map<string, LedgerRecord>,
): void {
  const name = networkName(record.class, record.index)
  const key = JSON.stringify([record.class, record.index])
  const present = records.get(key)
  if (present?.status === 'finished' && record.status === 'finished' && present.sha256 !== record.sha256) {
    const hashes = `${record.sha256.slice(0, 12)} and ${present.sha256.slice(0, 12)}`
    audit.find('differs', file, `line ${number} (${name}): another line has other weights (${hashes})`)
  }
  if (!present || supersedes(record, present)) records.set(key, record)
}

/** Whether the networks are those planned: none beside them, and which are still to come. */
function checkPlan(
  audit: Audit,
  { plan, classNames }: ZooManifest,
  records: ReadonlyMap<string, LedgerRecord>,
): void {
  const file = ZOO_FILES.ledger
  const listed = new Map<string, number>()
  for (const { class: name, index } of records.values()) {
    const network = networkName(name, index)
    if (!classNames.includes(name)) audit.find('unknown', file, `${network} is of a class not in zoo.json`)
    else if (index >= (plan[name] ?? 0)) audit.find('unknown', file, `${network} is not in zoo.json's plan`)
    else listed.set(name, (listed.get(name) ?? 0) + 1)
  }
  for (const [name, count] of Object.entries(plan)) {
    const lacking = count - (listed.get(name) ?? 0)
    if (lacking === 0) continue
    let first = 0
    while (records.has(JSON.stringify([name, first]))) first++
    const which = `${lacking} of ${count} planned networks have no line, the first ${networkName(name, first)}`
    audit.find('unfinished', file, `${which}; not trained yet, or lost: weightzoo train makes them`)
  }
}

/** Every model file that the ledger lists. */
export async function verifyModels(
  audit: Audit,
  manifest: ZooManifest | undefined,
  records: readonly LedgerRecord[],
  { signal, onProgress }: VerifyOptions,
): Promise<void> {
  const architecture = manifest && describeArchitecture(architectureOf(manifest))
  const finished = records.filter(record => record.status === 'finished')
  for (const [position, record] of finished.entries()) {
    if (signal?.aborted)
      throw new ZooError('interrupted', `interrupted after ${position} of ${finished.length} models`, {})
    const path = modelPath(audit.zooPath, record.class, record.index)
    const file = path.slice(join(audit.zooPath, '/').length)
    audit.known.add(file)
    const wrong = await whatIsWrongWith(path, record, architecture, audit)
    if (wrong) audit.find(wrong.kind, file, `${wrong.message}; weightzoo train makes it again`)
    onProgress?.('models', position + 1, finished.length)
  }
}

async function whatIsWrongWith(
  path: string,
  record: NetworkRecord,
  architecture: Architecture | undefined,
  audit: Audit,
): Promise<{ kind: 'damaged' | 'missing'; message: string } | undefined> {
  const damaged = (message: string) => ({ kind: 'damaged' as const, message })
  let sha256: string
  try {
    const digest = await digestFile(path)
    audit.count(digest.bytes)
    sha256 = digest.sha256
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return { kind: 'missing', message: 'no such file, but its ledger line is there' }
    return damaged(`cannot be read: ${reasonOf(error)}`)
  }
  const content = architecture && (await contentFault(path, record, architecture))
  if (content) return damaged(content)
  if (record.fileSha256 === undefined || record.fileSha256 === sha256) return undefined
  return damaged(
    architecture
      ? 'another checksum (SHA-256) than the ledger has, though its weights and attributes are right'
      : 'another checksum (SHA-256) than the ledger has',
  )
}

/** Shapes, weights and attributes of a model file. */
async function contentFault(
  path: string,
  record: NetworkRecord,
  architecture: Architecture,
): Promise<string | undefined> {
  try {
    const weights = await readModelFile(path, architecture)
    if (weightsHash(weights) !== record.sha256) return 'its weights are not those that the ledger lists'
    const attributes = await readModelAttributes(path)
    for (const name of ['class', 'index', 'seed', 'sha256'] as const) {
      if (Number.isNaN(record[name]) && attributes[name] === undefined) continue
      if (attributes[name] !== record[name])
        return `its attribute ${name} is ${attributes[name]}, not ${record[name]}`
    }
    return undefined
  } catch (error) {
    return reasonOf(error).replace(`${path} `, '')
  }
}

/** How many networks failed: no fault of the zoo, and nothing that training mends unasked. */
export function verifyFailures(audit: Audit, records: readonly LedgerRecord[]): void {
  const failures = records.filter(record => record.status === 'failed')
  const [first] = failures
  if (!first) return
  const which = `${networkName(first.class, first.index)}: ${first.reason}`
  audit.notes.push(
    failures.length === 1
      ? `1 network failed, ${which}; weightzoo train --retry-failed trains it again`
      : `${failures.length} networks failed, the first ${which}; weightzoo train --retry-failed trains them again`,
  )
}

/** Files that only a readable zoo.json can tell more of: known by their names. */
export function knowByName(audit: Audit, files: readonly string[]): void {
  const names: readonly string[] = [...COMPILED_FILES, ZOO_FILES.compiled]
  for (const file of files) {
    const isCheckpoints = file.startsWith(`${ZOO_FILES.checkpoints}/`) && file.endsWith('.h5')
    if (names.includes(file) || OUTPUTS_FILE.test(file) || isCheckpoints) audit.known.add(file)
  }
}

/** What nothing accounts for. */
export function verifyRest(audit: Audit, files: readonly string[]): void {
  for (const file of files) {
    if (audit.known.has(file) || file.startsWith(`${ZOO_FILES.report}/`)) continue
    const name = file.replace(/@$/, '')
    if (file !== name && audit.has(name)) continue
    if (isTemporary(file)) {
      audit.find('unfinished', file, 'a crash left it half-written; weightzoo train removes it')
    } else if (/\.lock(\.takeover)*$/.test(file)) {
      audit.notes.push(
        `${file}: a process works in this directory, or died there; training goes on all the same`,
      )
    } else if (file.startsWith(`${ZOO_FILES.models}/`) && file.endsWith('.weights.h5')) {
      audit.find('unknown', file, 'the ledger has no line for it; weightzoo train makes that network again')
    } else audit.find('unknown', name, 'no file of a zoo')
  }
}
