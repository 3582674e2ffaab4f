#!/usr/bin/env node
import { existsSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import {
  alignColumns,
  count,
  duration,
  imageStatus,
  metricsTable,
  StatusLine,
  trainingStatus,
} from './cli-output.js'
import {
  compileZoo,
  diagnose,
  generateImages,
  ImageFolderLoader,
  type ImageLoaderOptions,
  ImagenetteLoader,
  type ImageSet,
  isZooError,
  openZoo,
  summarize,
  type TrainZooOptions,
  trainZoo,
  type Zoo,
} from './index.js'

/** 0: done. 1: something went wrong. 2: the command line itself is wrong. 130: interrupted, as shells have it. */
const EXIT = { failure: 1, usage: 2, interrupted: 130 }

const PUBLISHED = ['320px', '160px', 'full']

interface ImageFlags {
  images?: string
  skipBadImages?: boolean
  cache: boolean
  cacheDir?: string
  quiet?: boolean
}

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
  keep: 'last' | 'best'
  seed: number
  engine: 'auto' | 'native' | 'wasm' | 'tfjs'
  concurrency?: number
  retryFailed?: boolean
}

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
  version: string
}

const program = new Command('weightzoo')
  .description('Make, store and study datasets of trained neural networks (model zoos).')
  .version(version)
  .showSuggestionAfterError()
  .configureOutput({ outputError: (text, write) => write(`${text.trim().replaceAll('\n', ' ')}\n`) })
  .exitOverride()
  .addHelpText(
    'after',
    `
Examples:
  weightzoo demo                                            a small zoo in a minute, nothing else needed
  weightzoo train --images imagenette2-320.tgz --per-class 10
  weightzoo train --images 320px --out zoo                  download Imagenette, then the paper's whole dataset
  weightzoo inspect zoo

Interrupt with Ctrl-C at any time: the same command goes on where it stopped.`,
  )

withTrainFlags(
  program
    .command('train')
    .description('train one-versus-all networks of every class and write the zoo directory')
    .requiredOption(
      '--images <source>',
      `folder or .tgz of <split>/<class>/*.jpg, or ${PUBLISHED.join(', ')} to download Imagenette`,
    )
    .option('--out <directory>', 'the zoo directory; continued where it exists', 'zoo'),
  1000,
  25,
).action(async (flags: TrainFlags) => finish(await train(flags, await loadImages(flags)), flags))

withTrainFlags(
  program
    .command('demo')
    .description('train a small zoo on generated images (or on --images) and show what comes out')
    .option('--images <source>', 'folder or .tgz of images to use instead of the generated ones')
    .option('--out <directory>', 'the zoo directory; continued where it exists', 'demo-zoo'),
  3,
  8,
).action(demo)

program
  .command('compile')
  .description('write metrics.csv, modelwise.h5 and layerwise.h5 of a zoo from its model files')
  .argument('<zoo>', 'the zoo directory')
  .option('--quiet', 'print nothing but errors')
  .action(async (path: string, { quiet = false }: { quiet?: boolean }) => {
    const zoo = await openZoo(path)
    const status = new StatusLine(quiet)
    await compileZoo(zoo, {
      signal: interruptSignal(),
      onProgress: (done, total) =>
        status.show(`compiling ${count(done)}/${count(total)} networks`, done === total),
    })
    status.end()
    if (!quiet) console.log(filesOf(zoo))
  })

program
  .command('inspect')
  .description("show a zoo's recipe, progress and metrics, or one network's record")
  .argument('<zoo>', 'the zoo directory')
  .argument('[class]', 'a class, to see one of its networks')
  .argument('[index]', 'the number of the network within its class', wholeNumber(0))
  .option('--json', 'print JSON for programs')
  .action(inspect)

program
  .command('doctor')
  .description('say what this machine has to train with, and what would make it faster')
  .option('--json', 'print JSON for programs')
  .action(doctor)

/** The flags of `train` and `demo`, which differ in their defaults only. */
function withTrainFlags(command: Command, perClass: number, epochs: number): Command {
  return command
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
    .option('--retry-failed', 'train networks again that failed before')
    .option('--skip-bad-images', 'go on without images that cannot be decoded')
    .option('--no-cache', 'decode the images anew, and keep no decoded copy')
    .option('--cache-dir <directory>', 'where downloads and decoded images are kept')
    .option('--quiet', 'print nothing but errors')
}

