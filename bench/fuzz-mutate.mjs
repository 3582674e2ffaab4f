// Mutations of bytes and of JSON, drawn from a random stream.

const HOSTILE_NUMBERS = [0, 1, 2, 0x7f, 0x80, 0xff, 0xffff, 0x7fffffff, 0xffffffff, 2 ** 40, 2 ** 53 - 1]

/** One to six mutations of a copy. */
export function mutateBytes(bytes, random) {
  let out = Buffer.from(bytes)
  const times = 1 + random.integer(6)
  for (let i = 0; i < times && out.length > 0; i++) out = pick(BYTE_MUTATIONS, random)(out, random)
  return out
}

export const pick = (list, random) => list[random.integer(list.length)]

const BYTE_MUTATIONS = [
  // bits
  (out, random) => {
    const at = random.integer(out.length)
    out[at] ^= 1 << random.integer(8)
    return out
  },
  (out, random) => {
    for (let i = random.integer(20); i >= 0; i--) out[random.integer(out.length)] = random.integer(256)
    return out
  },
  // the first 512 bytes, where heads are
  (out, random) => {
    out[random.integer(Math.min(512, out.length))] = random.integer(256)
    return out
  },
  // truncation
  (out, random) => out.subarray(0, random.integer(out.length + 1)),
  // a part again, elsewhere
  (out, random) => {
    const start = random.integer(out.length)
    const part = Buffer.from(out.subarray(start, start + 1 + random.integer(64)))
    part.copy(out, random.integer(out.length))
    return out
  },
  // a part taken out, or put in twice
  (out, random) => {
    const start = random.integer(out.length)
    const end = Math.min(out.length, start + 1 + random.integer(300))
    return random.integer(2) === 0
      ? Buffer.concat([out.subarray(0, start), out.subarray(end)])
      : Buffer.concat([out.subarray(0, end), out.subarray(start)])
  },
  // a number of 1 to 8 bytes: lengths, offsets, counts
  (out, random) => {
    const size = pick([1, 2, 4, 8], random)
    if (out.length < size) return out
    const at = Math.floor(random.integer(out.length - size + 1) / size) * size
    const value = BigInt(pick(HOSTILE_NUMBERS, random)) & ((1n << BigInt(8 * size)) - 1n)
    for (let i = 0; i < size; i++) out[at + i] = Number((value >> BigInt(8 * i)) & 0xffn)
    return out
  },
  // zeros, or ones
  (out, random) => {
    const start = random.integer(out.length)
    out.fill(random.integer(2) * 255, start, Math.min(out.length, start + 1 + random.integer(64)))
    return out
  },
]

/** A value like a JSON document's, with one to three places changed. */
export function mutateJson(value, random) {
  const copy = structuredClone(value)
  for (let i = random.integer(3); i >= 0; i--) {
    const places = []
    collect(copy, places)
    if (places.length === 0) return copy
    const [holder, key] = pick(places, random)
    if (random.integer(5) === 0) {
      if (Array.isArray(holder)) holder.splice(Number(key), 1)
      else delete holder[key]
    } else if (random.integer(8) === 0 && !Array.isArray(holder)) {
      const name = pick(['__proto__', 'constructor', 'toString', '', '../x', 'a\0b'], random)
      Object.defineProperty(holder, name, {
        value: holder[key],
        enumerable: true,
        configurable: true,
        writable: true,
      })
    } else {
      holder[key] = pick(HOSTILE_VALUES, random)(holder[key])
    }
  }
  return copy
}

function collect(value, places) {
  if (typeof value !== 'object' || value === null) return
  for (const key of Object.keys(value).slice(0, 50)) {
    places.push([value, key])
    collect(value[key], places)
  }
}

const HOSTILE_VALUES = [
  () => null,
  () => true,
  () => 0,
  () => -1,
  () => 0.5,
  () => 1e308,
  () => 2 ** 53,
  () => 2 ** 31,
  () => 4_000_000_000,
  () => '',
  () => '../../../../tmp/weightzoo-outside',
  () => '/tmp/weightzoo-outside',
  () => 'con',
  () => 'a\0b',
  () => '\u202e\ud800',
  () => 'x'.repeat(100_000),
  () => 'line\nline',
  () => [],
  () => ({}),
  () => nested(500),
  () => Array.from({ length: 1000 }, (_, i) => i),
  value => [value],
  value => ({ value }),
  value => (typeof value === 'number' ? value + 1 : String(value)),
  value => (typeof value === 'number' ? value * 1e6 : [value, value]),
]

function nested(depth) {
  let value = []
  for (let i = 0; i < depth; i++) value = i % 2 ? [value] : { value }
  return value
}

/** Mutations of JSON text itself. */
export function mutateText(text, random) {
  const deep = 100_000
  return pick(
    [
      () => mutateBytes(Buffer.from(text), random),
      () => text.replace(/"(\w+)":/, '"__proto__":'),
      () => text.replace(/\d+/, '1e999'),
      () => `${'['.repeat(deep)}${']'.repeat(deep)}`,
      () => `${'{"a":'.repeat(deep)}1${'}'.repeat(deep)}`,
      () => text.slice(0, -3),
      () => `\ufeff${text}`,
      () => text + text,
    ],
    random,
  )()
}
