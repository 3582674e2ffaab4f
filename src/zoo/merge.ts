import { createReadStream } from 'node:fs'
import { realpath, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isZooError, reasonOf, ZooError } from '../errors.js'
import { checkOptionNames, invalidOption } from '../options.js'
import { clearOutputs } from './clear-outputs.js'
import { ensureCompiled } from './compile.js'
import { checkpointPath, digestFile, modelPath, networkName, writeWhole } from './files.js'
import {
  isSound,
  type LedgerLine,
  type LedgerRecord,
  LedgerWriter,
  ledgerFiles,
  ledgerLines,
  type NetworkRecord,
  readLedger,
} from './ledger.js'
import { type Lock, lockDirectory } from './lock.js'
import {
  differences,
  FORMAT_VERSION,
  isSealed,
  readManifest,
  type Stores,
  type TrainedZooManifest,
  trainedManifest,
} from './manifest.js'
import { OutputsReader, OutputsWriter } from './outputs.js'
import { interruptedAfter, joined, type Plan } from './plan.js'
import { grown, makeDirectory, prepareDirectory } from './prepare.js'
import { ledgerName, outputsName } from './shard.js'
import { NETWORK_SPLIT } from './split.js'
import { isWhole } from './whole.js'
import { openDirectory, openZoo, type Zoo } from './zoo.js'

/** Options of {@link mergeZoos}. */
export interface MergeOptions {
  /** The zoo directory to merge into; made where it is missing, added to where it holds a zoo of the same recipe. */
  out: string
  /** Stops between two networks; what is merged stays, and a second call goes on. */
  signal?: AbortSignal | undefined
  /** Called when work starts, after every network, and while compiling. */
  onProgress?: ((progress: MergeProgress) => void) | undefined
}

/** How far {@link mergeZoos} is. */
export interface MergeProgress {
  /** The networks are copied first, then all compiled into the files of all networks. */
  readonly stage: 'merging' | 'compiling'
  /** Networks merged or compiled, those that `out` had already included. */
  readonly done: number
  readonly total: number
}

/** A trained network and the zoo that has it. */
interface Place {
  readonly zoo: Zoo
  readonly record: NetworkRecord
}

type Places = readonly [first: Place, ...others: Place[]]

/**
 * Joins zoos of the same recipe, images and arithmetic into one directory: shards that were trained on machines without
 * a common disk, or parts of a plan. Copies every network with its checkpoints and outputs, each checked against its
 * checksum on the way, from the first zoo whose copy is whole, then compiles. `out` may be one of the zoos. The merged zoo
 * has the bytes that one call of `trainZoo` would have given it. Its plan is the larger one of each class; a network that
 * failed in one zoo and is finished in another is finished.
 *
 * A ledger line that is damaged, in a zoo or in `out`, is made up for by another zoo: by one that has a network of the
 * weights that the line still says, or by all that together have every network that its zoo plans.
 *
 * @example
 * const zoo = await mergeZoos(['from-node-1', 'from-node-2'], { out: 'zoo' })
 * zoo.networks.length
 *
 * @returns the merged zoo, open
 * @throws ZooError `option` for a wrong option; `zoo` naming the zoo of another recipe, the network of which two zoos have
 * different weights, or the damaged ledger line that no zoo makes up for (nothing is written in these cases), or the
 * damaged files of a network that no zoo has whole (nothing is written of it);
 * `interrupted` when `signal` is aborted.
 */
export async function mergeZoos(sources: readonly string[], options: MergeOptions): Promise<Zoo> {
  const { out, signal, onProgress = () => {} } = checkOptions(sources, options)
  const zoos = await openEach(sources)
  const manifest = joinedManifest(zoos)
  const places = placesOf(zoos)
  await checkDamage((await readManifest(out)) ? [...zoos, await openDirectory(out, LENIENT)] : zoos)
  if (signal?.aborted) throw interruptedAfter(0, places.size)
  await makeDirectory(out)
  const lock = await lockDirectory(out, { signal })
  try {
    await checkTarget(out, manifest, places)
    await prepareDirectory(out, manifest)
    await copyMissing(places, failuresOf(zoos), manifest, options, lock)
    const zoo = await openZoo(out)
    const total = zoo.networks.length
    const compiled = (done: number) => onProgress({ stage: 'compiling', done, total })
    if (total > 0) await ensureCompiled(zoo, { signal, onProgress: compiled }, true)
    return zoo
  } finally {
    await lock.release()
  }
}

