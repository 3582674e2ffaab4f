import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { reasonOf, ZooError } from '../errors.js'
import type { Audit } from './audit.js'
import { classRanges, layersOf, metricsCsv, metricsOf, stateOf } from './compile.js'
import { COMPILED_FILES, type CompiledState, readCompiledState } from './compiled-state.js'
import { digestFile, networkName, safeName, weightsHash, ZOO_FILES } from './files.js'
import { type Hdf5Reader, openHdf5 } from './hdf5.js'
import { isSealed } from './manifest.js'
import { totalOf } from './plan.js'
import type { VerifyOptions } from './verify.js'
import { layerRange } from './weight-matrix.js'
import type { Zoo } from './zoo.js'

const AGAIN = 'weightzoo compile makes it again'
/** Networks read at a time: 23 MB of LeNet-5. */
const BLOCK = 64

/** The compiled files: their checksums, and their content against the ledger, row by row. */
export async function verifyCompiled(audit: Audit, zoo: Zoo, options: VerifyOptions): Promise<void> {
  const present = new Set<string>()
  for (const name of [...COMPILED_FILES, ZOO_FILES.compiled]) {
    audit.known.add(name)
    if (await stat(join(zoo.path, name)).catch(() => undefined)) present.add(name)
  }
  checkPresence(audit, zoo, present)
  const compiled = present.has(ZOO_FILES.compiled) ? await compiledState(audit, zoo) : undefined
  await checkDigests(audit, zoo, present, compiled)
  // With a damaged ledger it cannot be told of which networks the files should be.
  const ledgerFaults = audit.findings.some(
    ({ file, kind }) => file.startsWith('ledger') && kind !== 'unfinished',
  )
  if (ledgerFaults || zoo.networks.length === 0) return
  if (compiled && compiled.networks_sha256 !== stateOf(zoo.networks)) {
    audit.find('stale', ZOO_FILES.compiled, `the compiled files are not of the ledger's networks; ${AGAIN}`)
    return
  }
  if (present.has(ZOO_FILES.metrics)) await checkMetricsCsv(audit, zoo)
  let done = 0
  const count = (networks: number) => {
    if (options.signal?.aborted)
      throw new ZooError('interrupted', 'interrupted while checking the compiled files', {})
    done += networks
    options.onProgress?.('compiled files', done, 2 * zoo.networks.length)
  }
  if (present.has(ZOO_FILES.modelwise))
    await checkFile(audit, zoo, ZOO_FILES.modelwise, checkModelwise, count)
  if (present.has(ZOO_FILES.layerwise))
    await checkFile(audit, zoo, ZOO_FILES.layerwise, checkLayerwise, count)
}

/** A finished zoo has all its compiled files; one at work may have none. */
function checkPresence(audit: Audit, zoo: Zoo, present: ReadonlySet<string>): void {
  if (zoo.networks.length === 0) return
  const { manifest, networks, failures } = zoo
  const done = networks.length + failures.length >= totalOf(manifest.plan)
  if (present.size === 0 && !done) return
  const expected = isSealed(manifest) ? [...COMPILED_FILES, ZOO_FILES.compiled] : COMPILED_FILES
  for (const name of expected) if (!present.has(name)) audit.find('missing', name, `no such file; ${AGAIN}`)
}

async function compiledState(audit: Audit, zoo: Zoo): Promise<CompiledState | undefined> {
  try {
    const state = await readCompiledState(zoo.path)
    audit.count((await stat(join(zoo.path, ZOO_FILES.compiled))).size)
    return state
  } catch (error) {
    const path = join(zoo.path, ZOO_FILES.compiled)
    audit.find('damaged', ZOO_FILES.compiled, reasonOf(error).replace(`${path} `, ''))
    return undefined
  }
}

/** Takes what cannot be read at all out of those present. */
async function checkDigests(
  audit: Audit,
  zoo: Zoo,
  present: Set<string>,
  compiled: CompiledState | undefined,
): Promise<void> {
  for (const name of COMPILED_FILES) {
    if (!present.has(name)) continue
    try {
      const { bytes, sha256 } = await digestFile(join(zoo.path, name))
      audit.count(bytes)
      const wanted = compiled?.files[name]
      if (wanted && wanted.sha256 !== sha256) {
        const sizes = wanted.bytes === bytes ? '' : `, ${bytes} bytes and not ${wanted.bytes}`
        audit.find('damaged', name, `another checksum (SHA-256) than compiled.json has${sizes}; ${AGAIN}`)
      }
    } catch (error) {
      present.delete(name)
      audit.find('damaged', name, `cannot be read: ${reasonOf(error)}; ${AGAIN}`)
    }
  }
}

