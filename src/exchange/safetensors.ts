import { type FileHandle, open, stat } from 'node:fs/promises'
import { reasonOf, ZooError } from '../errors.js'
import { invalidOption, suggestion } from '../options.js'
import { writePieces } from './export-job.js'

// The format: eight bytes with the length of a JSON header (little-endian), the header, then the tensors without gaps.
// https://huggingface.co/docs/safetensors

/** Number types of safetensors: how wide each is, and how weightzoo reads it. */
const TYPES = {
  F64: { bytes: 8, toFloats: (data: ArrayBuffer) => Float32Array.from(new Float64Array(data)) },
  F32: { bytes: 4, toFloats: (data: ArrayBuffer) => new Float32Array(data) },
  F16: { bytes: 2, toFloats: (data: ArrayBuffer) => Float32Array.from(new Uint16Array(data), fromFloat16) },
  BF16: { bytes: 2, toFloats: fromBfloat16 },
  I64: { bytes: 8, toFloats: (data: ArrayBuffer) => Float32Array.from(new BigInt64Array(data), Number) },
  I32: { bytes: 4, toFloats: (data: ArrayBuffer) => Float32Array.from(new Int32Array(data)) },
  I16: { bytes: 2, toFloats: (data: ArrayBuffer) => Float32Array.from(new Int16Array(data)) },
  I8: { bytes: 1, toFloats: (data: ArrayBuffer) => Float32Array.from(new Int8Array(data)) },
  U8: { bytes: 1, toFloats: (data: ArrayBuffer) => Float32Array.from(new Uint8Array(data)) },
} as const

type TypeName = keyof typeof TYPES

/** A tensor to be written: its values at once, or piece by piece. */
export interface TensorToWrite {
  readonly name: string
  readonly type: TypeName
  readonly shape: readonly number[]
  readonly data: ArrayBufferView | AsyncIterable<ArrayBufferView>
}

/**
 * Writes a safetensors file. The tensors lie in the file in the given order; put wide types first, so that every one
 * starts at a multiple of its width and can be mapped into memory.
 */
export async function writeSafetensors(
  path: string,
  tensors: readonly TensorToWrite[],
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  await writePieces(path, pieces())

  async function* pieces() {
    yield headerOf(tensors, metadata)
    for (const { data } of tensors) {
      if (ArrayBuffer.isView(data)) yield data
      else yield* data
    }
  }
}

function headerOf(tensors: readonly TensorToWrite[], metadata: Readonly<Record<string, string>>): Uint8Array {
  let end = 0
  const entries = tensors.map(({ name, type, shape }) => {
    const start = end
    end += TYPES[type].bytes * sizeOf(shape)
    return [name, { dtype: type, shape, data_offsets: [start, end] }] as const
  })
  const json = Buffer.from(JSON.stringify({ __metadata__: metadata, ...Object.fromEntries(entries) }))
  // Spaces up to a multiple of eight, so that the first tensor is aligned.
  const length = Math.ceil(json.length / 8) * 8
  const header = Buffer.alloc(8 + length, ' ')
  header.writeBigUInt64LE(BigInt(length))
  json.copy(header, 8)
  return header
}

/**
 * Opens a safetensors file, e.g. of generated weights, without reading its tensors.
 *
 * @example
 * const file = await openSafetensors('generated.safetensors')
 * file.names                                    // ['parameters', 'labels']
 * file.shape('parameters')                      // [1000, 91481]
 * await file.rows('parameters', 0, 64)          // Float32Array, flat [64, 91481]
 * await file.close()
 *
 * @throws ZooError `zoo` naming the file when it is missing, truncated or no safetensors.
 */
export async function openSafetensors(path: string): Promise<SafetensorsFile> {
  const file = await open(path).catch((error: NodeJS.ErrnoException) => {
    const why = error.code === 'ENOENT' ? `no such file: ${path}` : `cannot read ${path}: ${reasonOf(error)}`
    throw new ZooError('zoo', why, { path }, { cause: error })
  })
  try {
    const { size } = await file.stat()
    return new SafetensorsFile(path, file, await readHeader(path, file, size))
  } catch (error) {
    await file.close()
    throw error
  }
}

/**
 * A safetensors file open for reading; see {@link openSafetensors}.
 *
 * @example
 * for (const name of file.names) console.log(name, file.shape(name))
 */
export class SafetensorsFile {
  /** @internal Use {@link openSafetensors}. */
  constructor(
    readonly path: string,
    private readonly file: FileHandle,
    private readonly header: SafetensorsHeader,
  ) {}

  /** Names of the tensors, in the order of the file. */
  get names(): readonly string[] {
    return [...this.header.tensors.keys()]
  }

  /** What the writer noted: texts by name. */
  get metadata(): Readonly<Record<string, string>> {
    return this.header.metadata
  }

  /** @throws ZooError `option` for an unknown tensor. */
  shape(name: string): readonly number[] {
    return this.find(name).shape
  }

  /** A whole tensor as float32, whatever it is stored as (half precision, integers). Flat, row-major. */
  floats(name: string): Promise<Float32Array<ArrayBuffer>> {
    const { type, start, end } = this.find(name)
    return this.read(type, start, end)
  }