function checkOptions(sources: readonly string[], options: MergeOptions): MergeOptions {
  if (!Array.isArray(sources) || sources.length === 0) {
    throw invalidOption('sources', sources, 'needs the paths of the zoo directories to merge')
  }
  checkOptionNames(options, ['out', 'signal', 'onProgress'], 'mergeZoos')
  if (typeof options.out !== 'string' || options.out === '') {
    throw invalidOption('out', options.out, 'needs the path of the zoo directory')
  }
  return options
}

const LENIENT = { lenient: true }

/** Every directory once, also where it is given twice, or by a link. */
async function openEach(sources: readonly string[]): Promise<Zoo[]> {
  const zoos = new Map<string, Zoo>()
  for (const source of sources) {
    const zoo = await openDirectory(source, LENIENT)
    const path = await realpath(source)
    if (!zoos.has(path)) zoos.set(path, zoo)
  }
  return [...zoos.values()]
}

/** The manifest of all: that of the first zoo, with every class's larger plan. */
function joinedManifest(zoos: readonly Zoo[]): TrainedZooManifest {
  const [first, ...others] = zoos.map(({ path, manifest }) => ({
    path,
    manifest: trainedManifest(path, manifest),
  }))
  for (const { path, manifest } of others) {
    const differing = differences(manifest, first!.manifest)
    if (differing.length === 0) continue
    const message = `${path} is a zoo of another recipe than ${first!.path}: ${differing.join('; ')}. Only zoos of one recipe merge`
    throw new ZooError('zoo', message, { path })
  }
  const plan = zoos.reduce<Plan>((all, { manifest }) => joined(all, manifest.plan, manifest.classNames), {})
  return { ...first!.manifest, formatVersion: FORMAT_VERSION, plan, split: NETWORK_SPLIT }
}

/**
 * Every finished network and the zoos that have it, in their order.
 * @throws ZooError `zoo` when two zoos have different weights of a network
 */
function placesOf(zoos: readonly Zoo[]): Map<string, Places> {
  const places = new Map<string, Places>()
  for (const zoo of zoos) {
    for (const record of zoo.networks) {
      const name = networkName(record.class, record.index)
      const [first, ...others] = places.get(name) ?? []
      if (first) checkEqual(name, [first.zoo.path, first.record], [zoo.path, record])
      const place = { zoo, record }
      places.set(name, first ? [first, ...others, place] : [place])
    }
  }
  return places
}

type Copy = readonly [path: string, record: NetworkRecord]

function checkEqual(name: string, [path, { sha256 }]: Copy, [otherPath, other]: Copy): void {
  if (sha256 === other.sha256) return
  const hashes = `SHA-256 ${sha256.slice(0, 12)} and ${other.sha256.slice(0, 12)}`
  const todo = 'weightzoo verify --retrain tells which zoo to leave out'
  const message = `${path} and ${otherPath} have different weights of ${name} (${hashes}); ${todo}`
  throw new ZooError('zoo', message, { path: otherPath })
}

/**
 * Damaged lines are left out of zoos, but may not make networks vanish without a word.
 * @throws ZooError `zoo` naming the line whose network may be in no zoo
 */
async function checkDamage(zoos: readonly Zoo[]): Promise<void> {
  const networks = zoos.flatMap(zoo => zoo.networks)
  const weights = new Set(networks.map(({ sha256 }) => sha256))
  const failures = zoos.flatMap(zoo => zoo.failures)
  const known = new Set([...networks, ...failures].map(({ class: name, index }) => networkName(name, index)))
  for (const { path, manifest } of zoos) {
    const lost = firstMissing(manifest.plan, known)
    if (lost === undefined) continue
    for (const file of await ledgerFiles(path)) {
      for await (const line of ledgerLines(join(path, file))) {
        if (line.state === 'unfinished' || isSound(line, isSealed(manifest)) || madeUpFor(line, weights))
          continue
        const where = `${join(path, file)}:${line.number}`
        const message = `${where} is damaged, and may be of ${lost}, which no zoo has; ${TRAIN_AGAIN}`
        throw new ZooError('zoo', message, { path: join(path, file) })
      }
    }
  }
}

