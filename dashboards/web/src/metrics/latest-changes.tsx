import { useQuery } from '@tanstack/react-query'
import { changesQuery, CHANGES_REFRESH_MS } from '../api/changes'
import type { RangeState } from '../app/use-range'
import { ChangeList } from '../changes/change-list'

const NONE: ReadonlySet<string> = new Set()

/** Every change of the range, in all environments. */
export function LatestChanges({ state }: { state: RangeState }) {
  const refresh = state.live ? CHANGES_REFRESH_MS : false
  const changes = useQuery(changesQuery(state.key, state.window, refresh))
  if (!changes.data) return null
  return (
    <section className="card" aria-label="Changes">
      <header className="card-head">
        <h2>Changes in this range</h2>
        <span className="muted">{changes.data.length > 0 ? changes.data.length : ''}</span>
      </header>
      <ChangeList changes={changes.data} suspects={NONE} zone={state.zone} />
    </section>
  )
}
