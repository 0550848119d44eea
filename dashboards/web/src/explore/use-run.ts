import { useCallback, useEffect, useRef, useState } from 'react'
import { ApiError } from '../api/client'
import { cancelQuery, runSql } from '../api/sql'
import { resolve, type Range, type Window } from '../time/range'
import { fromArrow, fromJson, type JsonResult, type Result, type Stats } from './result'
import { expand } from './variables'

/** One run: what was asked, and what came back. */
export interface Run {
  written: string
  sent: string
  dataset: string
  window: Window
  usesRange: boolean
  result: Result
  finishedAt: number
}

/** An error with its place in the text as written. */
export interface RunProblem {
  message: string
  code: string
  requestId: string
  /** Place in the text, if the error speaks of one. */
  offset: number | null
  written: string
}

/** What the page shows; the last result stays while the next one runs or after it failed. */
export interface RunState {
  running: { startedAt: number } | null
  run: Run | null
  problem: RunProblem | null
  start: (written: string, dataset: string, range: Range) => void
  cancel: () => boolean
}

/** Runs one query at a time; a new one cancels the one before. */
export function useRun(onDone: (run: Run) => void): RunState {
  const [running, setRunning] = useState<{ startedAt: number } | null>(null)
  const [run, setRun] = useState<Run | null>(null)
  const [problem, setProblem] = useState<RunProblem | null>(null)
  const current = useRef<{ abort: AbortController; queryId: string } | null>(null)
  const done = useRef(onDone)
  done.current = onDone

  const cancel = useCallback(() => {
    const going = current.current
    if (!going) return false
    going.abort.abort()
    // Closing the connection stops it too; this is for servers behind a proxy that keeps it open.
    if (going.queryId !== '') void cancelQuery(going.queryId).catch(() => undefined)
    current.current = null
    setRunning(null)
    return true
  }, [])

  const start = useCallback(
    (written: string, dataset: string, range: Range) => {
      cancel()
      const going = { abort: new AbortController(), queryId: '' }
      current.current = going
      const window = resolve(range, Date.now())
      const expanded = expand(written, window)
      setRunning({ startedAt: Date.now() })
      setProblem(null)
      const request = { sql: expanded.sql, dataset: dataset === '' ? undefined : dataset }
      runSql(request, going.abort.signal, (id) => (going.queryId = id))
        .then((answer) => {
          const result = answer.arrow
            ? fromArrow(answer.bytes, answer.stats as Stats)
            : fromJson(JSON.parse(new TextDecoder().decode(answer.bytes)) as JsonResult)
          if (current.current !== going) return
          const finished: Run = {
            written,
            sent: expanded.sql,
            dataset,
            window,
            usesRange: expanded.usesRange,
            result,
            finishedAt: Date.now(),
          }
          setRun(finished)
          done.current(finished)
        })
        .catch((error: unknown) => {
          if (current.current !== going) return
          setProblem(problemOf(error, written, expanded.offsetOf))
        })
        .finally(() => {
          if (current.current !== going) return
          current.current = null
          setRunning(null)
        })
    },
    [cancel],
  )

  useEffect(() => () => void cancel(), [cancel])
  return { running, run, problem, start, cancel }
}

function problemOf(
  error: unknown,
  written: string,
  offsetOf: (position: { line: number; column: number }) => number,
): RunProblem {
  if (error instanceof ApiError) {
    return {
      message: error.message,
      code: error.code,
      requestId: error.requestId,
      offset: error.position ? offsetOf(error.position) : null,
      written,
    }
  }
  const message = error instanceof Error ? error.message : String(error)
  return { message, code: 'unreadable_answer', requestId: '', offset: null, written }
}
