/** Texts of a time axis: minutes within a day, days at midnight, seconds when zoomed far in. */

import { formatDay, formatMinute, formatSecond, type Zone } from '../time/format'

const DAY_S = 86_400

/** One text per split (seconds since the epoch); `stepS` is the distance between two. */
export function timeTicks(splitsS: readonly number[], stepS: number, zone: Zone): string[] {
  return splitsS.map((second) => {
    const ms = second * 1_000
    if (stepS >= DAY_S) return formatDay(ms, zone)
    const minute = formatMinute(ms, zone)
    if (minute === '00:00') return formatDay(ms, zone)
    return stepS < 60 ? formatSecond(ms, zone) : minute
  })
}
