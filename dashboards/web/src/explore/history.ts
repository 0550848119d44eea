/** The last queries of this browser. */

import { recall, remember } from '../app/memory'

const KEPT = 50
const NAME = 'queries'

/** One query that ran. */
export interface PastQuery {
  sql: string
  dataset: string
  atMs: number
  elapsedMs: number | null
  rows: number
}

/** Newest first. */
export const pastQueries = (): PastQuery[] => recall<PastQuery[]>(NAME, [])

/** Puts a query first; the same text is kept once. */
export function withQuery(past: readonly PastQuery[], query: PastQuery): PastQuery[] {
  const others = past.filter((one) => one.sql !== query.sql || one.dataset !== query.dataset)
  return [query, ...others].slice(0, KEPT)
}

/** Keeps a query. */
export const keepQuery = (query: PastQuery): void => remember(NAME, withQuery(pastQueries(), query))
