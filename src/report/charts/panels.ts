import type { ChartView } from '../chart.js'

/** Names the panel over all classes, which comes first. */
export const ALL_CLASSES = 'all classes'

/** More panels than that cannot be taken in, and make files of megabytes; the numbers are those of all classes. */
const MOST_PANELS = 24

/** The classes that get a panel, and the sentence that says where some do not. */
export function drawnClasses(classNames: readonly string[]): { panels: readonly string[]; note: string } {
  const panels = classNames.slice(0, MOST_PANELS)
  const note =
    panels.length < classNames.length
      ? ` Drawn are the first ${panels.length} of ${classNames.length} classes; the numbers are there for all.`
      : ''
  return { panels, note }
}

/** Small multiples: the same drawing for each class, axes shared. */
export function inPanels(panels: readonly string[], spec: ChartView): ChartView {
  const columns = columnsFor(panels.length)
  return {
    transform: [{ filter: { field: 'class', oneOf: panels } }],
    facet: { field: 'class', type: 'nominal', sort: panels, title: null },
    columns,
    spec: { width: columns === 5 ? 175 : 222, height: columns === 5 ? 100 : 110, ...spec },
    // In a last row that is not full, shared axes would stand under nothing.
    ...(panels.length > columns &&
      panels.length % columns > 0 && { resolve: { axis: { x: 'independent' } } }),
  }
}

/** Four or five a row, whichever leaves fewer gaps. */
function columnsFor(panels: number): number {
  return panels > 4 && (5 - (panels % 5)) % 5 < (4 - (panels % 4)) % 4 ? 5 : Math.min(4, panels)
}
