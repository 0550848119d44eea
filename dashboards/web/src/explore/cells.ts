/** Cells as text: for the grid, for copying, and as SQL literals. */

import { formatFull, type Zone } from '../time/format'
import { quoteValue } from './names'
import type { CellKind, ResultColumn } from './result'

/** What the grid shows; numbers keep all their digits. */
export function cellText(kind: CellKind, value: unknown, zone: Zone): string {
  if (value === null || value === undefined) return ''
  if (kind === 'time' && typeof value === 'number') {
    return formatFull(Math.floor(value), zone, microseconds(value))
  }
  if (kind === 'date' && typeof value === 'number')
    return new Date(value).toISOString().slice(0, 10)
  if (kind === 'number' && typeof value === 'number') return numberText(value)
  if (typeof value === 'object') return jsonText(value)
  return String(value)
}

/** Microseconds within the second. */
function microseconds(ms: number): number {
  const within = ms - Math.floor(ms / 1_000) * 1_000
  return Math.min(999_999, Math.round(within * 1_000))
}

/** Binary noise of a sum (`0.30000000000000004`) is cut at 12 significant digits when it is noise. */
function numberText(value: number): string {
  const exact = String(value)
  const tidy = String(Number(value.toPrecision(12)))
  return exact.length - tidy.length > 3 ? tidy : exact
}

/** JSON with big integers as numbers and typed arrays as lists. */
export function jsonText(value: unknown, indent?: number): string {
  return JSON.stringify(value, plain, indent) ?? ''
}

function plain(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint')
    return Number.isSafeInteger(Number(value)) ? Number(value) : String(value)
  if (ArrayBuffer.isView(value)) return Array.from(value as unknown as ArrayLike<number | bigint>)
  if (value instanceof Map) return Object.fromEntries(value)
  if (
    value !== null &&
    typeof value === 'object' &&
    typeof (value as Iterable<unknown>)[Symbol.iterator] === 'function'
  )
    return [...(value as Iterable<unknown>)]
  return value
}

/** The cell as a literal that finds it again. */
export function cellLiteral(column: ResultColumn, value: unknown): string {
  if (value === null || value === undefined) return 'null'
  if (column.kind === 'time' && typeof value === 'number') {
    return `timestamp '${formatFull(Math.floor(value), 'utc', microseconds(value)).replace(' ', 'T')}Z'`
  }
  if (column.kind === 'date' && typeof value === 'number') {
    return `date '${new Date(value).toISOString().slice(0, 10)}'`
  }
  if (column.kind === 'integer' && typeof value === 'string') return value
  return quoteValue(typeof value === 'object' ? jsonText(value) : value)
}

/** `name = literal`, or `is null`. */
export function condition(literal: string, keep: boolean): (name: string) => string {
  if (literal === 'null') return (name) => `${name} is ${keep ? '' : 'not '}null`
  // Excluding a value keeps the rows that have none.
  return (name) => (keep ? `${name} = ${literal}` : `${name} is distinct from ${literal}`)
}
