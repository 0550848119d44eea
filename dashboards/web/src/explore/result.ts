/** A result of SQL as columns, whatever it came as. Cells are read on demand: nothing is copied into rows. */

import { tableFromIPC, Type, type Column as ArrowColumn } from '@uwdata/flechette'

/** What the grid and the chart need to know of a type. */
export type CellKind = 'number' | 'integer' | 'text' | 'boolean' | 'time' | 'date' | 'nested'

/** One column; times are milliseconds since the epoch with their microseconds as fraction. */
export interface ResultColumn {
  name: string
  kind: CellKind
  type: string
  /** True when no row has a value. */
  empty: boolean
  get: (row: number) => unknown
}

/** What the answer cost and how fresh it is. */
export interface Stats {
  query_id?: string
  elapsed_ms?: number
  rows_returned?: number
  rows_scanned?: number
  bytes_scanned?: number
  files_scanned?: number
  truncated?: boolean
  fresh_to?: string | null
}

/** Columns of equal length, and the stats. */
export interface Result {
  columns: ResultColumn[]
  rows: number
  stats: Stats
}

/** The JSON form of the API. */
export interface JsonResult {
  columns: { name: string; type: string }[]
  rows: unknown[][]
  stats?: Stats
}

/** Decodes an Arrow IPC stream. */
export function fromArrow(bytes: Uint8Array, stats: Stats): Result {
  const table = tableFromIPC(bytes, { useBigInt: true, useDate: false, useProxy: false })
  const columns = table.names.map((name, index) => arrowColumn(name, table.getChildAt(index)))
  return { columns, rows: table.numRows, stats }
}

function arrowColumn(name: string, column: ArrowColumn<unknown>): ResultColumn {
  const { kind, type } = arrowKind(column.type)
  return {
    name,
    kind,
    type,
    empty: column.nullCount === column.length,
    get: (row) => column.at(row),
  }
}

type ArrowType = ArrowColumn<unknown>['type']

function arrowKind(type: ArrowType): { kind: CellKind; type: string } {
  switch (type.typeId) {
    case Type.Int:
      return { kind: 'integer', type: 'bigint' }
    case Type.Float:
      return { kind: 'number', type: 'double' }
    case Type.Decimal:
      return { kind: 'number', type: 'decimal' }
    case Type.Bool:
      return { kind: 'boolean', type: 'boolean' }
    case Type.Timestamp:
      return { kind: 'time', type: 'timestamp' }
    case Type.Date:
      return { kind: 'date', type: 'date' }
    case Type.Utf8:
    case Type.LargeUtf8:
    case Type.Utf8View:
      return { kind: 'text', type: 'text' }
    case Type.Dictionary:
      return arrowKind((type as { dictionary: ArrowType }).dictionary)
    case Type.Interval:
    case Type.Duration:
    case Type.Time:
      return { kind: 'nested', type: 'interval' }
    case Type.List:
    case Type.LargeList:
    case Type.FixedSizeList:
      return { kind: 'nested', type: 'list' }
    case Type.Null:
      return { kind: 'text', type: 'null' }
    default:
      return { kind: 'nested', type: 'json' }
  }
}

/** Reads the JSON form. */
export function fromJson(answer: JsonResult): Result {
  const columns = answer.columns.map(({ name, type }, index): ResultColumn => {
    const kind = jsonKind(type)
    const raw = (row: number) => answer.rows[row]?.[index] ?? null
    const get = kind === 'time' || kind === 'date' ? (row: number) => parseTime(raw(row)) : raw
    const empty = answer.rows.every((cells) => (cells[index] ?? null) === null)
    return { name, kind, type, empty, get }
  })
  return { columns, rows: answer.rows.length, stats: answer.stats ?? {} }
}

function jsonKind(type: string): CellKind {
  if (/^(bigint|int|integer|smallint|tinyint|uint)/i.test(type)) return 'integer'
  if (/^(double|float|real|decimal|numeric)/i.test(type)) return 'number'
  if (/^bool/i.test(type)) return 'boolean'
  if (/^timestamp/i.test(type)) return 'time'
  if (/^date/i.test(type)) return 'date'
  if (/^(text|varchar|string|utf8|null)/i.test(type)) return 'text'
  return 'nested'
}

/** Milliseconds with the microseconds as fraction: a Date alone would lose them. */
function parseTime(value: unknown): number | null {
  if (typeof value !== 'string') return typeof value === 'number' ? value : null
  const ms = Date.parse(
    /[zZ]|[+-]\d\d:?\d\d$/.test(value) || value.length <= 10 ? value : `${value}Z`,
  )
  const digits = /\.\d{3}(\d{1,3})/.exec(value)?.[1] ?? ''
  return Number.isNaN(ms) ? null : ms + Number(digits.padEnd(3, '0')) / 1_000
}

/** A cell as a number for a chart; NaN when it is none. */
export function asNumber(value: unknown): number {
  if (typeof value === 'number') return value
  if (typeof value === 'bigint') return Number(value)
  if (typeof value === 'string' && value.trim() !== '') return Number(value)
  return Number.NaN
}

/** The position of a column by name; -1 when it is not there. */
export const columnIndex = (result: Result, name: string): number =>
  result.columns.findIndex((column) => column.name === name)
