import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, describe, expect, it } from 'vitest'
import { lenet5Architecture } from '../../../dist/architecture/lenet5.js'
import { reasonOf } from '../../../dist/errors.js'
import type { Engine, EngineName } from '../../../dist/training/engine.js'
import { openEngine } from '../../../dist/training/engines/open-engine.js'
import { makeJob, ODD_ARCHITECTURES } from './jobs.js'

const [odd] = ODD_ARCHITECTURES
const engines: Engine[] = []
for (const name of ['native', 'wasm', 'tfjs'] as const) {
  try {
    engines.push(await openEngine({ engine: name, concurrency: 3 }))
  } catch (error) {
    console.log(`skipped ${name}: ${reasonOf(error)}`)
  }
}
afterAll(() => Promise.all(engines.map(engine => engine.close())))

describe.each(engines)('$name on threads', engine => {
  it('gives equal bytes from one thread and from many', async () => {
    const jobs = Array.from({ length: 6 }, (_, seed) => makeJob(odd!, { seed, epochs: 2 }))
    const alone = await openEngine({ engine: engine.name, concurrency: 1 })
    const together = await Promise.all(jobs.map(job => engine.train(job)))
    for (const [i, job] of jobs.entries()) expect(await alone.train(job)).toEqual(together[i])
    await alone.close()
  })

  it('stops within a batch when it is aborted, and goes on with other networks', async () => {
    // One epoch of half a minute or more: stopping at its end would show.
    const job = makeJob(lenet5Architecture().spec)
    const endless = { ...job, order: new Uint32Array(20_000 * 64), batchSize: 64 }
    const abort = new AbortController()
    const training = engine.train(endless, { signal: abort.signal })
    let aborted = 0
    setTimeout(() => {
      aborted = performance.now()
      abort.abort()
    }, 300)
    await expect(training).rejects.toMatchObject({ tag: 'interrupted' })
    expect(performance.now() - aborted).toBeLessThan(2_000)
    const waiting = Array.from({ length: 4 }, () => engine.train(makeJob(odd!)))
    for (const { history } of await Promise.all(waiting)) expect(history).toHaveLength(1)
  })

  it('does not start a network whose signal is aborted already', async () => {
    const epochs: unknown[] = []
    const training = engine.train(makeJob(odd!), {
      signal: AbortSignal.abort(),
      onEpoch: epoch => epochs.push(epoch),
    })
    await expect(training).rejects.toMatchObject({ tag: 'interrupted' })
    expect(epochs).toHaveLength(0)
  })

  it('passes errors on with their tag, and goes on', async () => {
    const bad = { ...makeJob(odd!), initialWeights: new Float32Array(1) }
    await expect(engine.train(bad)).rejects.toThrow(/1/)
    await expect(engine.train(makeJob(odd!))).resolves.toBeDefined()
  })

  it('evaluates networks, shared out over its threads, to the bits that training gave', async () => {
    const jobs = Array.from({ length: 7 }, (_, seed) => makeJob(odd!, { seed, batchSize: 7 + seed }))
    const { images, architecture } = jobs[0]!
    const trained = await Promise.all(jobs.map(job => engine.train({ ...job, images })))
    const weights = Float32Array.from(trained.flatMap(network => [...network.weights]))
    const progress: number[][] = []
    const outputs = await engine.evaluate(
      { architecture, weights, pixels: images.validation.pixels },
      { onProgress: (...counts) => progress.push(counts) },
    )
    expect(outputs).toEqual(Float32Array.from(trained.flatMap(network => [...network.validationOutputs])))
    expect(outputs.buffer).toBeInstanceOf(ArrayBuffer)
    expect(progress).toEqual(jobs.map((_, i) => [i + 1, 7]))
    const none = { architecture, weights: new Float32Array(0), pixels: images.validation.pixels }
    expect(await engine.evaluate(none)).toHaveLength(0)
  })

  it('stops evaluating when it is aborted or a callback throws, and goes on', async () => {
    const { architecture, initialWeights, images } = makeJob(odd!)
    const { pixels } = images.validation
    const weights = new Float32Array(4_000 * initialWeights.length)
    const abort = new AbortController()
    let most = 0
    const stopped = engine.evaluate(
      { architecture, weights, pixels },
      {
        signal: abort.signal,
        onProgress: done => {
          most = done
          if (done === 5) abort.abort()
        },
      },
    )
    await expect(stopped).rejects.toMatchObject({ tag: 'interrupted' })
    expect(most).toBeLessThan(4_000)
    const onProgress = () => {
      throw new Error('mine')
    }
    await expect(engine.evaluate({ architecture, weights, pixels }, { onProgress })).rejects.toThrow('mine')
    const job = { architecture, weights: initialWeights, pixels }
    expect(await engine.evaluate(job)).toHaveLength(37 * 3)
    await expect(engine.evaluate({ ...job, weights: weights.subarray(1) })).rejects.toThrow(/weights/)
    await expect(engine.evaluate({ ...job, pixels: pixels.subarray(1) })).rejects.toThrow(/pixels/)
  })

  it('lets the process exit in the middle of training', async () => {
    expect(await runChild('exit', engine.name)).toEqual({ stdout: 'training\n', stderr: '' })
  })

  it('lets the process end once it is closed in the middle of training', async () => {
    expect(await runChild('close', engine.name)).toEqual({ stdout: 'closed\n', stderr: '' })
  })
})

describe.each(engines.filter(({ name }) => name !== 'tfjs'))('$name in the long run', ({ name }) => {
  // A trainer of LeNet-5 holds several MB; a tenth of them left behind would show.
  it.each(['trainers', 'garbage', 'engines'])('does not grow: %s', async task => {
    const { stdout } = await runChild(task, name)
    expect(Number(stdout)).toBeLessThan(40)
  })
})

async function runChild(task: string, engine: EngineName) {
  const script = fileURLToPath(new URL('./child.mjs', import.meta.url))
  return promisify(execFile)(process.execPath, ['--expose-gc', script, task, engine], { timeout: 50_000 })
}
