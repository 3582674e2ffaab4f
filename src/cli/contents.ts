import { type Distribution, type Outlier, outliers, type Zoo } from '../index.js'
import { count } from './output.js'

/** What a zoo holds beside weights and metrics, in figures. */
export interface Contents {
  /** Networks of each part. */
  split: { train: number; validation: number; test: number }
  varies: Varied[]
  stored: {
    /** After which epochs networks have checkpoints. */
    checkpoints: number[]
    /** Networks that have outputs. */
    outputs: number
  }
  /** `null` where networks lack the summary of their weights that it takes. */
  outliers: { name: string; measure: Outlier['measure']; value: number }[] | null
}

/** A hyperparameter that networks draw: of a list, whose values how many of them have drawn, or of a distribution. */
interface Varied {
  name: string
  values?: { value: number | string; networks: number }[]
  distribution?: Distribution
}

export function contentsOf(zoo: Zoo): Contents {
  const { networks, manifest } = zoo
  const split = { train: 0, validation: 0, test: 0 }
  for (const network of networks) split[zoo.partOf(network)]++
  const epochs = new Set(networks.flatMap(({ checkpoints }) => checkpoints?.epochs ?? []))
  const summarized = networks.every(({ weightSummary }) => weightSummary !== undefined)
  return {
    split,
    varies: Object.entries(manifest.recipe?.vary ?? {}).map(([name, variation]) => {
      if (!Array.isArray(variation)) return { name, distribution: variation as Distribution }
      const counts = new Map(variation.map(value => [value as number | string, 0]))
      for (const { hyperparameters = {} } of networks) {
        const value = hyperparameters[name as keyof typeof hyperparameters]
        if (value !== undefined) counts.set(value, (counts.get(value) ?? 0) + 1)
      }
      return { name, values: [...counts].map(([value, networks]) => ({ value, networks })) }
    }),
    stored: {
      checkpoints: [...epochs].sort((a, b) => a - b),
      outputs: networks.filter(({ outputs }) => outputs !== undefined).length,
    },
    outliers: summarized
      ? outliers(zoo).map(({ network: { class: className, index }, measure, value }) => ({
          name: `${className}_${index}`,
          measure,
          value,
        }))
      : null,
  }
}

/** A line for each of what there is. */
export function contentLines(
  { split, varies, stored, outliers: found }: Contents,
  networks: number,
): string[] {
  const parts = Object.entries(split).map(([part, n]) => `${count(n)} ${part}`)
  const varied = varies.map(({ name, values, distribution }) => {
    const listed = values?.map(({ value, networks: drawn }) => `${value} (${count(drawn)})`)
    const drawn = Object.entries(distribution ?? {}).map(
      ([kind, range]) => `${kind} ${[range].flat().join(' to ')}`,
    )
    return `${name}: ${few(listed ?? drawn)}`
  })
  const { checkpoints, outputs } = stored
  const broken: string[] = []
  const far = new Map<string, string[]>()
  for (const { name, measure } of found ?? []) {
    if (measure === 'weights not finite') broken.push(name)
    else far.set(name, [...(far.get(name) ?? []), measure])
  }
  const strange = [...far].map(([name, measures]) => `${name} (${measures.join(', ')})`)
  const line = (label: string, text: string) => `${label.padEnd(14)}${text}`
  return [
    ...(networks > 0 ? [line('split', parts.join(', '))] : []),
    ...varied.map((text, i) => line(i === 0 ? 'varies' : '', text)),
    ...(checkpoints.length > 0 ? [line('checkpoints', `after epochs ${few(ranges(checkpoints))}`)] : []),
    ...(outputs > 0 ? [line('outputs', `of ${count(outputs)} of ${count(networks)} networks`)] : []),
    ...(broken.length > 0 ? [line('not finite', `${count(broken.length)}: ${few(broken)}`)] : []),
    ...(strange.length > 0 ? [line('outliers', `${count(strange.length)}: ${few(strange)}`)] : []),
    ...(found === null ? [line('outliers', 'not known: older and imported zoos list no weight norms')] : []),
  ]
}

/** The first of a list. */
function few(items: readonly string[], most = 8): string {
  if (items.length <= most) return items.join(', ')
  return `${items.slice(0, most).join(', ')} and ${count(items.length - most)} more`
}

/** Ascending whole numbers, neighbours as `0 to 25`. */
function ranges(numbers: readonly number[]): string[] {
  const runs: [first: number, last: number][] = []
  for (const number of numbers) {
    const run = runs.at(-1)
    if (run && run[1] === number - 1) run[1] = number
    else runs.push([number, number])
  }
  return runs.map(([first, last]) => (first === last ? `${first}` : `${first} to ${last}`))
}
