/** 0: done. 1: something went wrong. 2: the command line itself is wrong. 130: interrupted, as shells have it. */
export const EXIT = { failure: 1, usage: 2, interrupted: 130 }
