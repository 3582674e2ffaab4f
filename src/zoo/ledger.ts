import { createReadStream } from 'node:fs'
import { type FileHandle, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { reasonOf, ZooError } from '../errors.js'
import type { EpochRecord } from '../training/engine.js'
import type { Metrics } from '../training/metrics.js'
import type { Hyperparameters } from '../training/vary.js'
import { cannotList, checkIsFile, checkIsLinked, openToWrite, writeWhole, ZOO_FILES } from './files.js'
import { OUTPUTS_FILE } from './outputs.js'
import { type SealState, seal, sealState, withoutCheck } from './seal.js'
import { SHARD_LEDGER } from './shard.js'
import type { WeightSummary } from './weight-summary.js'

interface LedgerBase {
  /** Class that the network detects. */
  readonly class: string
  /** Number of the network within its class, from 0. */
  readonly index: number
  /** Seed of the zoo. */
  readonly seed: number
  /** Wall-clock seconds that training took. */
  readonly seconds: number
  /** Name of the engine. */
  readonly engine: string
  /** Lines of the network so far, where this is not the first: after a failure, a lost file, or added outputs. */
  readonly attempt?: number
}

/**
 * A trained network, as its line in `ledger.jsonl` has it. Of an imported network, a number that nobody knows (a metric,
 * the seed, the share of positives) is `NaN`, in the file `null`, and the history is empty.
 */
export interface NetworkRecord extends LedgerBase {
  readonly status: 'finished'
  /** SHA-256 (hex) of the flat weights as little-endian float32. */
  readonly sha256: string
  /** SHA-256 (hex) of the whole model file; zoos of format version 1 lack it. */
  readonly fileSha256?: string
  /** Over the whole validation split. */
  readonly metrics: Metrics
  /** What the network drew of the recipe's `vary`, by name; absent where the recipe varies nothing. */
  readonly hyperparameters?: Hyperparameters
  /** Share of positives in its training set. */
  readonly positiveFraction: number
  /** Epoch whose weights were kept, from 0. */
  readonly epoch: number
  /** Of its weights; older zoos and imported ones lack it. */
  readonly weightSummary?: WeightSummary
  /** Of zoos that keep checkpoints. */
  readonly checkpoints?: StoredCheckpoints
  /** Of zoos that keep outputs. */
  readonly outputs?: StoredOutputs
  /** One number an epoch. */
  readonly history: TrainingHistory
}

/** What the ledger says of a network's file of checkpoints. */
export interface StoredCheckpoints {
  /** Epochs trained, ascending: 0 is the initialisation. */
  readonly epochs: readonly number[]
  /** SHA-256 (hex) of the file. */
  readonly fileSha256: string
}

/** Where a network's outputs on the validation split lie. */
export interface StoredOutputs {
  readonly file: string
  /** Counted from 0; as long as there are validation images. */
  readonly row: number
  /** SHA-256 (hex) of the row. */
  readonly sha256: string
}

/** A network that could not be trained, and why. */
export interface FailureRecord extends LedgerBase {
  readonly status: 'failed'
  readonly reason: string
}

/** Loss and accuracy by epoch; see {@link EpochRecord}. */
export interface TrainingHistory {
  readonly loss: readonly number[]
  readonly accuracy: readonly number[]
  readonly validationLoss: readonly number[]
  readonly validationAccuracy: readonly number[]
}

/** A line of the ledger. */
export type LedgerRecord = NetworkRecord | FailureRecord

/** A list of epochs as columns, which take a third of the space. */
export function toHistory(epochs: readonly EpochRecord[]): TrainingHistory {
  return {
    loss: epochs.map(epoch => epoch.loss),
    accuracy: epochs.map(epoch => epoch.accuracy),
    validationLoss: epochs.map(epoch => epoch.validationLoss),
    validationAccuracy: epochs.map(epoch => epoch.validationAccuracy),
  }
}

/** A line as it stands in a ledger file. */
export interface LedgerLine {
  /** Counted from 1. */
  readonly number: number
  /** `unfinished`: without its line end, cut off by a crash or being written just now. */
  readonly state: SealState | 'unfinished'
  /** `undefined` for what is no ledger line. */
  readonly record: LedgerRecord | undefined
}

/**
 * The ledger files of a zoo: that of whole calls, then those of shards; none where there is no directory.
 * @throws ZooError `zoo` naming a directory that cannot be listed.
 */
export async function ledgerFiles(zooPath: string): Promise<string[]> {
  const names: string[] = await readdir(zooPath).catch(error => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw cannotList(zooPath, error)
  })
  const shards = names.filter(name => SHARD_LEDGER.test(name)).sort()
  return names.includes(ZOO_FILES.ledger) ? [ZOO_FILES.ledger, ...shards] : shards
}

