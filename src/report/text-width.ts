/** Widths of characters in em, of the usual sans-serif typefaces, rounded up so that text has room in all of them. */
const WIDTHS: readonly [RegExp, number][] = [
  [/[ilj.,:;'|!]/, 0.32],
  [/[ ftrI()[\]/-]/, 0.4],
  [/[mwMW%@]/, 0.95],
  [/[A-Z&]/, 0.74],
]
const OTHERS = 0.61

/** How much wider bold text is. */
export const BOLD = 1.12

/** About how wide a line of text is, in pixels. */
export function textWidth(text: string, fontSize: number): number {
  let width = 0
  for (const character of text) width += WIDTHS.find(([set]) => set.test(character))?.[1] ?? OTHERS
  return width * fontSize
}
