import type { Zoo } from '../zoo/zoo.js'
import { KEYWORDS, licenseOf, PAPER, sourceOf, summaryOf } from './dataset-description.js'
import type { MetadataColumn } from './metadata-table.js'

/** Names of the Croissant vocabulary, version 1.1. https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html */
const CONTEXT = {
  '@language': 'en',
  '@vocab': 'https://schema.org/',
  cr: 'http://mlcommons.org/croissant/',
  dct: 'http://purl.org/dc/terms/',
  rai: 'http://mlcommons.org/croissant/RAI/',
  sc: 'https://schema.org/',
  data: { '@id': 'cr:data', '@type': '@json' },
  dataType: { '@id': 'cr:dataType', '@type': '@vocab' },
  examples: { '@id': 'cr:examples', '@type': '@json' },
  description: { '@container': '@language' },
  name: { '@container': '@language' },
  conformsTo: 'dct:conformsTo',
  ...Object.fromEntries(
    [
      'arrayShape',
      'citeAs',
      'column',
      'containedIn',
      'equivalentProperty',
      'extract',
      'field',
      'fileObject',
      'fileProperty',
      'fileSet',
      'format',
      'includes',
      'isArray',
      'isLiveDataset',
      'jsonPath',
      'key',
      'md5',
      'parentField',
      'path',
      'recordSet',
      'references',
      'regex',
      'repeated',
      'replace',
      'samplingRate',
      'separator',
      'source',
      'subField',
      'transform',
    ].map(term => [term, `cr:${term}`]),
  ),
}

const TYPES = { text: 'sc:Text', integer: 'sc:Integer', number: 'sc:Float' } as const

/** The Croissant description (JSON-LD) of a dataset folder: its Parquet files, and a record for every network. */
export function croissant(zoo: Zoo, columns: readonly MetadataColumn[]): object {
  const { architecture } = zoo
  const field = (name: string, description: string, type: object) => ({
    '@type': 'cr:Field',
    '@id': `networks/${name}`,
    name,
    description,
    ...type,
    source: { fileSet: { '@id': 'parquet-files' }, extract: { column: name } },
  })
  const license = licenseOf(zoo)
  return {
    '@context': CONTEXT,
    '@type': 'sc:Dataset',
    conformsTo: 'http://mlcommons.org/croissant/1.1',
    name: `${architecture.name}-${sourceOf(zoo)}`.replaceAll(/[^A-Za-z0-9_.-]+/g, '-'),
    description: `${summaryOf(zoo)} ${license.note.replaceAll('\n', ' ')}`,
    license: license.link ?? license.id,
    citeAs: PAPER,
    keywords: KEYWORDS,
    version: '1.0.0',
    datePublished: new Date().toISOString().slice(0, 10),
    distribution: [
      {
        '@type': 'cr:FileSet',
        '@id': 'parquet-files',
        name: 'parquet-files',
        description: 'the networks, by split',
        encodingFormat: 'application/x-parquet',
        includes: 'data/*.parquet',
      },
    ],
    recordSet: [
      {
        '@type': 'cr:RecordSet',
        '@id': 'networks',
        name: 'networks',
        description: 'one record a network',
        key: { '@id': 'networks/name' },
        field: [
          ...columns.map(({ name, type, description }) =>
            field(name, description, { dataType: TYPES[type] }),
          ),
          field('weights', 'flat weights; the dataset card has their order', {
            dataType: 'sc:Float',
            isArray: true,
            arrayShape: String(architecture.parameterCount),
          }),
        ],
      },
    ],
  }
}
