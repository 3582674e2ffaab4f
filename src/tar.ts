// Tar as POSIX (ustar, pax) and GNU write it, read as a stream. Of the headers that extend others only name and size are
// taken, so that no crafted one costs more than its bytes.

/** A file or folder in a tar. */
export interface TarMember {
  readonly name: string
  readonly isFolder: boolean
  /** In bytes, as the header says. */
  readonly size: number
  /** All bytes of a file; to be called before the next member is asked for, or not at all. */
  read(): Promise<Uint8Array>
}

/** What is wrong with a tar. */
export class TarError extends Error {
  constructor(
    readonly kind: 'truncated' | 'damaged' | 'refused',
    message: string,
  ) {
    super(message)
  }
}

const BLOCK = 512
const ZEROS = Buffer.alloc(BLOCK)
/** Longest header that extends another: 1 MiB, far above any path. */
const MAX_EXTENSION_BYTES = 2 ** 20

/**
 * The files and folders of a tar, in its order; links and devices are passed over.
 * @throws TarError
 */
export async function* tarMembers(source: AsyncIterable<Uint8Array>): AsyncGenerator<TarMember> {
  const bytes = new ByteReader(source[Symbol.asyncIterator]())
  let extension: Extension = {}
  for (let block = await bytes.take(BLOCK); block.length > 0; block = await bytes.take(BLOCK)) {
    if (block.length < BLOCK) throw truncated()
    if (block.equals(ZEROS)) continue
    const header = headerOf(block)
    const { type } = header
    const { name, size } = { ...header, ...extension }
    const isFolder = type === '5' || (FILES.has(type) && name.endsWith('/'))
    const padded = (length: number) => Math.ceil(length / BLOCK) * BLOCK
    if (type === 'x' || type === 'L') {
      if (header.size > MAX_EXTENSION_BYTES)
        throw new TarError('refused', `refused: a name or its attributes of ${header.size} bytes`)
      const content = await bytes.all(padded(header.size))
      const text = Buffer.from(content).toString('utf8', 0, header.size)
      extension = { ...extension, ...(type === 'L' ? { name: untilNul(text) } : paxOf(content, header.size)) }
    } else if (type === 'g' || type === 'K') {
      await bytes.skip(padded(header.size))
    } else {
      extension = {}
      let rest = isFolder ? 0 : padded(size)
      const read = async () => {
        const content = await bytes.all(size)
        rest -= size
        return content
      }
      if (isFolder || FILES.has(type)) yield { name, isFolder, size: isFolder ? 0 : size, read }
      await bytes.skip(rest)
    }
  }
}

/** Plain files: of POSIX, of older tars, and contiguous ones. */
const FILES: ReadonlySet<string> = new Set(['0', '\0', '7'])

interface Extension {
  readonly name?: string
  readonly size?: number
}

function headerOf(block: Buffer): { name: string; size: number; type: string } {
  if (!hasTarChecksum(block)) throw new TarError('damaged', 'a header with a wrong checksum')
  const text = (start: number, length: number) => untilNul(block.toString('utf8', start, start + length))
  const prefix = block.toString('latin1', 257, 263) === 'ustar\0' ? text(345, 155) : ''
  const name = prefix ? `${prefix}/${text(0, 100)}` : text(0, 100)
  return { name, size: sizeIn(block), type: String.fromCharCode(block[156]!) }
}

/** Octal, or, where the first bit is set, binary. */
function sizeIn(block: Buffer): number {
  const field = block.subarray(124, 136)
  const digits = untilNul(field.toString('latin1')).trim()
  const isBinary = field[0] === 0x80
  const size = isBinary ? Number(field.readBigUInt64BE(4)) : digits === '' ? 0 : Number(`0o${digits}`)
  return checkSize(isBinary && field.readUInt32BE() !== 0x80000000 ? Number.NaN : size)
}

function checkSize(size: number): number {
  if (Number.isSafeInteger(size) && size >= 0) return size
  throw new TarError('damaged', 'a header with a wrong size')
}

/** Records `<length> <key>=<value>\n`, the length being in bytes and that of the whole record. */
function paxOf(content: Uint8Array, length: number): Extension {
  const bytes = Buffer.from(content.buffer, content.byteOffset, length)
  let extension: Extension = {}
  for (let at = 0; at < length; ) {
    const [head, digits] = /^(\d{1,7}) /.exec(bytes.toString('latin1', at, at + 8)) ?? []
    const end = at + Number(digits)
    if (!head || end <= at + head.length || end > length)
      throw new TarError('damaged', 'attributes that are none')
    const [, key, value] = /^([^=]*)=(.*)\n$/s.exec(bytes.toString('utf8', at + head.length, end)) ?? []
    if (key === 'path' && value) extension = { ...extension, name: value }
    if (key === 'size' && value) extension = { ...extension, size: checkSize(Number(value)) }
    at = end
  }
  return extension
}

function untilNul(text: string): string {
  return text.split('\0', 1)[0]!
}

/** A tar header holds, in octal at byte 148, the sum of its own bytes with that field taken as spaces. */
export function hasTarChecksum(header: Buffer): boolean {
  const stored = Number.parseInt(header.toString('latin1', 148, 156).trim(), 8)
  let sum = 8 * 32
  for (let i = 0; i < BLOCK; i++) if (i < 148 || i >= 156) sum += header[i]!
  return stored === sum
}

/** Takes bytes out of a stream of chunks; nothing is allocated for bytes that have not come. */
class ByteReader {
  private chunk: Buffer = Buffer.alloc(0)

  constructor(private readonly chunks: AsyncIterator<Uint8Array>) {}

  /** The next `length` bytes, fewer where the stream ends. */
  async take(length: number): Promise<Buffer> {
    const parts: Buffer[] = []
    for (let missing = length; missing > 0 && (await this.fill()); ) {
      const part = this.chunk.subarray(0, missing)
      this.chunk = this.chunk.subarray(part.length)
      missing -= part.length
      parts.push(part)
    }
    return parts.length === 1 ? parts[0]! : Buffer.concat(parts)
  }

  async all(length: number): Promise<Buffer> {
    const bytes = await this.take(length)
    if (bytes.length < length) throw truncated()
    return bytes
  }

  async skip(length: number): Promise<void> {
    for (let missing = length; missing > 0; ) {
      if (!(await this.fill())) throw truncated()
      const passed = Math.min(missing, this.chunk.length)
      this.chunk = this.chunk.subarray(passed)
      missing -= passed
    }
  }

  private async fill(): Promise<boolean> {
    while (this.chunk.length === 0) {
      const next = await this.chunks.next()
      if (next.done) return false
      this.chunk = Buffer.from(next.value.buffer, next.value.byteOffset, next.value.byteLength)
    }
    return true
  }
}

function truncated(): TarError {
  return new TarError('truncated', 'it ends early')
}