async function checkMetricsCsv(audit: Audit, zoo: Zoo): Promise<void> {
  const lines = (await readFile(join(zoo.path, ZOO_FILES.metrics), 'utf8')).split('\n')
  const expected = metricsCsv(zoo.networks).split('\n')
  const at = Array.from({ length: Math.max(lines.length, expected.length) }, (_, i) => i).find(
    i => lines[i] !== expected[i],
  )
  if (at === undefined) return
  audit.find('damaged', ZOO_FILES.metrics, `line ${at + 1} is not what the ledger says; ${AGAIN}`)
}

type Count = (networks: number) => void
type Check = (file: Hdf5Reader, zoo: Zoo, fault: (message: string) => void, count: Count) => Promise<void>

/** Runs a check over an HDF5 file; what cannot be read is a finding, too. */
async function checkFile(audit: Audit, zoo: Zoo, name: string, check: Check, count: Count): Promise<void> {
  const path = join(zoo.path, name)
  const fault = (message: string) => audit.find('damaged', name, `${message}; ${AGAIN}`)
  try {
    const file = await openHdf5(path)
    try {
      if (file.attribute('networks_sha256') !== stateOf(zoo.networks)) {
        audit.find('stale', name, `it is not of the ledger's networks; ${AGAIN}`)
      } else await check(file, zoo, fault, count)
    } finally {
      file.close()
    }
  } catch (error) {
    if (error instanceof ZooError && error.tag === 'interrupted') throw error
    fault(reasonOf(error).replace(`${path} `, ''))
  }
}

const nameOf = ({ class: name, index }: { class: string; index: number }) => networkName(name, index)

async function checkModelwise(...[file, zoo, fault, count]: Parameters<Check>): Promise<void> {
  const { networks, classNames } = zoo
  const { parameterCount } = zoo.architecture
  const labels = networks.map(network => classNames.indexOf(network.class))
  const metrics = [...metricsOf(networks)]
  if (!same(file.attribute('class_names'), classNames)) fault('its class_names are not those of zoo.json')
  if (!same(file.values('labels'), labels)) fault("its labels are not the ledger's")
  if (!same(file.values('names'), networks.map(nameOf))) fault("its names are not the ledger's")
  if (!same(file.values('metrics'), metrics)) fault("its metrics are not the ledger's")
  if (!same(file.shape('parameters'), [networks.length, parameterCount])) {
    fault(`its parameters are ${file.shape('parameters').join('x')}`)
    return
  }
  for (let start = 0; start < networks.length; start += BLOCK) {
    await nextTurn()
    const block = networks.slice(start, start + BLOCK)
    for (const [i, { sha256 }] of block.entries()) {
      const row = start + i
      const weights = readOr(fault, `row ${row} (${nameOf(block[i]!)})`, () =>
        file.floats('parameters', [
          [row, row + 1],
          [0, parameterCount],
        ]),
      )
      if (weights && weightsHash(weights) !== sha256)
        fault(`row ${row} (${nameOf(block[i]!)}) is not the network that the ledger lists`)
    }
    count(block.length)
  }
}

async function checkLayerwise(...[file, zoo, fault, count]: Parameters<Check>): Promise<void> {
  const { parameters, parameterCount } = zoo.architecture
  const layers = layersOf(parameters).map(layer => ({ layer, range: layerRange(parameters, layer) }))
  for (const { className, start, end } of classRanges(zoo.networks)) {
    const group = safeName(className)
    const networks = zoo.networks.slice(start, end)
    if (!same(file.attribute('names', group), networks.map(nameOf)))
      fault(`${group}: its names are not the ledger's`)
    for (let first = 0; first < networks.length; first += BLOCK) {
      await nextTurn()
      const block = networks.slice(first, first + BLOCK)
      const rows: [number, number] = [first, first + block.length]
      const weights = new Float32Array(block.length * parameterCount)
      const read = layers.map(({ layer, range: [from, to] }) =>
        readOr(fault, `${group}/${layer}`, () => {
          const part = file.floats(`${group}/${layer}`, [rows, [0, to - from]])
          for (let i = 0; i < block.length; i++) {
            weights.set(part.subarray(i * (to - from), (i + 1) * (to - from)), i * parameterCount + from)
          }
          return true
        }),
      )
      if (read.every(Boolean)) {
        for (const [i, network] of block.entries()) {
          const row = weights.subarray(i * parameterCount, (i + 1) * parameterCount)
          if (weightsHash(row) !== network.sha256)
            fault(`${group}: row ${first + i} (${nameOf(network)}) is not the network that the ledger lists`)
        }
      }
      count(block.length)
    }
  }
}

function readOr<T>(fault: (message: string) => void, what: string, read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    fault(`${what} cannot be read: ${reasonOf(error)}`)
    return undefined
  }
}

/** Whether two lists have equal items; NaN equals itself. */
function same(list: unknown, expected: ArrayLike<unknown>): boolean {
  const items = list as ArrayLike<unknown> | undefined
  if (items?.length !== expected.length) return false
  for (let i = 0; i < expected.length; i++) if (!Object.is(items[i], expected[i])) return false
  return true
}
