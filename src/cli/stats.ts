import { type Command, Option } from 'commander'
import { toCsv } from '../csv.js'
import {
  type ClassDivergence,
  isZooError,
  layerDivergence,
  networkDivergence,
  type Pair,
  type WeightDistribution,
  type WeightDistributions,
  type WeightMatrix,
  weightDistributions,
  ZooError,
} from '../index.js'
import { interruptSignal, wholeNumber } from './flags.js'
import { alignColumns, count, StatusLine } from './output.js'
import { openSelectedRows, type SelectionFlags, withSelectionFlags } from './selection.js'

interface StatsFlags extends SelectionFlags {
  bins: number
  unit: 'nats' | 'bits'
  json?: boolean
  csv?: 'distributions' | 'divergence' | 'common'
  quiet?: boolean
}

/** `weightzoo stats`. */
export function addStats(program: Command): void {
  withSelectionFlags(
    program
      .command('stats')
      .argument('<zoo>', 'the zoo directory')
      .description('show how the weights are spread by layer and class, and how different the classes are'),
  )
    .option('--bins <n>', "bins of the divergence's histograms; 30 are the paper's", wholeNumber(1), 30)
    .addOption(
      new Option('--unit <unit>', 'of entropy and divergence').choices(['nats', 'bits']).default('nats'),
    )
    .option('--json', 'print everything as JSON, histograms and matrices too')
    .addOption(
      new Option('--csv <table>', 'print one table as CSV').choices([
        'distributions',
        'divergence',
        'common',
      ]),
    )
    .option('--quiet', 'show no progress')
    .action(stats)
}

interface Study {
  distributions: WeightDistributions
  /** By layer, and of whole networks under `network`; or why there is none. */
  divergence: Record<string, ClassDivergence> | { missing: string }
}

async function stats(path: string, flags: StatsFlags): Promise<void> {
  const status = new StatusLine(flags.quiet ?? false)
  const { zoo, rows } = await openSelectedRows(path, flags, status)
  try {
    const study = await studyOf(rows, flags, status)
    status.end()
    if (flags.json) console.log(JSON.stringify(study))
    else if (flags.csv) process.stdout.write(toCsv(TABLES[flags.csv](study)))
    else {
      console.log(
        `${count(zoo.networks.length)} networks of ${zoo.architecture.name}, ${count(rows.shape[1])} weights each\n`,
      )
      console.log(textOf(study))
    }
  } finally {
    rows.close()
  }
}

async function studyOf(rows: WeightMatrix, { bins, unit }: StatsFlags, status: StatusLine): Promise<Study> {
  const steps = ['distributions', 'divergence by layer', 'divergence of networks']
  const control = (step: number) => ({
    unit,
    signal: interruptSignal(),
    onProgress: (done: number, total: number) =>
      status.show(`${steps[step]} ${Math.floor((100 * done) / total)} %`, done === total),
  })
  const distributions = await weightDistributions(rows, control(0))
  const paper = { preset: 'paper', bins } as const
  try {
    const byLayer = await layerDivergence(rows, { ...paper, ...control(1) })
    const network = await networkDivergence(rows, { ...paper, ...control(2) })
    return { distributions, divergence: { ...byLayer, network } }
  } catch (error) {
    // One class, or one network a class, has distributions all the same.
    if (!(isZooError(error, 'option') && ['classes', 'networks'].includes(error.fields.name))) throw error
    return { distributions, divergence: { missing: error.message } }
  }
}

type Divergences = Record<string, ClassDivergence>

const isMissing = (divergence: Study['divergence']): divergence is { missing: string } =>
  typeof divergence['missing'] === 'string'

function textOf({ distributions, divergence }: Study): string {
  const { all, byLayer, byPart, byClass, byClassAndLayer, common } = distributions
  const layers = byLayer.map(({ layer }) => layer!)
  const sections = [
    ['Weights by layer', distributionTable([...byLayer, ...byPart, all])],
    ['Weights by class', distributionTable(byClass)],
    [
      'Standard deviation by class and layer',
      alignColumns([
        ['class', ...layers],
        ...byClass.map(({ class: name }) => [
          name!,
          ...layers.map(layer =>
            short(byClassAndLayer.find(one => one.class === name && one.layer === layer)!.sd),
          ),
        ]),
      ]),
    ],
    [
      'Most common weights, rounded to 0.001, and their share',
      alignColumns(
        common.map(({ class: name, values }) => [
          name ?? 'all',
          ...values
            .slice(0, 5)
            .map(({ value, share }) => `${value.toFixed(3)} ${(100 * share).toFixed(2)} %`),
        ]),
      ),
    ],
  ]
  sections.push(
    isMissing(divergence) ? ['No divergence:', divergence.missing] : divergenceSection(divergence),
  )
  return sections.map(([title, table]) => `${title}\n${table}`).join('\n\n')
}

