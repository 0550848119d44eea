import { useQuery } from '@tanstack/react-query'
import { useMemo } from 'react'
import { changesQuery } from '../api/changes'
import { useTheme } from '../app/theme'
import type { RangeState } from '../app/use-range'
import { ChangeDetail } from '../changes/change-detail'
import { marksOf } from '../changes/marks'
import type { ChartSpec } from '../charts/spec'
import { TimeChart } from '../charts/time-chart'
import { formatNumber } from '../time/format'
import { absolute, isoSeconds } from '../time/range'
import type { ResultLines } from './result-chart-spec'
import type { Run } from './use-run'

const HEIGHT = 270
const NONE: ReadonlySet<string> = new Set()

interface Props {
  run: Run
  lines: ResultLines
  state: RangeState
  onZoom: (fromMs: number, toMs: number) => void
  onPick: (fromMs: number, toMs: number) => void
}

/** The lines of a result with the change lines of the same time. */
export function ResultChart({ run, lines, state, onZoom, onPick }: Props) {
  const theme = useTheme()
  const { timesMs } = lines
  const first = timesMs[0]!
  const last = timesMs[timesMs.length - 1]!
  const step = timesMs.length > 1 ? timesMs[1]! - first : 60_000
  // A query that does not use the range has its own.
  const fromMs = run.usesRange ? run.window.fromMs : first
  const toMs = run.usesRange ? run.window.toMs : Math.max(last, first + 1)
  const key = ['result', absolute(fromMs, toMs).from, absolute(fromMs, toMs).to]
  const changes = useQuery(changesQuery(key, () => ({ fromMs, toMs }), 10_000)).data
  const spec: ChartSpec = useMemo(
    () => ({
      timesMs,
      lines: lines.lines,
      band: null,
      deficit: null,
      marks: marksOf(changes ?? [], NONE),
      fromMs,
      toMs,
      share: false,
      fromZero: false,
    }),
    [timesMs, lines, changes, fromMs, toMs],
  )
  const rows = (index: number) =>
    lines.lines.map((line) => ({
      label: line.label,
      value: Number.isNaN(line.values[index]!) ? '–' : formatNumber(line.values[index]!),
      token: line.token,
    }))
  return (
    <div className="result-chart">
      <ul className="legend" aria-label="Lines">
        {lines.lines.map((line) => (
          <li key={line.label}>
            <i
              className="legend-line"
              style={{ background: `var(${line.token})` }}
              aria-hidden="true"
            />
            {line.label}
          </li>
        ))}
        {lines.hidden > 0 && <li className="muted">{lines.hidden} more in the table</li>}
      </ul>
      <TimeChart
        spec={spec}
        zone={state.zone}
        theme={theme}
        height={HEIGHT}
        label={`Result over ${lines.timeColumn}: ${lines.lines.map((line) => line.label).join(', ')}`}
        rows={rows}
        pickHint="click: raw events of this point"
        onPick={(timeMs) => onPick(timeMs, timeMs + step)}
        onZoom={onZoom}
        markDetail={(mark) => {
          const change = changes?.find((one) => one.id === mark.id)
          return change ? <ChangeDetail change={change} zone={state.zone} /> : mark.label
        }}
      />
      <p className="visually-hidden">
        From {isoSeconds(fromMs)} to {isoSeconds(toMs)}
      </p>
    </div>
  )
}
