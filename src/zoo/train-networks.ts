import { isZooError, reasonOf } from '../errors.js'
import { type ImageSet, imageSetsOf } from '../images/image-set.js'
import { checkpointEpochs } from '../training/checkpoints.js'
import { jobFactory, type NetworkJob } from '../training/create-job.js'
import type { Engine, TrainingResult } from '../training/engine.js'
import { binaryMetrics } from '../training/metrics.js'
import { writeCheckpoints } from './checkpoint-file.js'
import { clearOutputs } from './clear-outputs.js'
import { checkpointPath, modelPath, networkName, weightsHash } from './files.js'
import { type LedgerRecord, LedgerWriter, type NetworkRecord, readLedger, toHistory } from './ledger.js'
import type { Lock } from './lock.js'
import type { TrainedZooManifest } from './manifest.js'
import { writeModelFile } from './model-file.js'
import { OutputsWriter } from './outputs.js'
import { inTurns, interruptedAfter, type Plan } from './plan.js'
import { ProgressMeter, type TrainingProgress } from './progress.js'
import { ledgerName, outputsName, shareOf } from './shard.js'
import { stillToDo, type Waiting } from './still-to-do.js'
import type { TrainZooOptions } from './train-zoo.js'
import { validationOutputs } from './validation-outputs.js'
import { summarizeWeights } from './weight-summary.js'
import { zooOf } from './zoo.js'

/** One call's work on a directory. */
interface Work {
  readonly out: string
  readonly manifest: TrainedZooManifest
  readonly engine: Engine
  readonly lock: Lock
  readonly meter: ProgressMeter
  readonly ledger: LedgerWriter
  /** Absent where outputs are not kept. */
  readonly outputs: OutputsWriter | undefined
  readonly onProgress: (progress: TrainingProgress) => void
  /** Aborted by the caller, or by the first error that is not a network's own. */
  readonly signal: AbortSignal
}

/**
 * Does what the directory lacks of the plan (or of the shard's share of it): evaluates networks that lack outputs which
 * they are to have, and trains the missing ones, one network to a place in the engine; records each.
 */
export async function trainMissing(
  options: TrainZooOptions,
  manifest: TrainedZooManifest,
  plan: Plan,
  engine: Engine,
  lock: Lock,
): Promise<TrainingProgress> {
  const { out, shard, onProgress = () => {} } = options
  const sets = imageSetsOf(options.images)
  const share = shareOf(inTurns(plan), shard)
  const meter = new ProgressMeter(engine, share.length)
  const records = await readLedger(out, { sealed: true, lenient: true })
  const { waiting, lackingOutputs } = await stillToDo(share, records, manifest, options, meter)
  const stop = new AbortController()
  const signal = options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal
  const outputs = manifest.stores?.outputs && (await OutputsWriter.open(out, outputsName(shard), records))
  const ledger = await LedgerWriter.open(out, ledgerName(shard))
  const work: Work = { out, manifest, engine, lock, meter, ledger, outputs, onProgress, signal }
  try {
    onProgress(meter.now())
    await addOutputs(work, lackingOutputs, sets)
    await trainAll(work, waiting, sets, stop)
    if (outputs) await clearOutputs(out, manifest.images.validation, ledgerName(shard))
    return meter.now()
  } catch (error) {
    if (options.signal?.aborted) throw interruptedAfter(meter.finished, share.length)
    // A directory that is gone says more than the file in it that could not be written.
    await lock.check()
    throw error
  } finally {
    await ledger.close()
    await outputs?.close()
  }
}

/** Gives networks the outputs that they lack: their weights are enough, and the bits are those of training. */
async function addOutputs(
  { out, manifest, engine, lock, meter, ledger, outputs, onProgress, signal }: Work,
  lacking: readonly NetworkRecord[],
  sets: readonly ImageSet[],
): Promise<void> {
  if (!outputs) return
  const zoo = zooOf(out, manifest, lacking)
  const weightsOf = ({ class: className, index }: NetworkRecord) => zoo.weights(className, index)
  let evaluated = 0
  for await (const network of validationOutputs(zoo, sets, engine, weightsOf, signal)) {
    await lock.check()
    const { record } = network
    const row = await outputs.append(network.outputs)
    await ledger.append({ ...record, outputs: row, attempt: (record.attempt ?? 1) + 1 })
    meter.settle('finished')
    onProgress({ ...meter.now(), stage: 'evaluating', evaluated: ++evaluated })
  }
}

