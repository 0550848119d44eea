import { Power } from 'lucide-react'
import type { Alert, OffOffer, TurnedOff } from '../api/alerts'
import { Button } from '../controls/button'
import { formatMinute, zoneName, type Zone } from '../time/format'

const OUTCOMES = {
  recovered: 'recovered after off',
  not_recovered: 'not recovered after off',
  unclear: 'unclear whether it recovered after off',
} as const

/** Was this change turned off since the incident began? */
export const isOff = (alert: Alert, change: string): boolean =>
  offsSinceOnset(alert).some((one) => one.change === change)

/** Switching-offs since the incident began (again). */
export const offsSinceOnset = (alert: Alert): TurnedOff[] =>
  (alert.off_actions ?? []).filter((one) => Date.parse(one.at) >= Date.parse(alert.onset))

/** The switch of the named suspect, as long as it is on. */
export function OffButton({
  alert,
  onPress,
}: {
  alert: Alert
  onPress: (offer: OffOffer) => void
}) {
  const { off } = alert
  if (!off || alert.state === 'resolved' || isOff(alert, off.change)) return null
  return (
    <Button
      tone="danger"
      disabled={!off.allowed}
      title={off.refusal ?? `Asks first, then calls ${off.method} ${off.url}`}
      onClick={() => onPress(off)}
    >
      <Power size={15} aria-hidden="true" /> Turn it off
    </Button>
  )
}

/** What was turned off, by whom, and whether the metric recovered. */
export function OffStates({ alert, zone }: { alert: Alert; zone: Zone }) {
  const offs = offsSinceOnset(alert)
  if (offs.length === 0) return null
  return (
    <ul className="off-states" aria-live="polite">
      {offs.map((one) => {
        const ms = Date.parse(one.at)
        return (
          <li key={one.change} className={`off-state is-${one.outcome ?? 'watched'}`}>
            <Power size={13} aria-hidden="true" />
            <span>
              {one.actor ?? one.key ?? 'Somebody'} turned off {one.title} at{' '}
              {formatMinute(ms, zone)} {zoneName(zone, ms)}:{' '}
              <b>{one.outcome === null ? 'watching whether it recovers' : OUTCOMES[one.outcome]}</b>
            </span>
          </li>
        )
      })}
    </ul>
  )
}
