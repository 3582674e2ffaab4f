import { describe, expect, it } from 'vitest'
import { isZooError, ZooError } from '../dist/errors.js'
import { checkOptionNames, invalidOption, isCount, suggestion } from '../dist/options.js'

const KNOWN = ['perClass', 'epochs', 'batchSize', 'out']

describe('suggestion', () => {
  it.each([
    ['perclass', 'did you mean "perClass"?'],
    ['PERCLASS', 'did you mean "perClass"?'],
    ['epoch', 'did you mean "epochs"?'],
    ['batch_size', 'did you mean "batchSize"?'],
    ['uot', 'known are perClass, epochs, batchSize, out'],
    ['learningRate', 'known are perClass, epochs, batchSize, out'],
  ])('%s: %s', (name, expected) => {
    expect(suggestion(name, KNOWN)).toBe(expected)
  })
})

describe('checkOptionNames', () => {
  it('lets known names through, set or not', () => {
    expect(() => checkOptionNames({ epochs: 3, out: undefined }, KNOWN, 'trainZoo')).not.toThrow()
  })

  it('names the first unknown one, with its value in the fields', () => {
    const check = () => checkOptionNames({ epochs: 3, perclass: 5, batch: 1 }, KNOWN, 'trainZoo')
    expect(check).toThrow(
      expect.objectContaining({
        tag: 'option',
        message: 'unknown option of trainZoo: "perclass"; did you mean "perClass"?',
        fields: { name: 'perclass', value: 5 },
      }),
    )
  })
})

describe('invalidOption', () => {
  it.each([
    [0, '0'],
    [Number.NaN, 'NaN'],
    [null, 'null'],
    ['two words', 'two words'],
    [[1, 2], '[1,2]'],
    [undefined, 'undefined'],
  ])('ends with the value %j', (value, shown) => {
    expect(invalidOption('epochs', value, 'needs a positive integer')).toMatchObject({
      tag: 'option',
      message: `invalid epochs; needs a positive integer: ${shown}`,
      fields: { name: 'epochs', value },
    })
  })
})

describe('isCount', () => {
  it.each([1, 25, 2 ** 53 - 1])('%d is one', value => expect(isCount(value)).toBe(true))
  it.each([0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, '3', null])('%j is none', value => {
    expect(isCount(value)).toBe(false)
  })
})

describe('isZooError', () => {
  it('asks for weightzoo errors, and for one tag of them', () => {
    const error = new ZooError('zoo', 'no zoo', { path: 'x' }, { cause: 'y' })
    expect(error).toBeInstanceOf(Error)
    expect(error).toMatchObject({ name: 'ZooError', cause: 'y' })
    expect([isZooError(error), isZooError(error, 'zoo'), isZooError(error, 'option')]).toEqual([
      true,
      true,
      false,
    ])
    expect(isZooError(new Error('no zoo'))).toBe(false)
  })
})
