import { useQuery } from '@tanstack/react-query'
import { Link, useRouterState } from '@tanstack/react-router'
import { Bell, ChartSpline, Keyboard, Search } from 'lucide-react'
import { alertsQuery } from '../api/alerts'
import { ApiError } from '../api/client'
import { statusQuery } from '../api/schema'
import { formatDuration, formatNumber } from '../time/format'
import { useShellActions } from './shell-actions'

/** Pages of the console, and at the bottom what the server says of itself. */
export function Rail() {
  const open = useQuery(alertsQuery('open')).data?.length ?? 0
  const { openHelp } = useShellActions()
  const onMetrics = useRouterState({
    select: ({ location }) =>
      location.pathname === '/' || location.pathname.startsWith('/metrics/'),
  })
  return (
    <nav className="rail" aria-label="Pages">
      <Link to="/" className="brand" aria-label="Yellowline, all metrics">
        <i aria-hidden="true" />
        <span>Yellowline</span>
      </Link>
      <div className="rail-links">
        <Link to="/explore" className="rail-link" activeProps={{ className: 'is-active' }}>
          <Search size={16} aria-hidden="true" />
          <span>Explore</span>
        </Link>
        <Link to="/" className={onMetrics ? 'rail-link is-active' : 'rail-link'}>
          <ChartSpline size={16} aria-hidden="true" />
          <span>Metrics</span>
        </Link>
        <Link to="/alerts" className="rail-link" activeProps={{ className: 'is-active' }}>
          <Bell size={16} aria-hidden="true" />
          <span>Alerts</span>
          {open > 0 && (
            <b className="badge" aria-label={`${open} open`}>
              {open}
            </b>
          )}
        </Link>
      </div>
      <div className="rail-foot">
        <button type="button" className="rail-link" onClick={openHelp}>
          <Keyboard size={16} aria-hidden="true" />
          <span>Keys</span>
        </button>
        <ServerState />
      </div>
    </nav>
  )
}

function ServerState() {
  const { data, error } = useQuery(statusQuery)
  if (error instanceof ApiError && error.status === 0) {
    return (
      <div className="server-state is-lost" role="status">
        <strong>Server not reached</strong>
        <span>what you see may be old</span>
      </div>
    )
  }
  if (!data) return <div className="server-state" />
  const lag = data.ingest_lag_s
  return (
    <div className="server-state">
      <strong>Yellowline {data.version}</strong>
      <span>
        {formatNumber(Math.round(data.events_per_second * 10) / 10)} events/s
        {lag !== null && lag !== undefined && ` · lag ${lagText(lag)}`}
      </span>
      {data.delivery_failures > 0 && (
        <span className="is-danger">{data.delivery_failures} pages not delivered</span>
      )}
    </div>
  )
}

const lagText = (seconds: number) =>
  seconds < 60 ? `${seconds.toFixed(1)} s` : formatDuration(seconds * 1_000)
