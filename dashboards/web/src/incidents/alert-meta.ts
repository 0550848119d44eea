/** The line below the sentence: who switched what, when, and what it cost so far. */

import type { Alert } from '../api/alerts'
import {
  formatDayMinute,
  formatMinute,
  formatNumber,
  formatShare,
  zoneName,
  type Zone,
} from '../time/format'

const DAY_MS = 86_400_000

/** Its pieces, in order; those nothing is known of are left out. */
export function alertMeta(alert: Alert, zone: Zone, nowMs: number): string[] {
  const pieces: string[] = []
  if (alert.slice) pieces.push(alert.slice.replace('=', ' = '))
  const change = leadSuspect(alert)
  if (change) {
    const subject = change.target ?? change.service
    if (subject && !alert.sentence.includes(subject)) pieces.push(subject)
    const variant = change.variant ? `variant ${change.variant}` : ''
    const share = change.share === null ? '' : `to ${formatShare(change.share)}`
    const actor = change.actor ? `by ${change.actor}` : ''
    const ms = Date.parse(change.time)
    const clock = nowMs - ms < DAY_MS ? formatMinute(ms, zone) : formatDayMinute(ms, zone, nowMs)
    pieces.push(
      [variant, share, actor, `at ${clock} ${zoneName(zone, ms)}`].filter(Boolean).join(' '),
    )
  }
  if (alert.cause === 'silence' && alert.unknown_up_to) {
    pieces.push(`missed: unknown, up to ${formatNumber(Math.round(alert.unknown_up_to))}`)
  } else if (alert.missed !== null) pieces.push(missedText(alert))
  if (alert.budget_share !== null) {
    pieces.push(`${formatShare(alert.budget_share)} of the 28-day error budget`)
  }
  return pieces
}

/** The change the sentence names, else the likeliest one. */
function leadSuspect(alert: Alert) {
  const named = alert.sentence_parts.find((part) => part.change)?.change
  const suspect = alert.suspects.find((one) => one.change.id === named)
  return suspect?.change
}

/** `about 317 bookings missed (262–372)`. */
export function missedText(alert: Alert): string {
  const missed = alert.missed ?? 0
  const words = missed < 0 ? 'more than expected' : 'missed'
  const whole = (value: number | null) => formatNumber(Math.round(Math.abs(value ?? 0)))
  const interval =
    alert.missed_low === null || alert.missed_high === null
      ? ''
      : ` (${whole(alert.missed_low)}–${whole(alert.missed_high)})`
  return `about ${whole(missed)} ${alert.unit} ${words}${interval}`
}
