/**
 * The one legend of change lines (DESIGN §7): deploy grey dashed, config purple, experiment and flag YELLOW, schema
 * teal, chaos red dotted, maintenance hatched, note thin blue; inferred ones are hollow. Never by colour alone: every
 * kind has its own dash or width, and every line has a label.
 */

/** Kinds a mark can have. */
export type MarkKind =
  'deploy' | 'config' | 'experiment' | 'flag' | 'schema' | 'chaos' | 'maintenance' | 'note'

/** How a kind is drawn; `rank` decides which one colours a merged label (highest first). */
export interface KindLook {
  name: string
  token: string
  dash: number[]
  width: number
  rank: number
}

const LOOKS: Record<MarkKind, KindLook> = {
  experiment: { name: 'activation', token: '--line-activation', dash: [], width: 2.5, rank: 8 },
  flag: { name: 'activation', token: '--line-activation', dash: [], width: 2.5, rank: 7 },
  chaos: { name: 'chaos', token: '--line-chaos', dash: [1.5, 3], width: 2, rank: 6 },
  schema: { name: 'schema', token: '--line-schema', dash: [8, 3], width: 1.5, rank: 5 },
  config: { name: 'config', token: '--line-config', dash: [], width: 1.5, rank: 4 },
  deploy: { name: 'deploy', token: '--line-deploy', dash: [5, 4], width: 1.5, rank: 3 },
  maintenance: {
    name: 'maintenance',
    token: '--line-maintenance',
    dash: [12, 3, 2, 3],
    width: 1.5,
    rank: 2,
  },
  note: { name: 'note', token: '--line-note', dash: [], width: 1, rank: 1 },
}

/** The look of a kind; one we do not know is drawn as a note. */
export const lookOf = (kind: string): KindLook => LOOKS[kind as MarkKind] ?? LOOKS.note

/** A line (or, with an end, a span) on a chart: something changed here. */
export interface Mark {
  id: string
  kind: MarkKind
  label: string
  timeMs: number
  endMs: number | null
  inferred: boolean
  suspect: boolean
}

/** Suspects first, then by kind. */
export function strongest(marks: readonly Mark[]): Mark | undefined {
  const weight = (mark: Mark) => lookOf(mark.kind).rank + (mark.suspect ? 100 : 0)
  return marks.reduce<Mark | undefined>(
    (best, mark) => (best === undefined || weight(mark) > weight(best) ? mark : best),
    undefined,
  )
}
