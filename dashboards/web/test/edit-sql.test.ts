import { describe, expect, test } from 'vitest'
import { condition } from '../src/explore/cells'
import { addCondition, countBy, orderBy, rawRows } from '../src/explore/edit-sql'

const one = (text: string) => text.replace(/\s+/g, ' ').trim()

describe('a condition more', () => {
  const check = (sql: string, column: string, literal: string, expected: string, keep = true) =>
    expect(one(addCondition(sql, column, condition(literal, keep)))).toBe(expected)

  test('goes before the clauses that follow', () => {
    check(
      'select * from events limit 10',
      'status',
      '500',
      'select * from events where status = 500 limit 10',
    )
    check(
      'select * from events where a = 1 order by time desc',
      'experiments.13',
      "'B'",
      'select * from events where a = 1 and "experiments.13" = \'B\' order by time desc',
    )
  })

  test('keeps what an OR meant', () => {
    check(
      'select * from t where a = 1 or b = 2',
      'c',
      '3',
      'select * from t where (a = 1 or b = 2) and c = 3',
    )
  })

  test('knows the expression behind an alias', () => {
    check(
      'select date_bin($step, time) as bucket, count(*) as n from events group by 1',
      'bucket',
      '5',
      'select date_bin($step, time) as bucket, count(*) as n from events where date_bin($step, time) = 5 group by 1',
    )
  })

  test('wraps the query when the column is an aggregate, or there are several queries', () => {
    check(
      'select a, count(*) as n from t group by a',
      'n',
      '3',
      'select * from ( select a, count(*) as n from t group by a ) where n = 3',
    )
    check(
      'select a from t union select b from u;',
      'a',
      '1',
      'select * from ( select a from t union select b from u ) where a = 1',
    )
  })

  test('is not fooled by words in texts, comments and subqueries', () => {
    check(
      "select * from (select * from t where x = 1 limit 3) where y = 'order by' -- limit\n",
      'z',
      '1',
      "select * from (select * from t where x = 1 limit 3) where y = 'order by' and z = 1 -- limit",
    )
  })

  test('null and its opposite; excluding keeps rows without a value', () => {
    check('select * from t', 'a', 'null', 'select * from t where a is null')
    check('select * from t', 'a', 'null', 'select * from t where a is not null', false)
    check('select * from t', 'a', '1', 'select * from t where a is distinct from 1', false)
  })
})

describe('other edits', () => {
  test('another order replaces the one before', () => {
    expect(one(orderBy('select a from t order by a limit 5', 'b', 'desc'))).toBe(
      'select a from t order by b desc limit 5',
    )
    expect(one(orderBy('select a from t', 'a', 'asc'))).toBe('select a from t order by a')
  })

  test('a count keeps the conditions', () => {
    expect(one(countBy('select * from events where a = 1 limit 9', 'service.name'))).toBe(
      'select service.name, count(*) as events from events where a = 1 group by 1 order by 2 desc limit 100',
    )
  })

  test('raw rows keep the conditions and drop the grouping', () => {
    expect(one(rawRows('select a, count(*) as n from events where b = 1 group by 1'))).toBe(
      'select * from events where b = 1 order by time desc limit 1000',
    )
    expect(one(rawRows('with x as (select 1) select * from x'))).toContain(
      'from events where time >= $from',
    )
  })
})
