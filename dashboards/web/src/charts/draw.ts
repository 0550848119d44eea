/** What uPlot does not draw itself: spans, the missing area, change lines. Runs inside its drawing hooks. */

import type uPlot from 'uplot'
import { canvasFont, token } from './colours'
import { lookOf, type Mark } from './kinds'
import type { ChartSpec } from './spec'

/** Canvas pixels of a time and of a value. */
const xOf = (plot: uPlot, ms: number) => plot.valToPos(ms / 1_000, 'x', true)
const yOf = (plot: uPlot, value: number) => plot.valToPos(value, 'y', true)

function clipped(plot: uPlot, draw: (context: CanvasRenderingContext2D) => void): void {
  const { ctx, bbox } = plot
  ctx.save()
  ctx.beginPath()
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height)
  ctx.clip()
  draw(ctx)
  ctx.restore()
}

/** Tints the time of the alert and of changes that took their time; maintenance windows are hatched. */
export function drawSpans(plot: uPlot, spec: ChartSpec): void {
  clipped(plot, (context) => {
    const { top, height } = plot.bbox
    if (spec.deficit) {
      const left = xOf(plot, spec.deficit.fromMs)
      context.fillStyle = token('--alert-tint')
      context.fillRect(left, top, xOf(plot, spec.deficit.toMs) - left, height)
    }
    for (const mark of spec.marks) {
      if (mark.endMs === null) continue
      const left = xOf(plot, mark.timeMs)
      const width = xOf(plot, mark.endMs) - left
      const colour = token(lookOf(mark.kind).token)
      if (mark.kind === 'maintenance') hatch(context, left, top, width, height, colour)
      else tint(context, left, top, width, height, colour)
    }
  })
}

function tint(
  context: CanvasRenderingContext2D,
  left: number,
  top: number,
  width: number,
  height: number,
  colour: string,
): void {
  context.save()
  context.globalAlpha = 0.1
  context.fillStyle = colour
  context.fillRect(left, top, width, height)
  context.restore()
}

function hatch(
  context: CanvasRenderingContext2D,
  left: number,
  top: number,
  width: number,
  height: number,
  colour: string,
): void {
  const step = 9 * devicePixelRatio
  context.save()
  context.beginPath()
  context.rect(left, top, width, height)
  context.clip()
  context.strokeStyle = colour
  context.globalAlpha = 0.35
  context.lineWidth = devicePixelRatio
  context.beginPath()
  for (let x = left - height; x < left + width; x += step) {
    context.moveTo(x, top + height)
    context.lineTo(x + height, top)
  }
  context.stroke()
  context.restore()
}

/** Fills what is missing between the expected and the seen line. */
export function drawDeficit(plot: uPlot, spec: ChartSpec): void {
  const { deficit, timesMs } = spec
  if (!deficit) return
  const seen = spec.lines[deficit.seen]?.values
  const expected = spec.lines[deficit.expected]?.values
  if (!seen || !expected) return
  const wanted = (at: number) => {
    const missing = expected[at]! - seen[at]!
    // NaN fails every test: nothing is drawn where nothing is known.
    const side = deficit.direction === 'up' ? missing <= 0 : missing >= 0
    return side && timesMs[at]! >= deficit.fromMs && timesMs[at]! <= deficit.toMs
  }
  clipped(plot, (context) => {
    context.fillStyle = token('--deficit-fill')
    context.beginPath()
    for (let at = 0; at < timesMs.length; at += 1) {
      if (!wanted(at)) continue
      let end = at
      while (end + 1 < timesMs.length && wanted(end + 1)) end += 1
      outline(context, plot, timesMs, expected, seen, at, end)
      at = end
    }
    context.fill()
  })
}

/** One closed path along the expected line and back along the seen one. */
function outline(
  context: CanvasRenderingContext2D,
  plot: uPlot,
  timesMs: Float64Array,
  above: Float64Array,
  below: Float64Array,
  start: number,
  end: number,
): void {
  context.moveTo(xOf(plot, timesMs[start]!), yOf(plot, above[start]!))
  for (let at = start + 1; at <= end; at += 1) {
    context.lineTo(xOf(plot, timesMs[at]!), yOf(plot, above[at]!))
  }
  for (let at = end; at >= start; at -= 1) {
    context.lineTo(xOf(plot, timesMs[at]!), yOf(plot, below[at]!))
  }
  context.closePath()
}

/** Writes "37 fewer" beside the missing area, below the lowest seen point (above the highest when up). */
export function drawDeficitLabel(plot: uPlot, spec: ChartSpec): void {
  const { deficit, timesMs } = spec
  const seen = deficit ? spec.lines[deficit.seen]?.values : undefined
  if (!deficit || !seen || deficit.label === '') return
  const up = deficit.direction === 'up'
  let edge = Number.NaN
  for (let at = 0; at < timesMs.length; at += 1) {
    if (timesMs[at]! < deficit.fromMs || timesMs[at]! > deficit.toMs) continue
    const value = seen[at]!
    if (Number.isNaN(edge) || (up ? value > edge : value < edge)) edge = value
  }
  if (Number.isNaN(edge)) return
  const { ctx, bbox } = plot
  const ratio = devicePixelRatio
  ctx.save()
  ctx.font = canvasFont(12.5 * ratio).replace(/^/, '600 ')
  ctx.fillStyle = token('--danger-text')
  ctx.textBaseline = up ? 'bottom' : 'top'
  ctx.textAlign = 'right'
  const half = ctx.measureText(deficit.label).width
  const right = Math.min(xOf(plot, deficit.toMs), bbox.left + bbox.width) - 2 * ratio
  const x = Math.max(right, bbox.left + half + 4 * ratio)
  const wanted = yOf(plot, edge) + (up ? -8 : 8) * ratio
  const bottom = bbox.top + bbox.height - 16 * ratio
  const y = Math.min(Math.max(wanted, bbox.top + 16 * ratio), bottom)
  // A halo keeps it readable over lines.
  ctx.lineJoin = 'round'
  ctx.lineWidth = 4 * ratio
  ctx.strokeStyle = token('--surface')
  ctx.strokeText(deficit.label, x, y)
  ctx.fillText(deficit.label, x, y)
  ctx.restore()
}

/** Draws change lines from `overhang` pixels above the plot to its floor; an inferred one is hollow. */
export function drawMarks(plot: uPlot, marks: readonly Mark[], overhang: number): void {
  const { ctx, bbox } = plot
  const ratio = devicePixelRatio
  const min = plot.scales['x']!.min ?? 0
  const max = plot.scales['x']!.max ?? 0
  const background = token('--surface')
  ctx.save()
  for (const mark of [...marks].sort((a, b) => lookOf(a.kind).rank - lookOf(b.kind).rank)) {
    const second = mark.timeMs / 1_000
    if (second < min || second > max) continue
    const look = lookOf(mark.kind)
    const x = Math.round(xOf(plot, mark.timeMs))
    const line = (colour: string, width: number, dash: number[]) => {
      ctx.strokeStyle = colour
      ctx.lineWidth = width * ratio
      ctx.setLineDash(dash.map((length) => length * ratio))
      ctx.beginPath()
      ctx.moveTo(x, bbox.top - overhang * ratio)
      ctx.lineTo(x, bbox.top + bbox.height)
      ctx.stroke()
    }
    const width = look.width + (mark.suspect ? 0.5 : 0)
    if (mark.inferred) {
      line(token(look.token), width + 2.2, look.dash)
      line(background, width, [])
    } else {
      line(token(look.token), width, look.dash)
    }
  }
  ctx.restore()
}
