import { THEME } from './theme.js'

/** The page's style sheet. */
export const STYLE = `
:root { color-scheme: light dark; --ink: ${THEME.light.ink}; --paper: ${THEME.light.background}; --quiet: #59636e; --line: #d8dde3; --soft: #f4f6f8; --link: #0b62ad; --warn: #8a4b00; }
@media (prefers-color-scheme: dark) {
  :root { --ink: ${THEME.dark.ink}; --paper: ${THEME.dark.background}; --quiet: #9aa5b1; --line: #343b44; --soft: #1d232a; --link: #6cb2f2; --warn: #e8a55c; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2.5rem 1.25rem 3rem; max-width: 70rem; background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
h1 { font-size: 2rem; line-height: 1.2; margin: 0 0 .3rem; overflow-wrap: anywhere; }
h2 { font-size: 1.4rem; margin: 0 0 .6rem; padding-top: 2.2rem; }
h3 { font-size: 1rem; margin: 1.6rem 0 .4rem; }
p { margin: 0 0 .8rem; max-width: 46rem; }
a { color: var(--link); }
a:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
nav ol { display: flex; flex-wrap: wrap; gap: .25rem 1.2rem; list-style: none; margin: 1.2rem 0 0; padding: .8rem 0 0; border-top: 1px solid var(--line); }
.figures-row { display: grid; grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); gap: .8rem; margin: 1.4rem 0; }
.figures-row div { display: flex; flex-direction: column; background: var(--soft); border-radius: .5rem; padding: .8rem 1rem; }
.figures-row dt { order: 2; }
.figures-row dd { order: 1; margin: 0; font-size: 1.6rem; font-weight: 600; line-height: 1.25; font-variant-numeric: tabular-nums; }
.figures-row dd.note { order: 3; font-size: .82rem; font-weight: 400; color: var(--quiet); }
.wide { overflow-x: auto; margin: 0 0 1rem; }
table { border-collapse: collapse; font-size: .86rem; font-variant-numeric: tabular-nums; }
th, td { padding: .28rem .6rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
th:first-child { text-align: left; padding-left: 0; }
tbody th { font-weight: 400; }
thead th { font-weight: 600; vertical-align: bottom; border-bottom-width: 2px; }
table.text td { text-align: left; white-space: normal; overflow-wrap: anywhere; }
.quiet { color: var(--quiet); }
.left-out { color: var(--warn); border-left: 3px solid; padding-left: .8rem; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(29rem, 100%), 1fr)); gap: 1.6rem 1.6rem; align-items: start; }
figure { margin: 0; min-width: 0; overflow-x: auto; }
figure.whole { grid-column: 1 / -1; }
figure svg { display: block; max-width: 100%; min-width: 26rem; height: auto; }
figure.whole svg { min-width: 44rem; }
figcaption { font-size: .86rem; color: var(--quiet); margin-top: .5rem; max-width: 46rem; }
.files { white-space: nowrap; font-size: .8rem; }
footer { margin-top: 3rem; padding-top: 1rem; border-top: 1px solid var(--line); font-size: .86rem; color: var(--quiet); }
@media print { body { max-width: none; padding: 0; } nav { display: none; } figure, tr { break-inside: avoid; } }
`
