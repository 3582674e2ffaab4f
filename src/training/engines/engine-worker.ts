import { parentPort, workerData } from 'node:worker_threads'
import { describeArchitecture } from '../../architecture/architecture.js'
import { reasonOf, ZooError } from '../../errors.js'
import type { EngineName } from '../engine.js'
import { trainNetwork } from '../train-network.js'
import { BACKENDS } from './backends.js'
import type { WorkerReply, WorkerRequest } from './worker-engine.js'

// The thread behind every engine: loads one backend, then trains one network after another.

const port = parentPort!
const name = workerData as EngineName
const send = (reply: WorkerReply) => port.postMessage(reply)

BACKENDS[name]().then(
  backend => {
    port.on('message', ({ job, stop }: WorkerRequest) => {
      try {
        const result = trainNetwork(
          backend,
          { ...job, architecture: describeArchitecture(job.architecture) },
          {
            aborted: () => Atomics.load(stop, 0) === 1,
            onEpoch: record => send({ kind: 'epoch', record }),
          },
        )
        send({ kind: 'done', result })
      } catch (error) {
        send(failure(error))
      }
    })
    send({ kind: 'ready', arithmetic: backend.arithmetic })
  },
  error => send(failure(error)),
)

function failure(error: unknown): WorkerReply {
  if (error instanceof ZooError) {
    return { kind: 'failed', tag: error.tag, message: error.message, fields: error.fields }
  }
  return { kind: 'failed', tag: 'engine', message: reasonOf(error), fields: { engine: name } }
}
