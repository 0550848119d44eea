/** Where the labels of change lines stand: labels that would cover each other are merged to "name +2". */

import { strongest, type Mark } from './kinds'

/** A mark with the place of its line, in pixels from the left edge of the plot. */
export interface PlacedMark {
  mark: Mark
  x: number
}

/** One label: the marks it stands for and where it stands. */
export interface Label {
  lead: Mark
  marks: Mark[]
  text: string
  /** Left edge and width of the label; `lineX` is where the lead's line is. */
  left: number
  width: number
  lineX: number
}

/** Space kept between two labels. */
const GAP = 6

interface Group {
  placed: PlacedMark[]
}

/**
 * Merges marks until no two labels overlap. `measure` gives the width of a text with its padding. A merged label
 * takes name and colour of its strongest mark and stands over that mark's line, inside the plot where it can.
 */
export function placeLabels(
  placed: readonly PlacedMark[],
  plotWidth: number,
  measure: (text: string) => number,
  widthMax: number,
): Label[] {
  let groups: Group[] = [...placed].sort((a, b) => a.x - b.x).map((one) => ({ placed: [one] }))
  let labels = groups.map((group) => labelOf(group, plotWidth, measure, widthMax))
  for (;;) {
    const at = labels.findIndex((label, index) => {
      const next = labels[index + 1]
      return next !== undefined && label.left + label.width + GAP > next.left
    })
    if (at < 0) return labels
    const merged = { placed: [...groups[at]!.placed, ...groups[at + 1]!.placed] }
    groups = [...groups.slice(0, at), merged, ...groups.slice(at + 2)]
    labels = [
      ...labels.slice(0, at),
      labelOf(merged, plotWidth, measure, widthMax),
      ...labels.slice(at + 2),
    ]
  }
}

function labelOf(
  group: Group,
  plotWidth: number,
  measure: (text: string) => number,
  widthMax: number,
): Label {
  const marks = group.placed.map((one) => one.mark)
  const lead = strongest(marks)!
  const lineX = group.placed.find((one) => one.mark === lead)!.x
  const text = marks.length === 1 ? lead.label : `${lead.label} +${marks.length - 1}`
  const width = Math.min(measure(text), widthMax)
  const left = Math.max(0, Math.min(lineX - width / 2, plotWidth - width))
  return { lead, marks, text, left, width, lineX }
}
