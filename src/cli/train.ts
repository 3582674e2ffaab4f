import { Command, Option } from 'commander'
import { oneLine } from '../errors.js'
import {
  type CheckpointRule,
  generateImages,
  type ImageSet,
  type Initializer,
  summarize,
  type TrainZooOptions,
  trainZoo,
  type VaryOptions,
  type Zoo,
} from '../index.js'
import { EXIT } from './exit.js'
import {
  checkpointRule,
  fractionRange,
  interruptSignal,
  list,
  positiveNumber,
  shard,
  wholeNumber,
} from './flags.js'
import { type ImageFlags, loadImages, PUBLISHED, sources, withImageFlags } from './images.js'
import { count, duration, filesOf, metricsTable, StatusLine, trainingStatus } from './output.js'
import { filesOfReport, reportOn } from './report.js'
import { variation } from './vary.js'

interface TrainFlags extends ImageFlags {
  out: string
  perClass: number
  classes?: string[]
  epochs: number
  batchSize: number
  samples?: number
  positiveFraction?: [number, number]
  optimizer: 'adam' | 'sgd'
  learningRate?: number
  initializer?: Initializer
  vary?: VaryOptions
  keep: 'last' | 'best'
  seed: number
  engine: 'auto' | 'native' | 'wasm' | 'tfjs'
  concurrency?: number
  retryFailed?: boolean
  checkpoints?: CheckpointRule
  outputs?: boolean
  shard?: { number: number; of: number }
}

/** `weightzoo train` without its action. */
export function trainCommand(): Command {
  return withTrainFlags(
    new Command('train')
      .description('train one-versus-all networks of every class and write the zoo directory')
      .requiredOption(
        '--images <source>',
        `folder or .tgz of <split>/<class>/*.jpg, or ${PUBLISHED.join(', ')} to download Imagenette; may be repeated, every network draws one of them then`,
        sources,
      )
      .option('--out <directory>', 'the zoo directory; continued where it exists', 'zoo'),
    1000,
    25,
  )
}

/** `weightzoo train` and `weightzoo demo`. */
export function addTrain(program: Command): void {
  program
    .addCommand(trainCommand().copyInheritedSettings(program))
    .commands.at(-1)!
    .action(async (flags: TrainFlags) => finish(await train(flags, await loadImages(flags)), flags))

  withTrainFlags(
    program
      .command('demo')
      .description('train a small zoo on generated images (or on --images) and write a report on it')
      .option('--images <source>', 'folder or .tgz of images to use instead of the generated ones', sources)
      .option('--out <directory>', 'the zoo directory; continued where it exists', 'demo-zoo'),
    3,
    8,
  ).action(demo)
}

/** The flags of `train` and `demo`, which differ in their defaults only. */
function withTrainFlags(command: Command, perClass: number, epochs: number): Command {
  return withImageFlags(command)
    .option('--per-class <n>', 'networks of each class', wholeNumber(1), perClass)
    .option('--classes <names>', 'train these classes only, separated by commas', list)
    .option('--epochs <n>', 'passes over each training set', wholeNumber(1), epochs)
    .option('--batch-size <n>', 'images per optimiser step', wholeNumber(1), 128)
    .option(
      '--samples <n>',
      'training images per network (default: 9000, or what a smaller set allows)',
      wholeNumber(1),
    )
    .option('--positive-fraction <min,max>', 'share of positives (default: 0.09,0.10)', fractionRange)
    .addOption(new Option('--optimizer <name>', 'optimiser').choices(['adam', 'sgd']).default('adam'))
    .option('--learning-rate <x>', 'learning rate (default: 0.001 for adam, 0.01 for sgd)', positiveNumber)
    .option('--initializer <name>', 'how kernels start, e.g. heNormal (default: glorotUniform)')
    .option(
      '--vary <name=values>',
      'a hyperparameter that every network draws for itself, e.g. activation=tanh,relu or learningRate=log:1e-4..1e-2 or epochs=integer:5..25; may be repeated',
      variation,
    )
    .addOption(
      new Option('--keep <epoch>', "which epoch's weights to keep").choices(['last', 'best']).default('last'),
    )
    .option('--seed <n>', 'every random draw follows from it', wholeNumber(0), 0)
    .addOption(
      new Option('--engine <name>', 'training engine')
        .choices(['auto', 'native', 'wasm', 'tfjs'])
        .default('auto'),
    )
    .option(
      '--concurrency <n>',
      'networks trained side by side (default: the number of cores)',
      wholeNumber(1),
    )
    .option(
      '--checkpoints <epochs>',
      'keep the weights of other epochs too: all, every:5, or a list such as 0,1,10 (0: the initialisation)',
      checkpointRule,
    )
    .option('--outputs', "keep every network's probabilities on the validation images")
    .option('--shard <i/n>', 'train this part only, e.g. 3/8; the part that ends last compiles', shard)
    .option('--retry-failed', 'train networks again that failed before')
    .option('--quiet', 'print nothing but errors')
}

