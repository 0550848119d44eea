import { describe, expect, test } from 'vitest'
import { expand } from '../src/explore/variables'

const WINDOW = {
  fromMs: Date.UTC(2026, 10, 20, 12),
  toMs: Date.UTC(2026, 10, 20, 14),
  live: false,
}

describe('variables of the range', () => {
  test('become literals, but not inside texts and comments', () => {
    const { sql, usesRange } = expand(
      "select '$from' -- $to\nwhere time >= $from and time < $TO",
      WINDOW,
    )
    expect(usesRange).toBe(true)
    expect(sql).toBe(
      "select '$from' -- $to\nwhere time >= timestamp '2026-11-20T12:00:00.000Z' and time < timestamp '2026-11-20T14:00:00.000Z'",
    )
  })

  test('the bucket fits the range', () => {
    expect(expand('date_bin($step, time)', WINDOW).sql).toBe(
      "date_bin(interval '60 seconds', time)",
    )
  })

  test('buckets cut by an end of the range are left out', () => {
    const live = { fromMs: WINDOW.fromMs + 20_000, toMs: WINDOW.toMs + 20_000, live: true }
    const { sql } = expand('date_bin($step, time) where time >= $from and time < $to', live)
    expect(sql).toContain("time >= timestamp '2026-11-20T12:01:00.000Z'")
    expect(sql).toContain("time < timestamp '2026-11-20T14:00:00.000Z'")
    expect(expand('time < $to', live).sql).toContain('14:00:20')
  })

  test('a query without them is sent as it is', () => {
    expect(expand('select $other', WINDOW)).toMatchObject({
      sql: 'select $other',
      usesRange: false,
    })
  })

  test('an error behind a variable is marked where it was written', () => {
    const written = 'select 1\nfrom events where time > $from and rout = 1'
    const { sql, offsetOf } = expand(written, WINDOW)
    const column = sql.split('\n')[1]!.indexOf('rout') + 1
    expect(offsetOf({ line: 2, column })).toBe(written.indexOf('rout'))
    expect(offsetOf({ line: 1, column: 8 })).toBe(7)
    expect(offsetOf({ line: 99, column: 1 })).toBe(written.length)
  })

  test('an error inside a variable is marked at its start', () => {
    const written = 'where time > $from'
    const { offsetOf } = expand(written, WINDOW)
    expect(offsetOf({ line: 1, column: 25 })).toBe(written.indexOf('$from'))
  })
})
