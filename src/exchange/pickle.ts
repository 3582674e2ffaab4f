import type { ByteRange, Cursor } from './byte-source.js'

/**
 * A reader of Python pickles (protocols 2 to 5) that executes nothing. A pickle is a program for a small stack machine;
 * this machine knows only the instructions that build plain data, and makes an object only where `PickleGlobals` names
 * its constructor and says what to do instead. Any other instruction or name is an error that names it.
 *
 * Large byte strings stay where they are, as ranges. Elements of an outermost list are given out one by one, as soon as
 * they are complete, and are then forgotten: a list of any length is read in little memory.
 */

/** What a pickle holds. Lists and tuples are arrays, dictionaries are maps, objects are whatever the globals make. */
export type PickleValue =
  | null
  | boolean
  | number
  | string
  | PickleBytes
  | PickleValue[]
  | Map<PickleValue, PickleValue>
  | PickleObject

/** A byte string, or a text too long to be a name. Protocol 2 writes bytes as text, one character a byte. */
export class PickleBytes {
  constructor(
    readonly range: ByteRange,
    /** Whether the bytes are the code points of UTF-8 text. */
    readonly asText = false,
  ) {}
}

/** What a global makes of its arguments. */
export abstract class PickleObject {
  /** Takes the state of a BUILD instruction. */
  setState(_state: PickleValue): void {
    throw new Error('an object that takes no state is given one')
  }
}

/** A name that a pickle may use, and what stands in for the Python object. */
export class PickleGlobal extends PickleObject {
  constructor(
    readonly name: string,
    /** Stands in for the call. */
    readonly call: (args: readonly PickleValue[]) => PickleValue,
  ) {
    super()
  }
}

/** What a pickle may use beside plain data. */
export interface PickleDialect {
  /** By full name, e.g. `numpy.dtype`. */
  readonly globals: ReadonlyMap<string, PickleGlobal>
  /** Objects that the writer stored elsewhere (torch's storages). Without it, none are allowed. */
  readonly persistentLoad?: ((id: readonly PickleValue[]) => PickleValue) | undefined
}

/**
 * Most values that are built before an outermost list takes its next elements; Python hands over 1,000 elements at once,
 * some 330,000 values of the published file.
 */
const MAX_VALUES = 4_000_000
/** Most values that may be referred to again: the published file of 10,610 networks has 1.3 million. */
const MAX_MEMO = 20_000_000
/** Longest text that is a name; a longer one stays in the file. */
const MAX_NAME_BYTES = 1024

/**
 * Reads one pickle from the cursor on, and leaves the cursor behind it.
 *
 * @returns after the elements of an outermost list: that list, empty; else the value
 * @throws Error naming the instruction or global that is refused, or the limit that is passed.
 */
export function* readPickle(
  cursor: Cursor,
  dialect: PickleDialect,
): Generator<PickleValue, PickleValue, void> {
  const machine = new PickleMachine(cursor, dialect)
  for (;;) {
    const outcome = machine.step()
    if (outcome.elements) yield* outcome.elements
    if (outcome.done) return outcome.done.value
  }
}

interface Outcome {
  elements?: PickleValue[]
  done?: { value: PickleValue }
}

const GOES_ON: Outcome = {}
/** Start of the items that an instruction like APPENDS takes. */
const MARK = Symbol('mark')

class PickleMachine {
  private readonly stack: (PickleValue | typeof MARK)[] = []
  private readonly memo: PickleValue[] = []
  private memoCount = 0
  private root: PickleValue[] | undefined
  private values = 0

  constructor(
    private readonly cursor: Cursor,
    private readonly dialect: PickleDialect,
  ) {}

  step(): Outcome {
    const at = this.cursor.position
    const opcode = this.cursor.byte()
    const instruction = INSTRUCTIONS.get(opcode)
    if (!instruction) {
      const code = `0x${opcode.toString(16).padStart(2, '0')}`
      const name = REFUSED[opcode] ? `${REFUSED[opcode]} (${code})` : code
      throw new Error(`refused: the pickle instruction ${name} at byte ${at} is none that plain data needs`)
    }
    const outcome = instruction(this, this.cursor)
    return (outcome as Outcome | undefined) ?? GOES_ON
  }

