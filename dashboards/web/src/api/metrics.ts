import { queryOptions } from '@tanstack/react-query'
import { get } from './client'

/** How a metric is doing now. */
export type MetricState = 'learning' | 'ok' | 'firing' | 'no_data' | 'not_trusted' | 'silent'

/** A business rate somebody defined in a TOML file, and its latest minute. */
export interface Metric {
  name: string
  title: string
  unit: string
  dataset: string
  environment: string | null
  kind: 'count' | 'sum' | 'ratio' | 'latency'
  direction: 'down' | 'up' | 'both'
  slices: string[]
  zone: string
  state: MetricState
  alerts_from: string | null
  alert_id: string | null
  last: {
    time: string
    actual: number | null
    expected: number | null
    lower: number | null
    upper: number | null
  } | null
  visible_drop: Record<string, number> | null
  file: string | null
  error: string | null
  filter?: string | null
  value?: string | null
  denominator?: string | null
  threshold_ms?: number | null
  owner?: string | null
  runbook?: string | null
  budget_share?: number | null
}

interface PointsAnswer {
  step_s: number
  time_ms: number[]
  actual: (number | null)[]
  expected: (number | null)[]
  lower: (number | null)[]
  upper: (number | null)[]
}

/** A series with its band; NaN where there is no value. */
export interface Points {
  stepS: number
  timesMs: Float64Array
  actual: Float64Array
  expected: Float64Array
  lower: Float64Array
  upper: Float64Array
}

const column = (values: (number | null)[]) =>
  Float64Array.from(values, (value) => (value === null ? Number.NaN : value))

/** Something wrong in a definition file, at its place. */
export interface DefinitionProblem {
  file: string
  line: number
  message: string
  /** The file is in force all the same. */
  warning: boolean
}

interface MetricsAnswer {
  metrics: Metric[]
  problems?: DefinitionProblem[]
}

const answer = {
  queryKey: ['metrics'],
  queryFn: ({ signal }: { signal: AbortSignal }) => get<MetricsAnswer>('/metrics', {}, signal),
  refetchInterval: 5_000,
}

/** All metrics, with the state of each. */
export const metricsQuery = queryOptions({ ...answer, select: (one: MetricsAnswer) => one.metrics })

const NO_PROBLEMS: DefinitionProblem[] = []

/** What is wrong in the definition files. */
export const problemsQuery = queryOptions({
  ...answer,
  select: (one: MetricsAnswer) => one.problems ?? NO_PROBLEMS,
})

/** Ratios, and latencies as the share over a threshold, are shown in per cent. */
export const isShare = (metric: Metric): boolean =>
  metric.kind === 'ratio' || metric.kind === 'latency'

/** Points of a metric in a window, with the band the alerter stored. */
export function pointsQuery(
  metric: string,
  slice: string | undefined,
  rangeKey: readonly unknown[],
  window: () => { fromMs: number; toMs: number },
  options: { stepS: number; refreshMs: number | false },
) {
  return queryOptions({
    queryKey: ['points', metric, slice ?? '', ...rangeKey, options.stepS],
    queryFn: async ({ signal }): Promise<Points> => {
      const { fromMs, toMs } = window()
      const answer = await get<PointsAnswer>(
        `/metrics/${encodeURIComponent(metric)}/points`,
        {
          from: new Date(fromMs).toISOString(),
          to: new Date(toMs).toISOString(),
          slice,
          step_s: options.stepS,
        },
        signal,
      )
      return {
        stepS: answer.step_s,
        timesMs: Float64Array.from(answer.time_ms),
        actual: column(answer.actual),
        expected: column(answer.expected),
        lower: column(answer.lower),
        upper: column(answer.upper),
      }
    },
    refetchInterval: options.refreshMs,
    // The old line stays while a new range loads, unless it belongs to another metric or slice.
    placeholderData: (previous, query) =>
      query?.queryKey[1] === metric && query.queryKey[2] === (slice ?? '') ? previous : undefined,
  })
}
