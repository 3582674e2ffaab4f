// Two zoos of the same recipe and seed, network by network: node bench/compare-zoos.mjs <zoo> <zoo>
// Prints each one's mean metrics, and by how much a network's metrics and weights differ at most.
import { openZoo } from '../dist/index.js'

const METRICS = ['accuracy', 'f1', 'auc']
const [first, second] = await Promise.all(process.argv.slice(2, 4).map(path => openZoo(path)))
const pairs = first.networks.map(({ class: name, index }) => [
  first.network(name, index),
  second.network(name, index),
])
const mean = values => values.reduce((sum, value) => sum + value, 0) / values.length

let weights = 0
for (const [{ class: name, index }] of pairs) {
  const [a, b] = await Promise.all([first.weights(name, index), second.weights(name, index)])
  weights = a.reduce((largest, value, i) => Math.max(largest, Math.abs(value - b[i])), weights)
}
console.log(
  `${pairs.length} networks; arithmetic: ${first.manifest.arithmetic}; ${second.manifest.arithmetic}`,
)
console.table(
  Object.fromEntries(
    METRICS.map(name => {
      const [a, b] = [0, 1].map(side => pairs.map(pair => pair[side].metrics[name]))
      return [
        name,
        {
          first: mean(a),
          second: mean(b),
          'largest difference': Math.max(...a.map((value, i) => Math.abs(value - b[i]))),
        },
      ]
    }),
  ),
)
console.log(`largest difference of a weight: ${weights}`)
