import { useQuery } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { useMemo, type ReactNode } from 'react'
import type { Alert } from '../api/alerts'
import { changesQuery, inEnvironment, type Change } from '../api/changes'
import { pointsQuery, type Metric, type Points } from '../api/metrics'
import { columnsQuery } from '../api/schema'
import { useTheme } from '../app/theme'
import type { RangeState } from '../app/use-range'
import { ChangeDetail } from '../changes/change-detail'
import { marksOf } from '../changes/marks'
import type { Mark } from '../charts/kinds'
import { OverviewStrip } from '../charts/overview'
import { TimeChart } from '../charts/time-chart'
import { Button } from '../controls/button'
import { formatDuration } from '../time/format'
import { absolute, isoSeconds, type Window } from '../time/range'
import { ChartLegend } from './chart-legend'
import { metricRows, metricSpec, overviewSpec } from './metric-spec'
import { rawEventsSql } from './raw-events'

const CHART_HEIGHT = 336
const WEEK_MS = 7 * 86_400_000
const WEEK_STEP_S = 600
const WEEK_REFRESH_MS = 60_000

interface Props {
  metric: Metric
  points: Points | null
  problem: Error | null
  retry: () => void
  dimmed: boolean
  alert: Alert | null
  marks: Mark[]
  changes: Change[]
  window: Window
  state: RangeState
  slice: string | undefined
  slicePicker: ReactNode
}

/** The chart of a metric with its legend, and the week below it. */
export function MetricChart(props: Props) {
  const { metric, points, alert, marks, changes, window, state, slice } = props
  const theme = useTheme()
  const openRaw = useRawEvents(metric, slice)
  const spec = useMemo(
    () => points && metricSpec(metric, points, window, marks, alert),
    [metric, points, window, marks, alert],
  )
  const kinds = useMemo(() => new Set(marks.map((mark) => mark.kind)), [marks])
  const detail = (mark: Mark) => {
    const change = changes.find((one) => one.id === mark.id)
    return change ? <ChangeDetail change={change} zone={state.zone} /> : mark.label
  }
  return (
    <div className="metric-chart">
      <header className="card-head">
        {props.slicePicker}
        <ChartLegend kinds={kinds} inferred={marks.some((mark) => mark.inferred)} />
      </header>
      {spec === null || points === null ? (
        <ChartPlaceholder problem={props.problem} retry={props.retry} />
      ) : (
        <TimeChart
          spec={spec}
          zone={state.zone}
          theme={theme}
          height={CHART_HEIGHT}
          label={`${metric.title}: actual, expected and band over time`}
          rows={(index) => metricRows(points, index, metric)}
          pickHint={`click: raw events of ${points.stepS === 60 ? 'this minute' : `these ${formatDuration(points.stepS * 1_000)}`}`}
          onPick={(timeMs) => openRaw(timeMs, points.stepS)}
          onZoom={(fromMs, toMs) => state.setRange(absolute(fromMs, toMs))}
          markDetail={detail}
          dimmed={props.dimmed}
        />
      )}
      {points !== null && points.timesMs.length === 0 && (
        <p className="chart-empty">No minute of this range was evaluated.</p>
      )}
      <Week metric={metric} slice={slice} window={window} state={state} theme={theme} />
    </div>
  )
}

function ChartPlaceholder({ problem, retry }: { problem: Error | null; retry: () => void }) {
  if (!problem)
    return <div className="skeleton chart-skeleton" role="status" aria-label="Loading the series" />
  return (
    <div className="chart-empty" role="alert">
      <p>{problem.message}</p>
      <Button onClick={retry}>Try again</Button>
    </div>
  )
}

/** Opens the events a point counts, in Explore. */
function useRawEvents(metric: Metric, slice: string | undefined) {
  const columns = useQuery(columnsQuery(metric.dataset)).data
  const navigate = useNavigate()
  return (timeMs: number, stepS: number) =>
    void navigate({
      to: '/explore',
      search: (old: { tz?: 'local' | undefined }) => ({
        tz: old.tz,
        ds: metric.dataset,
        q: rawEventsSql(metric, slice, columns ?? []),
        from: isoSeconds(timeMs),
        to: isoSeconds(timeMs + stepS * 1_000),
      }),
    })
}

/** Seven days that hold the window: up to now, or around it when it is older. */
function Week({
  metric,
  slice,
  window,
  state,
  theme,
}: {
  metric: Metric
  slice: string | undefined
  window: Window
  state: RangeState
  theme: string
}) {
  const week = useMemo(() => {
    const nowMs = Date.now()
    const toMs = window.toMs > nowMs - WEEK_MS / 2 ? nowMs : window.toMs + WEEK_MS / 4
    // Whole steps, so that the key (and the picture) changes once in ten minutes and not always.
    const end = Math.ceil(toMs / (WEEK_STEP_S * 1_000)) * WEEK_STEP_S * 1_000
    return { fromMs: Math.min(end - WEEK_MS, window.fromMs), toMs: end }
  }, [window])
  const key = ['week', week.fromMs, week.toMs]
  const points = useQuery(
    pointsQuery(metric.name, slice, key, () => week, {
      stepS: WEEK_STEP_S,
      refreshMs: WEEK_REFRESH_MS,
    }),
  ).data
  const changes = useQuery(changesQuery(key, () => week, WEEK_REFRESH_MS)).data
  const spec = useMemo(() => {
    if (!points) return null
    const marks = marksOf(inEnvironment(changes ?? [], metric.environment), new Set())
    return overviewSpec(metric, points, week, marks)
  }, [points, changes, week, metric])
  if (!spec) return <div className="skeleton overview-skeleton" aria-hidden="true" />
  return (
    <OverviewStrip
      spec={spec}
      zone={state.zone}
      theme={theme}
      windowFromMs={window.fromMs}
      windowToMs={window.toMs}
      onWindow={(fromMs, toMs) => state.setRange(absolute(fromMs, toMs))}
    />
  )
}
