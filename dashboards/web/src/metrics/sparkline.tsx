import type { Points } from '../api/metrics'

const WIDTH = 300
const HEIGHT = 56

/** Band, expected and actual in a few pixels; the words beside it say the same. */
export function Sparkline({
  points,
  window,
}: {
  points: Points | null
  window: { fromMs: number; toMs: number }
}) {
  if (!points || points.timesMs.length === 0)
    return <div className="sparkline" aria-hidden="true" />
  const top = highest(points) * 1.08 || 1
  const x = (ms: number) => ((ms - window.fromMs) / (window.toMs - window.fromMs)) * WIDTH
  const y = (value: number) => HEIGHT - (value / top) * HEIGHT
  const path = (values: Float64Array) => linePath(points.timesMs, values, x, y)
  return (
    <svg
      className="sparkline"
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      preserveAspectRatio="none"
      aria-hidden="true"
    >
      <path d={bandPath(points, x, y)} fill="var(--band)" />
      <path d={path(points.expected)} className="spark-expected" />
      <path d={path(points.actual)} className="spark-actual" />
    </svg>
  )
}

function highest(points: Points): number {
  let high = 0
  for (const values of [points.actual, points.upper]) {
    for (const value of values) if (value > high) high = value
  }
  return high
}

type Place = (value: number) => number

/** NaN lifts the pen. */
function linePath(times: Float64Array, values: Float64Array, x: Place, y: Place): string {
  let path = ''
  let down = false
  for (let at = 0; at < times.length; at += 1) {
    const value = values[at]!
    if (Number.isNaN(value)) {
      down = false
      continue
    }
    path += `${down ? 'L' : 'M'}${x(times[at]!).toFixed(1)} ${y(value).toFixed(1)}`
    down = true
  }
  return path
}

function bandPath(points: Points, x: Place, y: Place): string {
  const known = [...points.timesMs.keys()].filter(
    (at) => !Number.isNaN(points.lower[at]!) && !Number.isNaN(points.upper[at]!),
  )
  if (known.length < 2) return ''
  const place = (at: number, values: Float64Array) =>
    `${x(points.timesMs[at]!).toFixed(1)} ${y(values[at]!).toFixed(1)}`
  const upper = known.map((at) => place(at, points.upper))
  const lower = known.reverse().map((at) => place(at, points.lower))
  return `M${[...upper, ...lower].join('L')}Z`
}
