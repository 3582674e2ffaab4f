// Does training leak? npm run bench:memory [-- networks] [engine]
// Trains one zoo of tiny networks in this process and samples resident memory and open file descriptors on the way.
// Exit code 1 if between the first and the last fifth of the networks the descriptors grow, or memory by more than BOUND.
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { generateImages, trainZoo } from '../dist/index.js'

const networks = Number(process.argv[2] ?? 1000)
const engine = process.argv[3] ?? 'native'
const SAMPLES = 20
/** MB. A network's weights are .37 MB, so that in 1,000 networks it shows if those of every fourth are kept; warming up costs 40 MB. */
const BOUND = 75

const images = generateImages({ classes: 10, trainPerClass: 30, validationPerClass: 8, seed: 3 })
const out = mkdtempSync(join(tmpdir(), 'weightzoo-bench-'))
const samples = []

/** Listing them opens one more, every time. */
const openFiles = () => readdirSync('/dev/fd').length - 1

function sample(done) {
  const { rss, heapUsed, external } = process.memoryUsage()
  const [rssMB, heapMB, externalMB] = [rss, heapUsed, external].map(bytes => bytes / 1e6)
  samples.push({ networks: done, rssMB, heapMB, externalMB, descriptors: openFiles() })
}

const before = openFiles()
const every = Math.ceil(networks / SAMPLES)
try {
  await trainZoo({
    images,
    out,
    perClass: Math.ceil(networks / images.classNames.length),
    epochs: 1,
    batchSize: 64,
    seed: 7,
    engine,
    onProgress: ({ stage, finished }) => {
      if (stage === 'training' && finished >= every * (samples.length + 1)) sample(finished)
    },
  })
} finally {
  rmSync(out, { recursive: true, force: true })
}
const after = openFiles()

console.log(`${engine}, ${networks} networks, one epoch of 300 images each`)
console.table(
  samples.map(row =>
    Object.fromEntries(Object.entries(row).map(([name, value]) => [name, Math.round(value)])),
  ),
)
const fifth = Math.floor(samples.length / 5)
const mean = values => values.reduce((sum, value) => sum + value, 0) / values.length
const grown = (name, of) =>
  of(samples.slice(-fifth).map(row => row[name])) - of(samples.slice(0, fifth).map(row => row[name]))
const rss = grown('rssMB', mean)
// At any instant files are open that are about to be closed; the least of some samples is what stays.
const descriptors = grown('descriptors', values => Math.min(...values))
console.log(
  `growth from the first to the last fifth: memory ${rss.toFixed(1)} MB (bound ${BOUND}), descriptors ${descriptors}`,
)
console.log(`descriptors before and after the call: ${before}, ${after}`)
if (!(rss <= BOUND && descriptors <= 0)) process.exitCode = 1
