import { join } from 'node:path'
import { ZooError } from '../errors.js'
import type { ImageSet } from '../images/image-set.js'
import { RandomStream } from '../random.js'
import { jobFactory } from '../training/create-job.js'
import type { Engine } from '../training/engine.js'
import { openEngine } from '../training/engines/open-engine.js'
import { binaryMetrics } from '../training/metrics.js'
import type { Audit } from './audit.js'
import { modelPath, networkName, weightsHash } from './files.js'
import { type NetworkRecord, toHistory } from './ledger.js'
import { type TrainedZooManifest, trainedManifest } from './manifest.js'
import type { VerifyOptions } from './verify.js'
import type { Zoo } from './zoo.js'

/** Networks evaluated at a time: 23 MB of LeNet-5. */
const BLOCK = 64

/** Trains some networks again from (recipe, seed, class, index). Returns their names. */
export async function repeatTraining(
  audit: Audit,
  zoo: Zoo,
  images: ImageSet,
  count: number,
  options: VerifyOptions,
): Promise<string[]> {
  const { signal, onProgress, seed = 0 } = options
  return withEngine(zoo, images, options, async (engine, { recipe }) => {
    const order = new RandomStream(seed, 'verify').shuffle(Uint32Array.from(zoo.networks.keys()))
    const sample = Array.from(order.subarray(0, count), position => zoo.networks[position]!)
    const createJob = jobFactory(recipe, images)
    let done = 0
    const repeat = async (record: NetworkRecord) => {
      const { job } = createJob(record.class, record.index)
      const result = await engine.train(job, { signal })
      const again = {
        sha256: weightsHash(result.weights),
        metrics: binaryMetrics(result.validationOutputs, job.validationTargets),
        epoch: result.epoch,
        history: toHistory(result.history),
      }
      for (const [name, value] of Object.entries(again)) {
        const listed = record[name as keyof typeof again]
        if (!equal(value, listed)) differs(audit, zoo, record, `training it again gives another ${name}`)
      }
      onProgress?.('training again', ++done, sample.length)
      return networkName(record.class, record.index)
    }
    return Promise.all(sample.map(repeat))
  })
}

/** Computes the metrics of every network again from its weights and the validation images. Returns of how many. */
export async function repeatMetrics(
  audit: Audit,
  zoo: Zoo,
  images: ImageSet,
  options: VerifyOptions,
): Promise<number> {
  const { signal, onProgress } = options
  const { classNames } = zoo
  const { pixels, labels, count } = images.validation
  return withEngine(zoo, images, options, async engine => {
    let done = 0
    for (let start = 0; start < zoo.networks.length; start += BLOCK) {
      const readable = await readableOf(zoo, zoo.networks.slice(start, start + BLOCK))
      for (const networks of byActivation(readable)) {
        const architecture = zoo.architectureOf(networks[0]!.record.class, networks[0]!.record.index)
        const weights = new Float32Array(networks.length * architecture.parameterCount)
        for (const [i, network] of networks.entries())
          weights.set(network.weights, i * architecture.parameterCount)
        const outputs = await engine.evaluate({ architecture, weights, pixels }, { signal })
        for (const [i, { record }] of networks.entries()) {
          const label = classNames.indexOf(record.class)
          const targets = labels.map(l => Number(l === label))
          const metrics = binaryMetrics(outputs.subarray(i * count, (i + 1) * count), targets)
          if (!equal(metrics, record.metrics)) differs(audit, zoo, record, 'its weights give other metrics')
        }
      }
      done += readable.length
      onProgress?.('metrics', Math.min(start + BLOCK, zoo.networks.length), zoo.networks.length)
    }
    return done
  })
}

/** Networks of one activation function are run together: it may vary within a zoo, shapes may not. */
function byActivation<T extends { record: NetworkRecord }>(networks: readonly T[]): T[][] {
  const groups = new Map<unknown, T[]>()
  for (const network of networks) {
    const activation = network.record.hyperparameters?.activation
    groups.set(activation, [...(groups.get(activation) ?? []), network])
  }
  return [...groups.values()]
}

/** Networks whose weights can be read; the others have been named already. */
async function readableOf(zoo: Zoo, records: readonly NetworkRecord[]) {
  const readable: { record: NetworkRecord; weights: Float32Array }[] = []
  for (const record of records) {
    const weights = await zoo.weights(record.class, record.index).catch(() => undefined)
    if (weights) readable.push({ record, weights })
  }
  return readable
}

/** @throws ZooError `zoo` where this engine and these images cannot give the zoo's bits. */
async function withEngine<T>(
  zoo: Zoo,
  images: ImageSet,
  { engine: name, concurrency }: VerifyOptions,
  work: (engine: Engine, manifest: TrainedZooManifest) => Promise<T>,
): Promise<T> {
  const { path } = zoo
  const refuse = (why: string) =>
    new ZooError('zoo', `cannot repeat the networks of ${path}: ${why}`, { path })
  if (zoo.manifest.imported) throw refuse('it was imported, and nothing says how they were trained')
  const manifest = trainedManifest(path, zoo.manifest)
  if (images.fingerprint !== manifest.images.fingerprint) {
    const [is, was] = [images, manifest.images].map(set => `${set.name} (${set.fingerprint.slice(0, 12)})`)
    throw refuse(`these are other images: ${is}, not ${was}`)
  }
  const engine = await openEngine({ engine: name, concurrency })
  try {
    if (engine.arithmetic !== manifest.arithmetic) {
      throw refuse(
        `the ${engine.name} engine has another arithmetic: "${engine.arithmetic}", not "${manifest.arithmetic}"; choose the engine that trained them`,
      )
    }
    return await work(engine, manifest)
  } finally {
    await engine.close()
  }
}

function differs(audit: Audit, zoo: Zoo, record: NetworkRecord, message: string): void {
  const path = modelPath(zoo.path, record.class, record.index)
  audit.find('differs', path.slice(join(zoo.path, '/').length), message)
}

/** By their JSON, as the ledger has them; the order of fields makes no difference. */
function equal(a: unknown, b: unknown): boolean {
  const text = (value: unknown) =>
    JSON.stringify(value, (_, v) =>
      v && typeof v === 'object' && !Array.isArray(v) ? Object.fromEntries(Object.entries(v).sort()) : v,
    )
  return text(a) === text(b)
}
