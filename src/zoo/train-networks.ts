import { isZooError, reasonOf } from '../errors.js'
import { checkpointEpochs } from '../training/checkpoints.js'
import { jobFactory, type NetworkJob } from '../training/create-job.js'
import type { Engine, TrainingResult } from '../training/engine.js'
import { binaryMetrics } from '../training/metrics.js'
import { writeCheckpoints } from './checkpoint-file.js'
import { checkpointPath, modelPath, networkName, weightsHash } from './files.js'
import { type LedgerRecord, LedgerWriter, type NetworkRecord, readLedger, toHistory } from './ledger.js'
import type { Lock } from './lock.js'
import type { Stores, TrainedZooManifest } from './manifest.js'
import { writeModelFile } from './model-file.js'
import { OutputsReader, OutputsWriter } from './outputs.js'
import { inTurns, interruptedAfter, type NetworkId, type Plan } from './plan.js'
import { ProgressMeter, type TrainingProgress } from './progress.js'
import { ledgerName, outputsName, shareOf } from './shard.js'
import type { TrainZooOptions } from './train-zoo.js'
import { summarizeWeights } from './weight-summary.js'
import { isWhole } from './whole.js'

/**
 * Trains what the directory lacks of the plan (or of the shard's share of it), one network to a place in the engine,
 * and records each.
 */
export async function trainMissing(
  options: TrainZooOptions,
  { recipe, stores = {} }: TrainedZooManifest,
  plan: Plan,
  engine: Engine,
  lock: Lock,
): Promise<TrainingProgress> {
  const { images, out, onProgress = () => {} } = options
  const share = shareOf(inTurns(plan), options.shard)
  const meter = new ProgressMeter(engine, share.length)
  const records = await readLedger(out, { sealed: true, lenient: true })
  const waiting = await stillToTrain(share, records, stores, options, meter)
  const createJob = jobFactory(recipe, images)
  // One lane for each place in the engine. The first error that is not a network's own stops them all.
  const stop = new AbortController()
  const signal = options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal
  const ledger = await LedgerWriter.open(out, ledgerName(options.shard))
  const outputs = stores.outputs && (await OutputsWriter.open(out, outputsName(options.shard), records))

  const trainOne = async ({ className, index, attempt }: Waiting): Promise<void> => {
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
    const network = createJob(className, index)
    try {
      const onEpoch = ({ epoch }: { epoch: number }) => {
        meter.advance(name, (epoch + 1) / network.job.epochs)
        onProgress(meter.now())
      }
      const checkpoints = stores.checkpoints && checkpointEpochs(stores.checkpoints, network.job.epochs)
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
  const lane = async (): Promise<void> => {
    for (let next = waiting.shift(); next && !signal.aborted; next = waiting.shift()) await trainOne(next)
  }

  try {
    onProgress(meter.now())
    const lanes = Array.from({ length: engine.concurrency }, () =>
      lane().catch(error => {
        stop.abort()
        throw error
      }),
    )
    const outcomes = await Promise.allSettled(lanes)
    if (options.signal?.aborted) throw interruptedAfter(meter.finished, share.length)
    const errors = outcomes.filter(outcome => outcome.status === 'rejected').map(outcome => outcome.reason)
    if (errors.length > 0) {
      // A directory that is gone says more than the file in it that could not be written.
      await lock.check()
      throw errors.find(error => !isZooError(error, 'interrupted')) ?? errors[0]
    }
    return meter.now()
  } finally {
    await ledger.close()
    await outputs?.close()
  }
}

interface Waiting extends NetworkId {
  /** 1 for a network that has never been trained. */
  readonly attempt: number
}

/**
 * Which networks are to be trained: those without a line in the ledger, those whose file is gone or is not what their
 * line says, and failed ones if they are to be tried again. Tells the meter of all others.
 */
async function stillToTrain(
  share: readonly NetworkId[],
  records: readonly LedgerRecord[],
  stores: Stores,
  { out, images, retryFailed = false, signal, onProgress }: TrainZooOptions,
  meter: ProgressMeter,
): Promise<Waiting[]> {
  const byName = new Map(records.map(record => [networkName(record.class, record.index), record]))
  const stored = new OutputsReader(out, images.validation.count)
  const outcomeOf = async (record: LedgerRecord) => {
    if (record.status === 'failed') return 'failed'
    return (await isWhole(record, out, stores, stored)) ? 'finished' : 'damaged'
  }
  const waiting: Waiting[] = []
  let told = performance.now()
  try {
    for (const [position, id] of share.entries()) {
      if (signal?.aborted) throw interruptedAfter(0, share.length)
      const record = byName.get(networkName(id.className, id.index))
      const outcome = record && (await outcomeOf(record))
      if (outcome === 'finished' || (outcome === 'failed' && !retryFailed)) meter.settle(outcome)
      else waiting.push({ ...id, attempt: record ? (record.attempt ?? 1) + 1 : 1 })
      if (performance.now() - told < CHECKING_INTERVAL) continue
      told = performance.now()
      onProgress?.({ ...meter.now(), stage: 'checking', checked: position + 1 })
    }
    return waiting
  } finally {
    await stored.close()
  }
}

/** Milliseconds between two words on how far the checking of files is; 1,000 LeNet-5 take less. */
const CHECKING_INTERVAL = 1000

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
