import { toCsv } from '../csv.js'
import type { HyperparameterName } from '../training/vary.js'
import type { NetworkRecord } from '../zoo/ledger.js'
import type { Zoo } from '../zoo/zoo.js'

/** A column of what is known of each network, beside its weights. */
export interface MetadataColumn {
  readonly name: string
  readonly type: 'text' | 'integer' | 'number'
  /** For people: the dataset card and the Croissant file say it. */
  readonly description: string
  /** `null` where a network has no such value. */
  read(network: NetworkRecord): string | number | null
}

/** The columns of a zoo's metadata, the same in CSV, Parquet, the dataset folder and its descriptions. */
export function metadataColumns(zoo: Zoo): MetadataColumn[] {
  const metric = (name: 'accuracy' | 'precision' | 'recall' | 'f1' | 'auc', description: string) =>
    column(name, 'number', description, ({ metrics }) => metrics[name] ?? null)
  return [
    column('name', 'text', 'name of the network', network => `${network.class}_${network.index}`),
    column('class', 'text', 'class that the network detects', network => network.class),
    column('label', 'integer', 'number of the class', network => zoo.classNames.indexOf(network.class)),
    column('index', 'integer', 'number of the network within its class', ({ index }) => index),
    column('seed', 'integer', 'seed of the zoo', ({ seed }) => seed),
    column('split', 'text', 'part that the network belongs to: train, validation or test', network =>
      zoo.partOf(network),
    ),
    metric('accuracy', 'share of the validation images told right'),
    metric('precision', 'precision on the validation images'),
    metric('recall', 'recall on the validation images'),
    metric('f1', 'F1 score on the validation images'),
    metric('auc', 'area under the ROC curve on the validation images'),
    column(
      'positive_fraction',
      'number',
      'share of positives trained on',
      network => network.positiveFraction,
    ),
    column('epoch', 'integer', 'epoch whose weights were kept, from 0', ({ epoch }) => epoch),
    column('seconds', 'number', 'seconds that training took', ({ seconds }) => seconds),
    column('engine', 'text', 'training engine', ({ engine }) => engine),
    column('sha256', 'text', 'SHA-256 of the weights as float32', ({ sha256 }) => sha256),
    ...hyperparameterColumns(zoo),
  ]
}

function column(
  name: string,
  type: MetadataColumn['type'],
  description: string,
  read: MetadataColumn['read'],
): MetadataColumn {
  const known = (value: ReturnType<typeof read>) =>
    typeof value === 'number' && Number.isNaN(value) ? null : value
  return { name, type, description, read: network => known(read(network)) }
}

/** One column for each hyperparameter that the networks have drawn, where a zoo varies some. */
function hyperparameterColumns({ networks }: Zoo): MetadataColumn[] {
  const drawn = networks.map(({ hyperparameters = {} }) => hyperparameters)
  const names = new Set(drawn.flatMap(values => Object.keys(values) as HyperparameterName[]))
  return [...names].sort().map(name => {
    const isNumber = drawn.every(({ [name]: value }) => typeof value !== 'string')
    const read = ({ hyperparameters }: NetworkRecord) => hyperparameters?.[name] ?? null
    return column(
      `hyperparameter_${name}`,
      isNumber ? 'number' : 'text',
      `the ${name} that the network drew`,
      read,
    )
  })
}

/** The table as comma-separated values (RFC 4180 with line feeds), empty where a value is missing. */
export function metadataCsv(zoo: Zoo): string {
  const columns = metadataColumns(zoo)
  const lines = zoo.networks.map(network => columns.map(({ read }) => read(network)))
  return toCsv([columns.map(({ name }) => name), ...lines])
}
