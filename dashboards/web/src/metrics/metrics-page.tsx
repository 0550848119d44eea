import { useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { useMemo } from 'react'
import { alertsQuery } from '../api/alerts'
import { metricsQuery, pointsQuery, problemsQuery, type Metric } from '../api/metrics'
import { datasetsQuery } from '../api/schema'
import { TopBar } from '../app/top-bar'
import { useRange, type RangeState } from '../app/use-range'
import { FirstEvent } from '../explore/first-event'
import { resolve, stepFor } from '../time/range'
import { rateText, stateText } from './now-panel'
import { LatestChanges } from './latest-changes'
import { Sparkline } from './sparkline'
import '../incidents/incidents.css'
import './metrics.css'

const POINTS_MAX = 180

/** What is worst comes first. */
const STATE_ORDER = ['firing', 'silent', 'no_data', 'not_trusted', 'learning', 'ok']

/** Every metric with its latest hours: the page that opens first. */
export function MetricsPage() {
  const state = useRange()
  const metrics = useQuery(metricsQuery)
  const alerts = useQuery(alertsQuery('open')).data ?? []
  const sorted = useMemo(
    () =>
      [...(metrics.data ?? [])].sort(
        (a, b) =>
          STATE_ORDER.indexOf(a.state) - STATE_ORDER.indexOf(b.state) ||
          a.title.localeCompare(b.title),
      ),
    [metrics.data],
  )
  return (
    <>
      <TopBar title="Metrics" subtitle={metrics.data && summary(metrics.data)} />
      {metrics.isPending && (
        <div className="metric-grid" role="status" aria-label="Loading">
          <div className="card skeleton metric-tile" />
          <div className="card skeleton metric-tile" />
        </div>
      )}
      {metrics.error && (
        <div className="page-message" role="alert">
          <h2>Metrics could not be loaded</h2>
          <p>{metrics.error.message}</p>
        </div>
      )}
      <DefinitionProblems />
      {metrics.data?.length === 0 && <NoMetrics />}
      <div className="metric-grid">
        {sorted.map((metric) => (
          <MetricTile
            key={metric.name}
            metric={metric}
            state={state}
            sentence={alerts.find((alert) => alert.metric === metric.name)?.sentence ?? null}
          />
        ))}
      </div>
      {sorted.length > 0 && <LatestChanges state={state} />}
    </>
  )
}

function summary(metrics: Metric[]): string {
  const firing = metrics.filter((metric) => metric.state === 'firing').length
  if (metrics.length === 0) return ''
  return firing === 0
    ? `${metrics.length} watched · none outside its band`
    : `${firing} of ${metrics.length} outside the band`
}

function MetricTile({
  metric,
  state,
  sentence,
}: {
  metric: Metric
  state: RangeState
  sentence: string | null
}) {
  const points = useQuery(
    pointsQuery(metric.name, undefined, state.key, state.window, {
      stepS: stepFor(state.window(), POINTS_MAX),
      refreshMs: state.live ? 15_000 : false,
    }),
  )
  const window = resolve(state.range, points.dataUpdatedAt || Date.now())
  const { last } = metric
  return (
    <Link
      to="/metrics/$name"
      params={{ name: metric.name }}
      className={`card metric-tile is-${metric.state}`}
    >
      <header>
        <h2>{metric.title}</h2>
        <span className="muted">
          {[metric.dataset, metric.environment].filter(Boolean).join(' · ')}
        </span>
      </header>
      <div className="tile-numbers">
        <b>{rateText(metric, last?.actual ?? null)}</b>
        <span className="muted">
          {last?.expected === null || !last
            ? metric.unit
            : `${metric.unit}, expected ${rateText(metric, last.expected)}`}
        </span>
      </div>
      <Sparkline points={points.data ?? null} window={window} />
      <p className={`state-line is-${metric.state}`}>{sentence ?? stateText(metric, state.zone)}</p>
    </Link>
  )
}

function NoMetrics() {
  const datasets = useQuery(datasetsQuery).data
  const own = datasets?.filter((dataset) => !dataset.name.startsWith('system.'))
  if (own?.length === 0) return <FirstEvent />
  return (
    <div className="page-message is-wide">
      <h2>No metric is defined yet</h2>
      <p>
        A metric is a rate worth waking somebody for. Put a file into the folder{' '}
        <code>metrics</code> of the data folder; it is read within ten seconds.
      </p>
      <pre className="code-block">{`[[metric]]
name = "bookings"
title = "Bookings"
unit = "bookings"
dataset = "${own?.[0]?.name ?? 'shop'}"
kind = "count"
filter = "route = '/checkout/pay' AND status = 200"
direction = "down"`}</pre>
      <Link to="/explore" className="button">
        Explore the events
      </Link>
    </div>
  )
}

/** A file that is refused keeps its last good version in force: that must not go unnoticed. */
function DefinitionProblems() {
  const problems = useQuery(problemsQuery).data ?? []
  return problems.map((problem) => (
    <div
      key={`${problem.file}:${problem.line}:${problem.message}`}
      className="strip is-delivery"
      role="alert"
    >
      <strong>
        {problem.file}:{problem.line}:
      </strong>{' '}
      {problem.message}
      {!problem.warning && ' (its last good version stays in force)'}
    </div>
  ))
}