function divergenceSection(divergence: Divergences): [title: string, table: string] {
  const { unit } = Object.values(divergence)[0]!
  return [
    `Jensen-Shannon distance between classes (the square root of the divergence in ${unit}; the paper's setting)`,
    alignColumns([
      ['layer', 'mean', 'sd', 'by chance', 'most alike', '', 'most different', ''],
      ...Object.entries(divergence).map(([layer, { distance, byChance }]) => [
        layer,
        ...[distance.mean, distance.sd, Math.sqrt(byChance)].map(value => value.toFixed(4)),
        ...pairCells(distance.min),
        ...pairCells(distance.max),
      ]),
    ]),
  ]
}

const pairCells = ({ names, value }: Pair) => [names.join(' - '), value.toFixed(4)]

function distributionTable(groups: readonly WeightDistribution[]): string {
  const head = ['', 'weights', 'mean', 'sd', 'skewness', 'kurtosis', 'min', '5 %', 'median', '95 %', 'max']
  return alignColumns([
    [...head, 'near zero', 'entropy'],
    ...groups.map(group => {
      const { mean, sd, skewness, kurtosis, min, max, sparsity, entropy } = group
      const quantile = (share: number) => group.quantiles.find(({ p }) => p === share)!.value
      const figures = [mean, sd, skewness, kurtosis, min, quantile(0.05), quantile(0.5), quantile(0.95), max]
      return [
        nameOf(group),
        count(group.count),
        ...figures.map(short),
        `${(100 * sparsity).toFixed(1)} %`,
        entropy.toFixed(3),
      ]
    }),
  ])
}

function nameOf({ class: name, layer, part }: WeightDistribution): string {
  return [name, layer, part].filter(Boolean).join(' ') || 'all'
}

/** Four digits; none of them lost to zeros behind the point. */
function short(value: number): string {
  if (Number.isNaN(value)) return '-'
  return Math.abs(value) >= 0.001 || value === 0 ? value.toFixed(4) : value.toExponential(2)
}

/** The tables of `--csv`, the head first. */
const TABLES: Record<NonNullable<StatsFlags['csv']>, (study: Study) => (string | number | null)[][]> = {
  distributions({ distributions: { all, byClass, byLayer, byPart, byClassAndLayer } }) {
    const columns = [
      'count',
      'min',
      'max',
      'mean',
      'sd',
      'skewness',
      'kurtosis',
      'sparsity',
      'entropy',
    ] as const
    return [
      ['class', 'layer', 'part', ...columns, ...all.quantiles.map(({ p }) => `quantile ${p}`)],
      ...[all, ...byClass, ...byLayer, ...byPart, ...byClassAndLayer].map(group => [
        group.class,
        group.layer,
        group.part,
        ...columns.map(column => group[column]),
        ...group.quantiles.map(({ value }) => value),
      ]),
    ]
  },
  divergence({ divergence }) {
    if (isMissing(divergence))
      throw new ZooError('option', divergence.missing, { name: 'csv', value: 'divergence' })
    return [
      ['layer', 'class', 'other', 'divergence', 'distance', 'divergence by chance'],
      ...Object.entries(divergence).flatMap(
        ([layer, { classNames, divergence: pairs, distance, byChance }]) =>
          classNames.flatMap((name, i) =>
            classNames
              .slice(i + 1)
              .map((other, j) => [
                layer,
                name,
                other,
                pairs.values[i]![i + 1 + j]!,
                distance.values[i]![i + 1 + j]!,
                byChance,
              ]),
          ),
      ),
    ]
  },
  common({ distributions: { common } }) {
    return [
      ['class', 'value', 'count', 'share'],
      ...common.flatMap(({ class: name, values }) =>
        values.map(({ value, count: times, share }) => [name, value, times, share]),
      ),
    ]
  },
}
