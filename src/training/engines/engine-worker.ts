import { parentPort, workerData } from 'node:worker_threads'
import { describeArchitecture } from '../../architecture/architecture.js'
import { reasonOf, ZooError } from '../../errors.js'
import type { EngineBackend, EngineName, TrainingResult } from '../engine.js'
import { evaluateNetworks } from '../evaluate-networks.js'
import { trainNetwork } from '../train-network.js'
import { BACKENDS } from './backends.js'
import type { WorkerReply, WorkerRequest } from './worker-engine.js'

// The thread behind every engine: loads one backend, then works off one request after another.

const port = parentPort!
const name = workerData as EngineName
const send = (reply: WorkerReply, moved: ArrayBuffer[] = []) => port.postMessage(reply, moved)

BACKENDS[name]().then(
  backend => {
    port.on('message', (request: WorkerRequest) => {
      try {
        const result = work(backend, request)
        // Checkpoints may be many megabytes: their memory changes hands instead of being copied.
        send({ kind: 'done', result }, result ? [result.checkpoints.buffer] : [])
      } catch (error) {
        send(request.kind === 'train' ? networkFailure(error, request.job.name) : failure(error))
      }
    })
    send({ kind: 'ready', arithmetic: backend.arithmetic })
  },
  error => send(failure(error)),
)

function work(backend: EngineBackend, request: WorkerRequest): TrainingResult | undefined {
  const architecture = describeArchitecture(request.job.architecture)
  const aborted = () => Atomics.load(request.stop, 0) === 1
  if (request.kind === 'train') {
    const onEpoch = (progress: unknown) => send({ kind: 'progress', progress })
    const { checkpoints } = request
    return trainNetwork(backend, { ...request.job, architecture }, { aborted, onEpoch, checkpoints })
  }
  const { weights, pixels, outputs, next } = request.job
  evaluateNetworks(backend, { architecture, weights, pixels }, outputs, {
    next: () => {
      if (aborted()) throw new ZooError('interrupted', 'interrupted while evaluating networks', {})
      return Atomics.add(next, 0, 1)
    },
    onNetwork: () => send({ kind: 'progress', progress: undefined }),
  })
  return undefined
}

/** What is thrown while a network trains, and is no error of ours, is that network's failure: the others go on. */
function networkFailure(error: unknown, network: string): WorkerReply {
  if (error instanceof ZooError) return failure(error)
  const message = `${name} engine failed on ${network}: ${reasonOf(error)}`
  return { kind: 'failed', tag: 'training', message, fields: { network } }
}

function failure(error: unknown): WorkerReply {
  if (error instanceof ZooError) {
    return { kind: 'failed', tag: error.tag, message: error.message, fields: error.fields }
  }
  return { kind: 'failed', tag: 'engine', message: reasonOf(error), fields: { engine: name } }
}
