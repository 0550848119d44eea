import { History } from 'lucide-react'
import { PopoverButton } from '../controls/popover-button'
import { formatDayMinute, formatElapsed, formatNumber, type Zone } from '../time/format'
import { pastQueries, type PastQuery } from './history'

interface Props {
  zone: Zone
  onChoose: (past: PastQuery) => void
}

/** The last queries; choosing one runs it again. */
export function HistoryMenu({ zone, onChoose }: Props) {
  return (
    <PopoverButton
      className="button is-quiet"
      aria-label="History"
      popupLabel="Last queries"
      popupClass="history-popup"
      align="end"
      content={(close) => (
        <PastQueries
          zone={zone}
          onChoose={(past) => {
            close()
            onChoose(past)
          }}
        />
      )}
    >
      <History size={15} aria-hidden="true" />
      <span className="wide-only">History</span>
    </PopoverButton>
  )
}

function PastQueries({ zone, onChoose }: Props) {
  const past = pastQueries()
  if (past.length === 0) return <p className="muted">No query has run in this browser yet.</p>
  return (
    <ul>
      {past.map((one) => (
        <li key={`${one.dataset}${one.sql}`}>
          <button type="button" className="menu-item history-item" onClick={() => onChoose(one)}>
            <code>{one.sql}</code>
            <small>
              {[
                formatDayMinute(one.atMs, zone, Date.now()),
                one.dataset,
                `${formatNumber(one.rows)} rows`,
                one.elapsedMs === null ? '' : formatElapsed(one.elapsedMs),
              ]
                .filter(Boolean)
                .join(' · ')}
            </small>
          </button>
        </li>
      ))}
    </ul>
  )
}
