import { useEffect, useLayoutEffect, useRef, useState } from 'react'
import uPlot from 'uplot'
import { formatDayMinute, type Zone } from '../time/format'
import { canvasFont, token } from './colours'
import { drawMarks } from './draw'
import { plotData } from './plot'
import { valueRange, type ChartSpec } from './spec'
import { timeTicks } from './ticks'

const HEIGHT = 74
/** Narrowest brush that can still be grabbed, in pixels. */
const BRUSH_MIN = 6
/** Shortest window the brush can choose. */
const SPAN_MIN_MS = 15 * 60_000

interface Props {
  spec: ChartSpec
  zone: Zone
  theme: string
  windowFromMs: number
  windowToMs: number
  onWindow: (fromMs: number, toMs: number) => void
}

interface Box {
  left: number
  width: number
  height: number
}

/** A week at a glance; the brush is the window of the chart above and moves it. */
export function OverviewStrip(props: Props) {
  const { spec, zone, theme } = props
  const host = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot | null>(null)
  const latest = useRef(spec)
  latest.current = spec
  const [box, setBox] = useState<Box | null>(null)
  const shape = `${spec.band !== null}${spec.lines.length}`

  useLayoutEffect(() => {
    const element = host.current
    if (!element) return
    const made = makeOverview(element, () => latest.current, zone, setBox)
    plot.current = made
    const observer = new ResizeObserver(() => {
      if (element.clientWidth > 0) made.setSize({ width: element.clientWidth, height: HEIGHT })
    })
    observer.observe(element)
    return () => {
      observer.disconnect()
      made.destroy()
      plot.current = null
    }
  }, [zone, theme, shape])

  useEffect(() => {
    plot.current?.setData(plotData(spec))
  }, [spec])

  return (
    <div className="overview" style={{ height: HEIGHT }}>
      <div ref={host} aria-hidden="true" />
      {box && <Brush {...props} box={box} />}
    </div>
  )
}

type Drag = { part: 'move' | 'start' | 'end'; startX: number; fromMs: number; toMs: number }

/** Drag to move, drag an edge to resize, press elsewhere to go there; arrow keys move it by half its length. */
function Brush({ spec, zone, windowFromMs, windowToMs, onWindow, box }: Props & { box: Box }) {
  const [drag, setDrag] = useState<(Drag & { nowFromMs: number; nowToMs: number }) | null>(null)
  const fromMs = drag ? drag.nowFromMs : windowFromMs
  const toMs = drag ? drag.nowToMs : windowToMs
  const msPerPixel = (spec.toMs - spec.fromMs) / Math.max(box.width, 1)
  const xOf = (ms: number) => Math.min(Math.max((ms - spec.fromMs) / msPerPixel, 0), box.width)
  const width = Math.max(xOf(toMs) - xOf(fromMs), BRUSH_MIN)
  const left = Math.min(xOf(fromMs), box.width - width)

  const begin = (event: React.PointerEvent, part: Drag['part']) => {
    if (event.button !== 0) return
    event.stopPropagation()
    event.currentTarget.setPointerCapture(event.pointerId)
    const start = { part, startX: event.clientX, fromMs, toMs }
    setDrag({ ...start, nowFromMs: fromMs, nowToMs: toMs })
  }
  const move = (event: React.PointerEvent) => {
    if (!drag) return
    const by = (event.clientX - drag.startX) * msPerPixel
    setDrag({ ...drag, ...moved(drag, by, spec) })
  }
  const end = () => {
    if (drag && drag.nowFromMs !== drag.fromMs) onWindow(drag.nowFromMs, drag.nowToMs)
    else if (drag && drag.nowToMs !== drag.toMs) onWindow(drag.nowFromMs, drag.nowToMs)
    setDrag(null)
  }
  const jump = (event: React.PointerEvent) => {
    const rect = event.currentTarget.getBoundingClientRect()
    const middle = spec.fromMs + (event.clientX - rect.left) * msPerPixel
    const half = (toMs - fromMs) / 2
    const next = Math.min(Math.max(middle - half, spec.fromMs), spec.toMs - 2 * half)
    onWindow(next, next + 2 * half)
  }
  const onKeyDown = (event: React.KeyboardEvent) => {
    const by = { ArrowLeft: -0.5, ArrowRight: 0.5 }[event.key]
    if (by === undefined) return
    event.preventDefault()
    const next = moved({ part: 'move', startX: 0, fromMs, toMs }, by * (toMs - fromMs), spec)
    onWindow(next.nowFromMs, next.nowToMs)
  }
  const handlers = { onPointerMove: move, onPointerUp: end, onPointerCancel: () => setDrag(null) }
  return (
    <div
      className="overview-track"
      style={{ left: box.left, width: box.width, height: box.height }}
      onPointerDown={jump}
    >
      <div
        className="brush"
        role="slider"
        tabIndex={0}
        aria-label="Window of the chart within the week"
        aria-valuemin={spec.fromMs}
        aria-valuemax={spec.toMs}
        aria-valuenow={Math.round(Math.min(Math.max(toMs, spec.fromMs), spec.toMs))}
        aria-valuetext={`${formatDayMinute(fromMs, zone, toMs)} to ${formatDayMinute(toMs, zone, toMs)}`}
        style={{ left, width }}
        onKeyDown={onKeyDown}
        onPointerDown={(event) => begin(event, 'move')}
        {...handlers}
      >
        <i
          className="brush-edge is-start"
          onPointerDown={(event) => begin(event, 'start')}
          {...handlers}
        />
        <i
          className="brush-edge is-end"
          onPointerDown={(event) => begin(event, 'end')}
          {...handlers}
        />
      </div>
    </div>
  )
}

