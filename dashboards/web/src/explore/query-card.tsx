import { useQueryClient } from '@tanstack/react-query'
import { CornerDownLeft, Play, Square } from 'lucide-react'
import { lazy, Suspense, useCallback, useEffect, useMemo, useState, type Ref } from 'react'
import { columnsQuery, valuesQuery, type Dataset } from '../api/schema'
import { Button } from '../controls/button'
import {
  formatBytes,
  formatElapsed,
  formatSecond,
  formatShort,
  zoneName,
  type Zone,
} from '../time/format'
import { nameOptions, tableOptions, valueOptions, type Wanted } from './completion'
import type { EditorHandle } from './editor'
import { HistoryMenu } from './history-menu'
import type { PastQuery } from './history'
import { nearestNames, quoteName, unquoteName } from './names'
import { tokenize } from './tokens'
import type { Run, RunProblem, RunState } from './use-run'

const Editor = lazy(() => import('./editor'))
const VALUES_MAX = 20

interface Props {
  text: string
  onText: (text: string) => void
  onRun: () => void
  onChoose: (past: PastQuery) => void
  runner: RunState
  zone: Zone
  datasets: readonly Dataset[]
  dataset: string
  names: readonly string[]
  handle: Ref<EditorHandle>
}

/** The editor with Run, the last queries, the error at its place, and what the last answer cost. */
export function QueryCard(props: Props) {
  const { text, onText, onRun, runner, zone } = props
  const { problem, running, run } = runner
  const options = useOptions(props.datasets, props.dataset)
  const mark = useMemo(
    () =>
      problem !== null && problem.offset !== null && problem.written === text
        ? { offset: problem.offset, message: problem.message }
        : null,
    [problem, text],
  )
  return (
    <section className="card query-card" aria-label="Query">
      <header className="card-head">
        <h2>SQL</h2>
        <span className="muted wide-only">
          <code>$from</code> <code>$to</code> <code>$step</code> follow the time range
        </span>
        <div className="card-tools">
          <HistoryMenu zone={zone} onChoose={props.onChoose} />
          {running ? (
            <Button onClick={() => runner.cancel()}>
              <Square size={13} aria-hidden="true" /> Cancel <kbd>Esc</kbd>
            </Button>
          ) : (
            <Button tone="primary" onClick={onRun}>
              <Play size={13} aria-hidden="true" /> Run{' '}
              <kbd className="wide-only">
                Ctrl <CornerDownLeft size={11} aria-label="Enter" />
              </kbd>
            </Button>
          )}
        </div>
      </header>
      <Suspense fallback={<pre className="editor editor-waiting">{text}</pre>}>
        <Editor
          value={text}
          problem={mark}
          onChange={onText}
          onRun={onRun}
          onCancel={runner.cancel}
          options={options}
          handle={props.handle}
        />
      </Suspense>
      {problem && <Problem problem={problem} text={text} names={props.names} onText={onText} />}
      <div className="stats" role="status">
        {running ? (
          <Running startedAt={running.startedAt} />
        ) : (
          run && <Cost run={run} zone={zone} />
        )}
      </div>
    </section>
  )
}

/** Completions from the schema; values are asked when a quote is opened after a column. */
function useOptions(datasets: readonly Dataset[], dataset: string) {
  const queries = useQueryClient()
  return useCallback(
    async (wanted: Wanted) => {
      try {
        if (wanted.kind === 'table') return tableOptions(datasets, dataset)
        if (wanted.kind === 'value') {
          const query = valuesQuery(dataset, wanted.column, wanted.prefix, VALUES_MAX)
          return valueOptions(await queries.fetchQuery(query))
        }
        return nameOptions(await queries.fetchQuery(columnsQuery(dataset)))
      } catch {
        // No completion is better than a message while somebody types.
        return wanted.kind === 'name' ? nameOptions([]) : []
      }
    },
    [datasets, dataset, queries],
  )
}

/** The reason, and names that are near to the one that is not known. */
function Problem({
  problem,
  text,
  names,
  onText,
}: {
  problem: RunProblem
  text: string
  names: readonly string[]
  onText: (text: string) => void
}) {
  const { offset } = problem
  const token =
    offset === null || problem.written !== text
      ? undefined
      : tokenize(text).find((one) => one.start <= offset && offset < one.end)
  const near =
    token && problem.code === 'unknown_column' ? nearestNames(unquoteName(token.text), names) : []
  return (
    <div className="query-problem" role="alert">
      <p>{problem.message}</p>
      {token && near.length > 0 && (
        <p className="near-names">
          Did you mean{' '}
          {near.map((name) => (
            <button
              key={name}
              type="button"
              className="text-button"
              onClick={() =>
                onText(text.slice(0, token.start) + quoteName(name) + text.slice(token.end))
              }
            >
              {name}
            </button>
          ))}
        </p>
      )}
      <p className="muted">
        {problem.code}
        {problem.requestId !== '' && ` · request ${problem.requestId}`}
      </p>
    </div>
  )
}

function Running({ startedAt }: { startedAt: number }) {
  const [now, setNow] = useState(startedAt)
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 100)
    return () => clearInterval(timer)
  }, [])
  const elapsed = now - startedAt
  return (
    <span>
      {elapsed < 1_000 ? 'running' : `running for ${formatElapsed(elapsed)} · Esc cancels`}
    </span>
  )
}

function Cost({ run, zone }: { run: Run; zone: Zone }) {
  const { stats } = run.result
  const fresh = stats.fresh_to ? Date.parse(stats.fresh_to) : null
  const parts = [
    stats.elapsed_ms === undefined ? '' : formatElapsed(stats.elapsed_ms),
    stats.rows_scanned === undefined ? '' : `${formatShort(stats.rows_scanned)} rows scanned`,
    stats.bytes_scanned === undefined ? '' : formatBytes(stats.bytes_scanned),
    fresh === null ? '' : `data to ${formatSecond(fresh, zone)} ${zoneName(zone, fresh)}`,
    run.usesRange ? '' : 'the query does not use the time range',
  ]
  return (
    <>
      {parts.filter(Boolean).map((part) => (
        <span key={part}>{part}</span>
      ))}
    </>
  )
}
