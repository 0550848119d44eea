/** Changes of the API as marks of a chart. */

import type { Change } from '../api/changes'
import type { Mark, MarkKind } from '../charts/kinds'

const LABEL_MAX = 40

/** What a change is called on its label: kind first unless the title says it already. */
export function changeLabel(change: Change): string {
  const title = change.title.trim()
  const named = title === '' ? (change.target ?? change.version ?? change.id) : title
  const label =
    named.toLowerCase().includes(change.kind) || change.kind === 'note' || change.kind === 'flag'
      ? named
      : `${change.kind} ${named}`
  return label.length > LABEL_MAX ? `${label.slice(0, LABEL_MAX - 1)}…` : label
}

/** Marks for the changes; `suspects` are drawn strongest. */
export function marksOf(changes: readonly Change[], suspects: ReadonlySet<string>): Mark[] {
  return changes.map((change) => ({
    id: change.id,
    kind: change.kind as MarkKind,
    label: changeLabel(change),
    timeMs: Date.parse(change.time),
    endMs: change.end_time === null ? null : Date.parse(change.end_time),
    inferred: change.inferred,
    suspect: suspects.has(change.id),
  }))
}