/** Trains all that wait, in one lane for each place in the engine. */
async function trainAll(
  work: Work,
  waiting: Waiting[],
  sets: readonly ImageSet[],
  stop: AbortController,
): Promise<void> {
  const createJob = jobFactory(work.manifest.recipe, sets)
  const lane = async (): Promise<void> => {
    for (let next = waiting.shift(); next && !work.signal.aborted; next = waiting.shift())
      await trainOne(work, next, createJob(next.className, next.index))
  }
  const lanes = Array.from({ length: work.engine.concurrency }, () =>
    lane().catch(error => {
      stop.abort()
      throw error
    }),
  )
  const outcomes = await Promise.allSettled(lanes)
  const errors = outcomes.filter(outcome => outcome.status === 'rejected').map(outcome => outcome.reason)
  if (errors.length > 0) throw errors.find(error => !isZooError(error, 'interrupted')) ?? errors[0]
  work.signal.throwIfAborted()
}

async function trainOne(
  work: Work,
  { className, index, attempt }: Waiting,
  network: NetworkJob,
): Promise<void> {
  const { out, manifest, engine, lock, meter, ledger, outputs, onProgress, signal } = work
  const { recipe, stores } = manifest
  const name = networkName(className, index)
  const begun = performance.now()
  const line = (): LineStart => ({
    class: className,
    index,
    seed: recipe.seed,
    seconds: Number(((performance.now() - begun) / 1000).toFixed(3)),
    engine: engine.name,
    ...(attempt > 1 && { attempt }),
  })
  try {
    const onEpoch = ({ epoch }: { epoch: number }) => {
      meter.advance(name, (epoch + 1) / network.job.epochs)
      onProgress(meter.now())
    }
    const checkpoints = stores?.checkpoints && checkpointEpochs(stores.checkpoints, network.job.epochs)
    const result = await engine.train(network.job, { signal, onEpoch, checkpoints })
    // What is written into a directory that is gone, or another process's by now, would be lost or do harm.
    await lock.check()
    const trained = recordOf(line(), network, result)
    const record = await writeNetwork(out, trained, network, result, { checkpoints, outputs })
    await ledger.append(record)
    meter.end(name, 'finished')
    onProgress(meter.now(record))
  } catch (error) {
    meter.end(name)
    if (!isZooError(error, 'training')) throw error
    await ledger.append({ ...line(), status: 'failed', reason: reasonOf(error) })
    meter.end(name, 'failed')
    onProgress(meter.now())
  }
}

type LineStart = Pick<LedgerRecord, 'class' | 'index' | 'seed' | 'seconds' | 'engine' | 'attempt'>

/** A trained network's line in the ledger. */
function recordOf(
  line: LineStart,
  { job, positiveFraction, hyperparameters }: NetworkJob,
  result: TrainingResult,
): NetworkRecord {
  const { class: className, index, seed, ...rest } = line
  return {
    class: className,
    index,
    seed,
    status: 'finished',
    sha256: weightsHash(result.weights),
    metrics: binaryMetrics(result.validationOutputs, job.validationTargets),
    ...(hyperparameters && { hyperparameters }),
    positiveFraction,
    epoch: result.epoch,
    weightSummary: summarizeWeights(result.weights),
    history: toHistory(result.history),
    ...rest,
  }
}

/** Writes all that is kept of a network and adds its checksums to its line, which comes after it. */
async function writeNetwork(
  out: string,
  record: NetworkRecord,
  { job: { architecture } }: NetworkJob,
  { weights, validationOutputs, checkpoints }: TrainingResult,
  wanted: { checkpoints?: readonly number[] | undefined; outputs?: OutputsWriter | undefined },
): Promise<NetworkRecord> {
  const { class: className, index } = record
  const path = checkpointPath(out, className, index)
  const stored = {
    ...(wanted.checkpoints && {
      checkpoints: await writeCheckpoints(path, architecture, wanted.checkpoints, checkpoints, record),
    }),
    ...(wanted.outputs && { outputs: await wanted.outputs.append(validationOutputs) }),
  }
  const model = await writeModelFile(modelPath(out, className, index), architecture, weights, record)
  return { ...record, ...stored, fileSha256: model.sha256 }
}
