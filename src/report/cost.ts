import type { Zoo } from '../zoo/zoo.js'

/** What training a zoo took. A network trains on one core. */
export interface ZooCost {
  /** Networks whose time is known. */
  readonly networks: number
  readonly coreHours: number
  readonly secondsPerNetwork: number
  readonly networksPerCoreHour: number
  /** Names of the engines that trained them. */
  readonly engines: readonly string[]
}

/** Adds up the seconds of the ledger; `null` where it knows none, as of an imported zoo. */
export function costOf({ networks: all }: Zoo): ZooCost | null {
  const networks = all.filter(({ seconds }) => Number.isFinite(seconds))
  if (networks.length === 0) return null
  const seconds = networks.reduce((sum, network) => sum + network.seconds, 0)
  return {
    networks: networks.length,
    coreHours: seconds / 3600,
    secondsPerNetwork: seconds / networks.length,
    networksPerCoreHour: (3600 * networks.length) / seconds,
    engines: [...new Set(networks.map(({ engine }) => engine))],
  }
}
