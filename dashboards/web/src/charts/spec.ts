/** What a chart is told: typed arrays and marks. NaN is "no value". The charts know no API. */

import type { Mark } from './kinds'

/** One line over the shared times. */
export interface ChartLine {
  label: string
  values: Float64Array
  /** CSS custom property of its colour. */
  token: string
  dash?: number[]
  width?: number
}

/** The area between two series: a prediction interval. */
export interface ChartBand {
  lower: Float64Array
  upper: Float64Array
}

/** The area between two lines in a span of time, where the first is below (or above) the second. */
export interface ChartDeficit {
  /** Indexes into `lines`. */
  seen: number
  expected: number
  fromMs: number
  toMs: number
  direction: 'down' | 'up'
  /** `37 fewer` */
  label: string
}

/** Everything drawn on one chart. */
export interface ChartSpec {
  timesMs: Float64Array
  lines: ChartLine[]
  band: ChartBand | null
  deficit: ChartDeficit | null
  marks: readonly Mark[]
  /** Ends of the time axis. */
  fromMs: number
  toMs: number
  /** Values are shares of 1 and shown in per cent. */
  share: boolean
  /** Start the value axis at zero even when the data is far from it. */
  fromZero: boolean
}

/** Index of the point nearest to a time; -1 when there is none. */
export function nearestIndex(timesMs: Float64Array, timeMs: number): number {
  let low = 0
  let high = timesMs.length - 1
  if (high < 0) return -1
  while (low < high) {
    const middle = (low + high) >> 1
    if (timesMs[middle]! < timeMs) low = middle + 1
    else high = middle
  }
  const before = low - 1
  const nearer = before >= 0 && timeMs - timesMs[before]! <= timesMs[low]! - timeMs
  return nearer ? before : low
}

/** Lower and upper end of the value axis over the visible part of all lines and the band. */
export function valueRange(spec: ChartSpec): [number, number] {
  let low = Number.POSITIVE_INFINITY
  let high = Number.NEGATIVE_INFINITY
  const all = spec.lines.map((line) => line.values)
  if (spec.band) all.push(spec.band.lower, spec.band.upper)
  for (let at = 0; at < spec.timesMs.length; at += 1) {
    const time = spec.timesMs[at]!
    if (time < spec.fromMs || time > spec.toMs) continue
    for (const values of all) {
      const value = values[at]!
      if (value < low) low = value
      if (value > high) high = value
    }
  }
  if (low > high) return [0, 1]
  if (low >= 0 && (spec.fromZero || low < high * 0.6)) return [0, high === 0 ? 1 : high * 1.1]
  const pad = (high - low || Math.abs(high) || 1) * 0.1
  return [low - pad, high + pad]
}
