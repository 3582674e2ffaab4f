import { type Command, InvalidArgumentError, Option } from 'commander'
import { testedOf } from '../classifiers/splits.js'
import { oneLine } from '../errors.js'
import {
  type Classifier,
  crossValidate,
  type Evaluation,
  evaluate,
  GaussianNaiveBayes,
  groupLayerwise,
  type LabelledRows,
  layerRows,
  MlpClassifier,
  principalFeatures,
  RandomForest,
  SvmClassifier,
  weightStatistics,
  withPreprocessing,
  type Zoo,
  ZooError,
} from '../index.js'
import { interruptSignal, list, wholeNumber } from './flags.js'
import { alignColumns, count, duration, StatusLine } from './output.js'
import { openSelectedRows, type SelectionFlags, withSelectionFlags } from './selection.js'

/** The classifiers by name; what is random in them follows from the seed. */
const CLASSIFIERS: Record<string, (seed: number) => Classifier> = {
  'naive-bayes': () => new GaussianNaiveBayes(),
  mlp: seed => new MlpClassifier({ seed }),
  'random-forest': seed => new RandomForest({ seed }),
  'linear-svm': () => new SvmClassifier({ kernel: 'linear' }),
  'rbf-svm': () => new SvmClassifier({ kernel: 'rbf' }),
}

const FEATURES = ['weights', 'statistics', 'components'] as const
type Features = (typeof FEATURES)[number]

interface ClassifyFlags extends SelectionFlags {
  classifiers: string[]
  features?: Features[]
  by: 'network' | 'layer' | 'both'
  testShare: number
  folds?: number
  seed: number
  json?: boolean
  quiet?: boolean
}

/** `weightzoo classify`. */
export function addClassify(program: Command): void {
  withSelectionFlags(
    program
      .command('classify')
      .argument('<zoo>', 'the zoo directory')
      .description("tell a network's class from its weights: accuracy with interval, chance, confusion"),
  )
    .option(
      '--classifiers <names>',
      `of ${Object.keys(CLASSIFIERS).join(', ')} (default: all)`,
      oneOf(Object.keys(CLASSIFIERS)),
      Object.keys(CLASSIFIERS),
    )
    .option(
      '--features <names>',
      'what they see: weights; statistics of every parameter array; 50 principal components of the weights (default: statistics, and weights too for naive-bayes)',
      oneOf(FEATURES),
    )
    .addOption(
      new Option('--by <what>', 'whole networks, every layer by itself, or both')
        .choices(['network', 'layer', 'both'])
        .default('network'),
    )
    .option('--test-share <x>', "share of each class's networks to test on", share, 0.3)
    .option('--folds <k>', 'cross-validate over so many parts in place of one split', wholeNumber(2))
    .option('--seed <n>', 'of the split and of what is random in classifiers', wholeNumber(0), 0)
    .option('--json', 'print JSON for programs, every confusion matrix in it')
    .option('--quiet', 'show no progress')
    .action(classify)
}

/** One line of the table. */
interface Result {
  classifier: string
  features: Features
  /** A layer, or `network`. */
  of: string
  evaluation: Evaluation
  seconds: number
}

async function classify(path: string, flags: ClassifyFlags): Promise<void> {
  const { json = false, quiet = false } = flags
  const status = new StatusLine(quiet)
  const { zoo, rows } = await openSelectedRows(path, flags, status)
  try {
    checkEnough(zoo, flags)
    const results = await resultsOf(zoo, rows, flags, status)
    status.end()
    console.log(json ? JSON.stringify(results) : textOf(results, flags))
  } finally {
    rows.close()
  }
}

/** Looks for classes of too few networks before hours of work end in that. */
function checkEnough({ classNames, networks }: Zoo, { classifiers, folds, testShare }: ClassifyFlags): void {
  const others = folds ?? 2
  const all = classifiers.includes('mlp') ? neededForMlp(folds, testShare) : others
  for (const name of classNames) {
    const count = networks.filter(network => network.class === name).length
    if (count === 0 || count >= all) continue
    const what = `classifying${folds ? ` over ${folds} folds` : ''}${all > others ? ' with mlp' : ''}`
    const todo = `train more, or leave the class out with --classes${count >= others ? ', or mlp with --classifiers' : ''}`
    const message = `${what} needs at least ${all} networks of each class, ${name} has ${count}; ${todo}`
    throw new ZooError('option', message, { name: 'networks', value: count })
  }
}

/** How many networks of a class leave two to learn from, of which the MLP holds one out. */
function neededForMlp(folds: number | undefined, testShare: number): number {
  if (folds) return folds === 2 ? 4 : folds
  // Rounding the share decides between neighbours of this.
  let count = Math.max(3, Math.floor(1.5 / (1 - testShare)))
  while (count - testedOf(count, testShare) < 2) count++
  return count
}

