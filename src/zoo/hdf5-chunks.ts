import { readSync } from 'node:fs'

/** What the library says of a float32 matrix whose rows are to be read from the file itself. */
export interface ChunkedLayout {
  readonly rows: number
  readonly columns: number
  /** Rows of a chunk; chunks are as wide as the matrix. */
  readonly chunkRows: number
  /** Whether every chunk is followed by its fletcher32 checksum, which is the only filter. */
  readonly checksums: boolean
  /** Where the file has the dataset's object header. */
  readonly header: number
}

/**
 * Rows of a chunked matrix straight from the file: a read is one `pread` into the caller's array. The HDF5 library
 * copies everything through WebAssembly memory and checks every chunk anew, at a fraction of the speed.
 *
 * Where the chunks lie is taken from the file's own index (HDF5 File Format Specification 3.0: object header version 2,
 * IV.A.2.i data layout message version 3, III.A.1 version 1 B-trees), which is what HDF5 1.8's format has for such
 * matrices. A chunk's checksum is checked when the chunk is first read.
 */
export class ChunkedRows {
  private readonly checked: Uint8Array
  private readonly chunkBytes: number
  private scratch: Uint8Array<ArrayBuffer> | undefined

  private constructor(
    private readonly fd: number,
    private readonly layout: ChunkedLayout,
    /** Where each chunk begins. */
    private readonly addresses: Float64Array,
  ) {
    this.checked = new Uint8Array(addresses.length)
    this.chunkBytes = layout.chunkRows * layout.columns * 4
  }

  /** `undefined` where the index is of another kind: then the library has to read. */
  static locate(fd: number, layout: ChunkedLayout): ChunkedRows | undefined {
    const tree = chunkTreeOf(fd, layout.header)
    const addresses = tree === undefined ? undefined : chunkAddresses(fd, tree, layout)
    return addresses && new ChunkedRows(fd, layout, addresses)
  }

  /**
   * Copies columns `columnStart` to `columnEnd` of the rows at `positions` to `out`, one row after another.
   * @throws Error for a chunk that the file does not hold whole, or whose checksum differs.
   */
  read(positions: Uint32Array, columnStart: number, columnEnd: number, out: Float32Array): void {
    const { columns, chunkRows } = this.layout
    const width = columnEnd - columnStart
    const bytes = new Uint8Array(out.buffer, out.byteOffset, out.byteLength)
    for (let i = 0; i < positions.length; ) {
      const position = positions[i]!
      const chunk = Math.floor(position / chunkRows)
      const row = position % chunkRows
      let count = 1
      // Whole rows that follow one another in a chunk are one read.
      if (width === columns) {
        while (row + count < chunkRows && positions[i + count] === position + count) count++
      }
      const from = (row * columns + columnStart) * 4
      this.readPart(chunk, from, bytes.subarray(i * width * 4, (i + count) * width * 4))
      i += count
    }
  }

  private readPart(chunk: number, from: number, into: Uint8Array): void {
    if (this.checked[chunk] === 0) into.set(this.check(chunk).subarray(from, from + into.length))
    else readWhole(this.fd, into, this.addresses[chunk]! + from)
  }

  /** Reads a whole chunk and compares its checksum. */
  private check(chunk: number): Uint8Array {
    const { checksums } = this.layout
    this.scratch ??= new Uint8Array(this.chunkBytes + (checksums ? 4 : 0))
    readWhole(this.fd, this.scratch, this.addresses[chunk]!)
    const data = this.scratch.subarray(0, this.chunkBytes)
    if (checksums) {
      const stored = new DataView(this.scratch.buffer).getUint32(this.chunkBytes, true)
      if (!isFletcher32(data, stored)) throw new Error(`the checksum of chunk ${chunk} differs`)
    }
    this.checked[chunk] = 1
    return data
  }
}

function readWhole(fd: number, into: Uint8Array, position: number): void {
  for (let done = 0; done < into.length; ) {
    const count = readSync(fd, into, done, into.length - done, position + done)
    if (count === 0) throw new Error('the file ends early')
    done += count
  }
}

function readBytes(fd: number, position: number, length: number): Buffer {
  const bytes = Buffer.alloc(length)
  readWhole(fd, bytes, position)
  return bytes
}

const LAYOUT_MESSAGE = 8
const CONTINUATION_MESSAGE = 16