  push(value: PickleValue | typeof MARK): void {
    if (++this.values > MAX_VALUES)
      throw new Error(`refused: more than ${MAX_VALUES} values before the next element of the list`)
    this.stack.push(value)
  }

  pop(): PickleValue {
    const value = this.stack.pop()
    if (value === undefined || value === MARK) throw damaged()
    return value
  }

  popMany(count: number): PickleValue[] {
    const values: PickleValue[] = []
    for (let i = 0; i < count; i++) values.unshift(this.pop())
    return values
  }

  popToMark(): PickleValue[] {
    const start = this.stack.lastIndexOf(MARK)
    if (start < 0) throw damaged()
    return this.stack.splice(start).slice(1) as PickleValue[]
  }

  pushList(): void {
    const list: PickleValue[] = []
    if (this.stack.length === 0 && this.root === undefined) this.root = list
    this.push(list)
  }

  top(): PickleValue {
    const value = this.stack.at(-1)
    if (value === undefined || value === MARK) throw damaged()
    return value
  }

  append(items: PickleValue[]): Outcome {
    const list = this.top()
    if (!Array.isArray(list)) throw damaged()
    if (list === this.root) {
      this.values = this.stack.length
      return { elements: items }
    }
    for (const item of items) list.push(item)
    return GOES_ON
  }

  setItems(items: PickleValue[]): void {
    const map = this.top()
    if (!(map instanceof Map) || items.length % 2 === 1) throw damaged()
    for (let i = 0; i < items.length; i += 2) map.set(items[i]!, items[i + 1]!)
  }

  remember(index: number): void {
    if (!(index in this.memo) && ++this.memoCount > MAX_MEMO)
      throw new Error(`refused: more than ${MAX_MEMO} values that may be referred to again`)
    // Beyond the limit only in a hostile file; a sparse array would become a slow dictionary.
    if (index > MAX_MEMO) throw damaged()
    this.memo[index] = this.top()
  }

  memoize(): void {
    this.remember(this.memoCount)
  }

  recall(index: number): void {
    const value = this.memo[index]
    if (value === undefined) throw damaged()
    this.push(value)
  }

  global(name: string): void {
    const known = this.dialect.globals.get(name)
    if (!known)
      throw new Error(
        `refused: it asks for ${JSON.stringify(name)}, which is none of the tensors, arrays and plain data that are read`,
      )
    this.push(known)
  }

  reduce(): void {
    const args = this.pop()
    const callee = this.pop()
    if (!(callee instanceof PickleGlobal) || !Array.isArray(args)) throw damaged()
    this.push(callee.call(args))
  }

  build(): void {
    const state = this.pop()
    const object = this.top()
    if (!(object instanceof PickleObject)) throw damaged()
    object.setState(state)
  }

  persistent(): void {
    const id = this.pop()
    if (!Array.isArray(id) || !this.dialect.persistentLoad)
      throw new Error('refused: it refers to objects outside the file')
    this.push(this.dialect.persistentLoad(id))
  }
}

type Instruction = (machine: PickleMachine, cursor: Cursor) => unknown

function uint(cursor: Cursor, bytes: number): number {
  const value = Number(cursor.take(bytes).readUIntLE(0, Math.min(bytes, 6)))
  return value
}

/** Lengths of 8 bytes: no file reaches 2^48. */
function length8(cursor: Cursor): number {
  const bytes = cursor.take(8)
  if (bytes.readUInt16LE(6) !== 0) throw damaged()
  return bytes.readUIntLE(0, 6)
}

function pushText(machine: PickleMachine, cursor: Cursor, length: number): void {
  if (length > MAX_NAME_BYTES) machine.push(new PickleBytes(cursor.skip(length), true))
  else machine.push(cursor.take(length).toString('utf8'))
}

function pushBytes(machine: PickleMachine, cursor: Cursor, length: number): void {
  machine.push(new PickleBytes(cursor.skip(length)))
}

/** Little-endian two's complement; beyond 2^53 the nearest number. */
function long(cursor: Cursor, length: number): number {
  if (length > 16) throw new Error(`refused: an integer of ${length} bytes`)
  let value = 0n
  const bytes = cursor.take(length)
  for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i]!)
  return Number(BigInt.asIntN(length * 8, value))
}

