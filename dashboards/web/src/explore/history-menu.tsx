import { Popover } from '@base-ui/react/popover'
import { History } from 'lucide-react'
import { useState } from 'react'
import { formatDayMinute, formatElapsed, formatNumber, type Zone } from '../time/format'
import { pastQueries, type PastQuery } from './history'

/** The last queries; choosing one runs it again. */
export function HistoryMenu({
  zone,
  onChoose,
}: {
  zone: Zone
  onChoose: (past: PastQuery) => void
}) {
  const [open, setOpen] = useState(false)
  const past = open ? pastQueries() : []
  return (
    <Popover.Root open={open} onOpenChange={setOpen}>
      <Popover.Trigger className="button is-quiet">
        <History size={15} aria-hidden="true" />
        <span className="wide-only">History</span>
        <span className="visually-hidden narrow-only">History</span>
      </Popover.Trigger>
      <Popover.Portal>
        <Popover.Positioner sideOffset={6} align="end" collisionPadding={8} className="layer">
          <Popover.Popup className="popup history-popup" aria-label="Last queries">
            {open && past.length === 0 && (
              <p className="muted">No query has run in this browser yet.</p>
            )}
            <ul>
              {past.map((one) => (
                <li key={`${one.dataset}${one.sql}`}>
                  <button
                    type="button"
                    className="menu-item history-item"
                    onClick={() => {
                      setOpen(false)
                      onChoose(one)
                    }}
                  >
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
          </Popover.Popup>
        </Popover.Positioner>
      </Popover.Portal>
    </Popover.Root>
  )
}
