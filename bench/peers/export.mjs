// Writes an image set as raw files for the peers: node bench/peers/export.mjs <images> <folder>
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ImageFolderLoader } from '../../dist/index.js'

const [source, folder] = process.argv.slice(2)
const { shape, classNames, train, validation } = await new ImageFolderLoader({ source }).load()
mkdirSync(folder, { recursive: true })
for (const [name, split] of Object.entries({ train, validation })) {
  writeFileSync(join(folder, `${name}.f32`), split.pixels)
  writeFileSync(join(folder, `${name}_labels.u8`), split.labels)
}
writeFileSync(
  join(folder, 'meta.json'),
  JSON.stringify({ shape, classNames, train: train.count, validation: validation.count }),
)
