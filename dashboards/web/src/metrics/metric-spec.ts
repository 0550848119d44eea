/** A metric's points, alert and changes as a chart. */

import type { Alert } from '../api/alerts'
import { isShare, type Metric, type Points } from '../api/metrics'
import type { Mark } from '../charts/kinds'
import type { ChartDeficit, ChartSpec } from '../charts/spec'
import type { TooltipRow } from '../charts/tooltip'
import { formatNumber, formatShare } from '../time/format'

/** Indexes of the two lines. */
const EXPECTED = 0
const ACTUAL = 1

/** Expected below, actual above it, the band behind both. */
export function metricSpec(
  metric: Metric,
  points: Points,
  window: { fromMs: number; toMs: number },
  marks: readonly Mark[],
  alert: Alert | null,
): ChartSpec {
  return {
    timesMs: points.timesMs,
    lines: [
      {
        label: 'expected',
        values: points.expected,
        token: '--line-expected',
        dash: [5, 4],
        width: 1.5,
      },
      { label: 'actual', values: points.actual, token: '--series-1', width: 2 },
    ],
    band: { lower: points.lower, upper: points.upper },
    deficit: alert === null ? null : deficitOf(alert, window.toMs),
    marks,
    fromMs: window.fromMs,
    toMs: window.toMs,
    share: isShare(metric),
    fromZero: true,
  }
}

/** Only what was seen, for the strip below. */
export function overviewSpec(
  metric: Metric,
  points: Points,
  window: { fromMs: number; toMs: number },
  marks: readonly Mark[],
): ChartSpec {
  return {
    timesMs: points.timesMs,
    lines: [{ label: 'actual', values: points.actual, token: '--series-1' }],
    band: { lower: points.lower, upper: points.upper },
    deficit: null,
    marks,
    fromMs: window.fromMs,
    toMs: window.toMs,
    share: isShare(metric),
    fromZero: true,
  }
}

function deficitOf(alert: Alert, windowToMs: number): ChartDeficit {
  const toMs = alert.resolved_at === null ? windowToMs : Date.parse(alert.resolved_at)
  const size = alert.deficit_per_minute
  const up = alert.direction === 'up' || (size !== null && size < 0)
  const label = deficitLabel(alert, up)
  return {
    seen: ACTUAL,
    expected: EXPECTED,
    fromMs: Date.parse(alert.onset),
    toMs,
    direction: up ? 'up' : 'down',
    label,
  }
}

/** `37 fewer`; of a share in percentage points: `12 points lower`. */
function deficitLabel(alert: Alert, up: boolean): string {
  const { deficit_per_minute: size, expected_share: expected, seen_share: seen } = alert
  if (typeof expected === 'number' && typeof seen === 'number') {
    const points = formatNumber(Math.round(Math.abs(expected - seen) * 1_000) / 10)
    return `${points} points ${up ? 'higher' : 'lower'}`
  }
  return size === null ? '' : `${formatRate(Math.abs(size))} ${up ? 'more' : 'fewer'}`
}

/** Rates of some size are read as whole numbers: "37 fewer". */
const formatRate = (value: number) => formatNumber(value >= 10 ? Math.round(value) : value)

/** What the tooltip says at a point. */
export function metricRows(points: Points, index: number, metric: Metric): TooltipRow[] {
  const at = (values: Float64Array) => values[index] ?? Number.NaN
  const actual = at(points.actual)
  const expected = at(points.expected)
  const share = isShare(metric)
  const rows: TooltipRow[] = [
    { label: 'actual', value: cell(actual, share) },
    { label: 'expected', value: cell(expected, share) },
    { label: 'band', value: `${cell(at(points.lower), share)}–${cell(at(points.upper), share)}` },
  ]
  const difference = expected - actual
  if (Number.isFinite(difference)) {
    const outside = actual < at(points.lower) || actual > at(points.upper)
    rows.push({
      label: difference < 0 ? 'more' : share ? 'less' : 'fewer',
      value: cell(Math.abs(difference), share),
      ...(outside && isBad(metric, difference) ? { tone: 'danger' as const } : {}),
    })
  }
  return rows
}

const isBad = (metric: Metric, fewer: number) =>
  metric.direction === 'both' || (metric.direction === 'down' ? fewer > 0 : fewer < 0)

const cell = (value: number, share: boolean) => {
  if (Number.isNaN(value)) return '–'
  return share ? formatShare(value) : formatNumber(tidy(value))
}

/** Forecasts carry more digits than they know. */
const tidy = (value: number) =>
  Math.abs(value) >= 100 ? Math.round(value) : Math.round(value * 10) / 10
