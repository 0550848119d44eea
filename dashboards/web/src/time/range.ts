/** Time ranges as they stand in the URL: relative (`-2h` … `now`) or absolute (RFC 3339). */

/** Two ends as text: `-2h`, `now`, or an absolute time. */
export interface Range {
  from: string
  to: string
}

/** A range at one instant, in milliseconds since the epoch; `live` if its end moves. */
export interface Window {
  fromMs: number
  toMs: number
  live: boolean
}

const UNIT_MS: Record<string, number> = {
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
}

/** What the picker offers. */
export const PRESETS: readonly { from: string; label: string }[] = [
  { from: '-15m', label: 'Last 15 minutes' },
  { from: '-1h', label: 'Last hour' },
  { from: '-2h', label: 'Last 2 hours' },
  { from: '-6h', label: 'Last 6 hours' },
  { from: '-24h', label: 'Last 24 hours' },
  { from: '-3d', label: 'Last 3 days' },
  { from: '-7d', label: 'Last 7 days' },
  { from: '-28d', label: 'Last 28 days' },
]

/** Longest range a chart draws. */
const SPAN_MAX_MS = 400 * 86_400_000
/** Shortest range a zoom may reach. */
const SPAN_MIN_MS = 60_000

/** Milliseconds since the epoch of one end; `null` when the text is none. */
export function parseEnd(text: string, nowMs: number): number | null {
  const trimmed = text.trim()
  if (trimmed === 'now') return nowMs
  const relative = /^-(\d{1,6})([smhdw])$/.exec(trimmed)
  if (relative) return nowMs - Number(relative[1]) * UNIT_MS[relative[2]!]!
  if (!/^\d{4}-\d{2}-\d{2}/.test(trimmed)) return null
  const ms = Date.parse(trimmed)
  return Number.isNaN(ms) ? null : ms
}

/** The range at an instant; a text that is no range falls back to the last two hours. */
export function resolve(range: Range, nowMs: number): Window {
  const fromMs = parseEnd(range.from, nowMs)
  const toMs = parseEnd(range.to, nowMs)
  if (fromMs === null || toMs === null || fromMs >= toMs || toMs - fromMs > SPAN_MAX_MS) {
    return { fromMs: nowMs - 2 * UNIT_MS['h']!, toMs: nowMs, live: true }
  }
  return { fromMs, toMs, live: range.to.trim() === 'now' }
}

/** A range with fixed ends. */
export const absolute = (fromMs: number, toMs: number): Range => ({
  from: isoSeconds(fromMs),
  to: isoSeconds(toMs),
})

/** RFC 3339 in UTC without the fraction when it is zero. */
export function isoSeconds(ms: number): string {
  return new Date(Math.round(ms)).toISOString().replace('.000Z', 'Z')
}

/** Moves a range by a part of its own length; what reaches past now becomes live again. */
export function shift(window: Window, part: number, nowMs: number): Range {
  const span = window.toMs - window.fromMs
  const toMs = Math.min(window.toMs + span * part, nowMs)
  return absolute(toMs - span, toMs)
}

/** Makes a range longer or shorter: a live one keeps its end at now, another keeps its middle. */
export function zoom(window: Window, factor: number): Range {
  const span = clampSpan((window.toMs - window.fromMs) * factor)
  if (window.live) return { from: relativeText(span), to: 'now' }
  const middle = (window.fromMs + window.toMs) / 2
  return absolute(middle - span / 2, middle + span / 2)
}

const clampSpan = (ms: number) => Math.min(Math.max(ms, SPAN_MIN_MS), SPAN_MAX_MS)

/** `-90m` for a length in milliseconds, in the largest unit that divides it. */
export function relativeText(ms: number): string {
  const minutes = Math.max(1, Math.round(ms / 60_000))
  if (minutes % 1_440 === 0) return `-${minutes / 1_440}d`
  if (minutes % 60 === 0) return `-${minutes / 60}h`
  return `-${minutes}m`
}

/** What the picker's button says. */
export function rangeLabel(range: Range, format: (ms: number) => string, nowMs: number): string {
  if (range.to === 'now') {
    const preset = PRESETS.find((candidate) => candidate.from === range.from)
    if (preset) return preset.label
    const relative = /^-(\d+)([smhdw])$/.exec(range.from)
    if (relative) {
      const words = { s: 'second', m: 'minute', h: 'hour', d: 'day', w: 'week' } as const
      const count = Number(relative[1])
      return `Last ${count} ${words[relative[2] as keyof typeof words]}${count === 1 ? '' : 's'}`
    }
  }
  const window = resolve(range, nowMs)
  return `${format(window.fromMs)} – ${window.live ? 'now' : format(window.toMs)}`
}

const STEPS_S = [1, 5, 10, 30, 60, 300, 600, 1_800, 3_600, 10_800, 21_600, 86_400]

/** Seconds per point so that a window has at most `pointsMax` of them. */
export function stepFor(window: Window, pointsMax: number, stepMinS = 60): number {
  const span = (window.toMs - window.fromMs) / 1_000
  const step = STEPS_S.find((candidate) => candidate >= stepMinS && span / candidate <= pointsMax)
  return step ?? 86_400
}