/** The address of a dataset's chunk B-tree, from its object header. */
function chunkTreeOf(fd: number, header: number): number | undefined {
  const prefix = readBytes(fd, header, 26)
  if (prefix.toString('latin1', 0, 4) !== 'OHDR' || prefix[4] !== 2) return undefined
  const flags = prefix[5]!
  const withTimes = (flags & 0x20) !== 0
  const withLimits = (flags & 0x10) !== 0
  const sizeAt = 6 + (withTimes ? 16 : 0) + (withLimits ? 4 : 0)
  const sizeBytes = 1 << (flags & 3)
  // The length of the first part has as many bytes as it needs; larger than 4 GiB it never is.
  const size = prefix.subarray(sizeAt, sizeAt + 4).readUIntLE(0, Math.min(sizeBytes, 4))
  const parts = [{ at: header + sizeAt + sizeBytes, size }]
  for (const { at, size } of parts) {
    const messages = readBytes(fd, at, size)
    const headBytes = (flags & 4) !== 0 ? 6 : 4
    for (let next = 0; next + headBytes <= size; ) {
      const type = messages[next]!
      const length = messages.readUInt16LE(next + 1)
      const body = messages.subarray(next + headBytes, next + headBytes + length)
      if (type === LAYOUT_MESSAGE) return isChunkedBTree(body) ? Number(body.readBigUInt64LE(3)) : undefined
      if (type === CONTINUATION_MESSAGE) {
        // Begins with its signature, ends with its checksum.
        const [start, whole] = [Number(body.readBigUInt64LE(0)), Number(body.readBigUInt64LE(8))]
        parts.push({ at: start + 4, size: whole - 8 })
      }
      next += headBytes + length
    }
  }
  return undefined
}

/** Version 3 of the message, class 2 (chunked), two dimensions and the element's size. */
function isChunkedBTree(message: Buffer): boolean {
  return message[0] === 3 && message[1] === 2 && message[2] === 3
}

/** Where every chunk begins, by its number; `undefined` where a chunk is missing, compressed or of another size. */
function chunkAddresses(fd: number, tree: number, layout: ChunkedLayout): Float64Array | undefined {
  const { rows, columns, chunkRows, checksums } = layout
  const chunkBytes = chunkRows * columns * 4 + (checksums ? 4 : 0)
  const addresses = new Float64Array(Math.ceil(rows / chunkRows))
  const nodes = [tree]
  for (const node of nodes) {
    const head = readBytes(fd, node, 24)
    if (head.toString('latin1', 0, 4) !== 'TREE' || head[4] !== 1) return undefined
    const level = head[5]!
    const entries = head.readUInt16LE(6)
    // A key (size, filters left out, offsets of row, column and byte) and the address of what it leads to.
    const entryBytes = 4 + 4 + 3 * 8 + 8
    const body = readBytes(fd, node + 24, entries * entryBytes)
    for (let i = 0; i < entries; i++) {
      const entry = body.subarray(i * entryBytes, (i + 1) * entryBytes)
      const address = Number(entry.readBigUInt64LE(32))
      if (level > 0) {
        nodes.push(address)
        continue
      }
      const chunk = Number(entry.readBigUInt64LE(8)) / chunkRows
      const column = entry.readBigUInt64LE(16)
      if (entry.readUInt32LE(0) !== chunkBytes || entry.readUInt32LE(4) !== 0 || column !== 0n)
        return undefined
      addresses[chunk] = address
    }
  }
  return addresses.includes(0) ? undefined : addresses
}

/** 16-bit words that can be summed before the sum of sums leaves 32 bits. */
const WORDS_PER_BLOCK = 360

/**
 * Whether bytes have this checksum, HDF5's fletcher32 over big-endian 16-bit words. Both sums are modulo 65535, in which
 * to swap the bytes of every word is to swap those of the sums: so words are summed as this machine has them.
 */
export function isFletcher32(bytes: Uint8Array<ArrayBuffer>, stored: number): boolean {
  const words = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2)
  let sum = 0
  let sumOfSums = 0
  for (let start = 0; start < words.length; start += WORDS_PER_BLOCK) {
    const end = Math.min(words.length, start + WORDS_PER_BLOCK)
    for (let i = start; i < end; i++) {
      sum = (sum + words[i]!) | 0
      sumOfSums = (sumOfSums + sum) | 0
    }
    sum = (sum >>> 0) % 65535
    sumOfSums = (sumOfSums >>> 0) % 65535
  }
  const swapped = (value: number) => ((value & 0xff) << 8) | (value >> 8)
  return (
    swapped(sum) % 65535 === (stored & 0xffff) % 65535 &&
    swapped(sumOfSums) % 65535 === (stored >>> 16) % 65535
  )
}