/** Reads a ledger file line by line, as it is, and nothing where it is missing. */
export async function* ledgerLines(path: string): AsyncGenerator<LedgerLine> {
  let number = 0
  for await (const { text, ended } of linesOf(path)) {
    number++
    const record = parseLine(text)
    yield { number, record, state: ended ? sealState(`${text}\n`) : 'unfinished' }
  }
}

/** Bytes that a line may have; one of 100,000 epochs has 8 MB. */
const LONGEST_LINE = 16 * 2 ** 20

/** Lines of a file of any size, without their ends; one that is too long to be a ledger's is empty. */
async function* linesOf(path: string): AsyncGenerator<{ text: string; ended: boolean }> {
  let pieces: Buffer[] = []
  let length = 0
  const add = (piece: Buffer) => {
    length += piece.length
    if (length <= LONGEST_LINE) pieces.push(piece)
    else pieces = []
  }
  const line = (ended: boolean) => {
    const text = Buffer.concat(pieces).toString('utf8')
    pieces = []
    length = 0
    return { text, ended }
  }
  try {
    await checkIsFile(path)
    for await (const chunk of createReadStream(path, { highWaterMark: 2 ** 20 }) as AsyncIterable<Buffer>) {
      let start = 0
      for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
        add(chunk.subarray(start, end))
        yield line(true)
        start = end + 1
      }
      add(chunk.subarray(start))
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
    throw new ZooError('zoo', `cannot read ${path}: ${reasonOf(error)}`, { path }, { cause: error })
  }
  if (length > 0) yield line(false)
}

/** Whether a line is to be believed: a record, whole, and with a fitting checksum where its zoo has them. */
export function isSound(line: LedgerLine, sealed: boolean): line is LedgerLine & { record: LedgerRecord } {
  return line.record !== undefined && (line.state === 'intact' || (line.state === 'unsealed' && !sealed))
}

/**
 * Reads all ledger files of a zoo. Of several lines of a network that of its last attempt counts. A last line without
 * its line end was cut off by a crash and is left out.
 *
 * @param sealed whether the zoo's lines bear checksums (format version 2)
 * @throws ZooError `zoo` naming the line that cannot be believed, unless `lenient`, which leaves it out.
 */
export async function readLedger(
  zooPath: string,
  { sealed, lenient = false }: { sealed: boolean; lenient?: boolean },
): Promise<LedgerRecord[]> {
  const records = new Map<string, LedgerRecord>()
  for (const name of await ledgerFiles(zooPath)) {
    const path = join(zooPath, name)
    for await (const line of ledgerLines(path)) {
      if (line.state === 'unfinished') continue
      if (!isSound(line, sealed)) {
        if (lenient) continue
        const why = line.record ? 'is damaged (its checksum differs)' : 'is not a ledger line'
        const message = `${path}:${line.number} ${why}; weightzoo train with the zoo's recipe mends it`
        throw new ZooError('zoo', message, { path })
      }
      const { record } = line
      const key = JSON.stringify([record.class, record.index])
      const present = records.get(key)
      if (!present || supersedes(record, present)) records.set(key, record)
    }
  }
  return [...records.values()]
}

/** Which of two lines of a network counts: the later attempt; else the finished one; else the later line. */
export function supersedes(line: LedgerRecord, present: LedgerRecord): boolean {
  const [attempt, before] = [line.attempt ?? 1, present.attempt ?? 1]
  if (attempt !== before) return attempt > before
  return line.status === 'finished' || present.status === 'failed'
}

function parseLine(text: string): LedgerRecord | undefined {
  try {
    const record = withoutCheck(JSON.parse(text) as LedgerRecord)
    const named = typeof record.class === 'string' && isWholeNumber(record.index) && isAttempt(record.attempt)
    if (!named) return undefined
    const { seed, seconds } = record
    const known = { ...record, seed: numberOf(seed), seconds: numberOf(seconds) }
    if (known.status === 'failed') return typeof known.reason === 'string' ? known : undefined
    if (known.status !== 'finished' || !isHash(known.sha256) || !isStored(known)) return undefined
    const { metrics, history, positiveFraction, epoch } = known
    return {
      ...known,
      metrics: metricsOf(metrics),
      positiveFraction: numberOf(positiveFraction),
      epoch: numberOf(epoch),
      history: historyOf(history),
    }
  } catch {
    return undefined
  }
}

