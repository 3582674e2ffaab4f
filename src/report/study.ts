import { type WeightDistributions, weightDistributions } from '../analysis/distributions.js'
import { type ClassDivergence, layerDivergence, networkDivergence } from '../analysis/divergence.js'
import { weightStatistics } from '../analysis/weight-statistics.js'
import type { Classifier } from '../classifiers/classifier.js'
import { evaluate } from '../classifiers/evaluate.js'
import { GaussianNaiveBayes } from '../classifiers/gaussian-naive-bayes.js'
import { MlpClassifier } from '../classifiers/mlp-classifier.js'
import { isZooError } from '../errors.js'
import { type LabelledRows, layerRows } from '../zoo/rows.js'
import { flattenModelwise, groupLayerwise, type LayerwiseView } from '../zoo/views.js'
import type { WeightMatrix } from '../zoo/weight-matrix.js'
import type { Zoo } from '../zoo/zoo.js'
import type { ClassifierResult } from './charts/classification.js'
import { hasHistory } from './charts/training.js'
import { costOf } from './cost.js'

/** How far a report is. */
export interface ReportProgress {
  /** What is being done: `compiling`, `distributions`, `divergence`, `Naive Bayes on conv2d`, `charts`, ... */
  readonly stage: string
  /** Of `total`, in the stage's own unit. */
  readonly done: number
  readonly total: number
}

/** A part of a report that this zoo does not allow. */
export interface LeftOut {
  readonly part: 'training' | 'distributions' | 'divergence' | 'classifiers' | 'cost'
  readonly reason: string
}

/** What a report finds out from the weights. Plain data, ready for JSON; `null` for what was left out. */
export interface WeightStudy {
  readonly distributions: WeightDistributions | null
  /** Jensen-Shannon, with the paper's preset. */
  readonly divergence: {
    readonly network: ClassDivergence
    readonly layers: Readonly<Record<string, ClassDivergence>>
  } | null
  /** Whole networks and layer by layer, all with the same split. */
  readonly classifiers: readonly ClassifierResult[]
  readonly leftOut: readonly LeftOut[]
}

export interface StudyControl {
  readonly quick: boolean
  readonly seed: number
  readonly onProgress: ((progress: ReportProgress) => void) | undefined
  readonly signal: AbortSignal | undefined
}

/** What the classifier table calls all of a network's weights. */
export const WHOLE_NETWORK = 'whole network'

/**
 * Studies the weights of a zoo, in eight passes over its compiled files. What cannot be done with this zoo is left out,
 * with the reason.
 */
export async function studyWeights(zoo: Zoo, control: StudyControl): Promise<WeightStudy> {
  const { signal } = control
  const compiling = { signal, onProgress: staged(control, 'compiling') }
  const rows = await flattenModelwise(zoo, compiling)
  try {
    const byLayer = await groupLayerwise(zoo, compiling)
    try {
      return await study(zoo, rows, byLayer, control)
    } finally {
      byLayer.close()
    }
  } finally {
    rows.close()
  }
}

