import { useNavigate, useSearch } from '@tanstack/react-router'
import { useCallback, useMemo } from 'react'
import type { Zone } from '../time/format'
import { resolve, type Range, type Window } from '../time/range'
import { rangeOf, type SharedSearch } from './url-state'

/** What pages show when the URL names no range. */
export const DEFAULT_RANGE: Range = { from: '-2h', to: 'now' }

/** The page's time range and clock, both kept in the URL. */
export interface RangeState {
  range: Range
  zone: Zone
  /** Ends of the range now: call it when asking, so that a live range moves. */
  window: () => Window
  /** Same for the same range text: the part of a query key. */
  key: readonly string[]
  live: boolean
  setRange: (range: Range) => void
  setZone: (zone: Zone) => void
}

/** Reads and writes `from`, `to` and `tz`. */
export function useRange(): RangeState {
  const search = useSearch({ strict: false }) as SharedSearch
  const navigate = useNavigate()
  const range = rangeOf(search, DEFAULT_RANGE)
  const { from, to } = range
  const zone: Zone = search.tz === 'local' ? 'local' : 'utc'
  const change = useCallback(
    (part: SharedSearch) => {
      void navigate({ to: '.', search: (old: SharedSearch) => ({ ...old, ...part }) } as never)
    },
    [navigate],
  )
  return useMemo(
    () => ({
      range: { from, to },
      zone,
      window: () => resolve({ from, to }, Date.now()),
      key: [from, to],
      live: resolve({ from, to }, Date.now()).live,
      setRange: (next: Range) => change({ from: next.from, to: next.to }),
      setZone: (next: Zone) => change({ tz: next === 'local' ? 'local' : undefined }),
    }),
    [from, to, zone, change],
  )
}
