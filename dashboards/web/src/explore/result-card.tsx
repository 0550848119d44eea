import { useMemo, useRef, useState } from 'react'
import type { ExploreSearch } from '../app/url-state'
import type { RangeState } from '../app/use-range'
import { copyText } from '../controls/copy'
import { say } from '../controls/toast'
import { formatNumber } from '../time/format'
import { absolute, type Range } from '../time/range'
import type { CellAction } from './cell-menu'
import { cellLiteral, cellText, condition, jsonText } from './cells'
import { addCondition, countBy, orderBy, rawRows } from './edit-sql'
import { shownColumns } from './grid-columns'
import { ResultChart } from './result-chart'
import { linesOf } from './result-chart-spec'
import { ResultGrid, type GridHandle } from './result-grid'
import { columnIndex, type ResultColumn } from './result'
import type { Run, RunState } from './use-run'

interface Props {
  runner: RunState
  state: RangeState
  view: ExploreSearch['view']
  onView: (view: ExploreSearch['view']) => void
  activeRow: number | null
  onActiveRow: (row: number) => void
  onOpen: (id: string) => void
  onSubmit: (sql: string, more?: Partial<ExploreSearch & Range>) => void
}

/** The answer: lines over time when it is such, and always the grid. */
export function ResultCard(props: Props) {
  const { runner } = props
  if (!runner.run) {
    if (runner.running)
      return <div className="card skeleton result-skeleton" role="status" aria-label="Running" />
    return null
  }
  // The old answer stays, dimmed, while the next one is on its way or failed.
  const dimmed = runner.running !== null || runner.problem !== null
  return <Answer {...props} run={runner.run} dimmed={dimmed} />
}

function Answer(props: Props & { run: Run; dimmed: boolean }) {
  const { run, dimmed, state, view, onSubmit } = props
  const { result } = run
  const [withEmpty, setWithEmpty] = useState(false)
  const grid = useRef<GridHandle>(null)
  const lines = useMemo(() => linesOf(result), [result])
  const columns = useMemo(() => shownColumns(result, withEmpty), [result, withEmpty])
  const empty = result.columns.length - columns.length
  const idColumn = result.columns[columnIndex(result, 'event_id')]
  const open = (row: number) => {
    props.onActiveRow(row)
    if (idColumn) props.onOpen(String(idColumn.get(row)))
  }
  const act = (action: CellAction, column: ResultColumn, row: number) => {
    const value = row < 0 ? null : column.get(row)
    const literal = cellLiteral(column, value)
    if (action === 'filter')
      onSubmit(addCondition(run.written, column.name, condition(literal, true)))
    else if (action === 'exclude')
      onSubmit(addCondition(run.written, column.name, condition(literal, false)))
    else if (action === 'count') onSubmit(countBy(run.written, column.name))
    else if (action === 'ascending') onSubmit(orderBy(run.written, column.name, 'asc'))
    else if (action === 'descending') onSubmit(orderBy(run.written, column.name, 'desc'))
    else if (action === 'copy') void copyCell(row < 0 ? column.name : copyable(column, value))
  }
  const showChart = lines !== null && view !== 'table'
  const showTable = lines === null || view !== 'chart'
  return (
    <section
      className={dimmed ? 'card result-card is-dimmed' : 'card result-card'}
      aria-label="Result"
    >
      <header className="card-head">
        {lines && (
          <div className="segments" role="group" aria-label="Show the result as">
            {(
              [
                [undefined, 'Both'],
                ['chart', 'Chart'],
                ['table', 'Table'],
              ] as const
            ).map(([one, name]) => (
              <button
                key={name}
                type="button"
                aria-pressed={view === one}
                onClick={() => props.onView(one)}
              >
                {name}
              </button>
            ))}
          </div>
        )}
        {!lines && <h2>{idColumn ? 'Raw events' : 'Result'}</h2>}
        <span className="muted">{sizeText(run)}</span>
        {(empty > 0 || withEmpty) && (
          <button type="button" className="text-button" onClick={() => setWithEmpty(!withEmpty)}>
            {withEmpty ? 'hide empty columns' : `${formatNumber(empty)} empty columns hidden`}
          </button>
        )}
        {showTable && result.rows > 0 && (
          <span className="key-hints wide-only" aria-hidden="true">
            <kbd>J</kbd> <kbd>K</kbd> move
            {idColumn && (
              <>
                {' '}
                <kbd>⏎</kbd> open
              </>
            )}{' '}
            <kbd>F</kbd> filter by value
          </span>
        )}
      </header>
      {result.rows === 0 && <NoRows run={run} />}
      {showChart && (
        <ResultChart
          run={run}
          lines={lines}
          state={state}
          onZoom={(fromMs, toMs) => state.setRange(absolute(fromMs, toMs))}
          onPick={(fromMs, toMs) => onSubmit(rawRows(run.written), absolute(fromMs, toMs))}
        />
      )}
      {showTable && result.rows > 0 && (
        <ResultGrid
          key={run.finishedAt}
          result={result}
          columns={columns}
          zone={state.zone}
          activeRow={props.activeRow}
          canOpen={idColumn !== undefined}
          onActiveRow={props.onActiveRow}
          onOpen={open}
          onAction={act}
          handle={grid}
        />
      )}
    </section>
  )
}

function sizeText(run: Run): string {
  const { rows, columns, stats } = run.result
  const of = stats.truncated
    ? `first ${formatNumber(rows)} rows`
    : `${formatNumber(rows)} ${rows === 1 ? 'row' : 'rows'}`
  return `${of} · ${formatNumber(columns.length)} ${columns.length === 1 ? 'column' : 'columns'}`
}

/** Values are copied as they were sent, times in UTC. */
function copyable(column: ResultColumn, value: unknown): string {
  if (value !== null && typeof value === 'object') return jsonText(value)
  return cellText(column.kind, value, 'utc')
}

async function copyCell(text: string): Promise<void> {
  if (await copyText(text)) say('Copied')
  else say('The browser did not allow copying', 'danger')
}

/** Says why nothing came, and the one next step. */
function NoRows({ run }: { run: Run }) {
  return (
    <div className="empty-note">
      <p>No row matches.</p>
      <p className="muted">
        {run.usesRange
          ? 'Nothing in this time range passes the conditions: try a longer range, or take a condition away.'
          : 'Nothing passes the conditions of the query.'}
      </p>
    </div>
  )
}
