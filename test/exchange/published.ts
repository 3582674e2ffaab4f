import { readFileSync } from 'node:fs'
import type { ArchitectureSpec } from '../../dist/index.js'
import { fromRoot } from '../support.js'

/** A fixture in the published dataset's forms, written by Keras 2, Keras 3, h5py and torch; see test/fixtures/published.py. */
export const published = (file: string) => fromRoot(`test/fixtures/published/${file}`)

/** Of the fixtures' networks. */
export const publishedArchitecture: ArchitectureSpec = JSON.parse(
  readFileSync(published('architecture.json'), 'utf8'),
)