function moved(drag: Drag, by: number, spec: ChartSpec): { nowFromMs: number; nowToMs: number } {
  const bounded = (ms: number) => Math.min(Math.max(ms, spec.fromMs), spec.toMs)
  if (drag.part === 'start') {
    return {
      nowFromMs: Math.min(bounded(drag.fromMs + by), drag.toMs - SPAN_MIN_MS),
      nowToMs: drag.toMs,
    }
  }
  if (drag.part === 'end') {
    return {
      nowFromMs: drag.fromMs,
      nowToMs: Math.max(bounded(drag.toMs + by), drag.fromMs + SPAN_MIN_MS),
    }
  }
  const span = drag.toMs - drag.fromMs
  const nowFromMs = Math.min(Math.max(drag.fromMs + by, spec.fromMs), spec.toMs - span)
  return { nowFromMs, nowToMs: nowFromMs + span }
}

function makeOverview(
  host: HTMLElement,
  current: () => ChartSpec,
  zone: Zone,
  onBox: (box: Box) => void,
): uPlot {
  const spec = current()
  const edge: uPlot.Series = { scale: 'y', points: { show: false }, pxAlign: 0 }
  const line: uPlot.Series = {
    ...edge,
    stroke: token('--series-1'),
    width: 1.1,
  }
  return new uPlot(
    {
      width: Math.max(host.clientWidth, 60),
      height: HEIGHT,
      padding: [6, 14, 0, 0],
      legend: { show: false },
      cursor: { show: false },
      tzDate: (second) =>
        zone === 'utc'
          ? uPlot.tzDate(new Date(second * 1_000), 'Etc/UTC')
          : new Date(second * 1_000),
      scales: {
        x: { time: true, range: () => [current().fromMs / 1_000, current().toMs / 1_000] },
        y: { range: () => valueRange(current()) },
      },
      series: [{}, ...(spec.band ? [edge, edge] : []), ...spec.lines.map(() => line)],
      bands: spec.band ? [{ series: [1, 2], fill: token('--band') }] : [],
      axes: [
        {
          stroke: token('--text-muted'),
          font: canvasFont(11.5),
          grid: { stroke: token('--grid'), width: 1 },
          ticks: { show: false },
          size: 24,
          gap: 4,
          space: 90,
          incrs: [86_400, 2 * 86_400, 7 * 86_400],
          values: (_plot, splits, _axis, _space, step) => timeTicks(splits, step, zone),
        },
        {
          show: true,
          size: 44,
          stroke: 'transparent',
          grid: { show: false },
          ticks: { show: false },
        },
      ],
      hooks: {
        draw: [
          (self) => {
            drawMarks(self, current().marks, 0)
            const ratio = devicePixelRatio
            const { left, width, height } = self.bbox
            onBox({ left: left / ratio, width: width / ratio, height: height / ratio + 6 })
          },
        ],
      },
    },
    plotData(spec),
    host,
  )
}
