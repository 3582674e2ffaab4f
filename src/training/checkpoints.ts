import { checkOptionNames, invalidOption, isCount } from '../options.js'
import type { Recipe } from './recipe.js'

/**
 * Whose weights a network keeps beside its last ones, counted in epochs trained: 0 is the initialisation, 1 the network
 * after its first epoch. `all`; a list; or every so many, with the initialisation and the last epoch.
 */
export type CheckpointRule = 'all' | readonly number[] | { readonly every: number }

/**
 * Brings a rule into one form: a list is sorted, and without repetitions.
 * @throws ZooError `option` for what is no rule, or an epoch that no network of the recipe is trained for.
 */
export function resolveCheckpoints(rule: CheckpointRule, recipe: Recipe): CheckpointRule {
  if (rule === 'all') return rule
  const refuse = (why: string) => invalidOption('checkpoints', rule, why)
  if (isList(rule)) {
    const epochs = [...new Set(rule)].sort((a, b) => a - b)
    if (epochs.length === 0) throw refuse('needs at least one epoch; leave the option out for none')
    const wrong = epochs.find(epoch => epoch !== 0 && !isCount(epoch))
    if (wrong !== undefined) throw refuse('needs whole numbers of epochs, 0 being the initialisation')
    const [shortest, longest] = trainingLengths(recipe)
    if (epochs.at(-1)! > longest) throw refuse(`networks are trained for ${longest} epochs`)
    if (epochs[0]! > shortest)
      throw refuse(`needs an epoch that every network reaches, and some are trained for ${shortest}`)
    return epochs
  }
  if (typeof rule !== 'object' || rule === null) throw refuse('needs "all", a list of epochs or { every: n }')
  checkOptionNames(rule, ['every'], 'checkpoints')
  const { every } = rule
  if (!isCount(every)) throw refuse('needs a positive whole number of epochs')
  return { every }
}

/** Fewest and most epochs of a network. */
function trainingLengths({ epochs, vary }: Recipe): [shortest: number, longest: number] {
  const { epochs: varied = [epochs] } = vary ?? {}
  const limits = 'integer' in varied ? varied.integer : (varied as readonly number[])
  return [Math.min(...limits), Math.max(...limits)]
}

/** Epochs of a network that is trained for `epochs`, ascending. */
export function checkpointEpochs(rule: CheckpointRule, epochs: number): number[] {
  const all = Array.from({ length: epochs + 1 }, (_, epoch) => epoch)
  if (rule === 'all') return all
  if (isList(rule)) return rule.filter(epoch => epoch <= epochs)
  return all.filter(epoch => epoch % rule.every === 0 || epoch === epochs)
}

/** Not `'every' in rule`: lists have a method of this name. */
function isList(rule: CheckpointRule): rule is readonly number[] {
  return Array.isArray(rule)
}
