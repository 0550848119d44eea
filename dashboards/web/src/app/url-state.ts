/** The URL holds everything: plain `name=value` pairs that a person can read, share and edit. */

import type { Range } from '../time/range'

/** What every page keeps in the URL. */
export interface SharedSearch {
  from?: string | undefined
  to?: string | undefined
  tz?: 'local' | undefined
}

/** `/metrics/{name}`: which slice, and which alert the strip shows. */
export interface MetricSearch extends SharedSearch {
  slice?: string | undefined
  alert?: string | undefined
  /** The change that the dialog asks to turn off. */
  off?: string | undefined
}

/** `/alerts/{id}`: a page may ask to turn a change off. */
export interface AlertSearch extends SharedSearch {
  off?: string | undefined
}

/** `/explore`: dataset, SQL text, the event in the drawer, what the result is shown as. */
export interface ExploreSearch extends SharedSearch {
  ds?: string | undefined
  q?: string | undefined
  ev?: string | undefined
  view?: 'table' | 'chart' | undefined
}

/** `/alerts`: open ones with the history, or one state only. */
export interface AlertsSearch extends SharedSearch {
  show?: 'open' | 'history' | undefined
}

type Raw = Record<string, unknown>

const text = (raw: Raw, name: string): string | undefined => {
  const value = raw[name]
  return typeof value === 'string' && value !== '' ? value : undefined
}

function oneOf<T extends string>(raw: Raw, name: string, allowed: readonly T[]): T | undefined {
  const value = text(raw, name)
  return allowed.find((candidate) => candidate === value)
}

/** Keeps what is valid of the shared part, drops the rest. */
export const sharedSearch = (raw: Raw): SharedSearch => ({
  from: text(raw, 'from'),
  to: text(raw, 'to'),
  tz: oneOf(raw, 'tz', ['local']),
})

/** Search of the metric page. */
export const metricSearch = (raw: Raw): MetricSearch => ({
  slice: text(raw, 'slice'),
  alert: text(raw, 'alert'),
  off: text(raw, 'off'),
})

/** Search of the address a page carries. */
export const alertSearch = (raw: Raw): AlertSearch => ({ off: text(raw, 'off') })

/** Search of Explore. */
export const exploreSearch = (raw: Raw): ExploreSearch => ({
  ds: text(raw, 'ds'),
  q: text(raw, 'q'),
  ev: text(raw, 'ev'),
  view: oneOf(raw, 'view', ['table', 'chart']),
})

/** Search of the alerts page. */
export const alertsSearch = (raw: Raw): AlertsSearch => ({
  show: oneOf(raw, 'show', ['open', 'history']),
})

/** `?a=b&c=d` as an object of strings. */
export const parseSearch = (search: string): Record<string, string> =>
  Object.fromEntries(new URLSearchParams(search))

/** An object of strings as `?a=b&c=d`; absent ones leave no trace. */
export function stringifySearch(search: Record<string, unknown>): string {
  const params = new URLSearchParams()
  for (const [name, value] of Object.entries(search)) {
    if (typeof value === 'string' && value !== '') params.set(name, value)
  }
  // `:` and `/` are allowed in a query and read better as they are.
  const query = params
    .toString()
    .replaceAll('%3A', ':')
    .replaceAll('%2F', '/')
    .replaceAll('%2C', ',')
  return query === '' ? '' : `?${query}`
}

/** The range in the URL, or the page's own. */
export const rangeOf = (search: SharedSearch, fallback: Range): Range =>
  search.from !== undefined && search.to !== undefined
    ? { from: search.from, to: search.to }
    : fallback
