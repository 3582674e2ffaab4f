import { basename, resolve } from 'node:path'
import { sourceOf } from '../exchange/dataset-description.js'
import { summarize } from '../zoo/summary.js'
import type { Zoo } from '../zoo/zoo.js'
import type { Chart } from './chart.js'
import { costOf } from './cost.js'
import { Html, html } from './html.js'
import { PAPER, resemblesPaper } from './paper.js'
import { bestOf, type ReportCharts } from './report-charts.js'
import {
  classifiersBody,
  costBody,
  divergenceBody,
  provenanceBody,
  qualityBody,
  trainingBody,
  weightsBody,
} from './sections.js'
import type { LeftOut, WeightStudy } from './study.js'
import { STYLE } from './style.js'
import { count, decimals, percent, threeDigits } from './text.js'

/** What a page is made of; `svgs` are the drawings by name of their chart. */
export interface PageParts {
  readonly zoo: Zoo
  readonly study: WeightStudy
  readonly charts: ReportCharts
  readonly svgs: ReadonlyMap<string, string>
}

interface Section {
  readonly id: string
  readonly title: string
  readonly body: Html
  readonly charts?: readonly Chart[]
  readonly parts?: readonly LeftOut['part'][]
}

/** The report as one page that needs nothing else: no script, no network, no other file. */
export function reportPage({ zoo, study, charts, svgs }: PageParts): string {
  const name = basename(resolve(zoo.path))
  const sections: Section[] = [
    { id: 'quality', title: 'How good the networks are', body: qualityBody(zoo), charts: charts.quality },
    {
      id: 'training',
      title: 'Training',
      body: trainingBody(zoo),
      charts: charts.training,
      parts: ['training'],
    },
    {
      id: 'weights',
      title: 'Weights',
      body: weightsBody(study),
      charts: charts.weights,
      parts: ['distributions'],
    },
    {
      id: 'divergence',
      title: 'How different the classes are',
      body: divergenceBody(zoo, study),
      charts: charts.divergence,
      parts: ['divergence'],
    },
    {
      id: 'classifiers',
      title: 'Telling classes from weights',
      body: classifiersBody(zoo, study),
      charts: charts.classifiers,
      parts: ['classifiers'],
    },
    { id: 'cost', title: 'What the zoo cost', body: costBody(zoo), parts: ['cost'] },
    { id: 'provenance', title: 'Recipe and provenance', body: provenanceBody(zoo) },
  ]
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${name}: report on a zoo of ${count(zoo.networks.length)} networks</title>
<link rel="icon" href="data:,">
<style>${STYLE}</style>
</head>
<body>
<header>
<h1>${name}</h1>
<p>A zoo of ${count(zoo.networks.length)} ${zoo.architecture.name} networks, each trained to tell one class of ${zoo.manifest.imported ? 'its images' : sourceOf(zoo)} from all others.</p>
${keyFigures(zoo, study)}
<nav aria-label="Sections"><ol>${sections.map(({ id, title }) => html`<li><a href="#${id}">${title}</a></li>`)}</ol></nav>
</header>
<main>
${sections.map(section => sectionOf(section, study, svgs))}
</main>
<footer><p>Made by weightzoo. Every chart lies beside this page as SVG and PNG, with its numbers as CSV, in <a href="charts/">charts/</a>; all results are in <a href="results.json">results.json</a>.</p></footer>
</body>
</html>
`.text
}

function sectionOf(
  { id, title, body, charts = [], parts = [] }: Section,
  { leftOut }: WeightStudy,
  svgs: ReadonlyMap<string, string>,
): Html {
  const reasons = leftOut.filter(({ part }) => parts.includes(part))
  return html`<section id="${id}">
<h2>${title}</h2>
${reasons.map(({ reason }) => html`<p class="left-out">Left out. ${reason}.</p>\n`)}${body}
${charts.length > 0 && html`<div class="figures">\n${charts.map(chart => figure(chart, svgs.get(chart.name)!))}</div>\n`}</section>
`
}

function figure({ name, caption }: Chart, svg: string): Html {
  const links = ['svg', 'png', 'csv'].map(
    type => html` <a href="charts/${name}.${type}">${type.toUpperCase()}</a>`,
  )
  return html`<figure id="chart-${name}"${isWide(svg) && html` class="whole"`}>
${new Html(svg)}
<figcaption>${caption} <span class="files">${links}</span></figcaption>
</figure>
`
}

/** Wider than half the page. */
function isWide(svg: string): boolean {
  return Number(/ width="([\d.]+)"/.exec(svg)?.[1]) > 700
}

function keyFigures(zoo: Zoo, { classifiers }: WeightStudy): Html {
  const summary = summarize(zoo)
  const total = summary.reduce((sum, { networks }) => sum + networks, 0)
  const accuracy = summary.reduce((sum, line) => sum + line.accuracy.mean * line.networks, 0) / total
  const cost = costOf(zoo)
  const best = classifiers.length > 0 ? bestOf(classifiers) : undefined
  const figures = [
    { value: count(total), what: 'networks', note: `of ${summary.length} classes` },
    { value: count(zoo.architecture.parameterCount), what: 'weights a network', note: zoo.architecture.name },
    Number.isFinite(accuracy) && {
      value: decimals(accuracy),
      what: 'mean accuracy',
      note: resemblesPaper(zoo) ? `paper: ${decimals(PAPER.all.accuracy.mean)}` : 'on validation images',
    },
    best && {
      value: percent(best.evaluation.accuracy),
      what: 'of networks told by their weights',
      note: `best: ${best.classifier}, ${best.weights}; guessing ${percent(best.evaluation.chance)}`,
    },
    cost && {
      value: threeDigits(cost.coreHours),
      what: 'core-hours',
      note: `${threeDigits(cost.secondsPerNetwork)} s a network`,
    },
  ].filter(figure => figure !== false && figure !== undefined && figure !== null)
  return html`<dl class="figures-row">${figures.map(
    ({ value, what, note }) =>
      html`<div><dt>${what}</dt><dd>${value}</dd><dd class="note">${note}</dd></div>`,
  )}</dl>`
}
