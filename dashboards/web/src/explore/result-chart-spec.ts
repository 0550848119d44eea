/** Decides whether a result is a chart, and makes it one: a time column, numbers, and perhaps one column of names. */

import { LINE_TOKENS } from '../charts/colours'
import type { ChartLine } from '../charts/spec'
import { asNumber, type Result, type ResultColumn } from './result'

/** More columns than this are a table. */
const COLUMNS_MAX = 8
const NUMBERS_MAX = 6
/** Names beyond this are not lines any more. */
const NAMES_MAX = 60
/** Missing buckets beyond this share are sparseness, not gaps. */
const GAP_SHARE_MAX = 0.2

/** Lines over time out of a result. */
export interface ResultLines {
  timeColumn: string
  timesMs: Float64Array
  lines: ChartLine[]
  /** Lines left out because there are more than colours. */
  hidden: number
}

/** The lines of a result, or `null` when it is no chart. */
export function linesOf(result: Result): ResultLines | null {
  const { columns, rows } = result
  if (rows < 2 || columns.length > COLUMNS_MAX) return null
  if (columns.some((column) => column.name === 'event_id')) return null
  const time = columns.find((column) => column.kind === 'time' || column.kind === 'date')
  const numbers = columns.filter((column) => column.kind === 'number' || column.kind === 'integer')
  const names = columns.filter((column) => column.kind === 'text' || column.kind === 'boolean')
  if (!time || numbers.length === 0 || numbers.length > NUMBERS_MAX || names.length > 1) return null
  const times = distinctTimes(time, rows)
  if (times.length < 2) return null
  const series = names[0]
    ? pivot(time, names[0], numbers, rows, times)
    : plain(time, numbers, rows, times)
  if (series === null) return null
  const shown = series.slice(0, LINE_TOKENS.length)
  const gaps = withGaps(times)
  return {
    timeColumn: time.name,
    timesMs: gaps.timesMs,
    lines: shown.map(({ label, values }, index) => ({
      label,
      values: gaps.spread(values),
      token: LINE_TOKENS[index]!,
    })),
    hidden: series.length - shown.length,
  }
}

interface Series {
  label: string
  values: Float64Array
}

function distinctTimes(time: ResultColumn, rows: number): Float64Array {
  const seen = new Set<number>()
  for (let row = 0; row < rows; row += 1) {
    const ms = asNumber(time.get(row))
    if (!Number.isNaN(ms)) seen.add(ms)
  }
  return Float64Array.from(seen).sort()
}

const indexOf = (times: Float64Array) => new Map([...times].map((ms, index) => [ms, index]))

function plain(
  time: ResultColumn,
  numbers: readonly ResultColumn[],
  rows: number,
  times: Float64Array,
): Series[] | null {
  // Several rows of one time and no name to tell them apart: points, not a line.
  if (times.length < rows * 0.99) return null
  const at = indexOf(times)
  return numbers.map((column) => {
    const values = new Float64Array(times.length).fill(Number.NaN)
    for (let row = 0; row < rows; row += 1) {
      const index = at.get(asNumber(time.get(row)))
      if (index !== undefined) values[index] = asNumber(column.get(row))
    }
    return { label: column.name, values }
  })
}

function pivot(
  time: ResultColumn,
  name: ResultColumn,
  numbers: readonly ResultColumn[],
  rows: number,
  times: Float64Array,
): Series[] | null {
  const at = indexOf(times)
  const found = new Map<string, Series & { total: number }>()
  for (const column of numbers) {
    for (let row = 0; row < rows; row += 1) {
      const index = at.get(asNumber(time.get(row)))
      if (index === undefined) continue
      const own = String(name.get(row) ?? 'null')
      const label = numbers.length === 1 ? own : `${own} · ${column.name}`
      let series = found.get(label)
      if (!series) {
        if (found.size >= NAMES_MAX * numbers.length) return null
        series = { label, values: new Float64Array(times.length).fill(Number.NaN), total: 0 }
        found.set(label, series)
      }
      if (!Number.isNaN(series.values[index]!)) return null
      const value = asNumber(column.get(row))
      series.values[index] = value
      series.total += Number.isNaN(value) ? 0 : Math.abs(value)
    }
  }
  return [...found.values()].sort((a, b) => b.total - a.total)
}

/** Puts a hole where buckets are missing, so that no line is drawn over minutes of which nothing is known. */
function withGaps(times: Float64Array) {
  let step = Number.POSITIVE_INFINITY
  for (let at = 1; at < times.length; at += 1) step = Math.min(step, times[at]! - times[at - 1]!)
  const holes: number[] = []
  for (let at = 1; at < times.length; at += 1) {
    if (times[at]! - times[at - 1]! > step * 1.5) holes.push(at)
  }
  if (holes.length === 0 || holes.length > times.length * GAP_SHARE_MAX) {
    return { timesMs: times, spread: (values: Float64Array) => values }
  }
  const spread = (values: Float64Array, filler: (at: number) => number) => {
    const wide = new Float64Array(values.length + holes.length)
    let hole = 0
    values.forEach((value, at) => {
      if (holes[hole] === at) {
        wide[at + hole] = filler(at)
        hole += 1
      }
      wide[at + hole] = value
    })
    return wide
  }
  return {
    timesMs: spread(times, (at) => times[at - 1]! + step),
    spread: (values: Float64Array) => spread(values, () => Number.NaN),
  }
}
