import type { Change, OffAction } from '../api/changes'
import { lookOf } from '../charts/kinds'
import { formatDuration, formatFull, formatShare, zoneName, type Zone } from '../time/format'

/** Everything known of one change, in a popover. */
export function ChangeDetail({ change, zone }: { change: Change; zone: Zone }) {
  const ms = Date.parse(change.time)
  const rows: [string, string | null][] = [
    ['when', `${formatFull(ms, zone)} ${zoneName(zone, ms)}`],
    ['lasted', change.end_time === null ? null : formatDuration(Date.parse(change.end_time) - ms)],
    ['experiment', change.experiment],
    ['variant', change.variant],
    ['share', change.share === null ? null : formatShare(change.share)],
    ['service', change.service],
    ['environment', change.environment],
    ['rollout', change.rollout],
    ['version', change.version],
    ['commit', change.revision_ref],
    ['by', change.actor],
    ['owner', change.owner],
    ['status', change.status],
    ['source', change.inferred ? 'inferred from the first event that carried it' : change.source],
  ]
  return (
    <>
      <h3>
        <KindSwatch kind={change.kind} inferred={change.inferred} />
        {change.title}
      </h3>
      <dl className="facts">
        {rows.map(
          ([name, value]) =>
            value !== null &&
            value !== undefined &&
            value !== '' && (
              <div key={name}>
                <dt>{name}</dt>
                <dd>{value}</dd>
              </div>
            ),
        )}
      </dl>
      {change.url && <SafeLink url={change.url} />}
      {change.off && <OffText off={change.off} />}
    </>
  )
}

/** How the change is undone, as its sender said; an alert has the button that does it. */
export function OffText({ off }: { off: OffAction }) {
  const body = off.body === undefined || off.body === null ? '' : ` ${JSON.stringify(off.body)}`
  return (
    <p className="off-text">
      <span>To turn it off:</span>{' '}
      <code>
        {off.method ?? 'POST'} {off.url}
        {body}
      </code>
    </p>
  )
}

/** Addresses come with events: only web addresses become links. */
export function SafeLink({ url, label }: { url: string; label?: string }) {
  if (!/^https?:\/\//i.test(url)) return <code>{url}</code>
  return (
    <a href={url} target="_blank" rel="noreferrer noopener">
      {label ?? url.replace(/^https?:\/\//i, '')}
    </a>
  )
}

/** The line of a kind as in the legend. */
export function KindSwatch({ kind, inferred = false }: { kind: string; inferred?: boolean }) {
  const look = lookOf(kind)
  const dash = look.dash.length === 0 ? undefined : look.dash.join(' ')
  return (
    <svg className="kind-swatch" width="10" height="16" aria-hidden="true">
      <line
        x1="5"
        x2="5"
        y1="0"
        y2="16"
        stroke={`var(${look.token})`}
        strokeWidth={inferred ? look.width + 2.2 : look.width + 0.5}
        strokeDasharray={dash}
      />
      {inferred && (
        <line x1="5" x2="5" y1="0" y2="16" stroke="var(--surface)" strokeWidth={look.width} />
      )}
    </svg>
  )
}