async function loadImages(flags: ImageFlags): Promise<ImageSet> {
  const { images: source = '', skipBadImages = false, cache, cacheDir, quiet = false } = flags
  const status = new StatusLine(quiet)
  const options: ImageLoaderOptions = {
    skipBadImages,
    cache,
    cacheDir,
    signal: interruptSignal(),
    onProgress: progress => {
      if (progress.stage === 'skip') status.note(`left out ${progress.path}: ${progress.reason}`)
      else if (progress.stage === 'warning') status.note(`warning: ${progress.message}`)
      else status.show(imageStatus(progress) ?? '')
    },
  }
  // A bare word that is no path can only be meant as a published name; the loader of those knows the right ones.
  const isName = !/[/\\.]/.test(source) && !existsSync(source)
  const loader = isName
    ? new ImagenetteLoader({ ...options, source })
    : new ImageFolderLoader({ ...options, source })
  const images = await loader.load()
  const { train, validation, classNames, shape } = images
  status.note(
    `images   ${images.name}: ${count(train.count)} to train on, ${count(validation.count)} to validate, ${classNames.length} classes, ${shape.join('x')}`,
  )
  return images
}

async function train(flags: TrainFlags, images: ImageSet): Promise<Zoo> {
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
    retryFailed: flags.retryFailed,
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
        const { stage, compiled, finished, failed, total } = progress
        if (stage === 'compiling') status.show(`compiling ${count(compiled)} networks`)
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
  let images: ImageSet
  if (flags.images) {
    images = await loadImages(flags)
  } else {
    note.note('generating a 10-class set of 32x32 images (no download, no licence questions)')
    images = generateImages({ classes: 10, trainPerClass: 200, validationPerClass: 50, seed: 1 })
  }
  const zoo = await train(flags, images)
  finish(zoo, flags)
  const first = zoo.networks[0]
  if (flags.quiet || !first) return
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
    `error: ${zoo.failures.length} networks failed, the first ${first!.class}_${first!.index}: ${first!.reason}; --retry-failed tries again`,
  )
  process.exitCode = EXIT.failure
}

function filesOf(zoo: Zoo): string {
  const rows = [
    ['zoo.json', 'recipe, parameter table, fingerprint of the images'],
    ['models/', `${count(zoo.allNetworks.length)} networks, Keras 3 .weights.h5`],
    ['ledger.jsonl', 'metrics, history and hash of every network'],
    ['metrics.csv', "the paper's table, one line a network"],
    [
      'modelwise.h5',
      `parameters [${zoo.allNetworks.length}, ${zoo.architecture.parameterCount}], labels, names, metrics`,
    ],
    ['layerwise.h5', '<class>/<layer> [networks, parameters of the layer]'],
  ]
  const width = Math.max(...rows.map(([name]) => name!.length))
  return [`${resolve(zoo.path)}/`, ...rows.map(([name, what]) => `  ${name!.padEnd(width)}  ${what}`)].join(
    '\n',
  )
}

async function inspect(
  path: string,
  className?: string,
  index?: number,
  { json = false } = {},
): Promise<void> {
  const zoo = await openZoo(path)
  if (className !== undefined) {
    const record = zoo.network(className, index ?? 0)
    console.log(JSON.stringify(record, null, json ? undefined : 2))
    return
  }
  const { manifest, networks, failures } = zoo
  const summary = summarize(zoo)
  if (json) {
    console.log(
      JSON.stringify({ path: resolve(path), manifest, finished: networks.length, failures, summary }),
    )
    return
  }
  const { recipe, images, plan } = manifest
  const planned = Object.values(plan).reduce((sum, n) => sum + n, 0)
  const { kind, ...settings } = recipe.optimizer
  const hours = networks.reduce((sum, { seconds }) => sum + seconds, 0) / 3600
  console.log(
    [
      `zoo           ${resolve(path)}`,
      `networks      ${count(networks.length)} of ${count(planned)} planned, ${count(failures.length)} failed, ${hours.toFixed(2)} core-hours`,
      `architecture  ${recipe.architecture.name}, ${count(manifest.parameterCount)} parameters`,
      `images        ${images.name}: ${count(images.train)} to train on, ${count(images.validation)} to validate, ${images.shape.join('x')}, ${images.fingerprint.slice(0, 12)}`,
      `recipe        ${recipe.epochs} epochs, batch ${recipe.batchSize}, ${kind} ${JSON.stringify(settings)}, ${count(recipe.samplesPerNetwork)} samples, ${recipe.positiveFraction.join(' to ')} positive, keep ${recipe.keep}, seed ${recipe.seed}`,
      `arithmetic    ${manifest.arithmetic}`,
    ].join('\n'),
  )
  if (networks.length > 0) console.log(`\n${metricsTable(summary)}`)
  if (failures.length > 0) {
    console.log(
      `\n${alignColumns(failures.map(({ class: name, index, reason }) => [`${name}_${index}`, reason]))}`,
    )
  }
}

