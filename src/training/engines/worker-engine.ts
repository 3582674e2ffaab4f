import { Worker } from 'node:worker_threads'
import { ZooError, type ZooErrorFields, type ZooErrorTag } from '../../errors.js'
import type {
  Engine,
  EngineName,
  EpochRecord,
  TrainingControl,
  TrainingJob,
  TrainingResult,
} from '../engine.js'

/** What travels to a worker: the job as plain data; image memory is shared, not copied. */
export interface WorkerRequest {
  job: Omit<TrainingJob, 'architecture'> & { architecture: TrainingJob['architecture']['spec'] }
  /** One int32 in shared memory, set to 1 to stop: a busy worker reads no messages. */
  stop: Int32Array<SharedArrayBuffer>
}

/** What a worker answers. */
export type WorkerReply =
  | { kind: 'ready'; arithmetic: string }
  | { kind: 'epoch'; record: EpochRecord }
  | { kind: 'done'; result: TrainingResult }
  | { kind: 'failed'; tag: ZooErrorTag; message: string; fields: ZooErrorFields[ZooErrorTag] }

interface Pending {
  job: TrainingJob
  control: TrainingControl
  resolve(result: TrainingResult): void
  reject(error: unknown): void
}

/** Runs any engine's backend on worker threads, one network to a thread. */
export class WorkerEngine implements Engine {
  private readonly waiting: Pending[] = []
  private readonly idle: Worker[]

  private constructor(
    readonly name: EngineName,
    readonly arithmetic: string,
    readonly reason: string,
    private readonly workers: Worker[],
  ) {
    this.idle = [...workers]
  }

  /** @throws ZooError `engine` when the backend does not load, with its reason. */
  static async open(name: EngineName, concurrency: number, reason: string): Promise<WorkerEngine> {
    const workers: Worker[] = []
    try {
      const arithmetic = await startWorker(name, workers)
      await Promise.all(Array.from({ length: concurrency - 1 }, () => startWorker(name, workers)))
      return new WorkerEngine(name, arithmetic, reason, workers)
    } catch (error) {
      await Promise.all(workers.map(worker => worker.terminate()))
      throw error
    }
  }

  get concurrency() {
    return this.workers.length
  }

  train(job: TrainingJob, control: TrainingControl = {}): Promise<TrainingResult> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ job, control, resolve, reject })
      this.dispatch()
    })
  }

  async close() {
    await Promise.all(this.workers.map(worker => worker.terminate()))
  }

  private dispatch(): void {
    while (this.idle.length > 0 && this.waiting.length > 0) {
      this.run(this.idle.pop()!, this.waiting.shift()!)
    }
  }

  private run(worker: Worker, { job, control, resolve, reject }: Pending): void {
    const { signal, onEpoch } = control
    const stop = new Int32Array(new SharedArrayBuffer(4))
    const onAbort = () => Atomics.store(stop, 0, 1)
    const finish = () => {
      worker.removeAllListeners()
      signal?.removeEventListener('abort', onAbort)
      this.idle.push(worker)
      this.dispatch()
    }
    const lost = (reason: string) => {
      this.workers.splice(this.workers.indexOf(worker), 1)
      const error = new ZooError(
        'engine',
        `${this.name} engine stopped while training ${job.name}: ${reason}`,
        { engine: this.name },
      )
      reject(error)
      if (this.workers.length === 0) for (const other of this.waiting.splice(0)) other.reject(error)
    }
    worker.on('message', (reply: WorkerReply) => {
      if (reply.kind === 'epoch') onEpoch?.(reply.record)
      if (reply.kind === 'done') {
        finish()
        resolve(reply.result)
      }
      if (reply.kind === 'failed') {
        finish()
        reject(new ZooError(reply.tag, reply.message, reply.fields))
      }
    })
    worker.once('error', error => lost(error.message))
    signal?.addEventListener('abort', onAbort)
    if (signal?.aborted) onAbort()
    const request: WorkerRequest = { job: { ...job, architecture: job.architecture.spec }, stop }
    worker.postMessage(request)
  }
}

function startWorker(name: EngineName, workers: Worker[]): Promise<string> {
  const worker = new Worker(new URL('./engine-worker.js', import.meta.url), { workerData: name })
  workers.push(worker)
  return new Promise((resolve, reject) => {
    const fail = (reason: string) =>
      reject(new ZooError('engine', `engine "${name}" does not load: ${reason}`, { engine: name }))
    worker.once('message', (reply: WorkerReply) => {
      worker.removeAllListeners()
      if (reply.kind === 'ready') resolve(reply.arithmetic)
      if (reply.kind === 'failed') fail(reply.message)
    })
    worker.once('error', error => fail(error.message))
    worker.once('exit', code => fail(`its thread ended with code ${code}`))
  })
}
