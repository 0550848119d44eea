import { queryOptions } from '@tanstack/react-query'
import { get } from './client'

/** One dataset: a schema of SQL with a table `events`. */
export interface Dataset {
  name: string
  events: number
  bytes_on_disk: number
  files: number
  columns: number
  first_event: string | null
  last_event: string | null
}

/** One column of a dataset; `shares` tells how often each physical type occurred. */
export interface Column {
  name: string
  type: string
  class: string
  system: boolean
  shares: Record<string, number> | null
  values: number | null
}

/** A value and how often it occurred lately. */
export interface TopValue {
  value: unknown
  count: number
}

/** What the process says about itself. */
export interface Status {
  version: string
  started_at: string
  uptime_s: number
  events_per_second: number
  ingest_lag_s: number | null
  alerts_open: number
  delivery_failures: number
  definition_problems?: number
}

/** Datasets, ours (`system.*`) included. */
export const datasetsQuery = queryOptions({
  queryKey: ['datasets'],
  queryFn: async ({ signal }) =>
    (await get<{ datasets: Dataset[] }>('/datasets', {}, signal)).datasets,
  refetchInterval: 5_000,
})

/** Columns of a dataset, most frequent first. */
export const columnsQuery = (dataset: string) =>
  queryOptions({
    queryKey: ['columns', dataset],
    queryFn: async ({ signal }) =>
      (
        await get<{ columns: Column[] }>(
          `/datasets/${encodeURIComponent(dataset)}/columns`,
          {},
          signal,
        )
      ).columns,
    staleTime: 15_000,
    refetchInterval: 60_000,
    enabled: dataset !== '',
  })

/** Most frequent values of a column in recent data. */
export const valuesQuery = (dataset: string, column: string, prefix = '', limit = 12) =>
  queryOptions({
    queryKey: ['values', dataset, column, prefix, limit],
    queryFn: async ({ signal }) =>
      (
        await get<{ values: TopValue[] }>(
          `/datasets/${encodeURIComponent(dataset)}/values`,
          { column, prefix, limit },
          signal,
        )
      ).values,
    staleTime: 30_000,
  })

/** One event as it was sent. */
export const eventQuery = (dataset: string, id: string) =>
  queryOptions({
    queryKey: ['event', dataset, id],
    queryFn: ({ signal }) =>
      get<Record<string, unknown>>(
        `/events/${encodeURIComponent(dataset)}/${encodeURIComponent(id)}`,
        {},
        signal,
      ),
    staleTime: Number.POSITIVE_INFINITY,
  })

/** Rate, lag, open alerts. */
export const statusQuery = queryOptions({
  queryKey: ['status'],
  queryFn: ({ signal }) => get<Status>('/status', {}, signal),
  refetchInterval: 5_000,
})
