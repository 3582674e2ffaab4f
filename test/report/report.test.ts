import { existsSync } from 'node:fs'
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import sharp from 'sharp'
import { beforeAll, describe, expect, it, vi } from 'vitest'
import { openZoo, type Report, summarize, trainingChart, writeReport, type Zoo } from '../../dist/index.js'
import { temporaryFolder, trainSmallZoo, weightzoo } from '../support.js'
import { browserHere, visit } from './browser.js'

const SECTIONS = ['quality', 'training', 'weights', 'divergence', 'classifiers', 'cost', 'provenance']

let folder: string
let zoo: Zoo
let report: Report
let page: string
let warned: unknown[][]

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'weightzoo-'))
  zoo = await trainSmallZoo(join(folder, 'zoo'), { perClass: 4, epochs: 2 })
  const warnings = vi.spyOn(console, 'warn').mockImplementation(() => {})
  report = await writeReport(zoo, { out: join(folder, 'report'), seed: 3 })
  warned = warnings.mock.calls
  warnings.mockRestore()
  page = await readFile(report.path, 'utf8')
  return () => rm(folder, { recursive: true, force: true })
})

describe('writeReport', () => {
  it('writes a page with every section, and every chart in three forms', async () => {
    expect(warned).toEqual([])
    expect(report.leftOut).toEqual([])
    for (const id of SECTIONS) expect(page).toContain(`<section id="${id}">`)
    expect(report.charts.length).toBeGreaterThan(14)
    expect(new Set(report.charts.map(({ name }) => name)).size).toBe(report.charts.length)
    for (const chart of report.charts) {
      const file = (type: string) => join(folder, 'report', 'charts', `${chart.name}.${type}`)
      expect(page).toContain(`<figure id="chart-${chart.name}"`)
      expect(await readFile(file('svg'), 'utf8')).toBe(await chart.svg({ standalone: true }))
      expect(await readFile(file('csv'), 'utf8')).toBe(chart.csv())
      expect((await sharp(file('png')).metadata()).width).toBeGreaterThan(500)
    }
    for (const path of report.files) expect(existsSync(path), path).toBe(true)
    expect(report.files).toHaveLength(2 + 3 * report.charts.length)
  })

  it('is one page that needs no script and no other file', () => {
    expect(page).not.toMatch(/<script|<link rel="stylesheet"|@import|<img|<iframe|url\((?!#)/)
    const outside = [...page.matchAll(/(?:href|src)="([^"#][^"]*)"/g)].map(([, address]) => address!)
    expect(outside.filter(address => !/^(charts\/|results\.json$|data:,)/.test(address))).toEqual([])
    const ids = [...page.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id)
    expect(new Set(ids).size).toBe(ids.length)
  })

  it('has the numbers of the zoo, in words and in results.json', async () => {
    const { metrics, cost, divergence, classifiers } = JSON.parse(
      await readFile(join(folder, 'report', 'results.json'), 'utf8'),
    )
    expect(metrics).toEqual(JSON.parse(JSON.stringify(summarize(zoo))))
    for (const { class: name, accuracy } of summarize(zoo)) {
      expect(page).toMatch(
        new RegExp(`<th scope="row">${name}</th><td>4</td><td>${accuracy.min.toFixed(3)}</td>`),
      )
    }
    const seconds = zoo.networks.reduce((sum, network) => sum + network.seconds, 0)
    expect(cost.coreHours).toBeCloseTo(seconds / 3600, 12)
    expect(Object.keys(divergence.layers)).toEqual(['conv2d', 'conv2d_1', 'conv2d_2', 'dense', 'dense_1'])
    expect(classifiers.map((line: { classifier: string }) => line.classifier)).toEqual([
      ...Array(6).fill('Naive Bayes on weights'),
      ...Array(6).fill('Naive Bayes on statistics'),
      ...Array(6).fill('MLP on statistics'),
    ])
    for (const { evaluation } of classifiers) expect(evaluation).toMatchObject({ count: 2, chance: 0.5 })
    const { recipe, images, arithmetic } = zoo.manifest
    for (const text of [images!.fingerprint, arithmetic!, `<td>${recipe!.seed}</td>`])
      expect(page).toContain(text)
  })

  it('draws training curves from the ledger', () => {
    const { data } = trainingChart(zoo, 'loss')
    const last = data.find(
      row => row.class === 'all classes' && row.images === 'validation' && row.epoch === 2,
    )!
    const values = zoo.networks.map(({ history }) => history.validationLoss[1]!)
    expect(last.networks).toBe(8)
    expect(last.mean).toBeCloseTo(values.reduce((sum, value) => sum + value, 0) / 8, 12)
    expect(last.low).toBeGreaterThanOrEqual(Math.min(...values))
    expect(last.high).toBeLessThanOrEqual(Math.max(...values))
    expect(() => trainingChart(zoo, 'los' as never)).toThrow('invalid quantity; needs loss or accuracy: los')
  })

  it('gives equal files for equal zoos and options', async () => {
    const again = join(folder, 'again')
    await writeReport(zoo, { out: again, seed: 3, quick: true })
    const other = join(folder, 'other')
    await writeReport(zoo, { out: other, seed: 3, quick: true })
    for (const name of ['index.html', 'results.json', 'charts/weights-by-class.png']) {
      expect((await readFile(join(again, name))).equals(await readFile(join(other, name))), name).toBe(true)
    }
    expect(await readFile(join(again, 'index.html'), 'utf8')).toContain(
      'Left out. MLP: the report was asked to be quick.',
    )
  })

  it('leaves out what a zoo does not allow, and says why', async () => {
    const one = await writeReport(zoo.select({ class: 'checks' }), { out: join(folder, 'one') })
    expect(one.leftOut.map(({ part }) => part)).toEqual([
      'divergence',
      'classifiers',
      'classifiers',
      'classifiers',
    ])
    expect(one.leftOut[0]!.reason).toBe(
      'divergence: it needs networks of two classes, and this zoo has those of checks only',
    )
    const single = await writeReport(zoo.select({ perClass: 1 }), { out: join(folder, 'single') })
    expect(single.leftOut.map(({ reason }) => reason)).toContain(
      'divergence: it needs 2 networks of every class, and stripes has 1',
    )
    const two = await writeReport(zoo.select({ perClass: 2 }), { out: join(folder, 'two') })
    expect(two.leftOut).toEqual([
      {
        part: 'classifiers',
        reason: 'MLP on statistics: it needs 3 networks of every class, and stripes has 2',
      },
    ])
    for (const { path, leftOut } of [one, single, two]) {
      const text = await readFile(path, 'utf8')
      for (const { reason } of leftOut) expect(text).toContain(`Left out. ${reason}.`)
      for (const id of SECTIONS) expect(text).toContain(`<section id="${id}">`)
    }
  })

  it('stops between two steps when asked to', async () => {
    const stop = new AbortController()
    const stages = new Set<string>()
    const stopped = writeReport(zoo, {
      out: join(folder, 'stopped'),
      signal: stop.signal,
      onProgress: ({ stage, done, total }) => {
        expect(done).toBeLessThanOrEqual(total)
        stages.add(stage)
        if (stage === 'divergence') stop.abort()
      },
    })
    await expect(stopped).rejects.toMatchObject({ tag: 'interrupted' })
    expect([...stages]).toEqual(['distributions', 'divergence'])
    expect(existsSync(join(folder, 'stopped', 'index.html'))).toBe(false)
  })

  it('refuses what makes no report', async () => {
    await expect(writeReport(zoo.select({ minAccuracy: 2 }))).rejects.toThrow(
      /^nothing to read in .*: the selection is empty$/,
    )
    await expect(writeReport(zoo, { quik: true } as never)).rejects.toThrow('did you mean "quick"?')
    await expect(writeReport(zoo, { seed: -1 })).rejects.toThrow('invalid seed')
    const file = join(folder, 'file')
    await writeFile(file, '')
    await expect(writeReport(zoo, { out: join(file, 'report') })).rejects.toThrow(
      /^cannot write .*file.report.charts: /,
    )
  })
})

describe('the page in a browser', () => {
  const browser = browserHere()

  it.skipIf(!browser)('shows every section and chart, silently and without the network', async () => {
    const seen = await visit(browser!, report.path)
    expect(seen.console).toEqual([])
    expect(seen.requests).toEqual([])
    for (const id of SECTIONS) expect(seen.dom).toContain(`<section id="${id}">`)
    for (const { name } of report.charts) expect(seen.dom).toContain(`<figure id="chart-${name}"`)
    expect(seen.dom.match(/<svg /g)).toHaveLength(report.charts.length)
  })

  it.skipIf(!browser)('would show a message and a request, if there were one', async () => {
    const path = join(folder, 'bad.html')
    await writeFile(path, '<script>console.error("boo")</script><img src="http://localhost:9/x.png">')
    const seen = await visit(browser!, path)
    expect(seen.console.join()).toContain('boo')
    expect(seen.requests).toContain('http://localhost:9/x.png')
  })
})

describe('weightzoo report', () => {
  it('writes into the zoo and lists what it wrote', async () => {
    const outcome = await weightzoo(['report', zoo.path, '--quick'])
    expect(outcome).toMatchObject({ code: 0 })
    expect(outcome.stdout).toContain(`${join(zoo.path, 'report')}/\n  index.html`)
    expect(outcome.stderr).toContain('left out MLP: the report was asked to be quick\n')
    expect(existsSync(join(zoo.path, 'report', 'index.html'))).toBe(true)
    expect((await openZoo(zoo.path)).networks).toHaveLength(8)
  })

  it('says in one line what is no zoo, or has no networks', async () => {
    const missing = await weightzoo(['report', '/no/such/zoo'])
    expect(missing).toMatchObject({
      code: 1,
      stdout: '',
      stderr: 'error: no such zoo directory: /no/such/zoo\n',
    })
    const empty = join(await temporaryFolder(), 'empty')
    await mkdir(empty)
    await copyFile(join(zoo.path, 'zoo.json'), join(empty, 'zoo.json'))
    const nothing = await weightzoo(['report', empty])
    expect(nothing).toMatchObject({ code: 1, stdout: '' })
    expect(nothing.stderr).toBe(`error: nothing to read in ${empty}: it has no finished network\n`)
  })
})