/** Whether what can still be read of a damaged line shows that no network is lost with it: names may be what is damaged. */
function madeUpFor({ record }: LedgerLine, weights: ReadonlySet<string>): boolean {
  return record !== undefined && (record.status === 'failed' || weights.has(record.sha256))
}

function firstMissing(plan: Plan, known: ReadonlySet<string>): string | undefined {
  for (const [className, count] of Object.entries(plan)) {
    for (let index = 0; index < count; index++) {
      const name = networkName(className, index)
      if (!known.has(name)) return name
    }
  }
  return undefined
}

/** Looks for another recipe in the target, and for networks with other weights, before anything is written. */
async function checkTarget(
  out: string,
  wanted: TrainedZooManifest,
  places: ReadonlyMap<string, Places>,
): Promise<void> {
  const present = await readManifest(out)
  if (!present) return
  grown(out, wanted, trainedManifest(out, present))
  for (const record of await readLedger(out, { sealed: isSealed(present), lenient: true })) {
    const name = networkName(record.class, record.index)
    const [place] = places.get(name) ?? []
    if (place && record.status === 'finished') checkEqual(name, [place.zoo.path, place.record], [out, record])
  }
}

function failuresOf(zoos: readonly Zoo[]): Map<string, LedgerRecord> {
  const failures = zoos.flatMap(zoo => zoo.failures)
  return new Map(failures.map(record => [networkName(record.class, record.index), record]))
}

/** Copies what the target lacks, or has damaged: a network's files first, then its line, as in training. */
async function copyMissing(
  places: ReadonlyMap<string, Places>,
  failures: ReadonlyMap<string, LedgerRecord>,
  { images, stores = {} }: TrainedZooManifest,
  { out, signal, onProgress = () => {} }: MergeOptions,
  lock: Lock,
): Promise<void> {
  const total = places.size
  const records = await readLedger(out, { sealed: true, lenient: true })
  const present = new Map(records.map(record => [networkName(record.class, record.index), record]))
  const stored = new OutputsReader(out, images.validation)
  const outputs = stores.outputs && (await OutputsWriter.open(out, outputsName(), records))
  const ledger = await LedgerWriter.open(out)
  let done = 0
  try {
    onProgress({ stage: 'merging', done, total })
    for (const [name, from] of places) {
      if (signal?.aborted) throw interruptedAfter(done, total)
      const before = present.get(name)
      if (before?.status !== 'finished' || !(await isWhole(before, out, stores, stored))) {
        // What is written into a directory that is gone, or another process's by now, would be lost or do harm.
        await lock.check()
        await ledger.append(after(before, await copyNetwork(await wholeOf(name, from, stores), out, outputs)))
      }
      onProgress({ stage: 'merging', done: ++done, total })
    }
    for (const [name, failure] of failures) {
      if (!places.has(name) && !present.has(name)) await ledger.append(failure)
    }
    if (outputs) await clearOutputs(out, images.validation, ledgerName())
  } finally {
    await stored.close()
    await ledger.close()
    await outputs?.close()
  }
}

/** A line that counts more than the one that the target has of the network, which failed there or was damaged. */
function after(before: LedgerRecord | undefined, record: NetworkRecord): NetworkRecord {
  if (!before) return record
  return { ...record, attempt: Math.max(record.attempt ?? 1, (before.attempt ?? 1) + 1) }
}

/** A network all of whose files are what its line says. */
interface WholeNetwork extends Place {
  /** SHA-256 of its model file, which the lines of zoos of format version 1 lack. */
  readonly fileSha256: string
  /** Of zoos that keep outputs. */
  readonly outputs: Float32Array | undefined
}

