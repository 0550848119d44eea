/** The SQL behind a point of a metric's chart: its number of rows is the point's count. */

import type { Metric } from '../api/metrics'
import type { Column } from '../api/schema'
import { quoteName, quoteText } from '../explore/names'

/** Names one thing has in events of different senders, in the order the server reads them (docs/api.md). */
const ENVIRONMENT_NAMES = ['environment', 'deployment.environment.name', 'deployment.environment']
const ROWS_MAX = 1_000

/** Every raw event the metric counts between $from and $to. */
export function rawEventsSql(
  metric: Metric,
  slice: string | undefined,
  columns: readonly Column[],
): string {
  const conditions = ['time >= $from and time < $to']
  const environment = environmentExpression(columns)
  if (metric.environment && environment !== null) {
    conditions.push(`${environment} = ${quoteText(metric.environment)}`)
  }
  const counted = metric.kind === 'ratio' ? metric.denominator : metric.filter
  if (counted) conditions.push(`(${counted})`)
  if (metric.kind !== 'count' && metric.value) conditions.push(`(${metric.value}) is not null`)
  const [name, ...value] = (slice ?? '').split('=')
  if (slice !== undefined && name)
    conditions.push(`${quoteName(name)} = ${quoteText(value.join('='))}`)
  return `select *\nfrom events\nwhere ${conditions.join('\n  and ')}\norder by time desc\nlimit ${ROWS_MAX}`
}

function environmentExpression(columns: readonly Column[]): string | null {
  const known = new Set(columns.map((column) => column.name))
  const present = ENVIRONMENT_NAMES.filter((name) => known.has(name)).map(quoteName)
  if (present.length === 0) return null
  return present.length === 1 ? present[0]! : `coalesce(${present.join(', ')})`
}
