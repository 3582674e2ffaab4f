import { IMAGENETTE_CLASSES } from '../images/imagenette-classes.js'
import type { Spread } from '../zoo/summary.js'
import type { Zoo } from '../zoo/zoo.js'

const spread = (min: number, mean: number, max: number): Spread => ({ min, mean, max })

/**
 * What Kurtenbach & Shamir report (*An open dataset of neural networks for hypernetwork research*, Electronics 14(14)
 * 2831, 2025): accuracy and mean F1 over 1,061 networks a class, the cost, and how well classes are told from weights.
 */
export const PAPER = {
  networks: 10_000,
  coreHours: 298_000,
  /** Best accuracy of telling a network's class from its weights, of ten classes, 10,000 networks. */
  classification: 0.72,
  all: { accuracy: spread(0.87, 0.915, 0.949), f1: 0.412 },
  classes: {
    tench: { accuracy: spread(0.932, 0.942, 0.949), f1: 0.665 },
    english_springer: { accuracy: spread(0.894, 0.911, 0.92), f1: 0.412 },
    cassette_player: { accuracy: spread(0.916, 0.928, 0.937), f1: 0.506 },
    chain_saw: { accuracy: spread(0.897, 0.903, 0.908), f1: 0.12 },
    church: { accuracy: spread(0.901, 0.911, 0.921), f1: 0.411 },
    french_horn: { accuracy: spread(0.886, 0.9, 0.907), f1: 0.265 },
    garbage_truck: { accuracy: spread(0.892, 0.917, 0.927), f1: 0.484 },
    gas_pump: { accuracy: spread(0.87, 0.892, 0.901), f1: 0.228 },
    golf_ball: { accuracy: spread(0.898, 0.912, 0.919), f1: 0.407 },
    parachute: { accuracy: spread(0.92, 0.937, 0.944), f1: 0.626 },
  } as Readonly<Record<string, { accuracy: Spread; f1: number }>>,
}

/** Whether a zoo is of the paper's kind, so that its figures may stand beside the paper's. */
export function resemblesPaper({ classNames, architecture }: Zoo): boolean {
  const names: readonly string[] = Object.values(IMAGENETTE_CLASSES)
  return (
    architecture.name === 'lenet5' &&
    classNames.length === names.length &&
    classNames.every(name => names.includes(name))
  )
}
