import { stat } from 'node:fs/promises'
import { ZooError } from '../errors.js'
import type { ImageSets } from '../images/image-set.js'
import { checkOptionNames, invalidOption, isCount } from '../options.js'
import type { EngineName } from '../training/engine.js'
import { Audit, type Finding } from './audit.js'
import type { LedgerRecord } from './ledger.js'
import type { ZooManifest } from './manifest.js'
import { repeatMetrics, repeatTraining } from './repeat.js'
import { verifyCompiled } from './verify-compiled.js'
import {
  knowByName,
  listFiles,
  verifyFailures,
  verifyLedgers,
  verifyManifest,
  verifyModels,
  verifyRest,
} from './verify-files.js'
import { verifyStored } from './verify-stored.js'
import { Zoo, zooOf } from './zoo.js'

/** Options of {@link verifyZoo}. */
export interface VerifyOptions {
  /** So many networks, drawn at random, are trained again and compared, bit for bit; default 0. Needs `images`. */
  retrain?: number | undefined
  /**
   * Compute every network's metrics, and its stored outputs, again from its weights and the validation images; default
   * false. Needs `images`.
   */
  metrics?: boolean | undefined
  /** The image set that the zoo was trained on, or all of them where it varies. */
  images?: ImageSets | undefined
  /** Which networks `retrain` draws follows from it; default 0. */
  seed?: number | undefined
  /** For `retrain` and `metrics`; default `auto`. Its arithmetic has to be the zoo's. */
  engine?: EngineName | 'auto' | undefined
  /** Networks trained or evaluated side by side; default: the processor's cores. */
  concurrency?: number | undefined
  signal?: AbortSignal | undefined
  /** Called as the work goes on; `stage` is what is being checked. */
  onProgress?: ((stage: VerifyStage, done: number, total: number) => void) | undefined
}

/** What {@link verifyZoo} is at. */
export type VerifyStage = 'models' | 'compiled files' | 'training again' | 'metrics'

/** What {@link verifyZoo} found. */
export interface Verification {
  /** The zoo directory. */
  readonly path: string
  /** Networks that the ledger lists as finished. */
  readonly networks: number
  /** Files read through, and their bytes. */
  readonly files: number
  readonly bytes: number
  /** Names of the networks that were trained again. */
  readonly retrained: readonly string[]
  /** Networks whose metrics were computed again. */
  readonly metrics: number
  /** What is worth knowing and no fault. */
  readonly notes: readonly string[]
  /** Empty for a zoo that is whole. */
  readonly findings: readonly Finding[]
}

/**
 * Audits a zoo: every file against its checksum, every model's shapes, attributes and weights against the ledger, every
 * ledger line against its own checksum, the compiled files row by row, and that nothing is missing or unknown. One pass,
 * at most 64 networks in memory. A zoo of format version 1 bears no checksums for `zoo.json`, ledger lines and whole
 * files; of those, only the content can be checked, and a note says so.
 *
 * @param zoo the zoo or its directory; give the directory where the zoo cannot be opened
 *
 * @throws ZooError `zoo` where there is no such directory, or where `retrain` or `metrics` cannot give the same bits
 * (other images, another arithmetic, an imported zoo); `option` for a wrong option; `interrupted`.
 *
 * @example
 * const { findings } = await verifyZoo('zoo', { retrain: 5, images })
 * for (const { file, message } of findings) console.error(`${file}: ${message}`)
 */
export async function verifyZoo(zoo: Zoo | string, options: VerifyOptions = {}): Promise<Verification> {
  const path = zoo instanceof Zoo ? zoo.path : zoo
  checkOptions(path, options)
  const directory = await stat(path).catch(() => undefined)
  if (!directory?.isDirectory()) throw new ZooError('zoo', `no such zoo directory: ${path}`, { path })

  const audit = new Audit(path)
  const files = await listFiles(path)
  const manifest = await verifyManifest(audit)
  const records = await verifyLedgers(audit, manifest)
  await verifyModels(audit, manifest, records, options)
  const opened = manifest && zooWith(path, manifest, records)
  if (opened) {
    await verifyStored(audit, opened, files, records)
    await verifyCompiled(audit, opened, options)
  } else knowByName(audit, files)
  verifyFailures(audit, records)
  verifyRest(audit, files)

  let retrained: string[] = []
  let metrics = 0
  if (opened && options.images) {
    const { images } = options
    if (options.retrain) retrained = await repeatTraining(audit, opened, images, options.retrain, options)
    if (options.metrics) metrics = await repeatMetrics(audit, opened, images, options)
  } else if (options.retrain || options.metrics) {
    audit.notes.push('nothing was trained or evaluated again: without zoo.json nothing says how')
  }
  const { findings, notes } = audit
  const networks = records.filter(record => record.status === 'finished').length
  return { path, networks, files: audit.files, bytes: audit.bytes, retrained, metrics, notes, findings }
}

function checkOptions(path: string, options: VerifyOptions): void {
  if (typeof path !== 'string' || path === '')
    throw invalidOption('zoo', path, 'needs a zoo or the path of its directory')
  const known = ['retrain', 'metrics', 'images', 'seed', 'engine', 'concurrency', 'signal', 'onProgress']
  checkOptionNames(options, known, 'verifyZoo')
  const { retrain = 0, metrics = false, images, seed = 0 } = options
  if (retrain !== 0 && !isCount(retrain)) throw invalidOption('retrain', retrain, 'needs a whole number')
  if (!Number.isSafeInteger(seed) || seed < 0)
    throw invalidOption('seed', seed, 'needs a whole number from 0')
  if ((retrain > 0 || metrics) && images === undefined) {
    const what = retrain > 0 ? 'retrain' : 'metrics'
    throw invalidOption(what, options[what], 'needs images, the set that the zoo was trained on')
  }
}

/** The zoo, if the records are all of its classes; verifyLedgers has named those that are not. */
function zooWith(path: string, manifest: ZooManifest, records: readonly LedgerRecord[]): Zoo {
  return zooOf(
    path,
    manifest,
    records.filter(record => manifest.classNames.includes(record.class)),
  )
}
