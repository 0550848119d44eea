/** `$from`, `$to` and `$step` in a query stand for the page's time range; the server gets plain SQL. */

import type { Position } from '../api/client'
import { stepFor, type Window } from '../time/range'
import { tokenize } from './tokens'

/** Buckets a chart of `$step` has at most. */
const BUCKETS_MAX = 150

/** A range of fewer buckets is taken as it is. */
const BUCKETS_MIN = 3

interface Edit {
  start: number
  oldLength: number
  newLength: number
}

/** SQL ready to be sent, and the way back from its places to those of the text as written. */
export interface Expanded {
  sql: string
  usesRange: boolean
  /** Offset in the written text for a place in the sent one. */
  offsetOf: (position: Position) => number
}

/** Seconds of a bucket for a window. */
export const bucketSeconds = (window: Window): number => stepFor(window, BUCKETS_MAX, 1)

/** A bucket that is cut by an end of the range would look like a drop: the range shrinks to whole ones. */
function wholeBuckets(window: Window): { fromMs: number; toMs: number } {
  const step = bucketSeconds(window) * 1_000
  const fromMs = Math.ceil(window.fromMs / step) * step
  const toMs = Math.floor(window.toMs / step) * step
  return toMs - fromMs >= step * BUCKETS_MIN ? { fromMs, toMs } : window
}

/** Puts the range in the place of its variables; quoted texts and comments stay as they are. */
export function expand(written: string, window: Window): Expanded {
  const tokens = tokenize(written)
  const names = new Set(
    tokens.filter((one) => one.kind === 'variable').map((one) => one.text.toLowerCase()),
  )
  const { fromMs, toMs } = names.has('$step') ? wholeBuckets(window) : window
  const values: Record<string, string> = {
    $from: timestampLiteral(fromMs),
    $to: timestampLiteral(toMs),
    $step: `interval '${bucketSeconds(window)} seconds'`,
  }
  const edits: Edit[] = []
  let sql = ''
  let copied = 0
  for (const token of tokens) {
    const value = token.kind === 'variable' ? values[token.text.toLowerCase()] : undefined
    if (value === undefined) continue
    sql += written.slice(copied, token.start) + value
    copied = token.end
    edits.push({ start: token.start, oldLength: token.text.length, newLength: value.length })
  }
  sql += written.slice(copied)
  return {
    sql,
    usesRange: edits.length > 0,
    offsetOf: (position) => originalOffset(offsetIn(sql, position), edits, written.length),
  }
}

/** `timestamp '2026-11-20T14:10:00.000Z'`; milliseconds are all a range has. */
export const timestampLiteral = (ms: number): string =>
  `timestamp '${new Date(Math.round(ms)).toISOString()}'`

function offsetIn(text: string, { line, column }: Position): number {
  const lines = text.split('\n')
  const before = lines.slice(0, line - 1).reduce((sum, one) => sum + one.length + 1, 0)
  return Math.min(before + Math.max(column - 1, 0), text.length)
}

function originalOffset(offset: number, edits: readonly Edit[], length: number): number {
  let moved = 0
  for (const edit of edits) {
    const start = edit.start + moved
    if (offset < start) break
    if (offset < start + edit.newLength) return edit.start
    moved += edit.newLength - edit.oldLength
  }
  return Math.min(Math.max(offset - moved, 0), length)
}
