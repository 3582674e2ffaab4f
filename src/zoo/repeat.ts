import { join } from 'node:path'
import { ZooError } from '../errors.js'
import { type ImageSet, type ImageSets, imageSetsOf } from '../images/image-set.js'
import { RandomStream } from '../random.js'
import { jobFactory } from '../training/create-job.js'
import type { Engine } from '../training/engine.js'
import { openEngine } from '../training/engines/open-engine.js'
import { binaryMetrics } from '../training/metrics.js'
import type { Audit } from './audit.js'
import { modelPath, networkName, weightsHash } from './files.js'
import { type NetworkRecord, toHistory } from './ledger.js'
import { describedImages, type TrainedZooManifest, trainedManifest } from './manifest.js'
import { validationOutputs } from './validation-outputs.js'
import type { VerifyOptions } from './verify.js'
import type { Zoo } from './zoo.js'

/** Trains some networks again from (recipe, seed, class, index). Returns their names. */
export async function repeatTraining(
  audit: Audit,
  zoo: Zoo,
  images: ImageSets,
  count: number,
  options: VerifyOptions,
): Promise<string[]> {
  const { signal, onProgress, seed = 0 } = options
  return withEngine(zoo, images, options, async (engine, sets, { recipe }) => {
    const order = new RandomStream(seed, 'verify').shuffle(Uint32Array.from(zoo.networks.keys()))
    const sample = Array.from(order.subarray(0, count), position => zoo.networks[position]!)
    const createJob = jobFactory(recipe, sets)
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

/**
 * Computes the metrics of every network again from its weights and the validation images, and the stored outputs where
 * there are any. Returns of how many.
 */
export async function repeatMetrics(
  audit: Audit,
  zoo: Zoo,
  images: ImageSets,
  options: VerifyOptions,
): Promise<number> {
  const { signal, onProgress } = options
  const { classNames, networks, manifest } = zoo
  return withEngine(zoo, images, options, async (engine, sets) => {
    // Networks that cannot be read have been named already.
    const weightsOf = ({ class: name, index }: NetworkRecord) =>
      zoo.weights(name, index).catch(() => undefined)
    let done = 0
    for await (const validated of validationOutputs(zoo, sets, engine, weightsOf, signal)) {
      const { record, outputs } = validated
      const label = classNames.indexOf(record.class)
      const targets = validated.images.validation.labels.map(l => Number(l === label))
      if (!equal(binaryMetrics(outputs, targets), record.metrics))
        differs(audit, zoo, record, 'its weights give other metrics')
      if (manifest.stores?.outputs && record.outputs && weightsHash(outputs) !== record.outputs.sha256)
        differs(audit, zoo, record, 'its weights give other outputs than those that are stored')
      done++
      onProgress?.('metrics', done, networks.length)
    }
    return done
  })
}

/** @throws ZooError `zoo` where this engine and these images cannot give the zoo's bits. */
async function withEngine<T>(
  zoo: Zoo,
  images: ImageSets,
  { engine: name, concurrency }: VerifyOptions,
  work: (engine: Engine, sets: readonly ImageSet[], manifest: TrainedZooManifest) => Promise<T>,
): Promise<T> {
  const { path } = zoo
  const refuse = (why: string) =>
    new ZooError('zoo', `cannot repeat the networks of ${path}: ${why}`, { path })
  if (zoo.manifest.imported) throw refuse('it was imported, and nothing says how they were trained')
  const manifest = trainedManifest(path, zoo.manifest)
  const given = imageSetsOf(images)
  const sets = describedImages(manifest).map(wanted => {
    const found = given.find(({ fingerprint }) => fingerprint === wanted.fingerprint)
    // By the name that the networks draw: a folder may have been renamed since.
    if (found) return { ...found, name: wanted.name }
    throw refuse(`these are other images: ${given.map(shown).join(', ')}, not ${shown(wanted)}`)
  })
  const engine = await openEngine({ engine: name, concurrency })
  try {
    if (engine.arithmetic !== manifest.arithmetic) {
      throw refuse(
        `the ${engine.name} engine has another arithmetic: "${engine.arithmetic}", not "${manifest.arithmetic}"; choose the engine that trained them`,
      )
    }
    return await work(engine, sets, manifest)
  } finally {
    await engine.close()
  }
}

function shown({ name, fingerprint }: { name: string; fingerprint: string }): string {
  return `${name} (${fingerprint.slice(0, 12)})`
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
