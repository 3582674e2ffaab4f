import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'

const CHROMIUM = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync)

/** A headless browser, or `undefined` after printing why its tests are skipped. */
export function browserHere(): string | undefined {
  if (!CHROMIUM) console.warn('skipped: no chromium here (apt-get install chromium)')
  return CHROMIUM
}

/** What a page did in a browser. */
export interface Visit {
  /** The document after loading. */
  dom: string
  /** What it wrote to the console. */
  console: string[]
  /** What it asked the network for. */
  requests: string[]
}

/** Opens a file in a headless browser. */
export async function visit(browser: string, path: string): Promise<Visit> {
  const folder = await mkdtemp(join(tmpdir(), 'weightzoo-browser-'))
  try {
    const log = join(folder, 'net.json')
    const flags = ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage']
    const logs = ['--enable-logging=stderr', '--v=0', `--log-net-log=${log}`]
    const { stdout, stderr } = await promisify(execFile)(
      browser,
      [...flags, ...logs, `--user-data-dir=${folder}/profile`, '--dump-dom', pathToFileURL(path).href],
      { timeout: 100_000, maxBuffer: 2 ** 26 },
    )
    return {
      dom: stdout,
      console: stderr.split('\n').filter(line => line.includes(':CONSOLE')),
      requests: requestsOfPages(await readFile(log, 'utf8')),
    }
  } finally {
    await rm(folder, { recursive: true, force: true, maxRetries: 5 })
  }
}

/** From the browser's network log: what pages from files asked for, and not what the browser does for itself. */
function requestsOfPages(log: string): string[] {
  const { events } = JSON.parse(log) as {
    events: { params?: { url?: string; network_isolation_key?: string } }[]
  }
  return events.flatMap(({ params: { url, network_isolation_key: key } = {} }) =>
    url && key?.startsWith('file://') ? [url] : [],
  )
}
