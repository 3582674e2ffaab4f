import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { networkName } from '../zoo/files.js'
import { describedImages } from '../zoo/manifest.js'
import { NETWORK_PARTS } from '../zoo/split.js'
import { type ClassSummary, summarize } from '../zoo/summary.js'
import type { Zoo } from '../zoo/zoo.js'
import { croissant } from './croissant.js'
import { KEYWORDS, licenseOf, PAPER, sourceOf, summaryOf } from './dataset-description.js'
import type { ExportedNetwork, ExportJob } from './export-job.js'
import { type MetadataColumn, metadataColumns } from './metadata-table.js'
import { ParquetTable } from './parquet.js'

/**
 * A dataset folder for the Hugging Face hub: `data/<split>-*.parquet` with the weights and all metadata of every
 * network, `README.md` (the dataset card) and `croissant.json`. `datasets.load_dataset(folder)` opens it as it is.
 */
export async function exportHuggingFace(job: ExportJob): Promise<void> {
  const { zoo, folder } = job
  const columns = metadataColumns(zoo)
  await writeShards(job, columns)
  await writeFile(join(folder, 'README.md'), datasetCard(zoo, columns))
  await writeFile(join(folder, 'croissant.json'), `${JSON.stringify(croissant(zoo, columns), null, 2)}\n`)
}

/** Bytes of weights in a row group, the least that readers load at a time, and in a file. */
const GROUP_BYTES = 24e6
const SHARD_BYTES = 400e6

async function writeShards(job: ExportJob, columns: readonly MetadataColumn[]): Promise<void> {
  const { zoo, folder } = job
  const data = join(folder, 'data')
  await mkdir(data)
  const bytes = 4 * zoo.architecture.parameterCount
  const group = Math.max(1, Math.floor(GROUP_BYTES / bytes))
  const shard = group * Math.max(1, Math.floor(SHARD_BYTES / (group * bytes)))
  const writers = new Map(
    NETWORK_PARTS.map(split => {
      const rows = zoo.networks.filter(network => zoo.partOf(network) === split).length
      const pathOf = (number: number) =>
        join(data, `${split}-${digits(number)}-of-${digits(Math.ceil(rows / shard))}.parquet`)
      return [split, new ShardWriter(columns, pathOf, group, shard)]
    }),
  )
  for await (const network of job.networks()) writers.get(zoo.partOf(network.record))!.add(network)
  for (const writer of writers.values()) writer.close()
}

function digits(number: number): string {
  return String(number).padStart(5, '0')
}

/** Writes the networks of one split, a group at a time, to as many files as it takes. */
class ShardWriter {
  private waiting: ExportedNetwork[] = []
  private table: ParquetTable | undefined
  private rows = 0
  private shards = 0

  constructor(
    private readonly columns: readonly MetadataColumn[],
    private readonly pathOf: (shard: number) => string,
    private readonly groupRows: number,
    private readonly shardRows: number,
  ) {}

  add(network: ExportedNetwork): void {
    this.waiting.push(network)
    if (this.waiting.length === this.groupRows) this.flush()
  }

  close(): void {
    this.flush()
    this.table?.close()
  }

  private flush(): void {
    if (this.waiting.length === 0) return
    if (this.rows === this.shardRows) {
      this.table?.close()
      this.table = undefined
    }
    if (!this.table) {
      this.table = new ParquetTable(this.pathOf(this.shards++), this.columns, { weights: true })
      this.rows = 0
    }
    this.table.writeGroupWithWeights(this.waiting)
    this.rows += this.waiting.length
    this.waiting = []
  }
}

/** Columns as the hub names types; the label's names make it a ClassLabel. */
const HUB_TYPES = { text: 'string', integer: 'int64', number: 'float64' } as const

function datasetCard(zoo: Zoo, columns: readonly MetadataColumn[]): string {
  const { architecture, networks } = zoo
  const license = licenseOf(zoo)
  const first = networks[0]!
  return `${cardHeader(zoo, columns)}
# ${titleOf(zoo)}

${summaryOf(zoo)}

Each row is one network: its flat weights, what it was trained to detect, how well it does, and what it takes to make it
again. Made with weightzoo, after Kurtenbach & Shamir, *An open dataset of neural networks for hypernetwork research*.

\`\`\`python
from datasets import load_dataset

dataset = load_dataset('.').with_format('numpy')   # or the name of the repository
row = dataset['train'][0]
row['name'], row['weights'].shape                  # '${networkName(first.class, first.index)}', (${architecture.parameterCount},)
dataset['train'].features['label'].int2str(int(row['label']))
\`\`\`

## Splits

The zoo's own: of every 20 networks of a class, 14 are drawn for \`train\`, 3 for \`validation\`, 3 for \`test\`.

${table(
  ['split', 'networks'],
  NETWORK_PARTS.map(split => [split, networks.filter(network => zoo.partOf(network) === split).length]),
)}

## Columns

${table(
  ['column', 'type', 'what'],
  [
    ...columns.map(({ name, type, description }) => [
      name,
      name === 'label' ? 'ClassLabel' : HUB_TYPES[type],
      description,
    ]),
    ['weights', `float32 [${architecture.parameterCount}]`, 'flat weights, in the order below'],
  ],
)}

\`weights\` holds the layers in order and, within a layer, the bias and then the kernel, row-major with Keras's axes:

${table(
  ['layer', 'part', 'shape', 'first', 'values'],
  architecture.parameters.map(({ layer, part, shape, offset, size }) => [
    layer,
    part,
    shape.join(' x '),
    offset,
    size,
  ]),
)}

## Metrics by class

On the whole validation split of the images, threshold 0.5.

${metricsByClass(summarize(zoo))}

## How it was made

${howMade(zoo)}

## Licence

${license.note}

## Citation

\`\`\`bibtex
${PAPER}
\`\`\`
`
}

