import { constants } from 'node:fs'
import { open, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { reasonOf, ZooError } from '../errors.js'
import type { EpochRecord } from '../training/engine.js'
import type { Metrics } from '../training/metrics.js'
import { ZOO_FILES } from './files.js'

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
}

/**
 * A trained network, as its line in `ledger.jsonl` has it. Of an imported network, a number that nobody knows (a metric,
 * the seed, the share of positives) is `NaN`, in the file `null`, and the history is empty.
 */
export interface NetworkRecord extends LedgerBase {
  readonly status: 'finished'
  /** SHA-256 (hex) of the flat weights as little-endian float32. */
  readonly sha256: string
  /** Over the whole validation split. */
  readonly metrics: Metrics
  /** Share of positives in its training set. */
  readonly positiveFraction: number
  /** Epoch whose weights were kept, from 0. */
  readonly epoch: number
  /** One number an epoch. */
  readonly history: TrainingHistory
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

/**
 * Reads the ledger: the last line of every network counts. A last line without its line end was cut off by a crash
 * and is left out; any other line that cannot be read is an error.
 */
export async function readLedger(zooPath: string): Promise<LedgerRecord[]> {
  const path = join(zooPath, ZOO_FILES.ledger)
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return ''
    throw new ZooError('zoo', `cannot read ${path}: ${reasonOf(error)}`, { path }, { cause: error })
  })
  const records = new Map<string, LedgerRecord>()
  for (const [number, line] of text.split('\n').slice(0, -1).entries()) {
    const record = parseLine(line)
    if (!record) {
      throw new ZooError(
        'zoo',
        `${path}:${number + 1} is not a ledger line; remove it to train that network again`,
        { path },
      )
    }
    records.set(JSON.stringify([record.class, record.index]), record)
  }
  return [...records.values()]
}

function parseLine(line: string): LedgerRecord | undefined {
  try {
    const record = JSON.parse(line) as LedgerRecord
    const named = typeof record.class === 'string' && Number.isSafeInteger(record.index) && record.index >= 0
    if (!named) return undefined
    const { seed, seconds } = record
    const known = { ...record, seed: numberOf(seed), seconds: numberOf(seconds) }
    if (known.status === 'failed') return typeof known.reason === 'string' ? known : undefined
    if (known.status !== 'finished' || !/^[0-9a-f]{64}$/.test(known.sha256)) return undefined
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

/** Appends lines to the ledger, each on the disk before `append` resolves. */
export class LedgerWriter {
  /** The write that the next one waits for. */
  private last: Promise<void> = Promise.resolve()

  private constructor(
    private readonly path: string,
    private readonly handle: Awaited<ReturnType<typeof open>>,
    /** Where the next line starts: a line that was cut off by a full disk is written over. */
    private end: number,
  ) {}

  /** Opens the ledger for appending and cuts off a line that a crash left unfinished. */
  static async open(zooPath: string): Promise<LedgerWriter> {
    const path = join(zooPath, ZOO_FILES.ledger)
    try {
      // Not 'a+': Windows cannot truncate what is open for appending.
      const handle = await open(path, constants.O_RDWR | constants.O_CREAT)
      try {
        const text = await handle.readFile()
        const end = text.lastIndexOf('\n'.charCodeAt(0)) + 1
        if (end < text.length) await handle.truncate(end)
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
    const line = Buffer.from(`${JSON.stringify(record)}\n`)
    try {
      for (let at = 0; at < line.length; )
        at += (await this.handle.write(line, at, line.length - at, this.end + at)).bytesWritten
      await this.handle.datasync()
      this.end += line.length
    } catch (error) {
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
