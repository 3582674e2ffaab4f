/**
 * Colours that are told apart with any colour vision, and stand out (3:1 or more) from white and from near-black alike.
 * Where three
 * hues meet, shapes differ too; what has more groups is drawn in small multiples.
 */
export const COLOR = { first: '#2f7fc1', second: '#d2691e', third: '#1a9a76', reference: '#8a9099' } as const

/** Text and lines take the colour of the page around. */
export const INK = 'currentColor'

/**
 * From nothing to full, as shares of one hue over the page's own background, so that small values recede on light and on
 * dark alike, and text over it stays legible on both.
 */
export const HEAT = ['rgba(47, 127, 193, 0.04)', 'rgba(47, 127, 193, 0.8)'] as const

export const FONT = 'system-ui, sans-serif'

/** Light and dark: background and ink of files and pages. */
export const THEME = {
  light: { background: '#ffffff', ink: '#1f2328' },
  dark: { background: '#15191e', ink: '#e3e7ec' },
} as const

/** Vega-Lite's `config`: quiet axes, text of one family, nothing that depends on the background. */
export const CHART_CONFIG = {
  background: 'transparent',
  font: FONT,
  padding: 6,
  view: { stroke: null },
  title: {
    anchor: 'start',
    color: INK,
    fontSize: 14,
    fontWeight: 600,
    offset: 14,
    subtitleColor: INK,
    subtitleFontSize: 11,
    subtitlePadding: 5,
  },
  axis: {
    labelColor: INK,
    titleColor: INK,
    titleFontWeight: 'normal',
    titleFontSize: 11,
    titlePadding: 8,
    labelFontSize: 11,
    gridColor: INK,
    gridOpacity: 0.12,
    domainColor: INK,
    domainOpacity: 0.4,
    tickColor: INK,
    tickOpacity: 0.4,
    tickSize: 4,
    labelLimit: 220,
    labelFlush: false,
    labelSeparation: 6,
    labelPadding: 4,
  },
  header: { labelColor: INK, titleColor: INK, labelFontSize: 12, labelFontWeight: 600, labelPadding: 4 },
  legend: {
    symbolOpacity: 1,
    labelColor: INK,
    titleColor: INK,
    labelFontSize: 11,
    titleFontSize: 11,
    titleFontWeight: 'normal',
  },
  facet: { spacing: 18 },
} as const
