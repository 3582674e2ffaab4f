import { fstatSync, readSync } from 'node:fs'

/**
 * Refuses what would hold the HDF5 library forever, which nothing can stop, as it is synchronous (HDF5 2.0.0,
 * H5HGcache.c, H5HLcache.c, H5B.c):
 *
 * - global heaps, which have texts of any length: it goes from object to object by their sizes, and never on from free
 *   space of size 0;
 * - local heaps, which have the names of older files' groups: it follows the list of their free blocks, which may lead
 *   back into itself, until all memory is used;
 * - trees of older files' groups: nodes that are children of several others are visited as often as paths lead to them.
 *
 * Each of these is read from where it begins, so the first bytes of every read tell: opened for reading, a file has
 * nothing in the library's accumulator of metadata (H5Faccum.c), which only writes begin to fill. Metadata can come out
 * of the middle of a read in a cache image alone; files that have one are refused.
 */
export class LoopCheck {
  /** How many leaves a visit to a tree's node comes to, by where the node begins. */
  private readonly leaves = new Map<number, number>()
  /** What the file's addresses count from. */
  private base = 0
  private readonly fileBytes: number
  private looks = 0
  private readonly block = Buffer.alloc(4096)
  /** Where the block lies in the file. */
  private blockStart = Number.POSITIVE_INFINITY

  /** @throws Error where the file's addresses and sizes have not 8 bytes each, as all have that are written today. */
  constructor(private readonly fd: number) {
    this.fileBytes = fstatSync(fd).size
    const head = Buffer.alloc(16)
    // Where the library looks for a superblock.
    for (let at = 0; readSync(fd, head, 0, head.length, at) === head.length; at = Math.max(512, 2 * at)) {
      if (!head.subarray(0, 8).equals(SUPERBLOCK)) continue
      const [addresses, sizes] = head[8]! < 2 ? head.subarray(13) : head.subarray(9)
      if (addresses !== 8 || sizes !== 8)
        throw new Error(`addresses of ${addresses} and sizes of ${sizes} bytes, and only 8 are read`)
      this.base = at
      return
    }
  }

  /**
   * Looks at bytes that the library has read at `position`.
   * @throws Error where they begin something that never ends.
   */
  check(bytes: Buffer, position: number): void {
    switch (bytes.toString('latin1', 0, SIGNATURE_BYTES)) {
      case GLOBAL_HEAP:
        if (!this.globalHeapEnds(position)) throw new Error(`damaged heap at byte ${position}`)
        break
      case LOCAL_HEAP:
        if (!this.localHeapEnds(position)) throw new Error(`damaged heap at byte ${position}`)
        break
      case GROUP_TREE: {
        // More leaves than the file has room for, and more than are visited at once.
        const most = Math.max(MAX_CHILDREN, this.fileBytes / MIN_LEAF_BYTES)
        if (this.leavesOf(position) > most) throw new Error(`damaged group at byte ${position}`)
        break
      }
      case CACHE_IMAGE:
        throw new Error('it has a metadata cache image')
    }
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

  private leavesOf(node: number): number {
    const known = this.leaves.get(node)
    if (known !== undefined) return known
    // Of a node below itself the library soon lets go, its stack being full.
    this.leaves.set(node, 0)
    const head = this.head(node)
    const [level, children] = [head[5]!, head.readUInt16LE(6)]
    let leaves = level === 0 ? children : 0
    for (let i = 0; level > 0 && i < children; i++) {
      this.count()
      // After the head, two neighbours and a key before every child.
      const child = this.base + Number(this.head(node + 32 + 16 * i).readBigUInt64LE(0))
      // The library refuses others.
      const isNode = child < this.fileBytes && this.signatureAt(child) === GROUP_TREE
      if (isNode) leaves += this.leavesOf(child)
    }
    this.leaves.set(node, leaves)
    return leaves
  }

  private count(): void {
    if (++this.looks > MAX_LOOKS) throw new Error(`heaps and groups of more than ${MAX_LOOKS} objects`)
  }

  private signatureAt(at: number): string {
    return this.head(at).toString('latin1', 0, SIGNATURE_BYTES)
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

/** Signature and version, or kind. */
const SIGNATURE_BYTES = 5
const GLOBAL_HEAP = 'GCOL\x01'
const LOCAL_HEAP = 'HEAP\0'
const GROUP_TREE = 'TREE\0'
const CACHE_IMAGE = 'MDCI\0'
/** Bytes of the head of a heap, of an object and of a free block. */
const HEAD = 16
const MIN_GLOBAL_HEAP_BYTES = 4096
const END_OF_FREE_BLOCKS = 1
/** Children that a node can have. */
const MAX_CHILDREN = 2 ** 16 - 1
/** Bytes of a tree's leaf, which has places for two members at least. */
const MIN_LEAF_BYTES = 88
/** Objects, free blocks and children in a file: 80 MB of them at least. */
const MAX_LOOKS = 5_000_000

const SUPERBLOCK = Buffer.from('\x89HDF\r\n\x1a\n', 'latin1')
