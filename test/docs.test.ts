import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import ts from 'typescript'
import { describe, expect, it } from 'vitest'
import { fromRoot } from './support.js'

/** Every name that the package exports, with its doc comment's text and whether it can be called or constructed. */
function exportedNames() {
  const entry = fromRoot('src/index.ts')
  const { config } = ts.readConfigFile(fromRoot('tsconfig.json'), ts.sys.readFile)
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, fromRoot('.'))
  const program = ts.createProgram([entry], options)
  const checker = program.getTypeChecker()
  const module = checker.getSymbolAtLocation(program.getSourceFile(entry)!)!
  return checker.getExportsOfModule(module).map(exported => {
    const symbol = exported.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(exported) : exported
    return {
      name: exported.name,
      comment: ts.displayPartsToString(symbol.getDocumentationComment(checker)),
      hasExample: symbol.getJsDocTags(checker).some(({ name }) => name === 'example'),
      isValue: Boolean(symbol.flags & ts.SymbolFlags.Value),
    }
  })
}

describe('documentation', () => {
  const names = exportedNames()

  it('describes every public name', () => {
    expect(names.length).toBeGreaterThan(100)
    expect(names.filter(({ comment }) => comment === '').map(({ name }) => name)).toEqual([])
  })

  it('shows an example of everything that can be called', () => {
    const lacking = names.filter(({ isValue, hasExample }) => isValue && !hasExample)
    expect(lacking.map(({ name }) => name)).toEqual([])
  })

  const texts = ['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', 'native/README.md'].concat(
    readdirSync(fromRoot('docs'))
      .filter(name => name.endsWith('.md'))
      .map(name => `docs/${name}`),
  )
  it.each(texts)('%s links to what exists', path => {
    const text = readFileSync(fromRoot(path), 'utf8')
    const links = [...text.matchAll(/\]\(([^)\s]+)\)/g)].map(match => match[1]!)
    for (const link of links.filter(link => !/^[a-z]+:/.test(link))) {
      const [file, anchor] = link.split('#') as [string, string?]
      const target = file === '' ? path : join(dirname(path), file)
      expect(existsSync(fromRoot(target)), `${link} in ${path}`).toBe(true)
      if (anchor !== undefined) expect(anchorsOf(fromRoot(target)), `${link} in ${path}`).toContain(anchor)
    }
  })
})

/** Headings as GitHub and typedoc name their anchors. */
function anchorsOf(path: string): string[] {
  const headings = readFileSync(path, 'utf8').matchAll(/^#+ (.+)$/gm)
  return [...headings].map(match =>
    match[1]!
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  )
}
