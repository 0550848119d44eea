/** Canvas colours come from the same CSS tokens as the page. */

/** The colour of a CSS custom property as it is now. */
export function token(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim()
}

/** The font canvas texts are drawn in. */
export const canvasFont = (size: number): string => `${size}px "Inter Variable", Inter, sans-serif`

let context: CanvasRenderingContext2D | null = null

/** Width of a text in CSS pixels. */
export function textWidth(text: string, font: string): number {
  context ??= document.createElement('canvas').getContext('2d')
  if (!context) return text.length * 7
  context.font = font
  return context.measureText(text).width
}

/** Colours of the lines of a result, in order: distinct in both themes and to colour-blind readers. */
export const LINE_TOKENS = [
  '--series-1',
  '--series-2',
  '--series-3',
  '--series-4',
  '--series-5',
  '--series-6',
  '--series-7',
  '--series-8',
] as const
