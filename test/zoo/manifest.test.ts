import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { parseManifest } from '../../dist/zoo/manifest.js'
import { seal } from '../../dist/zoo/seal.js'
import { sharedFolder, trainSmallZoo } from '../support.js'

const folder = sharedFolder()
let manifest: Record<string, unknown>
beforeAll(async () => {
  const { path } = await trainSmallZoo(join(folder, 'zoo'), { perClass: 1, classes: ['stripes'] })
  const { check: _, ...fields } = JSON.parse(await readFile(join(path, 'zoo.json'), 'utf8'))
  manifest = fields
})

/** What stands in `zoo.json` may be anybody's, its checksum included. */
describe('zoo.json', () => {
  it('is read as it was written', () => {
    expect(parseManifest('zoo.json', seal(manifest, 2))).toEqual(manifest)
  })

  it.each<[string, object]>([
    ['is not a weightzoo manifest', { format: 'zoo' }],
    ['is not a weightzoo manifest', { formatVersion: undefined }],
    ['is not a weightzoo manifest', { formatVersion: '2' }],
    ['has format version 99; this weightzoo reads up to', { formatVersion: 99 }],
    ['lacks classNames, or has it in another form', { classNames: 'stripes' }],
    ['lacks plan, or has it in another form', { plan: { stripes: -1 } }],
    ['lacks plan, or has it in another form', { plan: { stripes: 5e9 } }],
    ['lacks recipe, or has it in another form', { recipe: null }],
    ['lacks recipe.architecture, or has it in another form', { recipe: { architecture: {} } }],
    ['lacks recipe.architecture, or has it in another form', { recipe: { architecture: { layers: [1] } } }],
    ['lacks images, or has it in another form', { images: { name: 'x' } }],
    ['lacks imageSets, or has it in another form', { imageSets: 'x' }],
    ['lacks imageSets, or has it in another form', { imageSets: [{ name: 'x' }] }],
    ['lacks stores.outputs, or has it in another form', { stores: { outputs: {} } }],
  ])('that %s, is refused', (message, change) => {
    const recipe =
      'recipe' in change && change.recipe ? { ...(manifest.recipe as object), ...change.recipe } : null
    const text = seal({ ...manifest, ...change, ...(recipe && { recipe }) }, 2)
    expect(() => parseManifest('zoo.json', text)).toThrow(`zoo.json ${message}`)
  })
})
