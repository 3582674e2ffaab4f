import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { openSafetensors } from '../../dist/index.js'
import { temporaryFolder } from '../support.js'

/** A file of the given header and data, at a path that goes away with the test. */
async function fileOf(header: unknown, data: ArrayBufferView = new Uint8Array(0)): Promise<string> {
  const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(json.length))
  const path = join(await temporaryFolder(), 'file.safetensors')
  await writeFile(
    path,
    Buffer.concat([length, json, Buffer.from(data.buffer, data.byteOffset, data.byteLength)]),
  )
  return path
}

async function refusal(header: unknown, data?: ArrayBufferView): Promise<string> {
  return openSafetensors(await fileOf(header, data)).then(
    () => 'opened',
    error => error.message.replace(/^.*no safetensors file /, ''),
  )
}

describe('openSafetensors', () => {
  it.each([
    // 1, -2, 1/3 rounded, 65504 (the largest), 2^-24 (the smallest), -0, infinity
    [
      'F16',
      Uint16Array.of(0x3c00, 0xc000, 0x3555, 0x7bff, 0x0001, 0x8000, 0x7c00),
      [1, -2, 0.333251953125, 65504, 2 ** -24, -0, Infinity],
    ],
    ['BF16', Uint16Array.of(0x3f80, 0xc000, 0x3eab, 0x7f7f), [1, -2, 0.333984375, 3.3895313892515355e38]],
    ['F32', Float32Array.of(1.5, -0), [1.5, -0]],
    ['F64', Float64Array.of(0.1), [Math.fround(0.1)]],
    ['I64', BigInt64Array.of(-3n), [-3]],
    ['U8', Uint8Array.of(0, 255), [0, 255]],
  ])('reads %s as float32', async (dtype, data, values) => {
    const header = { t: { dtype, shape: [values.length], data_offsets: [0, data.byteLength] } }
    const file = await openSafetensors(await fileOf(header, data))
    expect([...(await file.floats('t'))]).toEqual(values)
    await file.close()
  })

  it('reads a scalar, an empty tensor and rows of a tensor of three axes', async () => {
    const header = {
      scalar: { dtype: 'F32', shape: [], data_offsets: [0, 4] },
      empty: { dtype: 'F32', shape: [0, 3], data_offsets: [4, 4] },
      cube: { dtype: 'F32', shape: [2, 2, 2], data_offsets: [4, 36] },
    }
    const file = await openSafetensors(await fileOf(header, Float32Array.of(9, 1, 2, 3, 4, 5, 6, 7, 8)))
    expect([...(await file.floats('scalar'))]).toEqual([9])
    expect(await file.floats('empty')).toHaveLength(0)
    expect([...(await file.rows('cube', 1, 2))]).toEqual([5, 6, 7, 8])
    expect(() => file.rows('cube', 1, 3)).toThrow('invalid rows; cube has 2: 1 to 3')
    expect(() => file.floats('cubes')).toThrow('did you mean "cube"?')
    await file.close()
  })

  it('refuses what is damaged, and says how', async () => {
    const tensor = { dtype: 'F32', shape: [2], data_offsets: [0, 8] }
    expect(await refusal('{"t":')).toBe('(its header is not JSON)')
    expect(await refusal('[1]')).toBe('(its header is not JSON)')
    expect(await refusal({ t: tensor })).toMatch(/^\(tensor t of shape 2 has bytes \d+ to \d+ of \d+\)$/)
    expect(await refusal({ t: { ...tensor, shape: [3] } }, new Float32Array(9))).toMatch(
      /^\(tensor t of shape 3/,
    )
    expect(await refusal({ t: { ...tensor, data_offsets: [8, 0] } }, new Float32Array(9))).toMatch(
      /^\(tensor t/,
    )
    expect(await refusal({ t: { ...tensor, data_offsets: [-8, 0] } })).toMatch(
      /lacks dtype, shape or data_offsets/,
    )
    expect(await refusal({ t: { ...tensor, dtype: 'F4' } }, new Float32Array(2))).toMatch(
      /has type F4, known are/,
    )
    expect(await refusal({ __metadata__: { a: 1 } })).toBe('(__metadata__ is not a list of texts)')
    const path = join(await temporaryFolder(), 'x.safetensors')
    await expect(openSafetensors(path)).rejects.toThrow(`no such file: ${path}`)
    await writeFile(path, 'short')
    await expect(openSafetensors(path)).rejects.toThrow('(5 bytes)')
    await writeFile(path, Buffer.alloc(20, 255))
    await expect(openSafetensors(path)).rejects.toThrow(/a header of \d+ bytes in 20/)
  })
})
