import type { ParameterEntry } from '../architecture/architecture.js'
import type { Hdf5Writer } from './hdf5.js'

/** Puts the parameter table of a matrix's columns into its attributes. */
export function attachTable(file: Hdf5Writer, dataset: string, parameters: readonly ParameterEntry[]): void {
  const texts = (pick: (entry: ParameterEntry) => string) => parameters.map(pick)
  const numbers = (pick: (entry: ParameterEntry) => number) => Int32Array.from(parameters, pick)
  file.attribute(
    'layer',
    texts(({ layer }) => layer),
    dataset,
  )
  file.attribute(
    'part',
    texts(({ part }) => part),
    dataset,
  )
  file.attribute(
    'shape',
    texts(({ shape }) => JSON.stringify(shape)),
    dataset,
  )
  file.attribute(
    'offset',
    numbers(({ offset }) => offset),
    dataset,
  )
  file.attribute(
    'size',
    numbers(({ size }) => size),
    dataset,
  )
}