async function train(flags: TrainFlags, images: readonly ImageSet[]): Promise<Zoo> {
  const { optimizer, learningRate, samples, positiveFraction, classes, concurrency, quiet = false } = flags
  const options: TrainZooOptions = {
    images,
    out: flags.out,
    perClass: flags.perClass,
    epochs: flags.epochs,
    batchSize: flags.batchSize,
    keep: flags.keep,
    seed: flags.seed,
    engine: flags.engine,
    optimizer: { kind: optimizer, learningRate },
    initializer: flags.initializer,
    vary: flags.vary,
    retryFailed: flags.retryFailed,
    checkpoints: flags.checkpoints,
    outputs: flags.outputs,
    shard: flags.shard,
    samplesPerNetwork: samples,
    positiveFraction,
    classes,
    concurrency,
    signal: interruptSignal(),
  }
  const status = new StatusLine(quiet)
  let announced = false
  const started = performance.now()
  try {
    const zoo = await trainZoo({
      ...options,
      onProgress: progress => {
        if (!announced) {
          const { engine } = progress
          status.note(
            `engine   ${engine.name} x ${engine.concurrency}: ${engine.arithmetic}; ${engine.reason}`,
          )
          announced = true
        }
        const { stage, compiled, finished, failed, total, warning } = progress
        if (warning) status.note(`warning: ${warning}`)
        else if (stage === 'checking')
          status.show(`checking ${count(progress.checked ?? 0)} networks of earlier calls`)
        else if (stage === 'evaluating')
          status.show(`evaluating ${count(progress.evaluated ?? 0)} networks of earlier calls`)
        else if (stage === 'compiling') status.show(`compiling ${count(compiled)} networks`)
        else status.show(trainingStatus(progress), finished + failed === total)
      },
    })
    status.end()
    status.note(`done in ${duration((performance.now() - started) / 1000)}`)
    return zoo
  } catch (error) {
    status.end()
    throw error
  }
}

async function demo(flags: TrainFlags): Promise<void> {
  const note = new StatusLine(flags.quiet ?? false)
  let images: ImageSet[]
  if (flags.images) {
    images = await loadImages(flags)
  } else {
    note.note('generating a 10-class set of 32x32 images (no download, no licence questions)')
    images = [generateImages({ classes: 10, trainPerClass: 200, validationPerClass: 50, seed: 1 })]
  }
  const zoo = await train(flags, images)
  finish(zoo, flags)
  const first = zoo.networks[0]
  if (!first) return
  const report = await reportOn(zoo, { quick: true, quiet: flags.quiet ?? false })
  if (flags.quiet) return
  console.log(`\n${filesOfReport(report)}`)
  const { class: name, index } = first
  console.log(`
Next:
  npx weightzoo inspect ${flags.out} ${name} ${index}
  python3 -c "import h5py; print(h5py.File('${flags.out}/modelwise.h5')['parameters'])"
  npx weightzoo train --images imagenette2-320.tgz --per-class 10   (real images, the paper's recipe)`)
}

/** Shows the finished zoo; failed networks make the command fail, after everything else has been shown. */
function finish(zoo: Zoo, { quiet = false }: TrainFlags): void {
  if (!quiet && zoo.networks.length > 0) console.log(`\n${metricsTable(summarize(zoo))}`)
  if (!quiet) console.log(`\n${filesOf(zoo)}`)
  if (zoo.failures.length === 0) return
  const [first] = zoo.failures
  console.error(
    oneLine(
      `error: ${zoo.failures.length} networks failed, the first ${first!.class}_${first!.index}: ${first!.reason}; --retry-failed tries again`,
    ),
  )
  process.exitCode = EXIT.failedNetworks
}
