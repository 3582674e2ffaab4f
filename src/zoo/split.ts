import { RandomStream } from '../random.js'

/** A part of a zoo's networks, for work that learns from networks. */
export type NetworkPart = 'train' | 'validation' | 'test'

export const NETWORK_PARTS = ['train', 'validation', 'test'] as const

/** Networks of each part among 20 neighbours of a class. */
export type NetworkSplit = Readonly<Record<NetworkPart, number>>

/** 70, 15 and 15 per cent, the shares of other model zoos (Schürholt et al. 2022). */
export const NETWORK_SPLIT: NetworkSplit = { train: 14, validation: 3, test: 3 }

const BLOCK = 20

/**
 * Which part a network belongs to. Of every 20 networks of a class (0 to 19, 20 to 39, ...) 14 are drawn for training, 3
 * for validation and 3 for testing: a network's part follows from (seed, class, index), never changes as a zoo grows, and
 * every class is divided alike.
 */
export function partOf(seed: number, className: string, index: number): NetworkPart {
  const places = Uint32Array.from({ length: BLOCK }, (_, place) => place)
  new RandomStream(seed, className, Math.floor(index / BLOCK), 'split').shuffle(places)
  const place = places[index % BLOCK]!
  if (place < NETWORK_SPLIT.train) return 'train'
  return place < NETWORK_SPLIT.train + NETWORK_SPLIT.validation ? 'validation' : 'test'
}