async function resultsOf(
  zoo: Zoo,
  rows: LabelledRows,
  flags: ClassifyFlags,
  status: StatusLine,
): Promise<Result[]> {
  const signal = interruptSignal()
  const wanted = flags.classifiers.flatMap(classifier =>
    (flags.features ?? defaultFeatures(classifier)).map(features => ({ classifier, features })),
  )
  const byLayer = flags.by === 'network' ? undefined : await groupLayerwise(zoo, { signal })
  try {
    const parts = [
      ...(flags.by === 'layer' ? [] : [{ of: 'network', rows }]),
      ...(byLayer?.layerNames.map(layer => ({ of: layer, rows: layerRows(byLayer, layer) })) ?? []),
    ]
    const results: Result[] = []
    for (const { of, rows: part } of parts) {
      const statistics = wanted.some(({ features }) => features === 'statistics')
        ? await weightStatistics(part, { signal, onProgress: shown(status, `statistics of ${of}`) })
        : undefined
      for (const { classifier, features } of wanted) {
        const start = performance.now()
        const fresh = CLASSIFIERS[classifier]!(flags.seed)
        const sees =
          features === 'components'
            ? withPreprocessing(principalFeatures({ seed: flags.seed }), fresh)
            : fresh
        const data = features === 'statistics' ? statistics! : part
        const onProgress = shown(status, `${classifier} on ${features} of ${of}`)
        const { seed, folds, testShare } = flags
        const evaluation = folds
          ? await crossValidate(sees, data, { folds, seed, signal, onProgress })
          : await evaluate(sees, data, { testShare, seed, signal, onProgress })
        results.push({ classifier, features, of, evaluation, seconds: (performance.now() - start) / 1000 })
      }
    }
    return results
  } finally {
    byLayer?.close()
  }
}

/** Naive Bayes on the weights is the paper's; on statistics every classifier does best. */
function defaultFeatures(classifier: string): Features[] {
  return classifier === 'naive-bayes' ? ['weights', 'statistics'] : ['statistics']
}

function shown(status: StatusLine, what: string) {
  return (done: number, total: number) => status.show(`${what} ${Math.floor((100 * done) / total)} %`)
}

function textOf(results: readonly Result[], { folds, testShare }: ClassifyFlags): string {
  const best = results.reduce((a, b) => (b.evaluation.accuracy > a.evaluation.accuracy ? b : a))
  const { count: tested, chance, majority, classNames, confusion, perClass } = best.evaluation
  const how = folds
    ? `each of ${count(tested)} networks tested once, over ${folds} folds`
    : `tested on ${count(tested)} networks, ${Math.round(100 * testShare)} % of every class, that were not learned from`
  const table = results.map(({ classifier, features, of, evaluation, seconds }) => [
    classifier,
    features,
    of,
    percent(evaluation.accuracy),
    evaluation.interval.map(percent).join(' to '),
    evaluation.macro.f1.toFixed(3),
    duration(seconds),
  ])
  const scores = perClass.map(({ class: name, support, precision, sensitivity, specificity, f1 }) => [
    name,
    count(support),
    ...[precision, sensitivity, specificity, f1].map(value => value.toFixed(3)),
  ])
  return [
    `${classNames.length} classes, ${how}`,
    `chance ${percent(chance)}, always the most frequent class (${oneLine(majority.class)}) ${percent(majority.accuracy)}\n`,
    alignColumns([['classifier', 'features', 'of', 'accuracy', '95 % interval', 'F1', 'm:ss'], ...table]),
    `\nThe most accurate: ${best.classifier} on ${best.features} of ${best.of}`,
    alignColumns([['class', 'networks', 'precision', 'sensitivity', 'specificity', 'F1'], ...scores]),
    '\nConfusion: rows are what networks are, columns what they were called',
    alignColumns([
      ['', ...classNames.map((_, k) => `${k}`)],
      ...confusion.map((line, k) => [`${k} ${classNames[k]}`, ...line.map(String)]),
    ]),
  ].join('\n')
}

const percent = (value: number) => `${(100 * value).toFixed(1)} %`

function oneOf<T extends string>(known: readonly T[]) {
  return (text: string): T[] => {
    const names = list(text)
    const unknown = names.find(name => !known.includes(name as T))
    if (names.length > 0 && unknown === undefined) return names as T[]
    throw new InvalidArgumentError(`needs some of ${known.join(', ')}.`)
  }
}

function share(text: string): number {
  const value = Number(text)
  if (value > 0 && value < 1) return value
  throw new InvalidArgumentError('needs a number between 0 and 1.')
}
