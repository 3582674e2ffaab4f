import { writePieces } from './export-job.js'

/** Number types of `.npy` files that weightzoo writes, in numpy's words. */
export type NpyType = '<f4' | '<f8' | '<i4'

/**
 * Writes an array as numpy's `.npy`, version 1.0, row-major: `numpy.load`, also with `mmap_mode='r'`.
 * https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
 *
 * @param data the values at once, or piece by piece
 */
export async function writeNpy(
  path: string,
  type: NpyType,
  shape: readonly number[],
  data: ArrayBufferView | AsyncIterable<ArrayBufferView>,
): Promise<void> {
  await writePieces(path, pieces())

  async function* pieces() {
    yield npyHeader(type, shape)
    if (ArrayBuffer.isView(data)) yield data
    else yield* data
  }
}

function npyHeader(type: NpyType, shape: readonly number[]): Uint8Array {
  // A Python tuple of one needs its comma.
  const tuple = shape.length === 1 ? `${shape[0]},` : shape.join(', ')
  const text = `{'descr': '${type}', 'fortran_order': False, 'shape': (${tuple}), }`
  // Magic, version and length take 10 bytes; the data starts at a multiple of 64, as numpy has it, so that it can be mapped.
  const length = Math.ceil((10 + text.length + 1) / 64) * 64 - 10
  const header = Buffer.alloc(10 + length, ' ')
  header.write('\x93NUMPY\x01\x00', 'latin1')
  header.writeUInt16LE(length, 8)
  header.write(text, 10, 'latin1')
  header.write('\n', 10 + length - 1)
  return header
}
