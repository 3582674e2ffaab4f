import { ZooError } from '../errors.js'
import type { EngineBackend, EpochRecord, Trainer, TrainingJob, TrainingResult } from './engine.js'

/** How the loop below is watched and stopped. */
export interface TrainingWatch {
  /** Asked before every batch. */
  aborted(): boolean
  onEpoch(record: EpochRecord): void
  /** Epochs after which to keep the weights, ascending; 0 is before the first. */
  readonly checkpoints?: readonly number[] | undefined
}

/**
 * Trains one network from a complete job: the one loop over epochs and batches, whatever the engine.
 *
 * @throws ZooError `interrupted` when `watch.aborted()` says so; `training` when a loss is not finite.
 */
export function trainNetwork(backend: EngineBackend, job: TrainingJob, watch: TrainingWatch): TrainingResult {
  const trainer = backend.createTrainer(job)
  try {
    const history: EpochRecord[] = []
    const { parameterCount } = job.architecture
    const wanted = watch.checkpoints ?? []
    const checkpoints = new Float32Array(wanted.length * parameterCount)
    const keepCheckpoint = (epochs: number) => {
      const row = wanted.indexOf(epochs)
      if (row >= 0) checkpoints.set(trainer.weights(), row * parameterCount)
    }
    let kept: Pick<TrainingResult, 'weights' | 'epoch' | 'validationOutputs'> | undefined
    keepCheckpoint(0)
    for (let epoch = 0; epoch < job.epochs; epoch++) {
      const training = runEpoch(trainer, job, epoch, watch)
      const { outputs, ...validation } = trainer.evaluate()
      const validationCount = job.images.validation.count
      const record: EpochRecord = {
        epoch,
        loss: training.loss / training.count,
        accuracy: training.correct / training.count,
        validationLoss: validation.loss / validationCount,
        validationAccuracy: validation.correct / validationCount,
      }
      for (const [what, loss] of [
        ['loss', record.loss],
        ['validation loss', record.validationLoss],
      ] as const) {
        if (!Number.isFinite(loss)) {
          const message = `${what} of ${job.name} is not finite in epoch ${epoch}: ${loss}`
          throw new ZooError('training', message, { network: job.name })
        }
      }
      const lowest = Math.min(...history.map(past => past.validationLoss))
      history.push(record)
      keepCheckpoint(epoch + 1)
      watch.onEpoch(record)
      if (job.keep === 'last' ? epoch === job.epochs - 1 : record.validationLoss < lowest) {
        kept = { weights: trainer.weights(), epoch, validationOutputs: outputs }
      }
    }
    return { ...kept!, history, checkpoints }
  } finally {
    trainer.dispose()
  }
}

function runEpoch(trainer: Trainer, job: TrainingJob, epoch: number, watch: TrainingWatch) {
  const count = job.order.length / job.epochs
  const order = job.order.subarray(epoch * count, (epoch + 1) * count)
  let loss = 0
  let correct = 0
  for (let start = 0; start < count; start += job.batchSize) {
    if (watch.aborted()) throw new ZooError('interrupted', `interrupted while training ${job.name}`, {})
    const score = trainer.step(order.subarray(start, start + job.batchSize))
    loss += score.loss
    correct += score.correct
  }
  return { loss, correct, count }
}
