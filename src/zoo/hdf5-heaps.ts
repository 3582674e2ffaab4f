import { readFileSync, statSync } from 'node:fs'

/** Larger files are not looked through: only compiled files are, and they are made again where their hash differs. */
const MAX_BYTES = 64 * 2 ** 20

/**
 * Refuses a file whose global heaps (where HDF5 keeps texts of any length) would hold the library forever: it goes from
 * object to object by their sizes, and never on from free space of size 0. Nothing can stop it then, it is synchronous.
 * (HDF5 2.0.0, H5HGcache.c; found by bench/fuzz.mjs.)
 *
 * @throws Error where there is such a heap.
 */
export function checkHeaps(path: string): void {
  if (statSync(path).size > MAX_BYTES) return
  const bytes = readFileSync(path)
  for (let at = bytes.indexOf(HEAP); at >= 0; at = bytes.indexOf(HEAP, at + 1)) {
    if (neverEnds(bytes, at)) throw new Error(`damaged heap at byte ${at}`)
  }
}

/** Signature and version of a heap. */
const HEAP = Buffer.from('GCOL\x01', 'latin1')
/** Bytes of the head of a heap, and of an object in it. */
const HEAD = 16

function neverEnds(bytes: Buffer, heap: number): boolean {
  if (heap + HEAD > bytes.length) return false
  const end = Math.min(bytes.length, heap + Number(bytes.readBigUInt64LE(heap + 8)))
  for (let at = heap + HEAD; at + HEAD <= end; ) {
    const isFree = bytes.readUInt16LE(at) === 0
    // The library's sizes have 32 bits.
    const size = bytes.readUInt32LE(at + 8)
    const step = isFree ? size : (HEAD + Math.ceil(size / 8) * 8) % 2 ** 32
    if (step === 0) return true
    at += step
  }
  return false
}