  /** Rows `start` to `end` (exclusive) of a tensor as float32, flat; a row is all that its first axis counts. */
  rows(name: string, start: number, end: number): Promise<Float32Array<ArrayBuffer>> {
    const { type, shape, start: first } = this.find(name)
    const [count = 1, ...rest] = shape
    if (!(Number.isInteger(start) && Number.isInteger(end) && start >= 0 && start <= end && end <= count)) {
      throw invalidOption('rows', `${start} to ${end}`, `${name} has ${count}`)
    }
    const stride = TYPES[type].bytes * sizeOf(rest)
    return this.read(type, first + start * stride, first + end * stride)
  }

  /** Lets go of the file; nothing can be read afterwards. */
  close(): Promise<void> {
    return this.file.close()
  }

  private async read(type: TypeName, start: number, end: number): Promise<Float32Array<ArrayBuffer>> {
    return TYPES[type].toFloats(await readBytes(this.path, this.file, start, end))
  }

  private find(name: string): Tensor {
    const found = this.header.tensors.get(name)
    if (found) return found
    throw invalidOption('tensor', name, `is not in ${this.path}; ${suggestion(name, this.names)}`)
  }
}

interface Tensor {
  readonly type: TypeName
  readonly shape: readonly number[]
  /** Bytes of the file. */
  readonly start: number
  readonly end: number
}

interface SafetensorsHeader {
  readonly metadata: Readonly<Record<string, string>>
  readonly tensors: ReadonlyMap<string, Tensor>
}

/** The reference implementation reads no header above this either. */
const LARGEST_HEADER = 100_000_000

async function readHeader(path: string, file: FileHandle, size: number): Promise<SafetensorsHeader> {
  if (size < 8) throw damaged(path, `${size} bytes`)
  const length = Number(new DataView(await readBytes(path, file, 0, 8)).getBigUint64(0, true))
  if (length > Math.min(LARGEST_HEADER, size - 8))
    throw damaged(path, `a header of ${length} bytes in ${size}`)
  const text = new TextDecoder().decode(await readBytes(path, file, 8, 8 + length))
  const parsed = parse(text)
  if (!isObject(parsed)) throw damaged(path, 'its header is not JSON')
  const { __metadata__: metadata = {}, ...entries } = parsed
  if (!isObject(metadata) || !Object.values(metadata).every(value => typeof value === 'string')) {
    throw damaged(path, '__metadata__ is not a list of texts')
  }
  const tensors = Object.entries(entries).map(
    ([name, entry]) => [name, checkEntry(path, name, entry, 8 + length, size)] as const,
  )
  return { metadata: metadata as Record<string, string>, tensors: new Map(tensors) }
}

function checkEntry(path: string, name: string, entry: unknown, base: number, size: number): Tensor {
  const { dtype, shape, data_offsets: offsets } = isObject(entry) ? entry : {}
  if (
    typeof dtype !== 'string' ||
    !isWholeNumbers(shape) ||
    !isWholeNumbers(offsets) ||
    offsets.length !== 2
  ) {
    throw damaged(path, `tensor ${name} lacks dtype, shape or data_offsets`)
  }
  if (!Object.hasOwn(TYPES, dtype)) {
    throw damaged(path, `tensor ${name} has type ${dtype}, known are ${Object.keys(TYPES).join(', ')}`)
  }
  const type = dtype as TypeName
  const [start, end] = offsets.map(offset => base + offset) as [number, number]
  if (end > size || end - start !== TYPES[type].bytes * sizeOf(shape)) {
    throw damaged(path, `tensor ${name} of shape ${shape.join('x')} has bytes ${start} to ${end} of ${size}`)
  }
  return { type, shape, start, end }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isWholeNumbers(value: unknown): value is number[] {
  return Array.isArray(value) && value.every(item => Number.isSafeInteger(item) && item >= 0)
}

function damaged(path: string, why: string): ZooError<'zoo'> {
  return new ZooError('zoo', `${path} is truncated, corrupt or no safetensors file (${why})`, { path })
}

/** One read takes at most 2 GiB. */
const LARGEST_READ = 2 ** 30

async function readBytes(path: string, file: FileHandle, start: number, end: number): Promise<ArrayBuffer> {
  const bytes = new Uint8Array(end - start)
  for (let at = 0; at < bytes.length; ) {
    const { bytesRead } = await file.read(bytes, at, Math.min(LARGEST_READ, bytes.length - at), start + at)
    if (bytesRead === 0) throw damaged(path, `ends at ${(await stat(path)).size} bytes`)
    at += bytesRead
  }
  return bytes.buffer
}

function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, n) => product * n, 1)
}

/** IEEE 754 half precision: 1 bit sign, 5 exponent, 10 fraction. */
function fromFloat16(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 0x1f
  const fraction = bits & 0x3ff
  if (exponent === 0) return sign * fraction * 2 ** -24
  if (exponent === 0x1f) return fraction ? Number.NaN : sign * Infinity
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15)
}

/** bfloat16 is the upper half of a float32. */
function fromBfloat16(data: ArrayBuffer): Float32Array<ArrayBuffer> {
  return new Float32Array(Uint32Array.from(new Uint16Array(data), bits => bits << 16).buffer)
}
