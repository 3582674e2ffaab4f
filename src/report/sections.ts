import type { WeightDistribution } from '../analysis/distributions.js'
import type { ClassDivergence } from '../analysis/divergence.js'
import type { Pair } from '../analysis/pair-matrix.js'
import { describedImages, type TrainedZooManifest } from '../zoo/manifest.js'
import { type Spread, summarize } from '../zoo/summary.js'
import type { Zoo } from '../zoo/zoo.js'
import { costOf } from './cost.js'
import { type Html, html, table } from './html.js'
import { PAPER, resemblesPaper } from './paper.js'
import { type WeightStudy, WHOLE_NETWORK } from './study.js'
import { count, decimals, percent, threeDigits } from './text.js'

// The words and tables of every section; their charts follow below them.

export function qualityBody(zoo: Zoo): Html {
  const lines = summarize(zoo)
  const paper = resemblesPaper(zoo)
  const numbers = (spread: Spread) => [spread.min, spread.mean, spread.max].map(decimals)
  const beside = (value: number | undefined) =>
    paper ? [html`<span class="quiet">${decimals(value ?? Number.NaN)}</span>`] : []
  const head = (metric: string, withPaper = paper) => [
    `${metric} min`,
    'mean',
    'max',
    ...(withPaper ? ['paper'] : []),
  ]
  const row = (
    name: string,
    networks: number,
    spreads: Spread[],
    ofPaper?: { accuracy: Spread; f1: number },
  ) => {
    const [accuracy, f1, auc] = spreads
    return [
      name,
      count(networks),
      ...numbers(accuracy!),
      ...beside(ofPaper?.accuracy.mean),
      ...numbers(f1!),
      ...beside(ofPaper?.f1),
      ...numbers(auc!),
    ]
  }
  const all = row(
    'all',
    zoo.networks.length,
    [overAll(lines, 'accuracy'), overAll(lines, 'f1'), overAll(lines, 'auc')],
    PAPER.all,
  )
  return html`<p>Over the networks of a class, on all validation images; a network calls positive what it gives more than one half.${paper && " The paper's figures are means over 1,061 networks a class, from images of 320 pixels."}</p>
${table(
  ['class', 'networks', ...head('accuracy'), ...head('F1'), ...head('AUC', false)],
  [
    ...lines.map(line =>
      row(line.class, line.networks, [line.accuracy, line.f1, line.auc], PAPER.classes[line.class]),
    ),
    ...(lines.length > 1 ? [all] : []),
  ],
)}`
}

function overAll(lines: ReturnType<typeof summarize>, metric: 'accuracy' | 'f1' | 'auc'): Spread {
  const known = lines.filter(line => !Number.isNaN(line[metric].mean))
  if (known.length === 0) return { min: Number.NaN, mean: Number.NaN, max: Number.NaN }
  const networks = known.reduce((sum, line) => sum + line.networks, 0)
  return {
    min: Math.min(...known.map(line => line[metric].min)),
    mean: known.reduce((sum, line) => sum + line[metric].mean * line.networks, 0) / networks,
    max: Math.max(...known.map(line => line[metric].max)),
  }
}

export function trainingBody(zoo: Zoo): Html {
  const { recipe } = zoo.manifest
  if (!recipe) return html``
  return html`<p>${recipe.epochs} epochs of ${count(recipe.samplesPerNetwork)} images; kept are the weights of ${recipe.keep === 'best' ? 'the epoch with the lowest validation loss' : 'the last epoch'}.</p>`
}

