import { keepPreviousData, queryOptions } from '@tanstack/react-query'
import { get } from './client'

/** Kinds of change, each with its own look on every chart (DESIGN §7). */
export type ChangeKind =
  'deploy' | 'config' | 'experiment' | 'flag' | 'schema' | 'chaos' | 'maintenance' | 'note'

/** The call that undoes a change, if its sender named one. */
export interface OffAction {
  url: string
  method?: string
  body?: unknown
}

/** One row of `system.changes`: something somebody did to the system. */
export interface Change {
  id: string
  revision: number
  kind: ChangeKind
  status: string | null
  title: string
  time: string
  end_time: string | null
  environment: string | null
  service: string | null
  rollout: string | null
  version: string | null
  experiment: string | null
  variant: string | null
  share: number | null
  target: string | null
  actor: string | null
  owner: string | null
  revision_ref: string | null
  url: string | null
  off: OffAction | null
  source: string | null
  inferred: boolean
  merged_into: string | null
}

/** Most lines one chart asks for. */
const CHANGES_MAX = 500
/** A change posted anywhere is on the chart within about this time. */
export const CHANGES_REFRESH_MS = 2_000

/** Changes of a range, oldest first. A merged one is drawn by the change it was merged into. */
export function changesQuery(
  rangeKey: readonly unknown[],
  window: () => { fromMs: number; toMs: number },
  refreshMs: number | false,
) {
  return queryOptions({
    queryKey: ['changes', ...rangeKey],
    queryFn: async ({ signal }) => {
      const { fromMs, toMs } = window()
      const answer = await get<{ changes: Change[] }>(
        '/changes',
        {
          from: new Date(fromMs).toISOString(),
          to: new Date(toMs).toISOString(),
          limit: CHANGES_MAX,
        },
        signal,
      )
      return answer.changes.filter((change) => change.status !== 'merged').reverse()
    },
    refetchInterval: refreshMs,
    placeholderData: keepPreviousData,
  })
}

/** Those that can matter in an environment: its own, and those of no environment. */
export const inEnvironment = (changes: readonly Change[], environment: string | null): Change[] =>
  changes.filter(
    (change) =>
      environment === null || change.environment === null || change.environment === environment,
  )