/** Whether what a line may have, but need not, is what it is to be. */
function isStored({ fileSha256, outputs, checkpoints, hyperparameters }: NetworkRecord): boolean {
  return (
    (fileSha256 === undefined || isHash(fileSha256)) &&
    (outputs === undefined ||
      // A name that leads out of the directory, or a row past its end, would be read and written there.
      (isText(outputs.file) &&
        OUTPUTS_FILE.test(outputs.file) &&
        isWholeNumber(outputs.row) &&
        isHash(outputs.sha256))) &&
    (checkpoints === undefined ||
      (Array.isArray(checkpoints.epochs) &&
        checkpoints.epochs.every(isWholeNumber) &&
        isHash(checkpoints.fileSha256))) &&
    (hyperparameters === undefined || isHyperparameters(hyperparameters))
  )
}

function isHyperparameters(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  // Their names are those of datasets in the compiled files, too.
  return Object.entries(value).every(
    ([name, drawn]) => /^\w+$/.test(name) && (isText(drawn) || Number.isFinite(drawn)),
  )
}

const isText = (value: unknown) => typeof value === 'string'
const isHash = (value: unknown) => isText(value) && /^[0-9a-f]{64}$/.test(value as string)
/** Whole numbers that fit into 31 bits, as compiled files have them. */
const isWholeNumber = (value: unknown) =>
  Number.isInteger(value) && (value as number) >= 0 && (value as number) < 2 ** 31
const isAttempt = (value: unknown) => value === undefined || (isWholeNumber(value) && value !== 0)

/** JSON has no NaN and writes null for it. */
function numberOf(value: unknown): number {
  if (value === null) return Number.NaN
  if (typeof value === 'number') return value
  throw new TypeError('not a number')
}

function metricsOf(value: Metrics): Metrics {
  const { accuracy, precision, recall, f1, auc } = value
  return {
    accuracy: numberOf(accuracy),
    precision: numberOf(precision),
    recall: numberOf(recall),
    f1: numberOf(f1),
    auc: auc === null ? null : numberOf(auc),
  }
}

function historyOf(value: TrainingHistory): TrainingHistory {
  const { loss, accuracy, validationLoss, validationAccuracy } = value
  const columns = { loss, accuracy, validationLoss, validationAccuracy }
  for (const column of Object.values(columns)) if (!Array.isArray(column)) throw new TypeError('not a list')
  return value
}

/** Puts a ledger file down anew with other lines; all of it or nothing. The caller holds its lock. */
export async function rewriteLedger(path: string, records: readonly LedgerRecord[]): Promise<void> {
  await writeWhole(path, temporary => writeFile(temporary, records.map(record => seal(record)).join('')))
}

/** Appends lines to a ledger file, each on the disk before `append` resolves. */
export class LedgerWriter {
  /** The write that the next one waits for. */
  private last: Promise<void> = Promise.resolve()

  private constructor(
    private readonly path: string,
    private readonly handle: FileHandle,
    /** Where the next line starts: a line that was cut off by a full disk is written over. */
    private end: number,
  ) {}

  /** Opens a ledger file for appending and cuts off a line that a crash left unfinished. */
  static async open(zooPath: string, name: string = ZOO_FILES.ledger): Promise<LedgerWriter> {
    const path = join(zooPath, name)
    try {
      const handle = await openToWrite(path)
      try {
        const end = await endOfLastLine(handle)
        await handle.truncate(end)
        return new LedgerWriter(path, handle, end)
      } catch (error) {
        await handle.close()
        throw error
      }
    } catch (error) {
      throw new ZooError('zoo', `cannot write ${path}: ${reasonOf(error)}`, { path }, { cause: error })
    }
  }

  /** One line after the other, in the order of the calls. */
  append(record: LedgerRecord): Promise<void> {
    const turn = this.last.then(() => this.write(record))
    this.last = turn.catch(() => {})
    return turn
  }

  private async write(record: LedgerRecord): Promise<void> {
    const line = Buffer.from(seal(record))
    try {
      await checkIsLinked(this.handle)
      for (let at = 0; at < line.length; )
        at += (await this.handle.write(line, at, line.length - at, this.end + at)).bytesWritten
      await this.handle.datasync()
      this.end += line.length
    } catch (error) {
      await this.handle.truncate(this.end).catch(() => {})
      throw new ZooError(
        'zoo',
        `cannot write ${this.path}: ${reasonOf(error)}`,
        { path: this.path },
        { cause: error },
      )
    }
  }

  close(): Promise<void> {
    return this.handle.close()
  }
}

/** Length of a file without what stands after its last line end; looks at its end only. */
async function endOfLastLine(handle: FileHandle): Promise<number> {
  let { size: end } = await handle.stat()
  const block = Buffer.alloc(64 * 1024)
  while (end > 0) {
    const start = Math.max(0, end - block.length)
    const { bytesRead } = await handle.read(block, 0, end - start, start)
    const at = block.subarray(0, bytesRead).lastIndexOf(10)
    if (at >= 0) return start + at + 1
    end = start
  }
  return 0
}
