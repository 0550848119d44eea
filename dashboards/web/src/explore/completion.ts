/** What can be written at a place of a query: tables after FROM, values inside quotes, else columns first. */

import type { Column, Dataset } from '../api/schema'
import { FUNCTIONS, KEYWORDS } from './words'
import { quoteName, quoteText, unquoteName } from './names'
import { tokenize } from './tokens'

/** One thing that can be written. */
export interface Option {
  label: string
  apply: string
  detail: string
  boost: number
}

/** What is asked for at the cursor. */
export type Wanted =
  | { kind: 'value'; column: string; prefix: string; from: number }
  | { kind: 'table'; prefix: string; from: number }
  | { kind: 'name'; prefix: string; from: number }

/** Tables every dataset has (DESIGN §6). */
const TABLES: readonly [name: string, detail: string][] = [
  ['events', 'one row per event'],
  ['messages', 'one row per message'],
  ['probes', 'one row per probe'],
  ['exposures', 'first exposure per unit'],
]

const VARIABLES: readonly [name: string, detail: string][] = [
  ['$from', 'start of the range'],
  ['$to', 'end of the range'],
  ['$step', 'bucket that fits the range'],
]

const OPEN_VALUE =
  /("(?:[^"]|"")+"|[A-Za-z_][\w.#]*)\s*(?:=|<>|!=|\bi?like\b|\b(?:not\s+)?in\s*\((?:\s*'(?:[^']|'')*'\s*,)*)\s*'((?:[^']|'')*)$/i

/** Reads the text before the cursor. */
export function wantedAt(before: string): Wanted {
  const value = OPEN_VALUE.exec(before)
  const last = tokenize(before).at(-1)
  if (value && last?.kind === 'text') {
    const prefix = value[2]!
    return {
      kind: 'value',
      column: unquoteName(value[1]!),
      prefix: prefix.replaceAll("''", "'"),
      from: before.length - prefix.length - 1,
    }
  }
  const word = /(?:"[^"]*|[\w.#$\u0080-\uffff]*)$/.exec(before)?.[0] ?? ''
  const from = before.length - word.length
  const previous = tokenize(before.slice(0, from)).at(-1)
  const afterFrom = previous?.kind === 'word' && /^(from|join)$/i.test(previous.text)
  return { kind: afterFrom ? 'table' : 'name', prefix: word, from }
}

/** True inside a text or a comment that is not a value to complete. */
export function isSilent(before: string): boolean {
  const last = tokenize(before).at(-1)
  if (last === undefined || last.end < before.length) return false
  return last.kind === 'comment' || (last.kind === 'text' && wantedAt(before).kind !== 'value')
}

/** Tables of the chosen dataset by their short names, of the others by their full ones. */
export function tableOptions(datasets: readonly Dataset[], chosen: string): Option[] {
  const own = TABLES.map(([name, detail], index) => ({
    label: name,
    apply: name,
    detail,
    boost: 90 - index,
  }))
  const others = datasets
    .filter((dataset) => dataset.name !== chosen)
    .map((dataset) => {
      const name = dataset.name.startsWith('system.') ? dataset.name : `${dataset.name}.events`
      return {
        label: name,
        apply: name,
        detail: 'table',
        boost: name.startsWith('system.') ? 10 : 40,
      }
    })
  return [...own, ...others]
}

/** Columns, then functions, then keywords; frequent columns first. */
export function nameOptions(columns: readonly Column[]): Option[] {
  const names = columns.map((column, index) => {
    const apply = quoteName(column.name)
    return {
      label: apply,
      apply,
      detail: typeText(column),
      boost: Math.max(30, 80 - index / 10) - (column.system ? 20 : 0),
    }
  })
  const functions = FUNCTIONS.map((one) => ({
    label: one.name,
    apply: `${one.name}(`,
    detail: one.signature,
    boost: 10,
  }))
  const keywords = KEYWORDS.map((word) => ({ label: word, apply: word, detail: '', boost: 0 }))
  const variables = VARIABLES.map(([name, detail]) => ({
    label: name,
    apply: name,
    detail,
    boost: 20,
  }))
  return [...names, ...variables, ...functions, ...keywords]
}

/** The SQL type, and the share of the main physical type when there are several. */
export function typeText(column: Column): string {
  const shares = Object.entries(column.shares ?? {})
  if (shares.length < 2) return column.type
  const [name, share] = shares.reduce((most, one) => (one[1] > most[1] ? one : most))
  return `${column.type}, ${Math.round(share * 100)} % ${name}`
}

/** Values as whole literals, with how often they occur. */
export function valueOptions(values: readonly { value: unknown; count: number }[]): Option[] {
  return values
    .filter((one) => one.value !== null)
    .map((one, index) => {
      const literal = quoteText(
        typeof one.value === 'string' ? one.value : JSON.stringify(one.value),
      )
      return { label: literal, apply: literal, detail: `${one.count}×`, boost: 90 - index }
    })
}
