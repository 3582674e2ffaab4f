import { isZooError, reasonOf } from '../errors.js'
import { jobFactory, type NetworkJob } from '../training/create-job.js'
import type { Engine, TrainingResult } from '../training/engine.js'
import { binaryMetrics } from '../training/metrics.js'
import type { Recipe } from '../training/recipe.js'
import { modelPath, networkName, weightsHash } from './files.js'
import { type LedgerRecord, LedgerWriter, type NetworkRecord, readLedger, toHistory } from './ledger.js'
import { writeModelFile } from './model-file.js'
import { inTurns, interruptedAfter, type NetworkId, type Plan, totalOf } from './plan.js'
import { ProgressMeter, type TrainingProgress } from './progress.js'
import type { TrainZooOptions } from './train-zoo.js'

/** Trains what the directory lacks of the plan, one network to a place in the engine, and records each. */
export async function trainMissing(
  options: TrainZooOptions,
  recipe: Recipe,
  plan: Plan,
  engine: Engine,
): Promise<TrainingProgress> {
  const { images, out, onProgress = () => {} } = options
  const { waiting, finished, failed } = await settle(plan, out, options.retryFailed ?? false)
  const meter = new ProgressMeter(engine, totalOf(plan), { finished, failed })
  const createJob = jobFactory(recipe, images)
  // One lane for each place in the engine. The first error that is not a network's own stops them all.
  const stop = new AbortController()
  const signal = options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal
  const ledger = await LedgerWriter.open(out)

  const trainOne = async (id: NetworkId): Promise<void> => {
    const { className, index } = id
    const name = networkName(className, index)
    const begun = performance.now()
    const line = (): LineStart => ({
      class: className,
      index,
      seed: recipe.seed,
      seconds: Number(((performance.now() - begun) / 1000).toFixed(3)),
      engine: engine.name,
    })
    const network = createJob(className, index)
    try {
      const onEpoch = ({ epoch }: { epoch: number }) => {
        meter.advance(name, (epoch + 1) / recipe.epochs)
        onProgress(meter.now())
      }
      const result = await engine.train(network.job, { signal, onEpoch })
      const record = recordOf(line(), network, result)
      await writeNetwork(out, record, network, result)
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
    if (options.signal?.aborted) throw interruptedAfter(meter.finished, plan)
    const errors = outcomes.filter(outcome => outcome.status === 'rejected').map(outcome => outcome.reason)
    if (errors.length > 0) throw errors.find(error => !isZooError(error, 'interrupted')) ?? errors[0]
    return meter.now()
  } finally {
    await ledger.close()
  }
}

/** Which planned networks are still to be trained, and how many are not. */
async function settle(plan: Plan, out: string, retryFailed: boolean) {
  const records = await readLedger(out)
  const settled = new Map(records.map(record => [networkName(record.class, record.index), record.status]))
  const planned = inTurns(plan)
  const statusOf = ({ className, index }: NetworkId) => settled.get(networkName(className, index))
  const waiting = planned.filter(
    id => statusOf(id) === undefined || (statusOf(id) === 'failed' && retryFailed),
  )
  const finished = planned.filter(id => statusOf(id) === 'finished').length
  return { waiting, finished, failed: planned.length - finished - waiting.length }
}

type LineStart = Pick<LedgerRecord, 'class' | 'index' | 'seed' | 'seconds' | 'engine'>

/** A trained network's line in the ledger. */
function recordOf(
  line: LineStart,
  { job, positiveFraction }: NetworkJob,
  result: TrainingResult,
): NetworkRecord {
  const { class: className, index, seed, seconds, engine } = line
  return {
    class: className,
    index,
    seed,
    status: 'finished',
    sha256: weightsHash(result.weights),
    metrics: binaryMetrics(result.validationOutputs, job.validationTargets),
    positiveFraction,
    epoch: result.epoch,
    history: toHistory(result.history),
    seconds,
    engine,
  }
}

/** Writes a network's files; its line in the ledger comes after them. */
async function writeNetwork(
  out: string,
  { class: className, index, seed, sha256 }: NetworkRecord,
  { job }: NetworkJob,
  { weights }: TrainingResult,
): Promise<void> {
  const attributes = { class: className, index, seed, sha256 }
  await writeModelFile(modelPath(out, className, index), job.architecture, weights, attributes)
}