/**
 * A network from the first zoo that has it whole.
 * @throws ZooError `zoo` naming the damaged file of each zoo that has the network
 */
async function wholeOf(name: string, places: Places, stores: Stores): Promise<WholeNetwork> {
  const damage: ZooError<'zoo'>[] = []
  for (const place of places) {
    try {
      return await checkNetwork(place, stores)
    } catch (error) {
      if (!isZooError(error, 'zoo')) throw error
      damage.push(error)
    }
  }
  const shown = damage.slice(0, MOST_SHOWN).map(({ message }) => message)
  if (damage.length > MOST_SHOWN) shown.push(`nor in ${damage.length - MOST_SHOWN} other zoos`)
  const message = `${damage.length > 1 ? `no zoo has ${name} whole: ` : ''}${shown.join('; ')}; ${TRAIN_AGAIN}`
  throw new ZooError('zoo', message, damage[0]!.fields, { cause: damage[0] })
}

/** Damaged files named in a message. */
const MOST_SHOWN = 3
const TRAIN_AGAIN = 'weightzoo train with the recipe of its zoo makes it again; then merge again'

/** Reads all that is kept of a network, before any of it is written: it appears with all of it, or not at all. */
async function checkNetwork(place: Place, { checkpoints, outputs }: Stores): Promise<WholeNetwork> {
  const { zoo, record } = place
  const { class: className, index } = record
  // Model files of format version 1 have no checksum but that of their weights.
  if (!record.fileSha256) await zoo.weights(className, index)
  const fileSha256 = await checkSource(modelPath(zoo.path, className, index), record.fileSha256)
  if (checkpoints) {
    // A line that lists none is one of no file, whatever lies there.
    const { fileSha256 = '' } = record.checkpoints ?? {}
    await checkSource(checkpointPath(zoo.path, className, index), fileSha256)
  }
  return { ...place, fileSha256, outputs: outputs && (await readOutputs(place)) }
}

/** Copies all that is kept of a network, and returns the line that it has in the target. */
async function copyNetwork(
  { zoo, record, fileSha256, outputs: behaviour }: WholeNetwork,
  out: string,
  outputs: OutputsWriter | undefined,
): Promise<NetworkRecord> {
  const { class: className, index, checkpoints } = record
  const copyTo = (pathOf: typeof modelPath, sha256: string) =>
    copyFile(pathOf(zoo.path, className, index), pathOf(out, className, index), sha256)
  if (checkpoints) await copyTo(checkpointPath, checkpoints.fileSha256)
  const row = behaviour && (await outputs!.append(behaviour))
  await copyTo(modelPath, fileSha256)
  return { ...record, ...(row && { outputs: row }), fileSha256 }
}

async function readOutputs({ zoo, record }: Place): Promise<Float32Array> {
  const reader = new OutputsReader(zoo.path, zoo.manifest.images!.validation)
  try {
    return await reader.read(record)
  } finally {
    await reader.close()
  }
}

/**
 * The SHA-256 of a file, if it is the one that the ledger lists.
 * @throws ZooError `zoo` naming the file that is missing or damaged
 */
async function checkSource(path: string, expected: string | undefined): Promise<string> {
  const { sha256 } = await digestFile(path).catch(error => {
    throw new ZooError('zoo', `cannot read ${path}: ${reasonOf(error)}`, { path }, { cause: error })
  })
  if (expected === undefined || sha256 === expected) return sha256
  throw new ZooError('zoo', `${path} is not the file that the ledger lists (SHA-256 differs)`, { path })
}

/** Copies a file that has been checked, and looks that the copy is the same. */
async function copyFile(from: string, to: string, sha256: string): Promise<void> {
  await writeWhole(to, async temporary => {
    // Not fs.copyFile, which copies the mode too: a read-only part's files could not be synced.
    await writeFile(temporary, createReadStream(from, { highWaterMark: 2 ** 20 }))
    if ((await digestFile(temporary)).sha256 === sha256) return
    throw new ZooError('zoo', `${to} was not written as ${from} reads; look at the disk, then merge again`, {
      path: to,
    })
  })
}