export function weightsBody({ distributions }: WeightStudy): Html {
  if (!distributions) return html``
  const { all, byLayer, common } = distributions
  const row = (name: string, of: WeightDistribution) => [
    name,
    count(of.count),
    ...[of.mean, of.sd, of.skewness, of.kurtosis, of.min, of.max].map(threeDigits),
    percent(of.sparsity),
    of.entropy.toFixed(2),
  ]
  const shown = 6
  return html`<p>Moments over all networks. Kurtosis is in excess of the normal distribution's; near zero is below 0.001; entropy, in nats, is that of the histogram in ${all.histogram.counts.length} bins.</p>
${table(
  ['layer', 'weights', 'mean', 'sd', 'skewness', 'kurtosis', 'min', 'max', 'near zero', 'entropy'],
  [...byLayer.map(line => row(line.layer!, line)), row('all', all)],
)}
<h3>Most common values</h3>
<p>Weights rounded to three decimals, and what share of a class's weights has them.</p>
${table(
  ['class', ...Array.from({ length: shown }, (_, i) => `${i + 1}.`)],
  [...common.slice(1), common[0]!].map(({ class: name, values }) => [
    name ?? 'all',
    ...values
      .slice(0, shown)
      .map(
        ({ value, share }) =>
          html`${value.toFixed(3)} <span class="quiet">${(100 * share).toFixed(2)} %</span>`,
      ),
  ]),
)}`
}

export function divergenceBody(zoo: Zoo, { divergence }: WeightStudy): Html {
  if (!divergence) return html``
  const { layers, network } = divergence
  const pair = ({ names, value }: Pair) =>
    html`${names.join(' and ')} <span class="quiet">${threeDigits(value)}</span>`
  const row = (name: string, { distance, byChance }: ClassDivergence) => [
    name,
    threeDigits(distance.mean),
    threeDigits(distance.sd),
    threeDigits(Math.sqrt(byChance)),
    pair(distance.min),
    pair(distance.max),
  ]
  const ordered = Object.entries(layers).sort(([, a], [, b]) => a.distance.mean - b.distance.mean)
  const [least, most] = [ordered[0]!, ordered.at(-1)!]
  return html`<p>Jensen-Shannon distance between the histograms of two classes: 0 for equal ones, ${threeDigits(Math.sqrt(Math.LN2))} for those that share no bin. As in the paper: 30 bins over the range of all classes, nats, the square root of the divergence. Beside it stands what samples of so many weights from one and the same distribution would give by chance.</p>
<p>The classes are most alike in ${least[0]} (mean ${threeDigits(least[1].distance.mean)}) and most different in ${most[0]} (${threeDigits(most[1].distance.mean)}).${resemblesPaper(zoo) && ' The paper finds them most alike in the third convolution, conv2d_2, and most different in the second dense layer, dense_1.'}</p>
${table(
  ['weights', 'mean distance', 'sd', 'by chance', 'most alike', 'most different'],
  [row(WHOLE_NETWORK, network), ...Object.entries(layers).map(([layer, found]) => row(layer, found))],
)}`
}

export function classifiersBody(zoo: Zoo, { classifiers }: WeightStudy): Html {
  const [first] = classifiers
  if (!first) return html``
  const names = [...new Set(classifiers.map(({ classifier }) => classifier))]
  const { chance, majority, count: tested } = first.evaluation
  const cells = (classifier: string, weights: string) => {
    const found = classifiers.find(result => result.classifier === classifier && result.weights === weights)
    if (!found) return ['-', '-']
    const { accuracy, interval, macro } = found.evaluation
    const bounds = interval.map(bound => (100 * bound).toFixed(1)).join(' to ')
    return [html`${percent(accuracy)} <span class="quiet">(${bounds})</span>`, decimals(macro.f1)]
  }
  const weights = classifiers.filter(({ classifier }) => classifier === names[0])
  return html`<p>A classifier sees the weights of networks and learns which class each was trained to detect; it is tested on ${count(tested)} networks that it has not seen (30 % of every class). In brackets: the 95 % interval; F1 is the mean over classes. Guessing is right in ${percent(chance)}, always answering ${majority.class} in ${percent(majority.accuracy)}.${resemblesPaper(zoo) && ` The paper reports up to ${percent(PAPER.classification)} with 10,000 networks.`}</p>
<p>Weights are a network's numbers by position, as in the paper. Statistics are mean, variance, extremes and quartiles of every kernel and bias: they stay the same when neurons change places, and networks that start from different weights share no order of neurons.</p>
${table(
  ['weights of', ...names.flatMap(name => [name, 'F1']), 'guessing', 'majority'],
  weights.map(({ weights: part, evaluation }) => [
    part,
    ...names.flatMap(name => cells(name, part)),
    percent(evaluation.chance),
    percent(evaluation.majority.accuracy),
  ]),
)}`
}

