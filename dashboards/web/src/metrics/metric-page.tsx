import { useQuery } from '@tanstack/react-query'
import { Link, useNavigate, useParams, useSearch } from '@tanstack/react-router'
import { useMemo } from 'react'
import { alertQuery, alertsQuery, type Alert } from '../api/alerts'
import { CHANGES_REFRESH_MS, changesQuery, inEnvironment, type Change } from '../api/changes'
import { metricsQuery, pointsQuery, type Metric } from '../api/metrics'
import { TopBar } from '../app/top-bar'
import type { MetricSearch } from '../app/url-state'
import { useRange } from '../app/use-range'
import { ChangeList } from '../changes/change-list'
import { marksOf } from '../changes/marks'
import { nearestNames } from '../explore/names'
import { AlertStrip } from '../incidents/alert-strip'
import { Suspects } from '../incidents/suspects'
import { absolute, resolve, stepFor } from '../time/range'
import { MetricChart } from './metric-chart'
import { NowPanel } from './now-panel'
import { SlicePicker } from './slice-picker'
import './metrics.css'

/** About one point for each pixel. */
const POINTS_MAX = 900
const POINTS_REFRESH_MS = 5_000
/** Shown around a suspect that lies outside of the chart's range. */
const AROUND_MS = 45 * 60_000

/** One business rate: what was seen, what was expected, and every change that may explain the difference. */
export function MetricPage() {
  const { name } = useParams({ from: '/metrics/$name' })
  const metrics = useQuery(metricsQuery)
  const metric = metrics.data?.find((one) => one.name === name)
  if (metric) return <KnownMetric key={name} metric={metric} />
  return (
    <>
      <TopBar title={name} />
      {metrics.isPending && (
        <div className="card skeleton chart-skeleton" role="status" aria-label="Loading" />
      )}
      {metrics.error && (
        <div className="page-message" role="alert">
          <h2>Metrics could not be loaded</h2>
          <p>{metrics.error.message}</p>
        </div>
      )}
      {metrics.data && <UnknownMetric name={name} known={metrics.data.map((one) => one.name)} />}
    </>
  )
}

function UnknownMetric({ name, known }: { name: string; known: string[] }) {
  const near = nearestNames(name, known)
  return (
    <div className="page-message">
      <h2>No metric is called {name}</h2>
      {near.length > 0 && (
        <p>
          Near:{' '}
          {near.map((one) => (
            <Link key={one} to="/metrics/$name" params={{ name: one }} className="near-name">
              {one}
            </Link>
          ))}
        </p>
      )}
      <Link to="/" className="button">
        All metrics
      </Link>
    </div>
  )
}

/** The alert of the URL, else the open one of this metric and slice, else any open one of the metric. */
function useAlert(metric: Metric, search: MetricSearch): Alert | null {
  const named = useQuery({ ...alertQuery(search.alert ?? ''), enabled: search.alert !== undefined })
  const open = useQuery(alertsQuery('open')).data ?? []
  if (search.alert !== undefined) return named.data ?? null
  const own = open.filter((alert) => alert.metric === metric.name)
  return own.find((alert) => (alert.slice ?? undefined) === search.slice) ?? own[0] ?? null
}

