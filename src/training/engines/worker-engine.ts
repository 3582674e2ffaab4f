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

/** A worker thread and who listens to it; it trains one network at a time. */
class TrainingThread {
  private onReply: (reply: WorkerReply) => void = () => {}
  private onLost: (reason: string) => void = () => {}
  private readonly worker: Worker

  constructor(name: EngineName) {
    // Node's own flags are for the caller's script; some, such as --input-type, a worker refuses.
    this.worker = new Worker(new URL('./engine-worker.js', import.meta.url), {
      workerData: name,
      execArgv: [],
    })
    this.worker.on('message', (reply: WorkerReply) => this.onReply(reply))
    this.worker.on('error', error => this.onLost(error.message))
    this.worker.on('exit', code => this.onLost(`its thread ended with code ${code}`))
  }

  /** From now on replies, and the thread's unexpected end, go to these. */
  listen(onReply: (reply: WorkerReply) => void, onLost: (reason: string) => void): void {
    this.onReply = onReply
    this.onLost = onLost
  }

  send(request: WorkerRequest): void {
    this.worker.postMessage(request)
  }

  terminate(): Promise<unknown> {
    this.listen(
      () => {},
      () => {},
    )
    return this.worker.terminate()
  }
}

/** Runs any engine's backend on worker threads, one network to a thread. */
export class WorkerEngine implements Engine {
  private readonly waiting: Pending[] = []
  private readonly idle: TrainingThread[]

  private constructor(
    readonly name: EngineName,
    readonly arithmetic: string,
    readonly reason: string,
    private readonly threads: TrainingThread[],
  ) {
    this.idle = [...threads]
  }

  /** @throws ZooError `engine` when the backend does not load, with its reason. */
  static async open(name: EngineName, concurrency: number, reason: string): Promise<WorkerEngine> {
    const threads: TrainingThread[] = []
    try {
      const arithmetic = await startThread(name, threads)
      await Promise.all(Array.from({ length: concurrency - 1 }, () => startThread(name, threads)))
      return new WorkerEngine(name, arithmetic, reason, threads)
    } catch (error) {
      await Promise.all(threads.map(thread => thread.terminate()))
      throw error
    }
  }

  get concurrency() {
    return this.threads.length
  }

  train(job: TrainingJob, control: TrainingControl = {}): Promise<TrainingResult> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ job, control, resolve, reject })
      this.dispatch()
    })
  }

  async close() {
    await Promise.all(this.threads.map(thread => thread.terminate()))
  }

  private dispatch(): void {
    while (this.idle.length > 0 && this.waiting.length > 0) {
      this.run(this.idle.pop()!, this.waiting.shift()!)
    }
  }

  private run(thread: TrainingThread, { job, control, resolve, reject }: Pending): void {
    const { signal, onEpoch } = control
    const stop = new Int32Array(new SharedArrayBuffer(4))
    const onAbort = () => Atomics.store(stop, 0, 1)
    const finish = () => {
      signal?.removeEventListener('abort', onAbort)
      this.idle.push(thread)
      this.dispatch()
    }
    thread.listen(
      reply => {
        if (reply.kind === 'epoch') onEpoch?.(reply.record)
        if (reply.kind === 'done') {
          resolve(reply.result)
          finish()
        }
        if (reply.kind === 'failed') {
          reject(new ZooError(reply.tag, reply.message, reply.fields))
          finish()
        }
      },
      reason => {
        signal?.removeEventListener('abort', onAbort)
        this.lose(thread, job, reason, reject)
      },
    )
    signal?.addEventListener('abort', onAbort)
    if (signal?.aborted) onAbort()
    thread.send({ job: { ...job, architecture: job.architecture.spec }, stop })
  }

  /** A thread died under its network; without threads nothing that waits can ever be trained. */
  private lose(
    thread: TrainingThread,
    job: TrainingJob,
    reason: string,
    reject: (error: unknown) => void,
  ): void {
    this.threads.splice(this.threads.indexOf(thread), 1)
    const message = `${this.name} engine stopped while training ${job.name}: ${reason}`
    const error = new ZooError('engine', message, { engine: this.name })
    thread.listen(
      () => {},
      () => {},
    )
    reject(error)
    if (this.threads.length === 0) for (const other of this.waiting.splice(0)) other.reject(error)
  }
}

/** Starts a thread and waits for its backend; resolves to the backend's arithmetic. */
function startThread(name: EngineName, threads: TrainingThread[]): Promise<string> {
  const thread = new TrainingThread(name)
  threads.push(thread)
  return new Promise((resolve, reject) => {
    const fail = (reason: string) =>
      reject(new ZooError('engine', `engine "${name}" does not load: ${reason}`, { engine: name }))
    thread.listen(reply => {
      if (reply.kind === 'ready') resolve(reply.arithmetic)
      if (reply.kind !== 'failed') return
      // A wrong setting stays one: it is no reason to take a slower engine.
      if (reply.tag === 'option') reject(new ZooError<ZooErrorTag>(reply.tag, reply.message, reply.fields))
      else fail(reply.message)
    }, fail)
  })
}