function howMade({ manifest, architecture }: Zoo): string {
  const layers = architecture.layers.map(describeLayer).join(', ')
  const network = `- Architecture: ${architecture.name}, input ${architecture.inputShape.join(' x ')}; layers ${layers}.`
  if (manifest.imported) {
    const { source, layout, warning } = manifest.imported
    return `${network}
- Imported from \`${source}\` (${layout}); how its networks were trained is not recorded.${warning ? `\n- Mind: ${warning}` : ''}`
  }
  const { recipe, arithmetic } = manifest
  const images = describedImages(manifest).map(
    ({ name, train, validation, shape, fingerprint }) =>
      `- Images: ${name}, ${train} to train on, ${validation} to validate, ${shape.join(' x ')}, fingerprint \`${fingerprint}\`.`,
  )
  const { kind, ...settings } = recipe.optimizer
  return `${network}
${images.join('\n')}
- Training set of a network: ${recipe.samplesPerNetwork} images, ${recipe.positiveFraction.map(percent).join(' to ')} of them of its class, drawn anew for every network.
- Training: ${recipe.epochs} epochs, batch ${recipe.batchSize}, ${kind} ${JSON.stringify(settings)}, ${recipe.loss}, ${recipe.initializer} kernels and zero biases; the ${recipe.keep} epoch's weights are kept.${recipe.vary ? `\n- Each network drew its own: \`${JSON.stringify(recipe.vary)}\`; the columns \`hyperparameter_*\` say what.` : ''}
- Seed ${recipe.seed}. A network's weights follow bit for bit from recipe, seed, class, index, images and arithmetic
  (\`${arithmetic}\`).`
}

function titleOf(zoo: Zoo): string {
  return `${zoo.architecture.name} networks of ${sourceOf(zoo)}`
}

/** The YAML that the hub and \`datasets\` read. Every text is quoted as JSON, which YAML takes as it is. */
function cardHeader(zoo: Zoo, columns: readonly MetadataColumn[]): string {
  const { id, name, link } = licenseOf(zoo)
  const splits = NETWORK_PARTS.filter(split => zoo.networks.some(network => zoo.partOf(network) === split))
  return `---
pretty_name: ${JSON.stringify(titleOf(zoo))}
license: ${id}${name ? `\nlicense_name: ${name}` : ''}${link ? `\nlicense_link: ${link}` : ''}
tags:
${KEYWORDS.map(tag => `- ${tag}`).join('\n')}
size_categories:
- ${sizeCategory(zoo.networks.length)}
configs:
- config_name: default
  data_files:
${splits.map(split => `  - split: ${split}\n    path: data/${split}-*.parquet`).join('\n')}
dataset_info:
  features:
${columns.map(column => feature(column, zoo.classNames)).join('\n')}
  - name: weights
    sequence: float32
    length: ${zoo.architecture.parameterCount}
---
`
}

function feature({ name, type }: MetadataColumn, classNames: readonly string[]): string {
  if (name !== 'label') return `  - name: ${JSON.stringify(name)}\n    dtype: ${HUB_TYPES[type]}`
  const names = classNames.map((className, label) => `          '${label}': ${JSON.stringify(className)}`)
  return `  - name: label\n    dtype:\n      class_label:\n        names:\n${names.join('\n')}`
}

/** The hub's classes of size. */
function sizeCategory(rows: number): string {
  if (rows < 1000) return 'n<1K'
  const names = ['1K<n<10K', '10K<n<100K', '100K<n<1M', '1M<n<10M']
  return names[Math.min(names.length - 1, Math.floor(Math.log10(rows)) - 3)]!
}

function metricsByClass(summary: readonly ClassSummary[]): string {
  const decimals = (value: number) => (Number.isNaN(value) ? '' : value.toFixed(3))
  return table(
    ['class', 'networks', 'accuracy min', 'mean', 'max', 'F1 mean', 'AUC mean'],
    summary.map(({ class: name, networks, accuracy, f1, auc }) => [
      name,
      networks,
      ...[accuracy.min, accuracy.mean, accuracy.max, f1.mean, auc.mean].map(decimals),
    ]),
  )
}

function describeLayer(layer: Zoo['architecture']['layers'][number]): string {
  switch (layer.kind) {
    case 'conv2d':
      return `${layer.name} ${layer.filters} at ${layer.kernelSize.join('x')} ${layer.padding} ${layer.activation}`
    case 'dense':
      return `${layer.name} ${layer.units} ${layer.activation}`
    case 'flatten':
      return layer.name
    default:
      return `${layer.name} ${layer.poolSize}`
  }
}

function percent(share: number): string {
  return `${Number((100 * share).toFixed(2))} %`
}

function table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const line = (cells: readonly (string | number)[]) =>
    `| ${cells.map(cell => String(cell).replaceAll('|', '\\|')).join(' | ')} |`
  return [line(head), `|${head.map(() => '---|').join('')}`, ...rows.map(line)].join('\n')
}
