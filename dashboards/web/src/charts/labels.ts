/** Where the labels of change lines stand: beside each other while there is room, else merged to "name +2". */

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
  /** Marks it stands for beyond its lead. */
  more: number
  left: number
  width: number
}

/** Space kept between two labels. */
const GAP = 5
/** A label may move aside, but its line stays under it, this far from its edge. */
const EDGE = 7

interface Group {
  marks: Mark[]
  lead: Mark
  lineX: number
  width: number
}

/** Measures a label's width: of its lead's name, cut to a part of its usual width, with the number of further marks. */
export type Measure = (lead: Mark, more: number, part: number) => number

/**
 * Moves labels aside so that none covers another and each still stands on its line. Where that cannot be, names are
 * cut shorter (`parts` of the usual width, widest first); then neighbours are merged. A merged label takes name and colour of its
 * strongest mark.
 */
export function placeLabels(
  placed: readonly PlacedMark[],
  plotWidth: number,
  parts: readonly number[],
  measure: Measure,
): Label[] {
  let best: Label[] = []
  for (const part of parts) {
    const labels = arrange(placed, plotWidth, (lead, more) => measure(lead, more, part))
    if (labels.length > best.length) best = labels
    if (labels.length === placed.length) break
  }
  return best
}

function arrange(
  placed: readonly PlacedMark[],
  plotWidth: number,
  measure: (lead: Mark, more: number) => number,
): Label[] {
  const group = (ones: readonly PlacedMark[]): Group => {
    const marks = ones.map((one) => one.mark)
    const lead = strongest(marks)!
    const width = Math.min(measure(lead, marks.length - 1), plotWidth)
    return { marks, lead, lineX: ones.find((one) => one.mark === lead)!.x, width }
  }
  const members: PlacedMark[][] = []
  for (const one of [...placed].sort((a, b) => a.x - b.x)) {
    members.push([one])
    // Merging moves the group's line: it may now collide with the one before it, too.
    while (members.length > 1 && crowded(members.map(group), plotWidth)) {
      const last = members.pop()!
      members[members.length - 1]!.push(...last)
    }
  }
  return settle(members.map(group), plotWidth)
}

const lowest = (group: Group) => Math.max(0, group.lineX - group.width + EDGE)
const highest = (group: Group, plotWidth: number) =>
  Math.max(0, Math.min(plotWidth - group.width, group.lineX - EDGE))

/** True when the last group finds no place even with all before it as far left as they go. */
function crowded(groups: readonly Group[], plotWidth: number): boolean {
  let right = Number.NEGATIVE_INFINITY
  for (const group of groups) {
    const left = Math.max(Math.min(lowest(group), highest(group, plotWidth)), right + GAP)
    if (left > highest(group, plotWidth)) return true
    right = left + group.width
  }
  return false
}

/** Centres each label over its line as far as its neighbours let it. */
function settle(groups: readonly Group[], plotWidth: number): Label[] {
  const latest: number[] = []
  let limit = Number.POSITIVE_INFINITY
  for (let at = groups.length - 1; at >= 0; at -= 1) {
    const group = groups[at]!
    latest[at] = Math.min(highest(group, plotWidth), limit - GAP - group.width)
    limit = latest[at]!
  }
  let right = Number.NEGATIVE_INFINITY
  return groups.map((group, at) => {
    const earliest = Math.max(Math.min(lowest(group), highest(group, plotWidth)), right + GAP)
    const left = Math.max(earliest, Math.min(group.lineX - group.width / 2, latest[at]!))
    right = left + group.width
    return {
      lead: group.lead,
      marks: group.marks,
      more: group.marks.length - 1,
      left,
      width: group.width,
    }
  })
}
