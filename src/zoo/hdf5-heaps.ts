import { fstatSync, readSync } from 'node:fs'

/**
 * Refuses heaps that would hold the HDF5 library forever, which nothing can stop, as it is synchronous (HDF5 2.0.0,
 * H5HGcache.c and H5HLcache.c; found by bench/fuzz.mjs):
 *
 * - global heaps, which have texts of any length: it goes from object to object by their sizes, and never on from free
 *   space of size 0;
 * - local heaps, which have the names of older files' groups: it follows the list of their free blocks, which may lead
 *   back into itself, until all memory is used.
 *
 * The library has heaps from the file as they are, so what it reads is looked through for the signature of one. The
 * signature may come in two reads, in any order, as the library keeps metadata that lie side by side.
 */
export class HeapCheck {
  /** Where heaps begin that are known to end. */
  private readonly sound = new Set<number>()
  /** What the file's addresses count from. */
  private base = 0
  private readonly fileBytes: number
  private objects = 0
  private readonly block = Buffer.alloc(4096)
  /** Where the block lies in the file. */
  private blockStart = Number.POSITIVE_INFINITY

  /** @throws Error where the file's sizes have not 8 bytes, as all have that are written today: heaps differ then. */
  constructor(private readonly fd: number) {
    this.fileBytes = fstatSync(fd).size
    const head = Buffer.alloc(16)
    // Where the library looks for a superblock.
    for (let at = 0; readSync(fd, head, 0, head.length, at) === head.length; at = Math.max(512, 2 * at)) {
      if (!head.subarray(0, 8).equals(SUPERBLOCK)) continue
      const bytes = head[8]! < 2 ? head[14] : head[10]
      this.base = at
      if (bytes !== 8) throw new Error(`sizes of ${bytes} bytes, and only those of 8 are read`)
      return
    }
  }

  /**
   * Looks through bytes that the library has read at `position`.
   * @throws Error where a heap begins in them that never ends.
   */
  check(bytes: Buffer, position: number): void {
    for (const signature of SIGNATURES) {
      for (let at = bytes.indexOf(signature); at >= 0; at = bytes.indexOf(signature, at + 1))
        this.checkHeap(signature, position + at)
      this.checkEdge(signature, bytes[0], position)
      this.checkEdge(signature, bytes.at(-1), position + bytes.length)
    }
  }

  /** `byte` is beside `edge`, where a read ended or began. */
  private checkEdge(signature: Buffer, byte: number | undefined, edge: number): void {
    if (byte === undefined || !signature.includes(byte)) return
    const start = Math.max(0, edge - signature.length + 1)
    const around = Buffer.alloc(2 * (signature.length - 1))
    readSync(this.fd, around, 0, around.length, start)
    const at = around.indexOf(signature)
    if (at >= 0) this.checkHeap(signature, start + at)
  }

  private checkHeap(signature: Buffer, heap: number): void {
    if (this.sound.has(heap)) return
    const ends = signature === GLOBAL_HEAP ? this.globalHeapEnds(heap) : this.localHeapEnds(heap)
    if (!ends) throw new Error(`damaged heap at byte ${heap}`)
    this.sound.add(heap)
  }

  private globalHeapEnds(heap: number): boolean {
    // The library's sizes have 32 bits.
    const size = this.head(heap).readUInt32LE(8)
    // Refused by the library; most often no heap at all.
    if (size < MIN_GLOBAL_HEAP_BYTES || heap + size > this.fileBytes) return true
    for (let at = heap + HEAD; at + HEAD <= heap + size; ) {
      this.count()
      const object = this.head(at)
      const isFree = object.readUInt16LE(0) === 0
      const bytes = object.readUInt32LE(8)
      const step = isFree ? bytes : (HEAD + Math.ceil(bytes / 8) * 8) % 2 ** 32
      if (step === 0) return false
      at += step
    }
    return true
  }

  private localHeapEnds(heap: number): boolean {
    const size = this.head(heap).readUInt32LE(8)
    const addresses = this.head(heap + HEAD)
    const blocks = this.base + Number(addresses.readBigUInt64LE(8))
    if (blocks + size > this.fileBytes) return true
    let free = addresses.readUInt32LE(0)
    // No more than that fit into it. The library refuses blocks outside.
    for (let left = size / HEAD; free !== END_OF_FREE_BLOCKS && free < size; left--) {
      this.count()
      if (left < 0) return false
      free = this.head(blocks + free).readUInt32LE(0)
    }
    return true
  }

  private count(): void {
    if (++this.objects > MAX_OBJECTS) throw new Error(`heaps of more than ${MAX_OBJECTS} objects`)
  }

  /** 16 bytes of the file; past the file's end there are zeros, as there are for the library. */
  private head(at: number): Buffer {
    if (!(at >= this.blockStart && at + HEAD <= this.blockStart + this.block.length)) {
      const count = readSync(this.fd, this.block, 0, this.block.length, at)
      this.block.fill(0, count)
      this.blockStart = at
    }
    return this.block.subarray(at - this.blockStart, at - this.blockStart + HEAD)
  }
}

/** Signature and version. */
const GLOBAL_HEAP = Buffer.from('GCOL\x01', 'latin1')
const SIGNATURES = [GLOBAL_HEAP, Buffer.from('HEAP\0', 'latin1')]
/** Bytes of the head of a heap, of an object and of a free block. */
const HEAD = 16
const MIN_GLOBAL_HEAP_BYTES = 4096
const END_OF_FREE_BLOCKS = 1
/** In all heaps of a file: 80 MB of them at least. */
const MAX_OBJECTS = 5_000_000

const SUPERBLOCK = Buffer.from('\x89HDF\r\n\x1a\n', 'latin1')
