import { readSync } from 'node:fs'

/** Bytes that are read where they lie: a file of any size, or a buffer. */
export interface ByteSource {
  readonly size: number
  /** Exactly `length` bytes from `start`. @throws Error where the source ends before. */
  read(start: number, length: number): Buffer
}

/** A part of a source, which is read only when it is asked for. */
export interface ByteRange {
  readonly source: ByteSource
  readonly start: number
  readonly length: number
}

export function fileSource(descriptor: number, size: number): ByteSource {
  return {
    size,
    read: (start, length) => {
      if (start + length > size) throw endsEarly()
      const buffer = Buffer.allocUnsafe(length)
      for (let at = 0; at < length; ) {
        const count = readSync(descriptor, buffer, at, length - at, start + at)
        if (count === 0) throw endsEarly()
        at += count
      }
      return buffer
    },
  }
}

export function bufferSource(buffer: Buffer): ByteSource {
  return {
    size: buffer.length,
    read: (start, length) => {
      if (start + length > buffer.length) throw endsEarly()
      return buffer.subarray(start, start + length)
    },
  }
}

/** Goes through a range from its start, small reads out of a window, large parts passed over. */
export class Cursor {
  private window: Buffer = Buffer.alloc(0)
  private windowStart = 0
  /** Where the next byte lies in the source. */
  position: number
  private readonly end: number

  constructor(
    private readonly range: ByteRange,
    /** Bytes read ahead; a torch storage's head is some 300. */
    private readonly windowBytes = 64 * 1024,
  ) {
    this.position = range.start
    this.end = range.start + range.length
  }

  byte(): number {
    return this.take(1)[0]!
  }

  /** The next `length` bytes, not many. */
  take(length: number): Buffer {
    if (length > this.end - this.position) throw endsEarly()
    let at = this.position - this.windowStart
    if (at < 0 || at + length > this.window.length) {
      const bytes = Math.min(Math.max(this.windowBytes, length), this.end - this.position)
      this.window = this.range.source.read(this.position, bytes)
      this.windowStart = this.position
      at = 0
    }
    this.position += length
    return this.window.subarray(at, at + length)
  }

  /** The next `length` bytes as a range, without reading them. */
  skip(length: number): ByteRange {
    if (length > this.end - this.position) throw endsEarly()
    const range = { source: this.range.source, start: this.position, length }
    this.position += length
    return range
  }

  /** Up to the next line end, which is not part of it. */
  line(most = 256): string {
    const bytes: number[] = []
    for (let byte = this.byte(); byte !== 10; byte = this.byte()) {
      if (bytes.length === most) throw new Error(`a line of more than ${most} bytes`)
      bytes.push(byte)
    }
    return Buffer.from(bytes).toString('latin1')
  }
}

function endsEarly(): Error {
  return new Error('it ends early: truncated')
}
