// Networks a second in evaluateWeights: npm run bench:evaluate [-- networks] (default 200)
// LeNet-5 with random weights on random images as many as Imagenette's validation split; every engine, all images and 500,
// by the clock and by processor seconds of all threads, which other processes on the machine do not change.
import {
  createImageSet,
  evaluateWeights,
  initialWeights,
  lenet5Architecture,
  openEngine,
  RandomStream,
} from '../dist/index.js'

const networks = Number(process.argv[2] ?? 200)
const architecture = lenet5Architecture()
const split = count => ({
  pixels: Float32Array.from({ length: count * 3072 }, (_, i) => (i % 251) / 251),
  labels: Uint8Array.from({ length: count }, (_, i) => i % 10),
})
const images = createImageSet({
  name: 'stripes',
  classNames: Array.from({ length: 10 }, (_, i) => `class ${i}`),
  shape: [32, 32, 3],
  train: split(10),
  validation: split(3_925),
})
const weights = n =>
  Array.from({ length: n }, (_, i) => initialWeights(architecture, new RandomStream(i, 'bench')))
const labels = n => Int32Array.from({ length: n }, (_, i) => i % 2)
const reference = { data: weights(200), labels: labels(200), classNames: ['a', 'b'] }

for (const name of ['native', 'wasm']) {
  const engine = await openEngine({ engine: name })
  for (const [what, options, count] of [
    ['3,925 images', {}, networks / 4],
    ['500 images', { imageCount: 500 }, networks],
    ['500 images, nearest of 200 networks', { imageCount: 500, zoo: reference }, networks / 4],
  ]) {
    const batch = weights(count)
    const judge = part => evaluateWeights(part, { images, class: 'class 3', engine, ...options })
    await judge(batch.slice(0, 4))
    const cpu = process.cpuUsage()
    const start = performance.now()
    await judge(batch)
    const seconds = (performance.now() - start) / 1e3
    const { user, system } = process.cpuUsage(cpu)
    console.log(
      `${name.padEnd(7)} ${what.padEnd(38)} ${(count / seconds).toFixed(0).padStart(5)} networks/s by the clock ${((count * 1e6) / (user + system)).toFixed(0).padStart(5)} per processor second (${engine.concurrency} threads)`,
    )
  }
  await engine.close()
}
