/**
 * 0: done. 1: something went wrong. 2: the command line itself is wrong. 3: done, but for networks that failed and are
 * on record. 130: interrupted, as shells have it.
 */
export const EXIT = { failure: 1, usage: 2, failedNetworks: 3, interrupted: 130 }
