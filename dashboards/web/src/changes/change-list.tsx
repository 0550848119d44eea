import type { Change } from '../api/changes'
import { lookOf } from '../charts/kinds'
import { formatDayMinute, type Zone } from '../time/format'
import { KindSwatch, SafeLink } from './change-detail'

interface Props {
  changes: readonly Change[]
  suspects: ReadonlySet<string>
  zone: Zone
  /** Shows the change on the chart; absent where there is none. */
  onSelect?: (change: Change) => void
}

/** The change lines of the chart as a list, newest first: the same facts without the picture. */
export function ChangeList({ changes, suspects, zone, onSelect }: Props) {
  if (changes.length === 0) {
    return (
      <div className="empty-note">
        <p>No change in this range.</p>
        <p className="muted">
          One line from CI or a flag system draws one:{' '}
          <code>
            {`curl ${window.location.origin}/api/v1/changes -H 'content-type: application/json' -d '{"kind":"deploy","title":"web 2026.47.2"}'`}
          </code>
        </p>
      </div>
    )
  }
  const now = Date.now()
  return (
    <div className="table-scroll" tabIndex={0} role="region" aria-label="Changes in this range">
      <table className="rows change-rows">
        <thead>
          <tr>
            <th scope="col">time</th>
            <th scope="col">kind</th>
            <th scope="col">change</th>
            <th scope="col">where</th>
            <th scope="col">by</th>
          </tr>
        </thead>
        <tbody>
          {[...changes].reverse().map((change) => (
            <tr key={change.id} className={suspects.has(change.id) ? 'is-suspect' : ''}>
              <td className="num">{formatDayMinute(Date.parse(change.time), zone, now)}</td>
              <td>
                <span className="kind-cell">
                  <KindSwatch kind={change.kind} inferred={change.inferred} />
                  {lookOf(change.kind).name}
                </span>
              </td>
              <td>
                {onSelect ? (
                  <button type="button" className="text-button" onClick={() => onSelect(change)}>
                    {change.title}
                  </button>
                ) : (
                  change.title
                )}
                {change.inferred && <span className="tag">inferred</span>}
                {change.url && (
                  <span className="muted">
                    {' '}
                    <SafeLink url={change.url} label="link" />
                  </span>
                )}
              </td>
              <td className="muted">
                {[change.service, change.environment].filter(Boolean).join(' · ') || '–'}
              </td>
              <td className="muted">{change.actor ?? '–'}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}
