/** Which columns the grid shows, in which order, how wide. */

import type { Zone } from '../time/format'
import { cellText } from './cells'
import type { Result, ResultColumn } from './result'

const CHAR_PX = 7.25
const PADDING_PX = 26
const WIDTH_MIN = 64
const WIDTH_MAX = 420
/** Rows measured for the width of a column. */
const SAMPLE_ROWS = 60

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
  return [...columns].sort((a, b) => rank(a) - rank(b))
}

/** A width that fits most cells of the first rows. */
export function columnWidth(column: ResultColumn, rows: number, zone: Zone): number {
  let longest = column.name.length + 1
  for (let row = 0; row < Math.min(rows, SAMPLE_ROWS); row += 1) {
    longest = Math.max(longest, cellText(column.kind, column.get(row), zone).length)
  }
  return Math.min(WIDTH_MAX, Math.max(WIDTH_MIN, Math.round(longest * CHAR_PX + PADDING_PX)))
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
