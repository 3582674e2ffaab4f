import { type ColumnSource, fileWriter, ParquetWriter, type SchemaElement } from 'hyparquet-writer'
import { writePageHeader } from 'hyparquet-writer/src/datapage.js'
import type { NetworkRecord } from '../zoo/ledger.js'
import type { Zoo } from '../zoo/zoo.js'
import type { ExportedNetwork } from './export-job.js'
import { type MetadataColumn, metadataColumns } from './metadata-table.js'

/** A zoo's metadata, one row a network. */
export async function writeMetadataParquet(path: string, zoo: Zoo): Promise<void> {
  const table = new ParquetTable(path, metadataColumns(zoo))
  table.writeGroup(zoo.networks)
  table.close()
}

/**
 * A Parquet file of networks: columns of metadata and, where asked for, their weights as a last column of lists of
 * float32.
 *
 * hyparquet-writer does all but the lists: it takes them value by value, which would be nearly all of an export's time.
 * Here a network's weights are one page whose bytes are those of the array.
 */
export class ParquetTable {
  private readonly writer: ReturnType<typeof fileWriter>
  private readonly file: ParquetWriter

  constructor(
    path: string,
    private readonly columns: readonly MetadataColumn[],
    { weights = false }: { weights?: boolean } = {},
  ) {
    this.writer = fileWriter(path)
    this.file = new ParquetWriter({
      writer: this.writer,
      schema: [
        { name: 'schema', num_children: columns.length + (weights ? 1 : 0) },
        ...columns.map(schemaOf),
        ...(weights ? WEIGHTS_SCHEMA : []),
      ],
      createdBy: 'weightzoo',
    })
  }

  /** Writes rows as a row group of their own. */
  writeGroup(networks: readonly NetworkRecord[]): void {
    const columnData = this.columns.map((column): ColumnSource => {
      const values = networks.map(column.read)
      return {
        name: column.name,
        data:
          column.type === 'integer' ? values.map(value => (value === null ? null : BigInt(value))) : values,
      }
    })
    this.file.write({ columnData, rowGroupSize: networks.length })
  }

  /** The same with the networks' weights. */
  writeGroupWithWeights(networks: readonly ExportedNetwork[]): void {
    this.writeGroup(networks.map(({ record }) => record))
    const start = this.writer.offset
    for (const { weights } of networks) writeListPage(this.writer, weights)
    const size = BigInt(this.writer.offset - start)
    const group = this.file.row_groups.at(-1)!
    group.columns.push({
      file_offset: BigInt(start),
      meta_data: {
        type: 'FLOAT',
        encodings: ['PLAIN', 'RLE'],
        path_in_schema: WEIGHTS_SCHEMA.map(({ name }) => name),
        codec: 'UNCOMPRESSED',
        num_values: BigInt(networks.reduce((sum, { weights }) => sum + weights.length, 0)),
        total_uncompressed_size: size,
        total_compressed_size: size,
        data_page_offset: BigInt(start),
      },
    })
    group.total_byte_size += size
    group.total_compressed_size = (group.total_compressed_size ?? 0n) + size
  }

  close(): void {
    this.file.finish()
  }
}

/** Parquet's three levels of a list in which nothing may be missing. */
const WEIGHTS_SCHEMA: SchemaElement[] = [
  { name: 'weights', repetition_type: 'REQUIRED', converted_type: 'LIST', num_children: 1 },
  { name: 'list', repetition_type: 'REPEATED', num_children: 1 },
  { name: 'element', repetition_type: 'REQUIRED', type: 'FLOAT' },
]

function schemaOf({ name, type }: MetadataColumn): SchemaElement {
  const element = { name, repetition_type: 'OPTIONAL' } as const
  switch (type) {
    case 'text':
      return { ...element, type: 'BYTE_ARRAY', converted_type: 'UTF8' }
    case 'integer':
      return { ...element, type: 'INT64' }
    case 'number':
      return { ...element, type: 'DOUBLE' }
  }
}

/**
 * One row of the list column as a data page (version 2): the repetition levels (0 for the row's first value, 1 for
 * the others) and definition levels (1: every value is there) as runs, then the values as they are.
 * https://parquet.apache.org/docs/file-format/data-pages/encodings
 */
function writeListPage(writer: ReturnType<typeof fileWriter>, values: Float32Array): void {
  const repetition = [...run(1, 0), ...run(values.length - 1, 1)]
  const definition = run(values.length, 1)
  const size = repetition.length + definition.length + values.byteLength
  writePageHeader(writer, {
    type: 'DATA_PAGE_V2',
    uncompressed_page_size: size,
    compressed_page_size: size,
    data_page_header_v2: {
      num_values: values.length,
      num_nulls: 0,
      num_rows: 1,
      encoding: 'PLAIN',
      definition_levels_byte_length: definition.length,
      repetition_levels_byte_length: repetition.length,
      is_compressed: false,
    },
  })
  writer.appendBytes(Uint8Array.from([...repetition, ...definition]))
  writer.appendBytes(new Uint8Array(values.buffer, values.byteOffset, values.byteLength))
}

/** `count` times the level `value`: the count doubled as a variable-length integer, then the value in a byte. */
function run(count: number, value: number): number[] {
  if (count === 0) return []
  const bytes: number[] = []
  let rest = count * 2
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) + 0x80)
  return [...bytes, rest, value]
}
