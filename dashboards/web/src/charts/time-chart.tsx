import 'uplot/dist/uPlot.min.css'
import './chart.css'
import { useEffect, useLayoutEffect, useRef, useState, type ReactNode } from 'react'
import type uPlot from 'uplot'
import { formatFull, zoneName, type Zone } from '../time/format'
import type { Mark } from './kinds'
import { MarkLabels } from './mark-labels'
import { makePlot, plotData, plotShape, type Geometry } from './plot'
import { nearestIndex, type ChartSpec } from './spec'
import { ChartTooltip, type TooltipRow } from './tooltip'

interface Props {
  spec: ChartSpec
  zone: Zone
  /** Changes with the theme: the plot is made anew, its colours are canvas values. */
  theme: string
  /** Least height in pixels: the chart fills its place. */
  height: number
  /** What the chart shows, for those who do not see it. */
  label: string
  rows: (index: number) => TooltipRow[]
  /** What a click on a point does, e.g. "raw events of this minute"; '' when nothing. */
  pickHint: string
  onPick?: (timeMs: number) => void
  onZoom?: (fromMs: number, toMs: number) => void
  markDetail: (mark: Mark) => ReactNode
  dimmed?: boolean
}

interface Cursor {
  index: number
  left: number
}

/** Lines over time with a band, change lines with labels, a tooltip, zoom by dragging, and keys. */
export function TimeChart(props: Props) {
  const { spec, zone, theme, height } = props
  const host = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot | null>(null)
  const latest = useRef(props)
  latest.current = props
  const [geometry, setGeometry] = useState<Geometry | null>(null)
  const [cursor, setCursor] = useState<Cursor | null>(null)
  const shape = plotShape(spec)

  useLayoutEffect(() => {
    const element = host.current
    if (!element) return
    const made = makePlot(element, () => latest.current.spec, zone, {
      onGeometry: (next) => setGeometry((old) => (sameGeometry(old, next) ? old : next)),
      onCursor: (index, left) => setCursor(index === null || left < 0 ? null : { index, left }),
      onZoom: (fromMs, toMs) => latest.current.onZoom?.(fromMs, toMs),
      onPick: (index) => {
        const timeMs = latest.current.spec.timesMs[index]
        if (timeMs !== undefined) latest.current.onPick?.(timeMs)
      },
    })
    plot.current = made
    const observer = new ResizeObserver(() => {
      const { clientWidth, clientHeight } = element
      if (clientWidth > 0 && (clientWidth !== made.width || clientHeight !== made.height)) {
        made.setSize({ width: clientWidth, height: clientHeight })
      }
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

  useEffect(() => {
    // Canvas text is drawn with the fallback font until the bundled one has loaded.
    void document.fonts.ready.then(() => plot.current?.redraw(false, true))
  }, [shape, theme])

  return (
    <div className={props.dimmed ? 'chart is-dimmed' : 'chart'} style={{ minHeight: height }}>
      <div ref={host} className="chart-canvas" aria-hidden="true" />
      {geometry && <PointSlider {...props} plot={plot} geometry={geometry} cursor={cursor} />}
      {geometry && (
        <MarkLabels marks={spec.marks} geometry={geometry} zone={zone} detail={props.markDetail} />
      )}
      {geometry && cursor && (
        <ChartTooltip
          title={`${pointTitle(spec.timesMs[cursor.index], zone)}`}
          rows={props.rows(cursor.index)}
          hint={props.onPick ? props.pickHint : ''}
          left={geometry.left + cursor.left}
          plotLeft={geometry.left}
          plotWidth={geometry.width}
          top={geometry.top + 12}
        />
      )}
    </div>
  )
}

const pointTitle = (timeMs: number | undefined, zone: Zone) =>
  timeMs === undefined ? '' : `${formatFull(timeMs, zone).slice(0, 16)} ${zoneName(zone, timeMs)}`

function sameGeometry(a: Geometry | null, b: Geometry): boolean {
  if (a === null) return false
  return (Object.keys(b) as (keyof Geometry)[]).every((key) => a[key] === b[key])
}

/** The same chart for the keyboard and for screen readers: one point at a time, read out with its values. */
function PointSlider(
  props: Props & {
    plot: React.RefObject<uPlot | null>
    geometry: Geometry
    cursor: Cursor | null
  },
) {
  const { spec, zone, geometry, plot } = props
  const [index, setIndex] = useState(-1)
  const last = spec.timesMs.length - 1
  const at = index < 0 || index > last ? last : index
  const show = (next: number) => {
    const bounded = Math.max(0, Math.min(last, next))
    setIndex(bounded)
    const timeMs = spec.timesMs[bounded]
    const made = plot.current
    if (timeMs === undefined || !made) return
    made.setCursor({ left: made.valToPos(timeMs / 1_000, 'x'), top: 10 })
  }
  const onKeyDown = (event: React.KeyboardEvent) => {
    const steps: Record<string, number> = {
      ArrowLeft: -1,
      ArrowRight: 1,
      PageUp: -10,
      PageDown: 10,
    }
    const step = steps[event.key]
    const end = nearestIndex(spec.timesMs, spec.toMs)
    if (step !== undefined) show(at + step)
    else if (event.key === 'Home') show(0)
    else if (event.key === 'End') show(end)
    else if (event.key === 'Enter' && spec.timesMs[at] !== undefined)
      props.onPick?.(spec.timesMs[at]!)
    else return
    event.preventDefault()
  }
  const rows = at < 0 ? [] : props.rows(at)
  return (
    <div
      className="chart-slider"
      role="slider"
      tabIndex={0}
      aria-label={props.label}
      aria-valuemin={0}
      aria-valuemax={Math.max(last, 0)}
      aria-valuenow={Math.max(at, 0)}
      aria-valuetext={`${pointTitle(spec.timesMs[at], zone)}: ${rows.map((row) => `${row.label} ${row.value}`).join(', ')}`}
      onKeyDown={onKeyDown}
      onFocus={(event) => event.target.matches(':focus-visible') && show(at)}
      onBlur={() => plot.current?.setCursor({ left: -10, top: -10 })}
      style={{
        left: geometry.left,
        top: geometry.top,
        width: geometry.width,
        height: geometry.height,
      }}
    />
  )
}
