import { Worker } from 'node:worker_threads'
import type { ArchitectureSpec } from '../../architecture/architecture.js'
import { ZooError, type ZooErrorFields, type ZooErrorTag } from '../../errors.js'
import type {
  Engine,
  EngineName,
  EpochRecord,
  EvaluationControl,
  EvaluationJob,
  TrainingControl,
  TrainingJob,
  TrainingResult,
} from '../engine.js'
import { evaluationSize } from '../evaluate-networks.js'

/** What travels to a worker: a job as plain data; image memory is shared, not copied. */
export type WorkerRequest = Work & {
  /** One int32 in shared memory, set to 1 to stop: a busy worker reads no messages. */
  stop: Int32Array<SharedArrayBuffer>
}

type Work =
  | { kind: 'train'; job: Plain<TrainingJob>; checkpoints: readonly number[] }
  | { kind: 'evaluate'; job: Plain<EvaluationJob> & SharedEvaluation }

type Plain<Job> = Omit<Job, 'architecture'> & { architecture: ArchitectureSpec }

/** What the threads of one evaluation have in common. */
interface SharedEvaluation {
  /** The next network that nobody has taken yet. */
  next: Int32Array<SharedArrayBuffer>
  outputs: Float32Array<SharedArrayBuffer>
}

/** What a worker answers; `progress` is an epoch's record in training. */
export type WorkerReply =
  | { kind: 'ready'; arithmetic: string }
  | { kind: 'progress'; progress: unknown }
  | { kind: 'done'; result: unknown }
  | { kind: 'failed'; tag: ZooErrorTag; message: string; fields: ZooErrorFields[ZooErrorTag] }

interface Pending {
  work: Work
  /** For messages. */
  name: string
  signal: AbortSignal | undefined
  onProgress(progress: unknown): void
  resolve(result: unknown): void
  reject(error: unknown): void
}

/** A worker thread and who listens to it; it does one piece of work at a time. */
class WorkerThread {
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

/** Runs any engine's backend on worker threads, one network to a thread at a time. */
export class WorkerEngine implements Engine {
  private readonly waiting: Pending[] = []
  private readonly idle: WorkerThread[]
  /** Rejects what is on each busy thread. */
  private readonly running = new Map<WorkerThread, (error: unknown) => void>()

  private constructor(
    readonly name: EngineName,
    readonly arithmetic: string,
    readonly reason: string,
    private readonly threads: WorkerThread[],
  ) {
    this.idle = [...threads]
    for (const thread of threads) this.rest(thread)
  }

  /** @throws ZooError `engine` when the backend does not load, with its reason. */
  static async open(name: EngineName, concurrency: number, reason: string): Promise<WorkerEngine> {
    const threads: WorkerThread[] = []
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

  async train(job: TrainingJob, control: TrainingControl = {}): Promise<TrainingResult> {
    const { signal, onEpoch, checkpoints = [] } = control
    const work: Work = { kind: 'train', job: { ...job, architecture: job.architecture.spec }, checkpoints }
    const onProgress = (record: unknown) => onEpoch?.(record as EpochRecord)
    return (await this.submit({ work, name: job.name, signal, onProgress })) as TrainingResult
  }

  async evaluate(job: EvaluationJob, { signal, onProgress }: EvaluationControl = {}) {
    const { networks, outputsPerNetwork } = evaluationSize(job)
    const outputs = new Float32Array(new SharedArrayBuffer(networks * outputsPerNetwork * 4))
    const next = new Int32Array(new SharedArrayBuffer(4))
    const [weights, pixels] = [shared(job.weights), shared(job.pixels)]
    const { name, spec: architecture } = job.architecture
    let done = 0
    const piece = () =>
      this.submit({
        work: { kind: 'evaluate', job: { architecture, weights, pixels, outputs, next } },
        name,
        signal,
        onProgress: () => onProgress?.(++done, networks),
      })
    try {
      await Promise.all(Array.from({ length: Math.min(networks, this.concurrency || 1) }, piece))
    } catch (error) {
      // What is wrong with one piece is wrong with all: the others need not go on.
      Atomics.store(next, 0, networks)
      throw error
    }
    return new Float32Array(outputs)
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
  private rest(thread: WorkerThread): void {
    thread.listen(
      () => {},
      reason => this.lose(thread, reason),
    )
  }

  private submit(work: Omit<Pending, 'resolve' | 'reject'>): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.threads.length === 0) throw this.stopped('no thread is left')
      this.waiting.push({ ...work, resolve, reject })
      this.dispatch()
    })
  }

  private dispatch(): void {
    while (this.idle.length > 0 && this.waiting.length > 0) {
      this.run(this.idle.pop()!, this.waiting.shift()!)
    }
  }

  private run(thread: WorkerThread, pending: Pending): void {
    const { work, name, signal, onProgress, resolve, reject } = pending
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
        if (reply.kind === 'progress') {
          try {
            onProgress(reply.progress)
          } catch (error) {
            // The caller's own error ends its work, and not the process from inside an event handler.
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
      reason => this.lose(thread, `${reason}, while running ${name}`),
    )
    signal?.addEventListener('abort', onAbort)
    if (signal?.aborted) onAbort()
    thread.send({ ...work, stop })
  }

  /** A thread died; without threads nothing that waits can ever be done. */
  private lose(thread: WorkerThread, reason: string): void {
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
function startThread(name: EngineName, threads: WorkerThread[]): Promise<string> {
  const thread = new WorkerThread(name)
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

/** The same numbers in memory that threads can read in place. */
function shared(values: Float32Array): Float32Array<SharedArrayBuffer> {
  if (values.buffer instanceof SharedArrayBuffer) return values as Float32Array<SharedArrayBuffer>
  const copy = new Float32Array(new SharedArrayBuffer(values.byteLength))
  copy.set(values)
  return copy
}
