/** Numbers and times as people read them. Every time is printed in the zone the page shows: UTC or the browser's. */

/** Which clock the page shows. */
export type Zone = 'utc' | 'local'

/** Groups of digits are parted by a thin space that does not break. */
const THIN = '\u202f'

const formatters = new Map<string, Intl.DateTimeFormat>()

function formatter(zone: Zone, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const key = zone + JSON.stringify(options)
  let found = formatters.get(key)
  if (!found) {
    const timeZone = zone === 'utc' ? { timeZone: 'UTC' } : {}
    found = new Intl.DateTimeFormat('en-GB', { hourCycle: 'h23', ...options, ...timeZone })
    formatters.set(key, found)
  }
  return found
}

const CLOCK = { hour: '2-digit', minute: '2-digit' } as const

/** `14:17`. */
export const formatMinute = (ms: number, zone: Zone) => formatter(zone, CLOCK).format(ms)

/** `14:17:05`. */
export const formatSecond = (ms: number, zone: Zone) =>
  formatter(zone, { ...CLOCK, second: '2-digit' }).format(ms)

/** `Fri 20 Nov`. */
export const formatDay = (ms: number, zone: Zone) =>
  formatter(zone, { weekday: 'short', day: 'numeric', month: 'short' })
    .format(ms)
    .replaceAll(',', '')

/** `20 Nov 14:17`, with the year when it is not this one. */
export function formatDayMinute(ms: number, zone: Zone, nowMs: number): string {
  const sameYear = new Date(ms).getUTCFullYear() === new Date(nowMs).getUTCFullYear()
  const parts = { day: 'numeric', month: 'short' } as const
  const day = formatter(zone, sameYear ? parts : { ...parts, year: 'numeric' }).format(ms)
  return `${day} ${formatMinute(ms, zone)}`
}

/** `2026-11-20 14:17:05.123456`: for cells; `fraction` is the microseconds of the second. */
export function formatFull(ms: number, zone: Zone, fraction = 0): string {
  const day = formatter(zone, { year: 'numeric', month: '2-digit', day: '2-digit' })
    .formatToParts(ms)
    .reduce<Record<string, string>>((parts, part) => ({ ...parts, [part.type]: part.value }), {})
  const digits = fraction === 0 ? '' : `.${String(fraction).padStart(6, '0').replace(/000$/, '')}`
  return `${day['year']}-${day['month']}-${day['day']} ${formatSecond(ms, zone)}${digits}`
}

/** `UTC`, or the browser's offset: `UTC+1`. */
export function zoneName(zone: Zone, ms: number = Date.now()): string {
  if (zone === 'utc') return 'UTC'
  const minutes = -new Date(ms).getTimezoneOffset()
  const hours = Math.trunc(Math.abs(minutes) / 60)
  const rest = Math.abs(minutes) % 60
  const sign = minutes < 0 ? '−' : '+'
  return `UTC${sign}${hours}${rest === 0 ? '' : `:${String(rest).padStart(2, '0')}`}`
}

/** `3 s`, `10 min`, `2 h 5 min`, `4 d 3 h`. */
export function formatDuration(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1_000))
  if (seconds < 60) return `${seconds} s`
  const minutes = Math.round(seconds / 60)
  if (minutes < 60) return `${minutes} min`
  const hours = Math.floor(minutes / 60)
  if (hours < 48) return `${hours} h${minutes % 60 === 0 ? '' : ` ${minutes % 60} min`}`
  const days = Math.floor(hours / 24)
  return `${days} d${hours % 24 === 0 ? '' : ` ${hours % 24} h`}`
}

/** `1 934 221`, `12.5`, `0.034`: as many digits as a reader needs. */
export function formatNumber(value: number): string {
  if (!Number.isFinite(value)) return '–'
  const size = Math.abs(value)
  const digits = Number.isInteger(value) || size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3
  const [whole = '', decimals] = Number(value.toFixed(digits)).toString().split('.')
  if (whole.includes('e')) return value.toPrecision(3)
  const grouped = whole.replace(/\B(?=(\d{3})+(?!\d))/g, THIN)
  return (decimals === undefined ? grouped : `${grouped}.${decimals}`).replace('-', '−')
}

/** `4.8 k`, `1.9 M`: for footers and axes. */
export function formatShort(value: number): string {
  const size = Math.abs(value)
  if (size >= 1e9) return `${formatNumber(round1(value / 1e9))}${THIN}G`
  if (size >= 1e6) return `${formatNumber(round1(value / 1e6))}${THIN}M`
  if (size >= 1e4) return `${formatNumber(round1(value / 1e3))}${THIN}k`
  return formatNumber(value)
}

const round1 = (value: number) => Math.round(value * 10) / 10

/** `38 MB`, `1.2 GB`: decimal units, as disks are sold. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB']
  let value = bytes
  let unit = 0
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1_000
    unit += 1
  }
  return `${value >= 10 || unit === 0 ? Math.round(value) : round1(value)}${THIN}${units[unit]}`
}

/** `18 %`; below one per cent with a digit more, and never a zero that is none. */
export function formatShare(share: number): string {
  const percent = share * 100
  if (percent !== 0 && Math.abs(percent) < 0.1) return `<${THIN}0.1${THIN}%`
  const digits = Math.abs(percent) < 1 || (Math.abs(percent) > 99 && percent !== 100) ? 1 : 0
  return `${Number(percent.toFixed(digits))}${THIN}%`
}

/** Milliseconds a query took: `42 ms`, `1.3 s`. */
export const formatElapsed = (ms: number) =>
  ms < 1_000
    ? `${ms < 10 ? round1(ms) : Math.round(ms)}${THIN}ms`
    : `${formatNumber(round1(ms / 1_000))}${THIN}s`
