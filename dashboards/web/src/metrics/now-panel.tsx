import { isShare, type Metric } from '../api/metrics'
import { SafeLink } from '../changes/change-detail'
import {
  formatDayMinute,
  formatMinute,
  formatNumber,
  formatShare,
  zoneName,
  type Zone,
} from '../time/format'

/** The latest minute and what the alerter can see, while nothing is wrong. */
export function NowPanel({ metric, zone }: { metric: Metric; zone: Zone }) {
  const { last } = metric
  const ms = last ? Date.parse(last.time) : 0
  return (
    <section className="side-panel" aria-label="Now">
      <h2>
        {last ? `At ${formatMinute(ms, zone)} ${zoneName(zone, ms)}` : 'No minute evaluated yet'}
      </h2>
      {last && (
        <dl className="now-numbers">
          <div>
            <dt>seen</dt>
            <dd>{rateText(metric, last.actual)}</dd>
          </div>
          <div>
            <dt>expected</dt>
            <dd>{rateText(metric, last.expected)}</dd>
          </div>
          <div>
            <dt>band</dt>
            <dd>
              {rateText(metric, last.lower)}–{rateText(metric, last.upper)}
            </dd>
          </div>
        </dl>
      )}
      <p className={`state-line is-${metric.state}`}>{stateText(metric, zone)}</p>
      <VisibleDrop drops={metric.visible_drop} direction={metric.direction} />
      <dl className="facts">
        {metric.file && (
          <div>
            <dt>defined in</dt>
            <dd>
              <code>{metric.file}</code>
            </dd>
          </div>
        )}
        {metric.filter && (
          <div>
            <dt>counts</dt>
            <dd>
              <code>{metric.filter}</code>
            </dd>
          </div>
        )}
        {metric.runbook && (
          <div>
            <dt>runbook</dt>
            <dd>
              <SafeLink url={metric.runbook} />
            </dd>
          </div>
        )}
      </dl>
    </section>
  )
}

/** A value of a metric: a number of some digits, or per cent. */
export function rateText(metric: Metric, value: number | null): string {
  if (value === null) return '–'
  if (isShare(metric)) return formatShare(value)
  return formatNumber(value >= 100 ? Math.round(value) : Math.round(value * 10) / 10)
}

/** One sentence on the state of a metric. */
export function stateText(metric: Metric, zone: Zone): string {
  switch (metric.state) {
    case 'ok':
      return 'Within its band. Nothing to do.'
    case 'firing':
      return 'An alert is open.'
    case 'learning': {
      if (metric.alerts_from === null) return 'Learning: the history is too short to alert.'
      const ms = Date.parse(metric.alerts_from)
      return `Learning: it will alert from ${formatDayMinute(ms, zone, Date.now())} ${zoneName(zone, ms)}.`
    }
    case 'no_data':
      return 'No data: our own ingest was down, or the history has a hole.'
    case 'silent':
      return 'Silent: nothing of any kind arrives from its source.'
    case 'not_trusted':
      return 'The forecast was wrong too often lately: it is not used to alert.'
  }
}

function VisibleDrop({
  drops,
  direction,
}: {
  drops: Record<string, number> | null
  direction: Metric['direction']
}) {
  const known = Object.entries(drops ?? {}).flatMap(([name, minutes]) => {
    const percent = /^(\d+)_percent_minutes$/.exec(name)?.[1]
    return percent ? [{ percent: Number(percent), minutes }] : []
  })
  if (known.length === 0) return null
  const word = direction === 'up' ? 'rise' : 'drop'
  return (
    <ul className="visible-drop">
      {known
        .sort((a, b) => b.percent - a.percent)
        .map(({ percent, minutes }) => (
          <li key={percent}>
            a {word} of {percent} % pages within <b>{formatNumber(Math.ceil(minutes))} min</b>
          </li>
        ))}
    </ul>
  )
}
