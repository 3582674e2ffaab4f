import { type ByteRange, bufferSource, Cursor } from './byte-source.js'
import {
  PickleBytes,
  type PickleDialect,
  PickleGlobal,
  PickleObject,
  type PickleValue,
  readPickle,
} from './pickle.js'

// The tensors of PyTorch and the arrays of numpy, as `pickle.dump` and `torch.save` write them.

/** Type of the numbers of a tensor or array. */
export type NumberType = 'float32' | 'float64'

const ITEM_BYTES: Readonly<Record<NumberType, number>> = { float32: 4, float64: 8 }

/** Numbers that lie in a source; little-endian unless said otherwise. */
interface Numbers {
  readonly type: NumberType
  readonly range: ByteRange
  readonly bigEndian?: boolean | undefined
}

/** A tensor or an array. Its numbers are read when they are asked for. */
export class Tensor extends PickleObject {
  constructor(
    readonly shape: readonly number[],
    /** In numbers, by axis. */
    private readonly strides: readonly number[],
    private readonly offset: number,
    private readonly locate: () => Numbers,
  ) {
    super()
  }

  /** Count of its numbers. */
  get size(): number {
    return this.shape.reduce((product, n) => product * n, 1)
  }

  /**
   * All numbers in row-major order as float32; float64 are rounded.
   * @throws Error where there are more than `most`, or they reach beyond their storage.
   */
  floats(most: number): Float32Array<ArrayBuffer> {
    const { shape, strides, offset, size } = this
    // Not `size > most`: of a crafted shape the size may be NaN.
    if (!(size <= most))
      throw new Error(`a tensor of ${shape.join('x')} where at most ${most} numbers are expected`)
    if (size === 0) return new Float32Array(0)
    const { type, range, bigEndian = false } = this.locate()
    const bytes = ITEM_BYTES[type]
    const span = 1 + shape.reduce((sum, n, axis) => sum + (n - 1) * strides[axis]!, 0)
    if ((offset + span) * bytes > range.length) throw new Error('a tensor that reaches beyond its storage')
    if (span * bytes > MAX_SPAN_BYTES)
      throw new Error(`refused: a tensor whose numbers are scattered over more than ${MAX_SPAN_BYTES} bytes`)
    const raw = range.source.read(range.start + offset * bytes, span * bytes)
    if (type === 'float32' && !bigEndian && span === size && isRowMajor(shape, strides)) {
      const out = new Float32Array(size)
      new Uint8Array(out.buffer).set(raw)
      return out
    }
    const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength)
    const number = (position: number) =>
      type === 'float32'
        ? view.getFloat32(position * bytes, !bigEndian)
        : view.getFloat64(position * bytes, !bigEndian)
    return Float32Array.from(positions(shape, strides), number)
  }
}

/** Where the numbers of a tensor lie, in row-major order. */
function* positions(shape: readonly number[], strides: readonly number[]): Generator<number> {
  const at = new Array<number>(shape.length).fill(0)
  let position = 0
  for (let axis = 0; axis >= 0; ) {
    yield position
    for (axis = shape.length - 1; axis >= 0; axis--) {
      position += strides[axis]!
      if (++at[axis]! < shape[axis]!) break
      position -= strides[axis]! * shape[axis]!
      at[axis] = 0
    }
  }
}

/** Strides of axes of length 1 make no difference. */
function isRowMajor(shape: readonly number[], strides: readonly number[]): boolean {
  return rowMajor(shape).every((stride, axis) => shape[axis] === 1 || stride === strides[axis])
}

/** A tensor's numbers are read in one piece, those of others between them too: 256 MiB. */
const MAX_SPAN_BYTES = 256 * 2 ** 20

/** Largest tensor storage that one text of protocol 2 may hold, which has to be decoded in memory: 256 MiB. */
const MAX_TEXT_BYTES = 256 * 2 ** 20

/** The bytes of a byte string, which protocol 2 writes as text. */
function bytesOf(value: PickleValue | undefined): ByteRange {
  if (typeof value === 'string') return latin1(Buffer.from(value))
  if (!(value instanceof PickleBytes)) throw malformed('a byte string')
  const { range, asText } = value
  if (!asText) return range
  if (range.length > MAX_TEXT_BYTES) throw new Error(`refused: a text of more than ${MAX_TEXT_BYTES} bytes`)
  return latin1(range.source.read(range.start, range.length))
}

