import { useState } from 'react'
import type { Alert, Delivery, OffOffer, Suspect } from '../api/alerts'
import { KindSwatch } from '../changes/change-detail'
import { formatMinute, formatSecond, formatShare, zoneName, type Zone } from '../time/format'
import { Ledger } from './ledger'
import { isOff } from './off-state'

/** The less likely ones are a press away. */
const SHOWN_FIRST = 4

interface Props {
  alert: Alert
  zone: Zone
  onSuspect: (changeId: string) => void
  onOff: (changeId: string) => void
}

/** Changes that may have caused it, ranked by their share of the evidence; unknown cause is always one of them. */
export function Suspects({ alert, zone, onSuspect, onOff }: Props) {
  const onsetMs = Date.parse(alert.onset)
  const [all, setAll] = useState(false)
  const shown = all ? alert.suspects : alert.suspects.slice(0, SHOWN_FIRST)
  return (
    <section className="side-panel" aria-label="Suspects">
      <h2>
        Suspects since {formatMinute(onsetMs, zone)} {zoneName(zone, onsetMs)}
      </h2>
      {onsetSpread(alert, zone) !== '' && <p className="muted">{onsetSpread(alert, zone)}</p>}
      <ol className="suspects">
        {shown.map((suspect) => (
          <SuspectRow
            key={suspect.change.id}
            suspect={suspect}
            onsetMs={onsetMs}
            onSelect={() => onSuspect(suspect.change.id)}
            offer={offerOf(alert, suspect)}
            onOff={() => onOff(suspect.change.id)}
          />
        ))}
        {shown.length < alert.suspects.length && (
          <li>
            <button type="button" className="text-button" onClick={() => setAll(true)}>
              {alert.suspects.length - shown.length} less likely
            </button>
          </li>
        )}
        {alert.unknown_share !== null && (
          <li className="suspect">
            <div className="suspect-head">
              <span className="suspect-name is-unknown">unknown cause</span>
              <b>{formatShare(alert.unknown_share)}</b>
            </div>
            <Bar share={alert.unknown_share} tone="unknown" />
          </li>
        )}
      </ol>
      <Slices alert={alert} />
      {alert.sources.length > 0 && (
        <p className="muted">Expected from {alert.sources.join(', ')}.</p>
      )}
      <Deliveries deliveries={alert.notifications} zone={zone} />
    </section>
  )
}

const SLICES_MAX = 5

/** Where it is missing, if the metric is watched by slices. */
function Slices({ alert }: { alert: Alert }) {
  const children = (alert.children ?? []).slice(0, SLICES_MAX)
  if (children.length === 0) return null
  return (
    <div className="deliveries">
      <h3>Missing by slice</h3>
      <ul>
        {children.map((child) => (
          <li key={child.slice} className="slice-share">
            <span>{child.slice.replace('=', ' = ')}</span>
            <b>{formatShare(child.share)}</b>
          </li>
        ))}
      </ul>
    </div>
  )
}

function onsetSpread(alert: Alert, zone: Zone): string {
  if (alert.onset_from === null || alert.onset_to === null) return ''
  const from = formatMinute(Date.parse(alert.onset_from), zone)
  const to = formatMinute(Date.parse(alert.onset_to), zone)
  return from === to ? '' : `It began between ${from} and ${to}.`
}

/** The switch of a suspect, as long as it is on and the incident lasts. */
function offerOf(alert: Alert, suspect: Suspect): OffOffer | undefined {
  if (alert.state === 'resolved' || isOff(alert, suspect.change.id)) return undefined
  return alert.offers?.find((offer) => offer.change === suspect.change.id)
}

const VERDICTS = {
  suspect: '',
  acquitted: 'those not exposed moved as much',
  'no control': 'nobody left to compare with',
} as const

function SuspectRow({
  suspect,
  onsetMs,
  onSelect,
  offer,
  onOff,
}: {
  suspect: Suspect
  onsetMs: number
  onSelect: () => void
  offer: OffOffer | undefined
  onOff: () => void
}) {
  const { change } = suspect
  const activation = change.kind === 'experiment' || change.kind === 'flag'
  return (
    <li className="suspect">
      <div className="suspect-head">
        <button type="button" className="suspect-name" onClick={onSelect} title={change.title}>
          <KindSwatch kind={change.kind} inferred={change.inferred} />
          <span>{change.title}</span>
        </button>
        <b>{formatShare(suspect.share)}</b>
      </div>
      <Bar share={suspect.share} tone={activation ? 'activation' : 'other'} />
      <p className="suspect-why">
        {suspect.verdict === 'acquitted' && <span className="tag">acquitted</span>}
        {[
          lagText(Date.parse(change.time), onsetMs),
          change.actor ?? '',
          suspect.verdict === undefined ? '' : VERDICTS[suspect.verdict],
        ]
          .filter(Boolean)
          .join(' · ')}
      </p>
      <Ledger suspect={suspect} />
      {offer && (
        <p className="suspect-off">
          <code>
            {offer.method} {offer.url}
          </code>
          {offer.allowed ? (
            <button type="button" className="text-button" onClick={onOff}>
              Turn off
            </button>
          ) : (
            <span className="muted">{offer.refusal}</span>
          )}
        </p>
      )}
    </li>
  )
}

function Bar({ share, tone }: { share: number; tone: 'activation' | 'other' | 'unknown' }) {
  return (
    <div className={`share-bar is-${tone}`} aria-hidden="true">
      <i style={{ width: `${Math.min(100, Math.max(0, share * 100))}%` }} />
    </div>
  )
}

/** Of the change against the onset: `same minute`, `4 min before`, `2 min after`. */
function lagText(changeMs: number, onsetMs: number): string {
  const minutes = Math.round((onsetMs - changeMs) / 60_000)
  if (minutes === 0) return 'same minute'
  return minutes > 0 ? `${minutes} min before` : `${-minutes} min after`
}

const STATE_WORDS = { pending: 'waiting', delivered: 'delivered', failed: 'failed' } as const

function Deliveries({ deliveries, zone }: { deliveries: Delivery[]; zone: Zone }) {
  return (
    <div className="deliveries">
      <h3>Page</h3>
      {deliveries.length === 0 && (
        <p className="muted">No channel is configured for this metric.</p>
      )}
      <ul>
        {deliveries.map((one, index) => (
          <li key={index} className={`delivery is-${one.state}`}>
            <i aria-hidden="true" />
            <span>
              {one.channel}
              {one.type !== 'trigger' && <span className="muted"> {one.type}</span>}
            </span>
            <span className="delivery-state">
              {STATE_WORDS[one.state] ?? one.state}
              {one.delivered_at && ` ${formatSecond(Date.parse(one.delivered_at), zone)}`}
              {one.attempts > 1 && ` · ${one.attempts} attempts`}
            </span>
            {one.last_error && one.state !== 'delivered' && (
              <p className="delivery-error">{one.last_error}</p>
            )}
          </li>
        ))}
      </ul>
    </div>
  )
}
