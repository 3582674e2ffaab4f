// Builds the C++ kernel.
//
//   node native/build.mjs             the addon, if this machine can: one line and exit 0 where it cannot (npm ci)
//   node native/build.mjs required    the addon, or the compiler's words and exit 1
//   node native/build.mjs prebuild    the addon, copied to prebuilds/<platform>-<arch>/ for the tarball
//   node native/build.mjs wasm        prebuilds/wasm32/weightzoo.wasm, which is committed
//   node native/build.mjs check-wasm  whether the committed file is what the source gives
//   node native/build.mjs bench       the loops that measure this machine's peak, for bench/
//
// Nothing is compiled twice: objects are named by a hash of their source, flags and compiler. Nothing is downloaded:
// Node's headers lie beside node, or come from the node-api-headers package. No flag depends on the machine (never
// -march=native): the addon picks its instruction set at run time.

import { execFile, execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)
const native = dirname(fileURLToPath(import.meta.url))
const root = dirname(native)
const output = join(native, 'build')

const KERNEL_FLAGS = [
  '-std=c++17',
  '-O3',
  // Reproducible bits: a multiply-add is fused where the source says so and nowhere else.
  '-ffp-contract=off',
  '-fno-math-errno',
  '-fno-trapping-math',
  '-fno-exceptions',
  '-fno-rtti',
  '-fvisibility=hidden',
  '-Wall',
]

const UNITS = [
  { source: 'addon/addon.cpp' },
  { source: 'kernel/kernel.cpp' },
  { source: 'kernel/kernel_baseline.cpp' },
  { source: 'kernel/kernel_avx2.cpp', arch: 'x64', flags: ['-mavx2', '-mfma'] },
  {
    source: 'kernel/kernel_avx512.cpp',
    arch: 'x64',
    flags: ['-mavx512f', '-mavx512dq', '-mavx512bw', '-mavx512vl', '-mfma'],
  },
]

const WASM_UNITS = ['kernel/kernel.cpp', 'kernel/kernel_baseline.cpp', 'wasm/wasm.cpp']
const WASM_FILE = join(root, 'prebuilds/wasm32/weightzoo.wasm')
/** One compiler and linker, so that the bytes can be made again: apt-get install clang-19 lld-19. */
const WASM_COMPILER = 'clang++-19'
const WASM_FLAGS = [
  '--target=wasm32',
  '-msimd128',
  '-mbulk-memory',
  '-nostdlib',
  '-ffreestanding',
  // No path of this machine gets into the file.
  `-ffile-prefix-map=${native}=native`,
]
const WASM_LINK_FLAGS = [
  '--target=wasm32',
  '-nostdlib',
  '-fuse-ld=lld',
  '-Wl,--no-entry',
  '-Wl,--strip-all',
  '-Wl,-z,stack-size=1048576',
]
const WASM_EXPORTS = [
  'malloc',
  'wz_trainer_create',
  'wz_step',
  'wz_gradient',
  'wz_evaluate',
  'wz_get_weights',
  'wz_set_weights',
  'wz_arithmetic',
]

const COMMANDS = {
  optional: buildOptionalAddon,
  required: buildAddon,
  prebuild: copyPrebuild,
  wasm: buildWasm,
  'check-wasm': checkWasm,
  bench: buildBench,
}

const command = COMMANDS[process.argv[2] ?? 'optional']
if (!command) {
  console.error(`unknown command "${process.argv[2]}"; known are ${Object.keys(COMMANDS).join(', ')}`)
  process.exit(1)
}
try {
  await command()
} catch (error) {
  console.error(error.message)
  process.exit(1)
}

async function buildOptionalAddon() {
  try {
    await buildAddon()
  } catch (error) {
    const reason = error.message.split('\n', 1)[0]
    console.log(
      `weightzoo: native engine not built, wasm will be used (${reason}); "npm run build:native" says more`,
    )
  }
}

async function buildAddon(file = 'weightzoo.node', units = UNITS) {
  const compiler = findCompiler()
  const flags = [...KERNEL_FLAGS, '-fPIC', '-DNAPI_VERSION=8', `-I${findHeaders()}`]
  const link =
    process.platform === 'darwin'
      ? ['-bundle', '-undefined', 'dynamic_lookup']
      : ['-shared', '-Wl,--as-needed', '-Wl,--strip-all', '-Wl,--build-id=none']
  const own = units.filter(({ arch }) => !arch || arch === process.arch)
  return compile({ compiler, flags, units: own, link, file: join(output, file) })
}

async function copyPrebuild() {
  const target = join(root, `prebuilds/${process.platform}-${process.arch}/weightzoo.node`)
  const file = await buildAddon()
  mkdirSync(dirname(target), { recursive: true })
  copyFileSync(file, target)
  console.log(`wrote ${target}`)
}