async function study(
  zoo: Zoo,
  rows: WeightMatrix,
  byLayer: LayerwiseView,
  control: StudyControl,
): Promise<WeightStudy> {
  const leftOut: LeftOut[] = []
  if (!hasHistory(zoo))
    leftOut.push({ part: 'training', reason: 'training: the history of these networks is not known' })
  if (!costOf(zoo))
    leftOut.push({ part: 'cost', reason: 'cost: the time that these networks took is not known' })
  const { signal } = control
  const attempt = async <T>(
    part: LeftOut['part'],
    least: number,
    work: () => Promise<T>,
    name: string = part,
  ): Promise<T | null> => {
    const leaveOut = (reason: string) => {
      leftOut.push({ part, reason: `${name}: ${reason}` })
      return null
    }
    const reason = tooFew(zoo, least)
    if (reason) return leaveOut(reason)
    try {
      return await work()
    } catch (error) {
      // What this zoo does not allow; damaged files and Ctrl-C end the report.
      if (!isZooError(error, 'option')) throw error
      return leaveOut(error.message)
    }
  }
  const distributions = await attempt('distributions', 1, () =>
    weightDistributions(rows, { signal, onProgress: staged(control, 'distributions') }),
  )
  const divergence = await attempt('divergence', 2, async () => {
    const options = { preset: 'paper', signal, onProgress: staged(control, 'divergence') } as const
    const layers = await layerDivergence(byLayer, options)
    // The range is known by now, which saves a pass.
    const range = distributions ? ([distributions.all.min, distributions.all.max] as const) : undefined
    return { network: await networkDivergence(rows, { ...options, ...(range && { range }) }), layers }
  })
  const parts: Part[] = [
    { weights: WHOLE_NETWORK, rows },
    ...byLayer.layerNames.map(layer => ({ weights: layer, rows: layerRows(byLayer, layer) })),
  ]
  const classifiers: ClassifierResult[] = []
  for (const learner of learnersOf(control)) {
    const work = () => classify(learner, parts, control)
    const results = await attempt(
      'classifiers',
      learner.least,
      work,
      `${learner.name} on ${learner.features}`,
    )
    if (results) classifiers.push(...results)
  }
  if (control.quick) leftOut.push({ part: 'classifiers', reason: 'MLP: the report was asked to be quick' })
  return { distributions, divergence, classifiers, leftOut }
}

/** A classifier and what it sees of the weights. */
interface Learner {
  readonly name: string
  readonly features: 'weights' | 'statistics'
  /** Networks of a class that it needs: one to test on, and what it learns from. */
  readonly least: number
  readonly make: () => Classifier
}

function learnersOf({ quick, seed }: StudyControl): Learner[] {
  const bayes = { name: 'Naive Bayes', least: 2, make: () => new GaussianNaiveBayes() }
  // Of two networks to learn from it holds out one. On all 91,481 weights a step would take a second.
  const mlp = { name: 'MLP', least: 3, make: () => new MlpClassifier({ seed }) }
  return [
    { ...bayes, features: 'weights' },
    { ...bayes, features: 'statistics' },
    ...(quick ? [] : [{ ...mlp, features: 'statistics' } as const]),
  ]
}

/** The whole networks, and each layer by itself. */
type Part = { readonly weights: string; readonly rows: LabelledRows; statistics?: LabelledRows }

async function classify(
  learner: Learner,
  parts: readonly Part[],
  control: StudyControl,
): Promise<ClassifierResult[]> {
  const { seed, signal } = control
  const { name, features, make } = learner
  const results: ClassifierResult[] = []
  for (const part of parts) {
    if (features === 'statistics') {
      const onProgress = staged(control, `statistics of ${part.weights}`)
      part.statistics ??= await weightStatistics(part.rows, { signal, onProgress })
    }
    const data = features === 'statistics' ? part.statistics! : part.rows
    const onProgress = staged(control, `${name} on ${features} of ${part.weights}`)
    const evaluation = await evaluate(make(), data, { seed, signal, onProgress })
    results.push({
      classifier: `${name} on ${features}`,
      weights: part.weights,
      columns: data.shape[1],
      evaluation,
    })
  }
  return results
}

/** Why a part that compares classes is impossible; `least` networks a class are needed, 1 for parts that compare none. */
function tooFew({ networks, classNames }: Zoo, least: number): string | undefined {
  if (least === 1) return undefined
  const counts = new Map<string, number>()
  for (const { class: name } of networks) counts.set(name, (counts.get(name) ?? 0) + 1)
  if (counts.size < 2)
    return `it needs networks of two classes, and this zoo has those of ${[...counts.keys()][0]} only`
  const scarce = classNames.find(name => (counts.get(name) ?? least) < least)
  if (!scarce) return undefined
  return `it needs ${least} networks of every class, and ${scarce} has ${counts.get(scarce)}`
}

function staged({ onProgress }: StudyControl, stage: string) {
  return (done: number, total: number) => onProgress?.({ stage, done, total })
}
