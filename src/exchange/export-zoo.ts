import { copyFile, mkdir, readdir, rename, rm, rmdir, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { reasonOf, ZooError } from '../errors.js'
import { checkOptionNames, invalidOption, suggestion } from '../options.js'
import { ZOO_FILES } from '../zoo/files.js'
import type { Zoo } from '../zoo/zoo.js'
import { type ExportControl, type ExportJob, readNetworks } from './export-job.js'
import { exportKeras, exportKerasLegacy, exportKerasWeights } from './export-keras.js'
import { exportNpy } from './export-npy.js'
import { exportPytorch } from './export-pytorch.js'
import { exportSafetensors, exportSafetensorsNetworks } from './export-safetensors.js'
import { exportTfjs } from './export-tfjs.js'
import { exportHuggingFace } from './hugging-face.js'
import { metadataCsv } from './metadata-table.js'
import { writeMetadataParquet } from './parquet.js'

interface Format {
  /** One line for people. */
  readonly about: string
  readonly write: (job: ExportJob) => Promise<void>
  /** The format has its own place for what `metadata.csv` and `zoo.json` say. */
  readonly alone?: true
}

const FORMATS = {
  keras: { about: 'models/<network>.keras, whole models for Keras 3', write: exportKeras },
  'keras-weights': { about: 'models/<network>.weights.h5, weights for Keras 3', write: exportKerasWeights },
  'keras-legacy': {
    about: 'models/<network>.h5, whole models for Keras 2 (and 3)',
    write: exportKerasLegacy,
  },
  pytorch: { about: 'models/<network>.safetensors, state_dicts, and network.py', write: exportPytorch },
  tfjs: { about: 'models/<network>.json and .bin, for tf.loadLayersModel', write: exportTfjs },
  safetensors: { about: 'zoo.safetensors, all networks as one tensor', write: exportSafetensors },
  'safetensors-networks': {
    about: 'models/<network>.safetensors, a tensor for every layer and part',
    write: exportSafetensorsNetworks,
  },
  npy: { about: 'parameters.npy, labels.npy, metrics.npy, names.json', write: exportNpy },
  csv: { about: 'metadata.csv, no weights', write: async () => {} },
  parquet: {
    about: 'metadata.parquet, no weights',
    write: ({ zoo, folder }) => writeMetadataParquet(join(folder, 'metadata.parquet'), zoo),
    alone: true,
  },
  huggingface: {
    about: 'a dataset folder: card, Parquet with weights and metadata, croissant.json',
    write: exportHuggingFace,
    alone: true,
  },
} as const satisfies Record<ExportFormat, Format>

/** Formats that {@link exportZoo} writes. */
export type ExportFormat =
  | 'keras'
  | 'keras-weights'
  | 'keras-legacy'
  | 'pytorch'
  | 'tfjs'
  | 'safetensors'
  | 'safetensors-networks'
  | 'npy'
  | 'csv'
  | 'parquet'
  | 'huggingface'

/**
 * The formats, each with one line on what it writes.
 *
 * @example
 * EXPORT_FORMATS.pytorch // 'models/<network>.safetensors, state_dicts, and network.py'
 */
export const EXPORT_FORMATS: Readonly<Record<ExportFormat, string>> = Object.freeze(
  Object.fromEntries(Object.entries(FORMATS).map(([name, { about }]) => [name, about])),
) as Record<ExportFormat, string>

/** Options of {@link exportZoo}. */
export interface ExportOptions extends ExportControl {
  format: ExportFormat
  /** The folder to make; it must be missing or empty. */
  out: string
}

/** What {@link exportZoo} has written. */
export interface ExportedZoo {
  /** The folder. */
  readonly path: string
  readonly networks: number
  readonly files: number
  readonly bytes: number
}

/**
 * Writes the networks of a zoo, or of a selection, in another tool's format. The folder appears whole or not at all, and
 * one network at a time is in memory. Every network's weights are checked against the ledger's hash on the way.
 *
 * Beside the weights lie `metadata.csv` (class, index, split, metrics, hash of every network) and `zoo.json` (the recipe
 * and the parameter table), except where a format has its own place for them (`parquet`, `huggingface`).
 * What each format holds and how to open it in Python: docs/python.md.
 *
 * @example
 * const zoo = await openZoo('zoo')
 * await exportZoo(zoo, { format: 'huggingface', out: 'dataset' })
 * await exportZoo(zoo.select({ class: 'church', minAccuracy: 0.9 }), { format: 'safetensors', out: 'church' })
 *
 * @throws ZooError `option` for a wrong option or a folder that holds something; `zoo` for an empty selection, a damaged
 * network or a full disk; `interrupted` when `signal` is aborted.
 */
export async function exportZoo(zoo: Zoo, options: ExportOptions): Promise<ExportedZoo> {
  checkOptionNames(options, ['format', 'out', 'onProgress', 'signal'], 'exportZoo')
  const { format, out, ...control } = options
  if (!Object.hasOwn(FORMATS, format)) {
    throw invalidOption(
      'format',
      format,
      `is not a format; ${suggestion(String(format), Object.keys(FORMATS))}`,
    )
  }
  if (typeof out !== 'string' || out === '') throw invalidOption('out', out, 'needs the path of a folder')
  if (zoo.networks.length === 0) {
    const why = zoo.allNetworks.length > 0 ? 'the selection is empty' : 'it has no finished network'
    throw new ZooError('zoo', `nothing to export from ${zoo.path}: ${why}`, { path: zoo.path })
  }
  await checkFree(out)
  const folder = `${out}.${process.pid}.tmp`
  try {
    await mkdir(folder, { recursive: true })
    const { write, alone }: Format = FORMATS[format]
    await write({ zoo, folder, networks: () => readNetworks(zoo, control) })
    if (!alone) {
      await writeFile(join(folder, 'metadata.csv'), metadataCsv(zoo))
      await copyFile(join(zoo.path, ZOO_FILES.manifest), join(folder, ZOO_FILES.manifest))
    }
    const { files, bytes } = await contentOf(folder)
    await rmdir(out).catch(() => {})
    await rename(folder, out)
    return { path: out, networks: zoo.networks.length, files, bytes }
  } catch (error) {
    await rm(folder, { recursive: true, force: true }).catch(() => {})
    if (!(error instanceof Error && 'code' in error)) throw error
    throw new ZooError('zoo', `cannot write ${out}: ${reasonOf(error)}`, { path: out }, { cause: error })
  }
}

/** Nothing of a user's is ever replaced. */
async function checkFree(out: string): Promise<void> {
  const held = await readdir(out).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return []
    throw invalidOption('out', out, 'is not a folder')
  })
  if (held.length > 0) throw invalidOption('out', out, 'holds files already; choose a new folder')
}

async function contentOf(folder: string): Promise<{ files: number; bytes: number }> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  let files = 0
  let bytes = 0
  for (const entry of entries) {
    if (!entry.isFile()) continue
    files++
    bytes += (await stat(join(entry.parentPath, entry.name))).size
  }
  return { files, bytes }
}
