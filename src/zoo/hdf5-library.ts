import { resolve } from 'node:path'
import type { File } from 'h5wasm'
import h5wasm from 'h5wasm/node'
import { LoopCheck } from './hdf5-loops.js'

/**
 * A file open in the HDF5 library: the only place that talks to it. h5wasm works on real files, synchronously once
 * loaded; here it is made to throw on errors (its default is to return garbage), to open no file but the one that is
 * asked for, to write the same bytes whatever the time of day, and to leave nothing open.
 *
 * Every error leaves h5wasm past the code that would have closed datasets, types and so the file. Therefore an instance
 * in which something failed opens no more files, and what a file has left open is closed behind the library's back.
 */
export class LibraryFile {
  private constructor(
    private readonly instance: Instance,
    /** To be used within {@link call} only. */
    readonly file: File,
    private readonly streams: readonly FileStream[],
  ) {}

  /** Opens a file, a new one where it is to be written. */
  static async open(path: string, mode: 'r' | 'w'): Promise<LibraryFile> {
    let instance = await newestInstance()
    while (instance.failed) instance = await newestInstance()
    const streams: FileStream[] = []
    try {
      return new LibraryFile(instance, instance.open(resolve(path), mode, streams), streams)
    } catch (error) {
      instance.closeLeft(streams)
      throw error
    }
  }

  /** The system's descriptor of the file, which is open until {@link close}. */
  get descriptor(): number {
    return this.streams.at(-1)!.nfd
  }

  /** Runs what uses the file. */
  call<T>(work: () => T): T {
    return this.instance.run(work)
  }

  /** Closes the file, whatever comes of it. @throws Error where it cannot be closed in order. */
  close(): void {
    try {
      this.call(() => this.file.close())
    } finally {
      this.instance.closeLeft(this.streams)
    }
  }
}

type Members = Awaited<typeof h5wasm.ready>

/** HDF5 1.8's format (2008) lifts the limit of 64 KiB on an attribute; nothing newer is needed, so old readers work. */
const FORMAT_BOUNDS: ['v108', 'v110'] = ['v108', 'v110']

/** The one instance in which nothing has failed yet. */
let newest: Promise<Instance> | undefined
/** h5wasm's classes know one module only; its members are those of the instance that works now. */
let working: Members | undefined

function newestInstance(): Promise<Instance> {
  newest ??= instantiate()
  return newest
}

async function instantiate(): Promise<Instance> {
  const module = await h5wasm.ready
  if (working === undefined) {
    working = lend(module)
    return new Instance(working, module)
  }
  // What h5wasm itself begins with.
  const factory = new URL('hdf5_util.js', import.meta.resolve('h5wasm/node')).href
  const { default: create } = (await import(factory)) as { default: (options: object) => Promise<Members> }
  const created = await create({ noInitialRun: true })
  return new Instance(created, created)
}

/** Takes the members out of the module that h5wasm's classes use, which has those of `working` from then on. */
function lend(module: Members): Members {
  const own: Record<string, unknown> = { ...module }
  for (const name of Object.keys(own)) {
    Object.defineProperty(module, name, {
      get: () => working![name as keyof Members],
      // The view of a memory that has grown.
      set: value => {
        own[name] = value
      },
    })
  }
  return own as unknown as Members
}

/** The library once, with memory of its own. */
class Instance {
  /** Whether anything failed in it. */
  failed = false
  private readonly files: FileSystem
  /** The file that the library may open now: an HDF5 file can name others to read from (links, external data). */
  private openable: { path: string; mode: 'r' | 'w'; streams: FileStream[] } | undefined
  private readonly checks = new WeakMap<FileStream, LoopCheck>()
  /** Streams of the temporary files that the library prints every error into, and leaves open. */
  private readonly errorStreams: FileStream[] = []
  /** Why a read was refused. */
  private refusal: Error | undefined

  constructor(
    private readonly members: Members,
    /** Where the instance itself looks for its members. */
    private readonly module: Members & { _work?: () => void },
  ) {
    members.activate_throwing_error_handler()
    this.files = members.FS as unknown as FileSystem
    this.guardFiles()
  }