async function buildBench() {
  await buildAddon('peak.node', [{ source: 'bench/peak-addon.cpp' }])
  await buildWasm(join(output, 'peak.wasm'), ['bench/peak-wasm.cpp'], ['peak'])
}

async function buildWasm(file = WASM_FILE, sources = WASM_UNITS, exports = WASM_EXPORTS) {
  const compiler = { path: WASM_COMPILER, version: versionOf(WASM_COMPILER) }
  if (!compiler.version) throw new Error(`${WASM_COMPILER} is not installed: apt-get install clang-19 lld-19`)
  const flags = [...KERNEL_FLAGS, ...WASM_FLAGS]
  const units = sources.map(source => ({ source }))
  const link = [...WASM_LINK_FLAGS, ...exports.map(name => `-Wl,--export=${name}`)]
  return compile({ compiler, flags, units, link, file })
}

async function checkWasm() {
  if (!versionOf(WASM_COMPILER)) {
    console.log(`skipped: ${WASM_COMPILER} is not installed`)
    return
  }
  const rebuilt = await buildWasm(join(output, 'rebuilt.wasm'))
  if (!readFileSync(rebuilt).equals(readFileSync(WASM_FILE))) {
    throw new Error(`${WASM_FILE} is not what the source gives; run "npm run build:wasm" and commit it`)
  }
  console.log('weightzoo.wasm is what the source gives')
}

/** Compiles what has changed, side by side, and links it; the file appears whole or not at all. */
async function compile({ compiler, flags, units, link, file }) {
  const objectDirectory = join(output, basename(file).replace('.', '-'))
  mkdirSync(objectDirectory, { recursive: true })
  const headers = ['kernel', 'addon', 'wasm'].flatMap(directory =>
    readdirSync(join(native, directory))
      .filter(name => name.endsWith('.h'))
      .sort()
      .map(name => readFileSync(join(native, directory, name))),
  )
  const objects = await Promise.all(
    units.map(async ({ source, flags: own = [] }) => {
      const path = join(native, source)
      const all = [...flags, ...own]
      const key = hashOf([compiler.version, ...all, ...headers, readFileSync(path)])
      const object = join(objectDirectory, `${basename(source, '.cpp')}-${key}.o`)
      if (!existsSync(object)) {
        const unfinished = `${object}.${process.pid}`
        await invoke(compiler.path, [...all, '-c', path, '-o', unfinished], source)
        renameSync(unfinished, object)
      }
      return object
    }),
  )
  const stamp = join(objectDirectory, 'linked')
  const key = hashOf([...link, ...objects.map(object => basename(object))])
  if (!existsSync(file) || !existsSync(stamp) || readFileSync(stamp, 'utf8') !== key) {
    mkdirSync(dirname(file), { recursive: true })
    const unfinished = `${file}.${process.pid}`
    await invoke(compiler.path, [...link, ...objects, '-o', unfinished], basename(file))
    chmodSync(unfinished, 0o644)
    renameSync(unfinished, file)
    writeFileSync(stamp, key)
    for (const name of readdirSync(objectDirectory)) {
      const isOld = name.endsWith('.o') && !objects.includes(join(objectDirectory, name))
      if (isOld) rmSync(join(objectDirectory, name))
    }
    console.log(`built ${file} with ${compiler.version}`)
  }
  return file
}

/** The error's first line names what failed; what the compiler said follows. */
async function invoke(compiler, args, what) {
  try {
    await run(compiler, args)
  } catch (error) {
    throw new Error(
      `${compiler} failed on ${what}\n${compiler} ${args.join(' ')}\n${error.stderr ?? error.message}`,
    )
  }
}

function findCompiler() {
  if (process.platform === 'win32') throw new Error('building on Windows is not supported yet')
  const candidates = process.env.CXX ? [process.env.CXX] : ['clang++-19', 'clang++', 'g++', 'c++']
  for (const path of candidates) {
    const version = versionOf(path)
    if (version) return { path, version }
  }
  throw new Error(`no C++ compiler found: tried ${candidates.join(', ')}`)
}

/** The first line of `--version`, or undefined where the compiler does not run. */
function versionOf(compiler) {
  try {
    return execFileSync(compiler, ['--version'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).split('\n', 1)[0]
  } catch {
    return undefined
  }
}

function findHeaders() {
  const beside = join(dirname(dirname(process.execPath)), 'include/node')
  if (existsSync(join(beside, 'node_api.h'))) return beside
  try {
    return createRequire(import.meta.url)('node-api-headers').include_dir
  } catch {
    throw new Error(`no Node-API headers: neither ${beside} nor the node-api-headers package`)
  }
}

function hashOf(parts) {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part).update('\0')
  return hash.digest('hex').slice(0, 16)
}
