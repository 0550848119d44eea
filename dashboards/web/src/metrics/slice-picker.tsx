import { useQueries } from '@tanstack/react-query'
import type { Metric } from '../api/metrics'
import { valuesQuery } from '../api/schema'

const VALUES_MAX = 20

interface Props {
  metric: Metric
  slice: string | undefined
  onSlice: (slice: string | undefined) => void
}

/** The whole rate, or one value of a dimension the metric is watched by. */
export function SlicePicker({ metric, slice, onSlice }: Props) {
  const values = useQueries({
    queries: metric.slices.map((column) => valuesQuery(metric.dataset, column, '', VALUES_MAX)),
  })
  if (metric.slices.length === 0) return <span className="muted">all events</span>
  const known = metric.slices.flatMap((column, index) =>
    (values[index]?.data ?? []).map((one) => `${column}=${String(one.value)}`),
  )
  if (slice !== undefined && !known.includes(slice)) known.unshift(slice)
  return (
    <label className="select">
      <span className="visually-hidden">Slice</span>
      <select value={slice ?? ''} onChange={(event) => onSlice(event.target.value || undefined)}>
        <option value="">all of {metric.slices.join(', ')}</option>
        {known.map((one) => (
          <option key={one} value={one}>
            {one.replace('=', ' = ')}
          </option>
        ))}
      </select>
    </label>
  )
}