  open(path: string, mode: 'r' | 'w', streams: FileStream[]): File {
    this.openable = { path, mode, streams }
    try {
      return this.run(() => new h5wasm.File(path, mode, mode === 'w' ? { libver: FORMAT_BOUNDS } : {}))
    } finally {
      this.openable = undefined
    }
  }

  run<T>(work: () => T): T {
    const { stderr } = process
    const { write } = stderr
    // The library prints some complaints of its own; errors here are one line that names the file.
    stderr.write = () => true
    // HDF5 stamps every dataset with the time, and equal zoos should be equal files.
    const { now } = Date
    Date.now = () => 0
    working = this.members
    try {
      const result = this.onOwnStack(work)
      if (this.refusal) throw this.refusal
      return result
    } catch (error) {
      this.fail()
      throw this.refusal ?? error
    } finally {
      this.refusal = undefined
      this.closeLeft(this.errorStreams.splice(0))
      stderr.write = write
      Date.now = now
    }
  }

  /** Closes those streams that are open still; the library, which has them open, is not asked to do anything more. */
  closeLeft(streams: readonly FileStream[]): void {
    for (const stream of streams) {
      if (this.files.getStream(stream.fd) !== stream) continue
      this.fail()
      this.files.close(stream)
    }
  }

  private fail(): void {
    if (!this.failed) newest = undefined
    this.failed = true
  }

  /**
   * An error leaves the library without giving back the stack that it had in WebAssembly's memory: some 2,000 errors, and
   * it would grow into the library's data. `ccall` gives it back, after a function with text among its arguments.
   */
  private onOwnStack<T>(work: () => T): T {
    let outcome: { result: T } | { error: unknown } | undefined
    this.module._work = () => {
      try {
        outcome = { result: work() }
      } catch (error) {
        outcome = { error }
      }
    }
    this.module.ccall('work', null, ['string'], [''])
    if ('error' in outcome!) throw outcome.error
    return outcome!.result
  }

  private guardFiles(): void {
    const { files } = this
    const { open, fstat, read } = files
    files.open = (path, flags, mode) => {
      const asked = path === this.openable?.path ? this.openable : undefined
      // tmpfile() of the C library: opened exclusively and unlinked at once.
      if (!asked && !/\/tmpfile_\w+$/.test(path)) throw new files.ErrnoError(ACCESS_DENIED)
      const stream = open(path, flags, mode)
      ;(asked?.streams ?? this.errorStreams).push(stream)
      if (asked?.mode === 'r') this.refusing(() => this.checks.set(stream, new LoopCheck(stream.nfd)))
      return stream
    }
    // The library would take files of one device and inode for one, also where the first was left open long ago.
    let inodes = 0
    files.fstat = fd => Object.assign(fstat(fd), { ino: ++inodes })
    files.read = (stream, buffer, offset, length, position) => {
      const start = position ?? stream.position
      const count = read(stream, buffer, offset, length, position)
      this.refusing(() => this.checks.get(stream)?.check(Buffer.from(buffer.buffer, offset, count), start))
      return count
    }
  }

  /** Tells the library that the file cannot be read where a check throws. */
  private refusing(check: () => void): void {
    try {
      check()
    } catch (error) {
      this.refusal ??= error as Error
      throw new this.files.ErrnoError(INPUT_OUTPUT)
    }
  }
}

/** Emscripten's numbers of EACCES and EIO. */
const ACCESS_DENIED = 2
const INPUT_OUTPUT = 29

interface FileStream {
  /** The library's number. */
  readonly fd: number
  /** The system's. */
  readonly nfd: number
  readonly position: number
}

/** What is used of Emscripten's file system, which here is the real one. */
interface FileSystem {
  open(path: string, flags: number, mode?: number): FileStream
  fstat(fd: number): object
  read(stream: FileStream, buffer: Int8Array, offset: number, length: number, position?: number): number
  close(stream: FileStream): void
  getStream(fd: number): FileStream | undefined
  ErrnoError: new (errno: number) => Error
}