async function doctor({ json = false } = {}): Promise<void> {
  const found = await diagnose()
  if (json) {
    console.log(JSON.stringify(found))
    return
  }
  const { node, platform, processor, cores, features, engines, auto, advice } = found
  console.log(
    [
      `node       ${node}, ${platform}`,
      `processor  ${processor}, ${cores} cores${features.length > 0 ? `, ${features.join(' ')}` : ''}`,
      '',
      ...engines.flatMap(({ name, loads, problem, path, instructionSet, arithmetic }) => [
        `${name.padEnd(9)}  ${loads ? 'loads' : 'does not load'}${instructionSet ? `, ${instructionSet}` : ''}`,
        ...[path, arithmetic, problem].filter(line => line !== undefined).map(line => `           ${line}`),
      ]),
      '',
      auto ? `auto       ${auto.engine}: ${auto.reason}` : 'auto       no engine loads',
      ...advice.map(sentence => `advice     ${sentence}`),
    ].join('\n'),
  )
  if (!auto) process.exitCode = EXIT.failure
}

let interrupt: AbortController | undefined

/** Aborted by the first Ctrl-C; the second one ends the process at once. */
function interruptSignal(): AbortSignal {
  if (!interrupt) {
    const controller = new AbortController()
    interrupt = controller
    for (const name of ['SIGINT', 'SIGTERM'] as const) {
      process.on(name, () => {
        if (controller.signal.aborted) process.exit(EXIT.interrupted)
        controller.abort()
      })
    }
  }
  return interrupt.signal
}

function wholeNumber(least: number) {
  return (text: string): number => {
    const value = Number(text)
    if (text.trim() !== '' && Number.isSafeInteger(value) && value >= least) return value
    throw new InvalidArgumentError(`needs a whole number of at least ${least}.`)
  }
}

function positiveNumber(text: string): number {
  const value = Number(text)
  if (Number.isFinite(value) && value > 0) return value
  throw new InvalidArgumentError('needs a number above 0.')
}

function list(text: string): string[] {
  return text
    .split(',')
    .map(name => name.trim())
    .filter(name => name !== '')
}

function fractionRange(text: string): [number, number] {
  const [min, max = min, ...rest] = text.split(',').map(Number)
  if (min !== undefined && max !== undefined && rest.length === 0 && min > 0 && max < 1 && min <= max)
    return [min, max]
  throw new InvalidArgumentError('needs two shares between 0 and 1, e.g. 0.09,0.10.')
}

try {
  await program.parseAsync()
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? 0 : EXIT.usage
  } else if (isZooError(error)) {
    console.error(`error: ${error.message}`)
    process.exitCode =
      error.tag === 'interrupted' ? EXIT.interrupted : error.tag === 'option' ? EXIT.usage : EXIT.failure
  } else {
    // A bug: one line for the user, the whole of it for who reports it.
    const { message, stack } = error instanceof Error ? error : new Error(String(error))
    console.error(
      process.env['WEIGHTZOO_DEBUG']
        ? stack
        : `unexpected error: ${message.split('\n', 1)[0]} (WEIGHTZOO_DEBUG=1 shows where)`,
    )
    process.exitCode = EXIT.failure
  }
}
