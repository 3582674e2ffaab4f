/** What is wrong with a file of a zoo. */
export interface Finding {
  /** Path within the zoo, e.g. `models/church_3.weights.h5`. */
  readonly file: string
  /**
   * - `damaged`: not what was written
   * - `missing`: listed, and not there
   * - `unknown`: there, and nothing lists it
   * - `unfinished`: not done yet (planned networks, half-written files); training goes on with them
   * - `stale`: compiled of other networks than the zoo has now
   * - `differs`: training or evaluating again gave something else
   */
  readonly kind: 'damaged' | 'missing' | 'unknown' | 'unfinished' | 'stale' | 'differs'
  /** What exactly, and what mends it, in a line. */
  readonly message: string
}

/** Collects what an audit of a zoo finds. */
export class Audit {
  readonly findings: Finding[] = []
  readonly notes: string[] = []
  /** Files of the zoo, by their path within it, that something accounts for. */
  readonly known = new Set<string>()
  files = 0
  bytes = 0

  constructor(readonly zooPath: string) {}

  find(kind: Finding['kind'], file: string, message: string): void {
    this.findings.push({ file, kind, message })
  }

  /** A file has been read through. */
  count(bytes: number): void {
    this.files++
    this.bytes += bytes
  }

  has(file: string): boolean {
    return this.findings.some(finding => finding.file === file)
  }
}
