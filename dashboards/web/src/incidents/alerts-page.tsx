import { useQuery } from '@tanstack/react-query'
import { Link, useNavigate } from '@tanstack/react-router'
import { useRef } from 'react'
import { alertsQuery, type Alert } from '../api/alerts'
import { metricsQuery, type Metric } from '../api/metrics'
import { useShortcuts } from '../app/shortcuts'
import { TopBar } from '../app/top-bar'
import { useRange } from '../app/use-range'
import { formatDayMinute, formatDuration, formatNumber, zoneName, type Zone } from '../time/format'
import { missedText } from './alert-meta'
import { Feedback } from './feedback'
import './incidents.css'

/** Open alerts first, then the history, each with the verdict people gave. */
export function AlertsPage() {
  const { zone } = useRange()
  const alerts = useQuery(alertsQuery('all'))
  const open = alerts.data?.filter((alert) => alert.state !== 'resolved') ?? []
  const past = alerts.data?.filter((alert) => alert.state === 'resolved') ?? []
  const list = useRef<HTMLDivElement>(null)
  const move = (step: number) => {
    const rows = [...(list.current?.querySelectorAll<HTMLElement>('.alert-main') ?? [])]
    const at = rows.indexOf(document.activeElement as HTMLElement)
    rows[Math.max(0, Math.min(rows.length - 1, at + step))]?.focus()
  }
  useShortcuts({ j: () => move(1), k: () => move(-1) })
  return (
    <>
      <TopBar
        title="Alerts"
        ranged={false}
        subtitle={alerts.data && `${open.length} open · ${past.length} past`}
      />
      {alerts.isPending && (
        <div className="card skeleton chart-skeleton" role="status" aria-label="Loading" />
      )}
      {alerts.error && (
        <div className="page-message" role="alert">
          <h2>Alerts could not be loaded</h2>
          <p>{alerts.error.message}</p>
        </div>
      )}
      <div ref={list}>
        {alerts.data && open.length === 0 && <AllWithin zone={zone} />}
        {open.map((alert) => (
          <AlertCard key={alert.id} alert={alert} zone={zone} />
        ))}
        {past.length > 0 && (
          <section className="card" aria-label="History">
            <header className="card-head">
              <h2>History</h2>
              <span className="muted">{past.length}</span>
            </header>
            <ul className="alert-history">
              {past.map((alert) => (
                <HistoryRow key={alert.id} alert={alert} zone={zone} />
              ))}
            </ul>
          </section>
        )}
      </div>
    </>
  )
}

function AlertLink({ alert, children }: { alert: Alert; children: React.ReactNode }) {
  return (
    <Link to="/alerts/$id" params={{ id: alert.id }} className="alert-main" preload={false}>
      {children}
    </Link>
  )
}

function AlertCard({ alert, zone }: { alert: Alert; zone: Zone }) {
  const onsetMs = Date.parse(alert.onset)
  const lasted = formatDuration(Date.now() - onsetMs)
  return (
    <article className={`card alert-card is-${alert.state}`}>
      <AlertLink alert={alert}>
        <strong className="alert-sentence">
          {alert.sentence_parts.length === 0
            ? alert.sentence
            : alert.sentence_parts.map((part, index) =>
                part.change ? (
                  <mark key={index} className="suspect-mark">
                    {part.text}
                  </mark>
                ) : (
                  part.text
                ),
              )}
        </strong>
      </AlertLink>
      <p className="muted">
        {[
          alert.slice?.replace('=', ' = '),
          `since ${when(onsetMs, zone)}, for ${lasted}`,
          alert.missed === null ? '' : missedText(alert),
          alert.state === 'acknowledged'
            ? `acknowledged by ${alert.acknowledged_by ?? 'somebody'}`
            : '',
        ]
          .filter(Boolean)
          .join(' · ')}
      </p>
      <Feedback alert={alert} />
    </article>
  )
}

function HistoryRow({ alert, zone }: { alert: Alert; zone: Zone }) {
  const onsetMs = Date.parse(alert.onset)
  const endMs = alert.resolved_at === null ? null : Date.parse(alert.resolved_at)
  const toAcknowledge =
    alert.acknowledged_at === null
      ? 'not acknowledged'
      : `acknowledged after ${formatDuration(Date.parse(alert.acknowledged_at) - Date.parse(alert.paged_at))}`
  return (
    <li>
      <AlertLink alert={alert}>
        <span>{alert.sentence}</span>
      </AlertLink>
      <p className="muted">
        {[
          when(onsetMs, zone),
          endMs === null ? '' : `lasted ${formatDuration(endMs - onsetMs)}`,
          alert.missed === null ? '' : missedText(alert),
          toAcknowledge,
        ]
          .filter(Boolean)
          .join(' · ')}
      </p>
      <Feedback alert={alert} />
    </li>
  )
}

const when = (ms: number, zone: Zone) =>
  `${formatDayMinute(ms, zone, Date.now())} ${zoneName(zone, ms)}`

/** How near a rate is to the edge of its band: 0 at the forecast, 1 at the edge. */
function nearness(metric: Metric): number {
  const { last } = metric
  if (!last || last.actual === null || last.expected === null) return -1
  const below =
    last.lower === null ? 0 : (last.expected - last.actual) / (last.expected - last.lower)
  const above =
    last.upper === null ? 0 : (last.actual - last.expected) / (last.upper - last.expected)
  return metric.direction === 'down'
    ? below
    : metric.direction === 'up'
      ? above
      : Math.max(below, above)
}

/** Nothing is open: says so, and which rate is nearest to the edge of its band. */
function AllWithin({ zone }: { zone: Zone }) {
  const metrics = useQuery(metricsQuery).data
  const navigate = useNavigate()
  if (!metrics) return null
  if (metrics.length === 0) {
    return (
      <div className="page-message">
        <h2>No metric is watched yet</h2>
        <p>Alerts come from metrics: define the first one.</p>
        <button type="button" className="button" onClick={() => void navigate({ to: '/' })}>
          How to define a metric
        </button>
      </div>
    )
  }
  const learning = metrics.filter((metric) => metric.state === 'learning').length
  const unwell = metrics.filter((metric) =>
    ['no_data', 'silent', 'not_trusted'].includes(metric.state),
  )
  const nearest = [...metrics].sort((a, b) => nearness(b) - nearness(a))[0]
  return (
    <div className="page-message">
      <h2>{unwell.length === 0 ? 'All rates are within their bands' : 'No alert is open'}</h2>
      {unwell.map((metric) => (
        <p key={metric.name} className="is-danger">
          {metric.title}: {metric.state.replace('_', ' ')}
        </p>
      ))}
      {nearest && nearness(nearest) > 0 && nearest.last && (
        <p>
          Nearest to its edge:{' '}
          <Link to="/metrics/$name" params={{ name: nearest.name }}>
            {nearest.title}
          </Link>
          , {formatNumber(Math.round(nearest.last.actual ?? 0))} seen,{' '}
          {formatNumber(Math.round(nearest.last.expected ?? 0))} expected at{' '}
          {when(Date.parse(nearest.last.time), zone)}.
        </p>
      )}
      {learning > 0 && (
        <p className="muted">
          {learning} of {metrics.length} {learning === 1 ? 'is' : 'are'} still learning.
        </p>
      )}
    </div>
  )
}
