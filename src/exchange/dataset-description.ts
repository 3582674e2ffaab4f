import { IMAGENETTE_CLASSES } from '../images/imagenette-classes.js'
import { describedImages } from '../zoo/manifest.js'
import type { Zoo } from '../zoo/zoo.js'

// What the dataset card and the Croissant file both say of a zoo.

/** The paper whose dataset a zoo of the default recipe repeats. */
export const PAPER = `@article{kurtenbach2025open,
  title   = {An open dataset of neural networks for hypernetwork research},
  author  = {Kurtenbach, David and Shamir, Lior},
  journal = {Electronics},
  volume  = {14},
  number  = {14},
  pages   = {2831},
  year    = {2025},
  doi     = {10.3390/electronics14142831},
  note    = {arXiv:2507.15869}
}`

export const KEYWORDS = ['model-zoo', 'weight-space', 'hypernetworks', 'neural-network-weights']

/** What the weights are made of decides what may be done with them. */
export interface License {
  /** The hub's identifier. */
  readonly id: 'other' | 'unknown'
  readonly name?: string
  readonly link?: string
  readonly note: string
}

export function licenseOf(zoo: Zoo): License {
  const imagenette = new Set<string>(Object.values(IMAGENETTE_CLASSES))
  if (!zoo.classNames.every(name => imagenette.has(name))) {
    return {
      id: 'unknown',
      note: `The networks were trained on "${sourceOf(zoo)}"; say here what its licence allows, and under which one you publish the weights.`,
    }
  }
  return {
    id: 'other',
    name: 'imagenet-terms-of-access',
    link: 'https://www.image-net.org/download.php',
    note: `The networks were trained on Imagenette, a subset of ImageNet, whose images are for non-commercial research and
educational use (https://www.image-net.org/download.php). This dataset holds weights and no image; whether ImageNet's
terms reach weights trained on its images is not settled, so treat them alike unless you know better.`,
  }
}

/** The images that the networks were trained on, or where the networks were imported from. */
export function sourceOf({ manifest }: Zoo): string {
  if (manifest.imported) return manifest.imported.source
  return describedImages(manifest)
    .map(({ name }) => name)
    .join(', ')
}

/** One sentence. */
export function summaryOf(zoo: Zoo): string {
  const { networks, architecture, classNames } = zoo
  const present = new Set(networks.map(network => network.class))
  const classes = classNames.filter(name => present.has(name)).length
  const count = (n: number) => n.toLocaleString('en-US')
  return `${count(networks.length)} trained ${architecture.name} networks of ${count(architecture.parameterCount)} weights each, one-versus-all classifiers of ${classes} classes (${sourceOf(zoo)}).`
}