function KnownMetric({ metric }: { metric: Metric }) {
  const search = useSearch({ from: '/metrics/$name' })
  const navigate = useNavigate({ from: '/metrics/$name' })
  const state = useRange()
  const alert = useAlert(metric, search)
  const stepS = stepFor(state.window(), POINTS_MAX)
  const points = useQuery(
    pointsQuery(metric.name, search.slice, state.key, state.window, {
      stepS,
      refreshMs: state.live ? POINTS_REFRESH_MS : false,
    }),
  )
  const refresh = state.live ? CHANGES_REFRESH_MS : CHANGES_REFRESH_MS * 5
  const loaded = useQuery(changesQuery(state.key, state.window, refresh)).data
  const changes = useMemo(
    () => inEnvironment(loaded ?? [], metric.environment),
    [loaded, metric.environment],
  )
  const suspects = useMemo(() => suspectIds(alert), [alert])
  const marks = useMemo(() => marksOf(changes, suspects), [changes, suspects])
  const window = useMemo(
    () => resolve(state.range, points.dataUpdatedAt || Date.now()),
    [state.range, points.dataUpdatedAt],
  )

  const showChange = (change: Pick<Change, 'id' | 'time'> | undefined) => {
    if (!change) return
    const ms = Date.parse(change.time)
    if (ms < window.fromMs || ms > window.toMs) {
      state.setRange(absolute(ms - AROUND_MS, Math.min(ms + AROUND_MS, Date.now())))
    }
    focusMark(change.id)
  }
  const onOff = (off: string | undefined) =>
    void navigate({ search: (old) => ({ ...old, off }), replace: true })
  const onSuspect = (id: string) =>
    showChange(
      alert?.suspects.find((one) => one.change.id === id)?.change ??
        changes.find((one) => one.id === id),
    )

  return (
    <>
      <TopBar title={metricTitle(metric)} subtitle={<Scope metric={metric} />} />
      {metric.error && (
        <div className="strip is-delivery" role="alert">
          <strong>{metric.file ?? metric.name}:</strong> {metric.error}
        </div>
      )}
      {alert && (
        <AlertStrip
          alert={alert}
          zone={state.zone}
          off={search.off}
          onOff={onOff}
          onSuspect={onSuspect}
        />
      )}
      <div className="card metric-card">
        <MetricChart
          metric={metric}
          points={points.data ?? null}
          problem={points.error}
          retry={() => void points.refetch()}
          dimmed={points.isPlaceholderData}
          alert={alert}
          marks={marks}
          changes={changes}
          window={window}
          state={state}
          slice={search.slice}
          slicePicker={
            <SlicePicker
              metric={metric}
              slice={search.slice}
              onSlice={(slice) => void navigate({ search: (old) => ({ ...old, slice }) })}
            />
          }
        />
        {alert ? (
          <Suspects alert={alert} zone={state.zone} onSuspect={onSuspect} onOff={onOff} />
        ) : (
          <NowPanel metric={metric} zone={state.zone} />
        )}
      </div>
      <section className="card" aria-label="Changes">
        <header className="card-head">
          <h2>Changes in this range</h2>
          <span className="muted">{changes.length > 0 ? changes.length : ''}</span>
        </header>
        {loaded ? (
          <ChangeList
            changes={changes}
            suspects={suspects}
            zone={state.zone}
            onSelect={showChange}
          />
        ) : (
          <div className="skeleton list-skeleton" role="status" aria-label="Loading" />
        )}
      </section>
    </>
  )
}

/** The change the sentence names is drawn strongest. */
function suspectIds(alert: Alert | null): ReadonlySet<string> {
  const named = alert?.sentence_parts.flatMap((part) => (part.change ? [part.change] : [])) ?? []
  return new Set(named)
}

/** The label of the change, or the merged label that holds it, once it is on the screen. */
function focusMark(id: string): void {
  requestAnimationFrame(() =>
    requestAnimationFrame(() => {
      const label = document.querySelector<HTMLElement>(`[data-marks~="${CSS.escape(id)}"]`)
      label?.scrollIntoView({ block: 'center', behavior: 'smooth' })
      label?.focus()
      label?.click()
    }),
  )
}

const metricTitle = (metric: Metric) =>
  metric.kind === 'count' || metric.kind === 'sum' ? `${metric.title} per minute` : metric.title

function Scope({ metric }: { metric: Metric }) {
  return (
    <>
      {[metric.dataset, metric.environment, metric.owner].filter(Boolean).join(' · ')}
      {metric.state === 'learning' && <span className="tag">learning</span>}
      {metric.state === 'no_data' && <span className="tag is-danger">no data</span>}
      {metric.state === 'silent' && <span className="tag is-danger">silent</span>}
      {metric.state === 'not_trusted' && <span className="tag">forecast not trusted</span>}
    </>
  )
}
