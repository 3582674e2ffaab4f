import { ZooError } from '../errors.js'
import type { ImageSet } from '../images/image-set.js'
import { invalidOption, isCount, suggestion } from '../options.js'
import { checkSampling } from '../training/create-job.js'
import type { Recipe } from '../training/recipe.js'
import { safeName } from './files.js'

/** How many networks of each class. */
export type Plan = Readonly<Record<string, number>>

/** One network of a plan. */
export interface NetworkId {
  readonly className: string
  readonly index: number
}

/** How many networks of which class; refuses what the images cannot give, before anything is written. */
export function planOf(
  {
    perClass = 1000,
    classes,
  }: { perClass?: number | undefined; classes?: string | readonly string[] | undefined },
  sets: readonly ImageSet[],
  recipe: Recipe,
): Plan {
  if (!isCount(perClass)) throw invalidOption('perClass', perClass, 'needs a positive integer')
  const { classNames } = sets[0]!
  const names = classes === undefined ? classNames : [classes].flat()
  if (names.length === 0) throw invalidOption('classes', [], 'needs at least one class')
  if (perClass * names.length > MAX_NETWORKS)
    throw invalidOption('perClass', perClass, `a zoo has at most ${MAX_NETWORKS} networks in all`)
  for (const name of names) {
    if (!classNames.includes(name)) {
      throw invalidOption('classes', name, `is not in the image set; ${suggestion(name, classNames)}`)
    }
    checkSampling(recipe, sets, name, perClass)
    checkFileName(name, names)
  }
  return joined({}, Object.fromEntries(names.map(name => [name, perClass])), classNames)
}

/** Far more than one directory can take; a plan is a list in memory. */
export const MAX_NETWORKS = 10_000_000

/** Networks planned in all. */
export function totalOf(plan: Plan): number {
  return Object.values(plan).reduce((sum, count) => sum + count, 0)
}

/** A plan with the larger count of each class, in the order of all classes. */
export function joined(plan: Plan, other: Plan, classNames: readonly string[]): Plan {
  const count = (of: Plan, name: string) => (Object.hasOwn(of, name) ? of[name]! : 0)
  const larger = classNames.map(name => [name, Math.max(count(plan, name), count(other, name))] as const)
  return Object.fromEntries(larger.filter(([, networks]) => networks > 0))
}

/** What a stopped call says. */
export function interruptedAfter(finished: number, total: number): ZooError<'interrupted'> {
  const message = `interrupted after ${finished} of ${total} networks; the same call goes on from there`
  return new ZooError('interrupted', message, { finished })
}

/** Every planned network: first every class's network 0, then every class's network 1; a zoo cut short is even. */
export function inTurns(plan: Plan): NetworkId[] {
  const most = Math.max(...Object.values(plan))
  return Array.from({ length: most }, (_, index) =>
    Object.entries(plan)
      .filter(([, count]) => index < count)
      .map(([className]) => ({ className, index })),
  ).flat()
}

/** A class name becomes part of file names: they must fit and stay apart, also where case makes no difference. */
export function checkFileName(name: string, names: readonly string[]): void {
  const file = safeName(name)
  if (file.length > 200) {
    throw invalidOption(
      'class name',
      name,
      `makes a file name of ${file.length} characters, of which 200 are allowed`,
    )
  }
  const twin = names.find(other => other !== name && safeName(other).toLowerCase() === file.toLowerCase())
  if (twin !== undefined) throw invalidOption('class name', name, `differs only in case from "${twin}"`)
}
