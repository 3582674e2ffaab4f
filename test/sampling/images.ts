import { createImageSet, type ImageSet } from '../../dist/images/image-set.js'

/** Training images of each class of Imagenette, 9,469 in all. */
export const IMAGENETTE_COUNTS = {
  tench: 963,
  english_springer: 955,
  cassette_player: 993,
  chain_saw: 858,
  church: 941,
  french_horn: 956,
  garbage_truck: 961,
  gas_pump: 931,
  golf_ball: 951,
  parachute: 960,
}

/** Images of one pixel, so many of each class, the classes mixed; one of each class to validate on. */
export function imagesOf(counts: Record<string, number>): ImageSet {
  const classNames = Object.keys(counts)
  const places = classNames.flatMap((className, label) =>
    Array.from({ length: counts[className]! }, (_, i) => ({ label, place: i / counts[className]! })),
  )
  const labels = places.sort((a, b) => a.place - b.place).map(({ label }) => label)
  return createImageSet({
    name: 'one pixel',
    classNames,
    shape: [1, 1, 1],
    train: { pixels: labels.map((_, i) => i / labels.length), labels },
    validation: { pixels: classNames.map(() => 0.5), labels: [...classNames.keys()] },
  })
}
