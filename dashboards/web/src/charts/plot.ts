/** Builds the uPlot of a chart. It reads the newest spec through `current`, so data changes need no new plot. */

import uPlot from 'uplot'
import { formatShort, type Zone } from '../time/format'
import { canvasFont, token } from './colours'
import { drawDeficit, drawDeficitLabel, drawMarks, drawSpans } from './draw'
import { valueRange, type ChartSpec } from './spec'
import { timeTicks } from './ticks'

/** Height of the strip above the plot where labels of change lines stand. */
export const LABEL_STRIP = 34
/** Change lines reach this far into the strip, to their labels. */
const OVERHANG = 6

/** Pixels of the plotting area within the chart, and the times at its edges. */
export interface Geometry {
  left: number
  top: number
  width: number
  height: number
  fromMs: number
  toMs: number
}

/** What the plot reports back. */
export interface PlotEvents {
  onGeometry: (geometry: Geometry) => void
  onCursor: (index: number | null, left: number) => void
  onZoom: (fromMs: number, toMs: number) => void
  onPick: (index: number) => void
}

/** NaN is a gap. */
const withGaps = (values: Float64Array): (number | null)[] =>
  Array.from(values, (value) => (Number.isNaN(value) ? null : value))

/** The spec as uPlot wants it: times in seconds, the band first (it lies below the lines). */
export function plotData(spec: ChartSpec): uPlot.AlignedData {
  const band = spec.band ? [withGaps(spec.band.upper), withGaps(spec.band.lower)] : []
  return [
    Array.from(spec.timesMs, (ms) => ms / 1_000),
    ...band,
    ...spec.lines.map((line) => withGaps(line.values)),
  ]
}

/** Changes that need a new plot rather than new data. */
export const plotShape = (spec: ChartSpec): string =>
  JSON.stringify([
    spec.band !== null,
    spec.lines.map((line) => [line.label, line.token, line.dash, line.width]),
    spec.timesMs.length === 1,
    spec.share,
  ])

function series(spec: ChartSpec): uPlot.Series[] {
  const edge: uPlot.Series = { scale: 'y', points: { show: false }, pxAlign: 0 }
  const band = spec.band ? [edge, edge] : []
  const lines = spec.lines.map((line): uPlot.Series => ({
    scale: 'y',
    label: line.label,
    stroke: token(line.token),
    width: line.width ?? 1.75,
    ...(line.dash ? { dash: line.dash } : {}),
    pxAlign: 0,
    points: { show: spec.timesMs.length === 1 },
  }))
  return [{}, ...band, ...lines]
}

/** Ticks of a share: `2.5 %`. */
const formatPercent = (value: number) => `${Number((value * 100).toPrecision(3))} %`

function axes(zone: Zone, share: boolean): uPlot.Axis[] {
  const shared = {
    stroke: token('--text-muted'),
    font: canvasFont(11.5),
    grid: { stroke: token('--grid'), width: 1 },
    ticks: { show: false },
  }
  return [
    {
      ...shared,
      space: 76,
      gap: 6,
      size: 30,
      values: (_plot, splits, _axis, _space, step) => timeTicks(splits, step, zone),
    },
    {
      ...shared,
      scale: 'y',
      gap: 8,
      space: 44,
      size: (_plot, values) => Math.max(44, ...(values ?? []).map((text) => text.length * 7 + 16)),
      values: (_plot, splits) => splits.map(share ? formatPercent : formatShort),
    },
  ]
}

/** Makes the plot inside `host`. */
export function makePlot(
  host: HTMLElement,
  current: () => ChartSpec,
  zone: Zone,
  events: PlotEvents,
): uPlot {
  const spec = current()
  const first = 1 + (spec.band ? 2 : 0)
  const plot = new uPlot(
    {
      width: Math.max(host.clientWidth, 60),
      height: Math.max(host.clientHeight, 60),
      padding: [LABEL_STRIP, 14, 0, 0],
      legend: { show: false },
      tzDate: (second) =>
        zone === 'utc'
          ? uPlot.tzDate(new Date(second * 1_000), 'Etc/UTC')
          : new Date(second * 1_000),
      cursor: {
        y: false,
        drag: { x: true, y: false, setScale: false },
        points: {
          size: 8,
          width: 2,
          show: (self, index) => {
            const point = document.createElement('div')
            point.className = 'chart-point'
            point.style.display = index < first ? 'none' : ''
            point.style.background = token('--surface')
            const stroke = self.series[index]?.stroke
            point.style.borderColor =
              typeof stroke === 'function' ? String(stroke(self, index)) : ''
            return point
          },
        },
      },
      scales: {
        x: { time: true, range: () => [current().fromMs / 1_000, current().toMs / 1_000] },
        y: { range: () => valueRange(current()) },
      },
      series: series(spec),
      bands: spec.band ? [{ series: [1, 2], fill: token('--band') }] : [],
      axes: axes(zone, spec.share),
      hooks: {
        drawAxes: [(self) => drawSpans(self, current())],
        drawSeries: [
          (self, index) => {
            const { deficit } = current()
            if (deficit && index === first + deficit.expected) drawDeficit(self, current())
          },
        ],
        draw: [
          (self) => {
            drawMarks(self, current().marks, OVERHANG)
            drawDeficitLabel(self, current())
            events.onGeometry(geometryOf(self))
          },
        ],
        setCursor: [(self) => events.onCursor(self.cursor.idx ?? null, self.cursor.left ?? -1)],
        setSelect: [
          (self) => {
            const { left, width } = self.select
            if (width < 6) return
            const fromMs = self.posToVal(left, 'x') * 1_000
            const toMs = self.posToVal(left + width, 'x') * 1_000
            self.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false)
            events.onZoom(fromMs, toMs)
          },
        ],
      },
    },
    plotData(spec),
    host,
  )
  plot.over.addEventListener('click', () => {
    if (plot.cursor.idx !== null && plot.cursor.idx !== undefined) events.onPick(plot.cursor.idx)
  })
  return plot
}

function geometryOf(plot: uPlot): Geometry {
  const ratio = devicePixelRatio
  const { left, top, width, height } = plot.bbox
  return {
    left: left / ratio,
    top: top / ratio,
    width: width / ratio,
    height: height / ratio,
    fromMs: (plot.scales['x']!.min ?? 0) * 1_000,
    toMs: (plot.scales['x']!.max ?? 0) * 1_000,
  }
}
