// Trains a small zoo in a process of its own, to be killed: node trainer.mjs '{"out":"zoo","perClass":3,...}'
// Prints the stage it is in and `network <name>` for each that is finished, a line each; an error is one line on stderr.
import { generateImages, trainZoo } from '../../dist/index.js'

const images = generateImages({ classes: 10, trainPerClass: 30, validationPerClass: 8, seed: 3 })
const options = JSON.parse(process.argv[2])
console.log('ready')
try {
  let last
  const zoo = await trainZoo({
    images,
    classes: images.classNames.slice(0, 2),
    epochs: 1,
    batchSize: 64,
    seed: 7,
    concurrency: 2,
    ...options,
    onProgress: ({ stage, network }) => {
      if (stage !== last) console.log(stage)
      last = stage
      if (network) console.log(`network ${network.class}_${network.index}`)
    },
  })
  console.log(`finished ${zoo.networks.length}`)
} catch (error) {
  console.error(error.message)
  process.exitCode = 1
}
