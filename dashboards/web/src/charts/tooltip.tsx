import { useLayoutEffect, useRef, useState } from 'react'

/** One line of the tooltip. */
export interface TooltipRow {
  label: string
  value: string
  tone?: 'danger'
  token?: string
}

interface Props {
  title: string
  rows: TooltipRow[]
  hint: string
  left: number
  plotLeft: number
  plotWidth: number
  top: number
}

/** Stands left of the cursor (what matters is usually at the right end), or right of it where there is no room. */
export function ChartTooltip({ title, rows, hint, left, plotLeft, plotWidth, top }: Props) {
  const box = useRef<HTMLDivElement>(null)
  const [width, setWidth] = useState(160)
  useLayoutEffect(() => {
    const measured = box.current?.offsetWidth
    if (measured !== undefined && measured !== width) setWidth(measured)
  })
  const before = left - width - 16
  const place = before >= plotLeft - 40 ? before : Math.min(left + 16, plotLeft + plotWidth - width)
  return (
    <div
      ref={box}
      className="chart-tooltip"
      style={{ left: Math.max(0, place), top }}
      aria-hidden="true"
    >
      <strong>{title}</strong>
      {rows.map((row) => (
        <div key={row.label} className={row.tone ? `tooltip-row is-${row.tone}` : 'tooltip-row'}>
          {row.token && <i style={{ background: `var(${row.token})` }} />}
          <span>{row.label}</span>
          <b>{row.value}</b>
        </div>
      ))}
      {hint !== '' && <p>{hint}</p>}
    </div>
  )
}
