import { send, sendForBytes } from './client'

const ARROW = 'application/vnd.apache.arrow.stream'
/** Most rows the grid loads; the server may allow fewer. */
const ROWS_MAX = 10_000

/** A query as it is sent. */
export interface SqlRequest {
  sql: string
  dataset?: string | undefined
}

/** The bytes of an answer, Arrow or JSON, and what the header fields say. */
export interface SqlAnswer {
  bytes: Uint8Array
  arrow: boolean
  stats: unknown
  queryId: string
}

/** Runs SQL; `onQueryId` tells the id as soon as the server names it, so that it can be cancelled there too. */
export async function runSql(
  request: SqlRequest,
  signal: AbortSignal,
  onQueryId: (id: string) => void,
): Promise<SqlAnswer> {
  const { bytes, contentType, fields } = await sendForBytes(
    '/sql',
    { sql: request.sql, dataset: request.dataset, limit: ROWS_MAX },
    `${ARROW}, application/json;q=0.5`,
    signal,
    (early) => {
      const id = early.get('yellowline-query-id')
      if (id) onQueryId(id)
    },
  )
  return {
    bytes,
    arrow: contentType.startsWith(ARROW),
    stats: parsed(fields.get('yellowline-stats')),
    queryId: fields.get('yellowline-query-id') ?? '',
  }
}

function parsed(text: string | null): unknown {
  if (text === null) return {}
  try {
    return JSON.parse(text)
  } catch {
    return {}
  }
}

/** Stops a query on the server. */
export const cancelQuery = (id: string) =>
  send<undefined>('DELETE', `/queries/${encodeURIComponent(id)}`)