/** The instructions of `pickle.py` that plain data, tensors and arrays need, by opcode. */
const INSTRUCTIONS: ReadonlyMap<number, Instruction> = new Map<number, Instruction>([
  [0x80, (_, cursor) => checkProtocol(cursor.byte())],
  // A frame only says how much to read ahead.
  [0x95, (_, cursor) => void cursor.take(8)],
  [code('.'), machine => ({ done: { value: machine.pop() } })],
  [code('('), machine => machine.push(MARK)],
  [code('N'), machine => machine.push(null)],
  [0x88, machine => machine.push(true)],
  [0x89, machine => machine.push(false)],
  [code('J'), (machine, cursor) => machine.push(cursor.take(4).readInt32LE())],
  [code('K'), (machine, cursor) => machine.push(cursor.byte())],
  [code('M'), (machine, cursor) => machine.push(uint(cursor, 2))],
  [0x8a, (machine, cursor) => machine.push(long(cursor, cursor.byte()))],
  [code('G'), (machine, cursor) => machine.push(cursor.take(8).readDoubleBE())],
  [0x8c, (machine, cursor) => pushText(machine, cursor, cursor.byte())],
  [code('X'), (machine, cursor) => pushText(machine, cursor, uint(cursor, 4))],
  [0x8d, (machine, cursor) => pushText(machine, cursor, length8(cursor))],
  [code('C'), (machine, cursor) => pushBytes(machine, cursor, cursor.byte())],
  [code('B'), (machine, cursor) => pushBytes(machine, cursor, uint(cursor, 4))],
  [0x8e, (machine, cursor) => pushBytes(machine, cursor, length8(cursor))],
  [0x96, (machine, cursor) => pushBytes(machine, cursor, length8(cursor))],
  [code(']'), machine => machine.pushList()],
  [code('a'), machine => machine.append([machine.pop()])],
  [code('e'), machine => machine.append(machine.popToMark())],
  [code(')'), machine => machine.push([])],
  [code('t'), machine => machine.push(machine.popToMark())],
  [0x85, machine => machine.push(machine.popMany(1))],
  [0x86, machine => machine.push(machine.popMany(2))],
  [0x87, machine => machine.push(machine.popMany(3))],
  [code('}'), machine => machine.push(new Map())],
  [code('s'), machine => machine.setItems(machine.popMany(2))],
  [code('u'), machine => machine.setItems(machine.popToMark())],
  [code('q'), (machine, cursor) => machine.remember(cursor.byte())],
  [code('r'), (machine, cursor) => machine.remember(uint(cursor, 4))],
  [0x94, machine => machine.memoize()],
  [code('h'), (machine, cursor) => machine.recall(cursor.byte())],
  [code('j'), (machine, cursor) => machine.recall(uint(cursor, 4))],
  [code('c'), (machine, cursor) => machine.global(`${cursor.line()}.${cursor.line()}`)],
  [0x93, machine => machine.global(machine.popMany(2).map(nameOf).join('.'))],
  [code('R'), machine => machine.reduce()],
  [code('b'), machine => machine.build()],
  [code('Q'), machine => machine.persistent()],
])

/** Names of what is refused, for the message. */
const REFUSED: Readonly<Record<number, string>> = {
  [code('i')]: 'INST',
  [code('o')]: 'OBJ',
  [0x81]: 'NEWOBJ',
  [0x92]: 'NEWOBJ_EX',
  [0x82]: 'EXT1',
  [0x83]: 'EXT2',
  [0x84]: 'EXT4',
  [code('P')]: 'PERSID',
  [0x97]: 'NEXT_BUFFER',
  [0x98]: 'READONLY_BUFFER',
  [0x8f]: 'EMPTY_SET',
  [0x90]: 'ADDITEMS',
  [0x91]: 'FROZENSET',
  [code('0')]: 'POP',
  [code('1')]: 'POP_MARK',
  [code('2')]: 'DUP',
  [0x8b]: 'LONG4',
}

function code(character: string): number {
  return character.charCodeAt(0)
}

function nameOf(value: PickleValue): string {
  if (typeof value === 'string') return value
  throw damaged()
}

function checkProtocol(protocol: number): void {
  if (protocol < 2 || protocol > 5)
    throw new Error(`pickle protocol ${protocol}; protocols 2 to 5 are read: write it again with protocol=4`)
}

function damaged(): Error {
  return new Error('it is damaged, or no pickle')
}
