// Exports a zoo to every format, beside a plain copy of its model files: node bench/export.mjs <zoo>
// Prints a Markdown table: files, bytes, seconds, networks a second, and the time as a multiple of the copy's. Every format
// reads and checks all weights; the copy does not. The models are copied once before, so that all find them cached.
import { cpSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { EXPORT_FORMATS, exportZoo, openZoo } from '../dist/index.js'

const [path] = process.argv.slice(2)
if (!path) throw new Error('usage: node bench/export.mjs <zoo>')
const zoo = await openZoo(path)
const folder = mkdtempSync(join(tmpdir(), 'weightzoo-export-'))

/** Seconds that `write` takes to fill a new folder, which goes away. */
async function timed(write) {
  const out = join(folder, 'out')
  const started = performance.now()
  const result = await write(out)
  const seconds = (performance.now() - started) / 1000
  rmSync(out, { recursive: true })
  return { ...result, seconds }
}

try {
  const models = join(path, 'models')
  const names = readdirSync(models)
  const size = names.reduce((sum, name) => sum + statSync(join(models, name)).size, 0)
  const copy = out => cpSync(models, out, { recursive: true })
  await timed(copy)
  const { seconds: copied } = await timed(copy)
  console.log(
    `${zoo.networks.length} networks of ${zoo.architecture.parameterCount} weights; node ${process.version}\n`,
  )
  console.log('| format | files | MB | seconds | networks/s | of a copy |\n|---|---|---|---|---|---|')
  const line = (name, files, bytes, seconds) =>
    console.log(
      `| ${name} | ${files} | ${(bytes / 1e6).toFixed(1)} | ${seconds.toFixed(2)} | ${(zoo.networks.length / seconds).toFixed(0)} | ${(seconds / copied).toFixed(1)} |`,
    )
  line('copy of models/', names.length, size, copied)
  for (const format of Object.keys(EXPORT_FORMATS)) {
    const { files, bytes, seconds } = await timed(out => exportZoo(zoo, { format, out }))
    line(format, files, bytes, seconds)
  }
  console.log(`\nlargest memory ${(process.resourceUsage().maxRSS / 1024).toFixed(0)} MB`)
} finally {
  rmSync(folder, { recursive: true, force: true })
}
