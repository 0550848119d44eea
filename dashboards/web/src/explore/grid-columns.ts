/** Which columns the grid shows, in which order, how wide. */

import type { Zone } from '../time/format'
import { cellText } from './cells'
import type { Result, ResultColumn } from './result'

const CHAR_PX = 7.25
const PADDING_PX = 26
/** Padding of the yellow chip around a variant. */
const CHIP_PX = 14
const WIDTH_MIN = 64
const WIDTH_MAX = 420
/** Rows measured for the width of a column. */
const SAMPLE_ROWS = 60

/** Place of the early experiments, and how many. */
const VARIANTS_AT = 4
const VARIANTS_EARLY = 3

/** Ours, of little use beside the user's own: they go to the right. */
const LAST = [
  'event_id',
  'received_at',
  'seq',
  '_incarnation',
  '_day',
  '_source',
  'rest',
  'time_error',
]

/** Columns to show: those without any value are left out unless asked for, ours come last. */
export function shownColumns(result: Result, withEmpty: boolean): ResultColumn[] {
  const filled = withEmpty ? result.columns : result.columns.filter((column) => !column.empty)
  const columns = filled.length === 0 || result.rows === 0 ? result.columns : filled
  const isWide = columns.length > 8 && columns.some((column) => column.name === 'event_id')
  if (!isWide) return [...columns]
  const rank = (column: ResultColumn) =>
    column.name === 'time' ? -1 : LAST.includes(column.name) ? 1 + LAST.indexOf(column.name) : 0
  return withVariants([...columns].sort((a, b) => rank(a) - rank(b)))
}

/** Which variant an event saw is asked first: some experiments stand near the left edge. */
function withVariants(columns: ResultColumn[]): ResultColumn[] {
  const early = columns
    .filter((column, at) => at >= VARIANTS_AT && column.name.startsWith('experiments.'))
    .slice(0, VARIANTS_EARLY)
  const others = columns.filter((column) => !early.includes(column))
  return [...others.slice(0, VARIANTS_AT), ...early, ...others.slice(VARIANTS_AT)]
}

/** A width that fits most cells of the first rows. */
export function columnWidth(column: ResultColumn, rows: number, zone: Zone): number {
  let longest = column.name.length + 1
  for (let row = 0; row < Math.min(rows, SAMPLE_ROWS); row += 1) {
    longest = Math.max(longest, cellText(column.kind, column.get(row), zone).length)
  }
  const chip = column.name.startsWith('experiments.') || column.name === 'variant' ? CHIP_PX : 0
  return Math.min(WIDTH_MAX, Math.max(WIDTH_MIN, Math.round(longest * CHAR_PX + PADDING_PX + chip)))
}

/** The look of a cell beyond its type: variants are yellow, errors red. */
export function cellTone(name: string, text: string): '' | 'variant' | 'error' | 'warn' {
  if (text === '') return ''
  if (name.startsWith('experiments.') || name === 'variant') return 'variant'
  if (/(^|\.)(level|severity|severity_text)$/.test(name)) {
    if (/^(error|fatal|critical)$/i.test(text)) return 'error'
    if (/^warn(ing)?$/i.test(text)) return 'warn'
  }
  return ''
}
