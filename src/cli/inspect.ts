import { resolve } from 'node:path'
import type { Command } from 'commander'
import { type FailureRecord, openZoo, summarize, type ZooManifest } from '../index.js'
import { contentLines, contentsOf } from './contents.js'
import { wholeNumber } from './flags.js'
import { count, metricsTable, printLines } from './output.js'

/** `weightzoo inspect`. */
export function addInspect(program: Command): void {
  program
    .command('inspect')
    .description("show a zoo's recipe, progress and metrics, or one network's record")
    .argument('<zoo>', 'the zoo directory')
    .argument('[class]', 'a class, to see one of its networks')
    .argument('[index]', 'the number of the network within its class', wholeNumber(0))
    .option('--json', 'print JSON for programs')
    .action(inspect)
}

async function inspect(
  path: string,
  className?: string,
  index?: number,
  { json = false } = {},
): Promise<void> {
  const zoo = await openZoo(path)
  if (className !== undefined) {
    const record = zoo.network(className, index ?? 0)
    printLines(JSON.stringify(record, null, json ? undefined : 2).split('\n'))
    return
  }
  const { manifest, networks, failures } = zoo
  const summary = summarize(zoo)
  const contents = contentsOf(zoo)
  if (json) {
    const finished = networks.length
    console.log(JSON.stringify({ path: resolve(path), manifest, finished, failures, ...contents, summary }))
    return
  }
  const { plan, parameterCount } = manifest
  const planned = Object.values(plan).reduce((sum, n) => sum + n, 0)
  const hours = networks.reduce((sum, { seconds }) => sum + seconds, 0) / 3600
  printLines([
    `zoo           ${resolve(path)}`,
    `networks      ${count(networks.length)} of ${count(planned)} planned, ${count(failures.length)} failed, ${hours.toFixed(2)} core-hours`,
    `architecture  ${zoo.architecture.name}, ${count(parameterCount)} parameters`,
    ...originLines(manifest),
    ...contentLines(contents, networks.length),
  ])
  if (networks.length > 0) console.log(`\n${metricsTable(summary)}`)
  if (failures.length > 0) printLines(['', ...failureLines(failures)])
}

/** Failures by reason, the most frequent one first: a thousand networks that failed alike are one line. */
export function failureLines(failures: readonly FailureRecord[]): string[] {
  const groups = new Map<string, FailureRecord[]>()
  for (const failure of failures) {
    const kind = kindOf(failure)
    const group = groups.get(kind)
    if (group) group.push(failure)
    else groups.set(kind, [failure])
  }
  return [...groups.values()]
    .sort((a, b) => b.length - a.length)
    .map(group => {
      const { class: name, index, reason } = group[0]!
      return group.length === 1
        ? `1 failed, ${name}_${index}: ${reason}`
        : `${count(group.length)} failed alike, the first ${name}_${index}: ${reason}`
    })
}

/** A reason without what differs from network to network: its name, epochs, losses. */
function kindOf({ class: name, index, reason }: FailureRecord): string {
  return reason.replaceAll(`${name}_${index}`, '').replace(/-?\b(?:\d[\d.e+-]*|NaN|Infinity)\b/g, '')
}

/** How the networks came to be. */
function originLines({ imported, recipe, images, imageSets, arithmetic }: ZooManifest): string[] {
  if (imported) {
    const { source, layout, warning } = imported
    return [`imported      ${layout} of ${source}`, ...(warning ? [`warning       ${warning}`] : [])]
  }
  const { kind, ...settings } = recipe.optimizer
  return [
    ...(imageSets ?? [images]).map(
      ({ name, train, validation, shape, fingerprint }) =>
        `images        ${name}: ${count(train)} to train on, ${count(validation)} to validate, ${shape.join('x')}, ${fingerprint.slice(0, 12)}`,
    ),
    `recipe        ${recipe.epochs} epochs, batch ${recipe.batchSize}, ${kind} ${JSON.stringify(settings)}, ${count(recipe.samplesPerNetwork)} samples, ${recipe.positiveFraction.join(' to ')} positive, keep ${recipe.keep}, seed ${recipe.seed}`,
    `arithmetic    ${arithmetic}`,
  ]
}