function latin1(utf8: Buffer): ByteRange {
  const buffer = Buffer.from(utf8.toString('utf8'), 'latin1')
  return { source: bufferSource(buffer), start: 0, length: buffer.length }
}

/** A piece of torch's memory that tensors are views of. */
class Storage extends PickleObject {
  constructor(readonly locate: () => Numbers) {
    super()
  }
}

class NumpyType extends PickleObject {
  bigEndian = false

  constructor(readonly type: NumberType) {
    super()
  }

  override setState(state: PickleValue): void {
    if (!Array.isArray(state)) throw malformed('numpy.dtype')
    this.bigEndian = state[1] === '>'
  }
}

/** An array whose shape and numbers come with the BUILD instruction. */
class NumpyArray extends PickleObject {
  tensor: Tensor | undefined

  override setState(state: PickleValue): void {
    if (!Array.isArray(state)) throw malformed('numpy.ndarray')
    const [, shape, type, fortran, bytes] = state
    this.tensor = arrayOf(bytes, type, shape, fortran === true)
  }
}

function arrayOf(
  bytes: PickleValue | undefined,
  type: PickleValue | undefined,
  shape: PickleValue | undefined,
  fortran: boolean,
): Tensor {
  if (!(type instanceof NumpyType)) throw malformed('the type of an array')
  const sizes = sizesOf(shape)
  const numbers = (): Numbers => ({ type: type.type, range: bytesOf(bytes), bigEndian: type.bigEndian })
  return new Tensor(sizes, fortran ? columnMajor(sizes) : rowMajor(sizes), 0, numbers)
}

function rowMajor(shape: readonly number[]): number[] {
  return shape.map((_, axis) => shape.slice(axis + 1).reduce((product, n) => product * n, 1))
}

function columnMajor(shape: readonly number[]): number[] {
  return shape.map((_, axis) => shape.slice(0, axis).reduce((product, n) => product * n, 1))
}

/** Most axes of a tensor; numpy's own limit. */
const MAX_AXES = 64

function sizesOf(value: PickleValue | undefined): number[] {
  const isSize = (n: unknown) => Number.isSafeInteger(n) && (n as number) >= 0
  if (!Array.isArray(value) || value.length > MAX_AXES || !value.every(isSize)) throw malformed('a shape')
  return value as number[]
}

function malformed(what: string): Error {
  return new Error(`${what} that is not as Python writes it`)
}

/** The tensor that a value is, if it is one. */
export function asTensor(value: PickleValue | undefined): Tensor | undefined {
  if (value instanceof Tensor) return value
  return value instanceof NumpyArray ? value.tensor : undefined
}

const STORAGE_TYPES: Readonly<Record<string, NumberType>> = {
  'torch.FloatStorage': 'float32',
  'torch.DoubleStorage': 'float64',
}

const NUMPY_TYPES: Readonly<Record<string, NumberType>> = { f4: 'float32', f8: 'float64' }

const CONSTRUCTORS: [name: string, call: (args: readonly PickleValue[]) => PickleValue][] = [
  ['collections.OrderedDict', () => new Map()],
  ['_codecs.encode', encode],
  ['torch._utils._rebuild_tensor_v2', rebuildTensor],
  ['torch.storage._load_from_bytes', ([bytes]) => new Storage(once(() => loadStorage(bytesOf(bytes))))],
  ...Object.keys(STORAGE_TYPES).map((name): [string, () => PickleValue] => [name, notCalled]),
  ['numpy.ndarray', notCalled],
  ['numpy.dtype', numpyType],
  ...['numpy._core', 'numpy.core'].flatMap(
    (core): [string, (args: readonly PickleValue[]) => PickleValue][] => [
      [`${core}.multiarray._reconstruct`, () => new NumpyArray()],
      [
        `${core}.numeric._frombuffer`,
        ([bytes, type, shape, order]) => arrayOf(bytes, type, shape, order === 'F'),
      ],
    ],
  ),
]

const GLOBALS = new Map(CONSTRUCTORS.map(([name, call]) => [name, new PickleGlobal(name, call)]))

/** What a pickle of tensors and arrays may use. */
export const TENSOR_DIALECT: PickleDialect = { globals: GLOBALS }

/** The same with torch's storages, which lie outside the pickle, by their keys. */
export function dialectWithStorages(locate: (key: string, type: NumberType) => ByteRange): PickleDialect {
  const persistentLoad = (id: readonly PickleValue[]) => {
    const [kind, storageClass, key] = id
    const type = storageClass instanceof PickleGlobal ? STORAGE_TYPES[storageClass.name] : undefined
    if (kind !== 'storage' || typeof key !== 'string' || type === undefined)
      throw malformed('a torch storage')
    return new Storage(() => ({ type, range: locate(key, type) }))
  }
  return { globals: GLOBALS, persistentLoad }
}

