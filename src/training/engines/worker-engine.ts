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
  /** Rejects what is on each busy thread. */
  private readonly running = new Map<TrainingThread, (error: unknown) => void>()

  private constructor(
    readonly name: EngineName,
    readonly arithmetic: string,
    readonly reason: string,
    private readonly threads: TrainingThread[],
  ) {
    this.idle = [...threads]
    for (const thread of threads) this.rest(thread)
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
      if (this.threads.length === 0) throw this.stopped('no thread is left')
      this.waiting.push({ job, control, resolve, reject })
      this.dispatch()
    })
  }

  async close() {
    const error = this.stopped('closed')
    for (const { reject } of this.waiting.splice(0)) reject(error)
    for (const reject of this.running.values()) reject(error)
    this.running.clear()
    this.idle.length = 0
    await Promise.all(this.threads.splice(0).map(thread => thread.terminate()))
  }

  private stopped(reason: string): ZooError<'engine'> {
    return new ZooError('engine', `${this.name} engine stopped: ${reason}`, { engine: this.name })
  }

  /** A thread may also die between two networks. */
  private rest(thread: TrainingThread): void {
    thread.listen(
      () => {},
      reason => this.lose(thread, reason),
    )
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
      this.running.delete(thread)
      this.rest(thread)
      this.idle.push(thread)
      this.dispatch()
    }
    this.running.set(thread, error => {
      signal?.removeEventListener('abort', onAbort)
      reject(error)
    })
    thread.listen(
      reply => {
        if (reply.kind === 'epoch') {
          try {
            onEpoch?.(reply.record)
          } catch (error) {
            // The caller's own error ends its network, and not the process from inside an event handler.
            reject(error)
            onAbort()
          }
        }
        if (reply.kind === 'done') {
          resolve(reply.result)
          finish()
        }
        if (reply.kind === 'failed') {
          reject(new ZooError(reply.tag, reply.message, reply.fields))
          finish()
        }
      },
      reason => this.lose(thread, `${reason}, while training ${job.name}`),
    )
    signal?.addEventListener('abort', onAbort)
    if (signal?.aborted) onAbort()
    thread.send({ job: { ...job, architecture: job.architecture.spec }, stop })
  }

  /** A thread died; without threads nothing that waits can ever be trained. */
  private lose(thread: TrainingThread, reason: string): void {
    const error = this.stopped(reason)
    this.threads.splice(this.threads.indexOf(thread), 1)
    if (this.idle.includes(thread)) this.idle.splice(this.idle.indexOf(thread), 1)
    this.running.get(thread)?.(error)
    this.running.delete(thread)
    thread.listen(
      () => {},
      () => {},
    )
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