export function costBody(zoo: Zoo): Html {
  const cost = costOf(zoo)
  if (!cost) return html``
  const paper = resemblesPaper(zoo)
  const row = (what: string, here: string, there: string) => [what, here, ...(paper ? [there] : [])]
  const perNetwork = PAPER.coreHours / PAPER.networks
  return html`<p>By the clock, while each network was trained by one thread of the engine ${cost.engines.join(' and ')}; other work on the machine counts in.${paper && " The paper's 10,000 networks took 27 hours of a cluster of 11,039 cores."}</p>
${table(
  ['', 'this zoo', ...(paper ? ['paper'] : [])],
  [
    row('networks', count(cost.networks), count(PAPER.networks)),
    row('core-hours', threeDigits(cost.coreHours), count(PAPER.coreHours)),
    row('seconds a network', threeDigits(cost.secondsPerNetwork), count(3600 * perNetwork)),
    row('networks an hour, on one core', threeDigits(cost.networksPerCoreHour), threeDigits(1 / perNetwork)),
  ],
)}`
}

export function provenanceBody(zoo: Zoo): Html {
  const { manifest, failures, networks } = zoo
  const planned = Object.values(manifest.plan).reduce((sum, n) => sum + n, 0)
  const rows: [string, string | Html][] = [
    ['networks', `${count(networks.length)} of ${count(planned)} planned, ${count(failures.length)} failed`],
    ['architecture', `${zoo.architecture.name}, ${count(zoo.architecture.parameterCount)} weights`],
    ...(manifest.imported
      ? ([
          ['imported', `${manifest.imported.layout} of ${manifest.imported.source}`],
          ...(manifest.imported.warning ? [['warning', manifest.imported.warning]] : []),
        ] as [string, string][])
      : trainedRows(manifest)),
    ['format', `weightzoo ${manifest.formatVersion}`],
  ]
  return html`${textTable(rows)}
<h3>Layers</h3>
${table(
  ['layer', 'part', 'shape', 'weights', 'first column'],
  manifest.parameters.map(({ layer, part, shape, size, offset }) => [
    layer,
    part,
    shape.join(' x '),
    count(size),
    count(offset),
  ]),
)}
${failures.length > 0 && html`<h3>Failed</h3>\n${textTable(failures.slice(0, 20).map(({ class: name, index, reason }) => [`${name}_${index}`, reason]))}`}`
}

function trainedRows(manifest: TrainedZooManifest): [string, string | Html][] {
  const { recipe, arithmetic } = manifest
  const { kind, ...settings } = recipe.optimizer
  const [least, most] = recipe.positiveFraction
  return [
    ...describedImages(manifest).flatMap(
      ({ name, train, validation, shape, fingerprint }) =>
        [
          [
            'images',
            `${name}: ${count(train)} to train on, ${count(validation)} to validate, ${shape.join(' x ')}`,
          ],
          ['fingerprint', html`<code>${fingerprint}</code>`],
        ] as [string, string | Html][],
    ),
    [
      'samples',
      `${count(recipe.samplesPerNetwork)} a network, ${percent(least)} to ${percent(most)} positive, drawn anew for each`,
    ],
    ['training', `${recipe.epochs} epochs, batch ${recipe.batchSize}, ${recipe.loss}`],
    [
      'optimiser',
      `${kind}, ${Object.entries(settings)
        .map(([name, value]) => `${name} ${value}`)
        .join(', ')}`,
    ],
    ['kept', recipe.keep === 'best' ? 'the epoch with the lowest validation loss' : 'the last epoch'],
    ...(recipe.vary ? [['varied', JSON.stringify(recipe.vary)] as [string, string]] : []),
    ['seed', String(recipe.seed)],
    ['arithmetic', arithmetic],
  ]
}

function textTable(rows: readonly (readonly [string, string | Html])[]): Html {
  return html`<div class="wide"><table class="text"><tbody>
${rows.map(([name, text]) => html`<tr><th scope="row">${name}</th><td>${text}</td></tr>\n`)}</tbody></table></div>`
}