function notCalled(): never {
  throw malformed('a class')
}

/** `_codecs.encode(text, 'latin1')`: how protocol 2 writes bytes. */
function encode([text, encoding]: readonly PickleValue[]): PickleValue {
  const isText = typeof text === 'string' || (text instanceof PickleBytes && text.asText)
  if (encoding !== 'latin1' || !isText) throw malformed('a byte string')
  return text
}

function rebuildTensor([storage, offset, shape, strides]: readonly PickleValue[]): PickleValue {
  const sizes = sizesOf(shape)
  const steps = sizesOf(strides)
  if (!(storage instanceof Storage) || steps.length !== sizes.length || !Number.isSafeInteger(offset))
    throw malformed('a tensor')
  if ((offset as number) < 0) throw malformed('a tensor')
  return new Tensor(sizes, steps, offset as number, storage.locate)
}

function numpyType([name]: readonly PickleValue[]): PickleValue {
  const type = typeof name === 'string' ? NUMPY_TYPES[name] : undefined
  if (type) return new NumpyType(type)
  const shown = typeof name === 'string' ? name : 'of another kind'
  throw new Error(`an array of numpy type ${shown}; float32 and float64 are read`)
}

/** What `torch.save` wrote before version 1.6, and still writes for a storage inside a pickle: three heads, the objects, the keys. */
const LEGACY_MAGIC = 0x1950a86a20f9469cfc6cn

/** Whether bytes begin as torch's legacy format does: a pickle of its magic number. */
export function isLegacyTorch(head: Buffer): boolean {
  return head.subarray(0, 5).equals(Buffer.from([0x80, 0x02, 0x8a, 0x0a, 0x6c]))
}

/**
 * Reads torch's legacy format (`torch.serialization._legacy_save`): pickles of a magic number, a version, the system,
 * the objects and the storages' keys; then every storage as its count (int64) and numbers.
 *
 * @returns the objects: the elements of a list, or the one object
 */
export function readLegacyTorch(range: ByteRange): { isList: boolean; values: PickleValue[] } {
  const cursor = new Cursor(range, 4096)
  const one = (dialect: PickleDialect = { globals: new Map() }) => readAll(cursor, dialect)
  if (one().values[0] !== Number(LEGACY_MAGIC)) throw malformed('a torch file')
  one()
  const system = one().values[0]
  if (!(system instanceof Map) || system.get('little_endian') !== true)
    throw new Error('a torch file of a big-endian machine')
  const types = new Map<string, NumberType>()
  const ranges = new Map<string, ByteRange>()
  const locate = (key: string): ByteRange => {
    const found = ranges.get(key)
    if (!found) throw malformed('a torch storage')
    return found
  }
  const dialect = dialectWithStorages(locate)
  const objects = one({
    globals: dialect.globals,
    persistentLoad: id => {
      const storage = dialect.persistentLoad!(id)
      const [, storageClass, key] = id
      types.set(key as string, STORAGE_TYPES[(storageClass as PickleGlobal).name]!)
      return storage
    },
  })
  for (const key of one().values) {
    const type = types.get(key as string)
    if (type === undefined) throw malformed('a torch storage')
    const bytes = cursor.take(8).readUIntLE(0, 6) * ITEM_BYTES[type]
    ranges.set(key as string, cursor.skip(bytes))
  }
  return objects
}

/** Reads a pickle whole. */
function readAll(cursor: Cursor, dialect: PickleDialect): { isList: boolean; values: PickleValue[] } {
  const values: PickleValue[] = []
  const elements = readPickle(cursor, dialect)
  for (let next = elements.next(); ; next = elements.next()) {
    if (!next.done) values.push(next.value)
    else if (Array.isArray(next.value)) return { isList: true, values }
    else return { isList: false, values: [next.value] }
  }
}

/** A storage that `torch.storage._load_from_bytes` would load: torch's legacy format of that storage alone. */
function loadStorage(range: ByteRange): Numbers {
  const { values } = readLegacyTorch(range)
  if (!(values[0] instanceof Storage)) throw malformed('a torch storage')
  return values[0].locate()
}

function once<T>(make: () => T): () => T {
  let made: { value: T } | undefined
  return () => {
    made ??= { value: make() }
    return made.value
  }
}
