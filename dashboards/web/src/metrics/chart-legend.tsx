import { KindSwatch } from '../changes/change-detail'
import { lookOf, type MarkKind } from '../charts/kinds'

/** What the lines mean; only kinds that are on the chart are listed. */
export function ChartLegend({
  kinds,
  inferred,
}: {
  kinds: ReadonlySet<MarkKind>
  inferred: boolean
}) {
  const shown = new Map([...kinds].map((kind) => [lookOf(kind).name, kind]))
  const sorted = [...shown].sort((a, b) => lookOf(b[1]).rank - lookOf(a[1]).rank)
  return (
    <ul className="legend" aria-label="Legend">
      <li>
        <svg width="16" height="10" aria-hidden="true">
          <line x1="0" x2="16" y1="5" y2="5" stroke="var(--series-1)" strokeWidth="2" />
        </svg>
        actual
      </li>
      <li>
        <svg width="16" height="10" aria-hidden="true">
          <line
            x1="0"
            x2="16"
            y1="5"
            y2="5"
            stroke="var(--line-expected)"
            strokeWidth="1.5"
            strokeDasharray="4 3"
          />
        </svg>
        expected
      </li>
      <li>
        <i className="legend-band" aria-hidden="true" />
        band
      </li>
      {sorted.map(([name, kind]) => (
        <li key={name}>
          <KindSwatch kind={kind} />
          {name}
        </li>
      ))}
      {inferred && (
        <li>
          <KindSwatch kind="deploy" inferred />
          inferred
        </li>
      )}
    </ul>
  )
}
