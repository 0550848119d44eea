import { useQuery, useQueryClient } from '@tanstack/react-query'
import { useNavigate, useSearch } from '@tanstack/react-router'
import { lazy, Suspense, useCallback, useEffect, useMemo, useRef, useState } from 'react'
import { columnsQuery, datasetsQuery, type Dataset } from '../api/schema'
import { useShortcuts } from '../app/shortcuts'
import { TopBar } from '../app/top-bar'
import type { ExploreSearch } from '../app/url-state'
import { useRange } from '../app/use-range'
import { formatShort } from '../time/format'
import type { Range } from '../time/range'
import { COUNT_SQL } from './default-sql'
import { addCondition, countBy } from './edit-sql'
import type { EditorHandle } from './editor'
import { condition } from './cells'
import { FieldsPanel } from './fields-panel'
import { FirstEvent } from './first-event'
import { keepQuery } from './history'
import { quoteValue } from './names'
import { QueryCard } from './query-card'
import { ResultCard } from './result-card'
import { columnIndex } from './result'
import { useRun, type Run } from './use-run'
import './explore.css'
import './grid.css'

const EventDrawer = lazy(async () => ({ default: (await import('./event-drawer')).EventDrawer }))

/** SQL over the raw events, with the schema beside it and the result below it. */
export function ExplorePage() {
  const datasets = useQuery(datasetsQuery)
  const search = useSearch({ from: '/explore' })
  const own = datasets.data?.filter((one) => !one.name.startsWith('system.') && one.events > 0)
  if (datasets.error && !datasets.data) {
    return (
      <>
        <TopBar title="Explore" />
        <div className="page-message" role="alert">
          <h2>Datasets could not be loaded</h2>
          <p>{datasets.error.message}</p>
        </div>
      </>
    )
  }
  if (!datasets.data) {
    return (
      <>
        <TopBar title="Explore" />
        <div className="card skeleton chart-skeleton" role="status" aria-label="Loading" />
      </>
    )
  }
  if (own?.length === 0 && search.q === undefined && search.ds === undefined) {
    return (
      <>
        <TopBar title="Explore" ranged={false} />
        <FirstEvent />
      </>
    )
  }
  return <Explorer datasets={datasets.data} search={search} />
}

/** The dataset somebody most likely wants: theirs, with the newest event. */
function likeliest(datasets: readonly Dataset[]): string {
  const own = datasets.filter((one) => !one.name.startsWith('system.'))
  const newest = [...own].sort((a, b) => (b.last_event ?? '').localeCompare(a.last_event ?? ''))
  const [first] = newest
  if (!first) return datasets[0]?.name ?? ''
  // Several that are fed now: the largest one.
  const fresh = newest.filter(
    (one) => Date.parse(first.last_event ?? '') - Date.parse(one.last_event ?? '') < 60_000,
  )
  return (fresh.sort((a, b) => b.events - a.events)[0] ?? first).name
}

function Explorer({ datasets, search }: { datasets: Dataset[]; search: ExploreSearch }) {
  const navigate = useNavigate({ from: '/explore' })
  const state = useRange()
  const queries = useQueryClient()
  const editor = useRef<EditorHandle>(null)
  const [fallback] = useState(() => likeliest(datasets))
  const dataset = search.ds ?? fallback
  const asked = search.q ?? COUNT_SQL
  const [text, setText] = useState(asked)
  const [activeRow, setActiveRow] = useState<number | null>(null)

  const onDone = useCallback(
    (run: Run) => {
      setActiveRow(null)
      keepQuery({
        sql: run.written,
        dataset: run.dataset,
        atMs: run.finishedAt,
        elapsedMs: run.result.stats.elapsed_ms ?? null,
        rows: run.result.rows,
      })
      void queries.invalidateQueries({ queryKey: ['columns', run.dataset] })
    },
    [queries],
  )
  const runner = useRun(onDone)
  const { start } = runner
  const { from, to } = state.range

  // The URL is what runs: a link, the back button and the Run button are the same thing.
  useEffect(() => {
    setText(asked)
    start(asked, dataset, { from, to })
  }, [asked, dataset, from, to, start])

  const submit = useCallback(
    (sql: string, more: Partial<ExploreSearch & Range> = {}) => {
      const same = sql === asked && Object.keys(more).length === 0
      setText(sql)
      if (same) start(sql, dataset, { from, to })
      else {
        void navigate({
          search: (old) => ({ ...old, ds: dataset, q: sql, ev: undefined, ...more }),
        })
      }
    },
    [asked, dataset, from, to, navigate, start],
  )
  const setEvent = (ev: string | undefined) => void navigate({ search: (old) => ({ ...old, ev }) })
  const filterTo = (column: string, value: unknown) =>
    submit(addCondition(text, column, condition(quoteValue(value), true)))

  useShortcuts({
    s: () => editor.current?.focus(),
    Escape: () => void runner.cancel(),
  })
  const columns = useQuery(columnsQuery(dataset)).data
  const names = useMemo(() => columns?.map((column) => column.name) ?? [], [columns])
  const current = datasets.find((one) => one.name === dataset)
  return (
    <>
      <TopBar
        title="Explore"
        subtitle={current ? `${dataset} · ${formatShort(current.events)} events` : dataset}
      />
      <div className="explore">
        <FieldsPanel
          datasets={datasets}
          dataset={dataset}
          onDataset={(ds) =>
            void navigate({ search: (old) => ({ ...old, ds, q: search.q, ev: undefined }) })
          }
          onInsert={(name) => editor.current?.insert(name)}
          onFilter={filterTo}
          onCount={(column) => submit(countBy(text, column))}
        />
        <div className="explore-main">
          <QueryCard
            text={text}
            onText={setText}
            onRun={() => submit(text)}
            onChoose={(past) =>
              submit(past.sql, past.dataset === dataset ? {} : { ds: past.dataset })
            }
            runner={runner}
            zone={state.zone}
            datasets={datasets}
            dataset={dataset}
            names={names}
            handle={editor}
          />
          <ResultCard
            runner={runner}
            state={state}
            view={search.view}
            onView={(view) => void navigate({ search: (old) => ({ ...old, view }), replace: true })}
            activeRow={activeRow}
            onActiveRow={setActiveRow}
            onOpen={setEvent}
            onSubmit={submit}
          />
        </div>
      </div>
      <Suspense fallback={null}>
        {search.ev !== undefined && (
          <EventDrawer
            dataset={dataset}
            id={search.ev}
            onClose={() => setEvent(undefined)}
            onStep={stepper(runner.run, search.ev, setActiveRow, setEvent)}
            onFilter={filterTo}
          />
        )}
      </Suspense>
    </>
  )
}

/** Moves the drawer along the rows of the result. */
function stepper(
  run: Run | null,
  id: string,
  setActiveRow: (row: number) => void,
  setEvent: (id: string) => void,
): ((by: 1 | -1) => void) | null {
  if (!run) return null
  const index = columnIndex(run.result, 'event_id')
  const column = run.result.columns[index]
  if (!column) return null
  let row = 0
  while (row < run.result.rows && String(column.get(row)) !== id) row += 1
  if (row === run.result.rows) return null
  return (by) => {
    const next = row + by
    if (next < 0 || next >= run.result.rows) return
    setActiveRow(next)
    setEvent(String(column.get(next)))
  }
}
