import { describe, expect, test } from 'vitest'
import type { Column } from '../src/api/schema'
import {
  isSilent,
  nameOptions,
  tableOptions,
  valueOptions,
  wantedAt,
} from '../src/explore/completion'
import { nearestNames, quoteName } from '../src/explore/names'

const column = (name: string, more: Partial<Column> = {}): Column => ({
  name,
  type: 'text',
  class: 'text',
  system: false,
  shares: { text: 1 },
  values: 1,
  ...more,
})

describe('names', () => {
  test('are quoted only when they have to be', () => {
    expect(quoteName('duration_ms')).toBe('duration_ms')
    expect(quoteName('service.name')).toBe('service.name')
    expect(quoteName('experiments.13')).toBe('"experiments.13"')
    expect(quoteName('price#int')).toBe('"price#int"')
    expect(quoteName('group')).toBe('"group"')
    expect(quoteName('user:time')).toBe('"user:time"')
    expect(quoteName('say "hi"')).toBe('"say ""hi"""')
  })

  test('near ones are found by their spelling', () => {
    expect(nearestNames('rout', ['route', 'status', 'root'])).toEqual(['route', 'root'])
    expect(nearestNames('zzzzzz', ['route'])).toEqual([])
  })
})

describe('what is wanted at the cursor', () => {
  test('a dotted name is one word', () => {
    expect(wantedAt('select service.na')).toEqual({ kind: 'name', prefix: 'service.na', from: 7 })
  })

  test('a quoted name is completed with its quote', () => {
    expect(wantedAt('select "experiments.1')).toEqual({
      kind: 'name',
      prefix: '"experiments.1',
      from: 7,
    })
  })

  test('tables after from and join', () => {
    expect(wantedAt('select * from ev').kind).toBe('table')
    expect(wantedAt('select * from events e join ').kind).toBe('table')
    expect(wantedAt('select * from events where ').kind).toBe('name')
  })

  test('values in quotes after a comparison', () => {
    const value = (before: string) => wantedAt(before)
    expect(value("where route = '/ch")).toMatchObject({
      kind: 'value',
      column: 'route',
      prefix: '/ch',
      from: 14,
    })
    expect(value(`where "experiments.13" <> '`)).toMatchObject({
      kind: 'value',
      column: 'experiments.13',
      prefix: '',
    })
    expect(value("where service.name in ('web', 'a")).toMatchObject({
      kind: 'value',
      column: 'service.name',
      prefix: 'a',
    })
    expect(value("where route like '/x")).toMatchObject({ kind: 'value', column: 'route' })
  })

  test('nothing inside other texts and comments', () => {
    expect(isSilent("select '")).toBe(true)
    expect(isSilent('select 1 -- from')).toBe(true)
    expect(isSilent("where route = '")).toBe(false)
    expect(isSilent("where route = 'x' and ")).toBe(false)
  })
})

describe('what is offered', () => {
  test('columns come before functions and keywords', () => {
    const options = nameOptions([
      column('duration_ms', { type: 'double' }),
      column('experiments.13'),
    ])
    const boost = (label: string) => options.find((option) => option.label === label)!.boost
    expect(boost('duration_ms')).toBeGreaterThan(boost('date_bin'))
    expect(boost('date_bin')).toBeGreaterThan(boost('distinct'))
    expect(options.find((option) => option.label === '"experiments.13"')!.apply).toBe(
      '"experiments.13"',
    )
  })

  test('a column of several types says the share of the main one', () => {
    const [first] = nameOptions([
      column('price', { type: 'double', shares: { float: 0.98, text: 0.02 } }),
    ])
    expect(first!.detail).toBe('double, 98 % float')
  })

  test('tables of the dataset by short names, of others by full ones', () => {
    const dataset = {
      events: 1,
      bytes_on_disk: 0,
      files: 0,
      columns: 0,
      first_event: null,
      last_event: null,
    }
    const names = tableOptions(
      [
        { name: 'shop', ...dataset },
        { name: 'mail', ...dataset },
        { name: 'system.changes', ...dataset },
      ],
      'shop',
    ).map((option) => option.label)
    expect(names).toEqual([
      'events',
      'messages',
      'probes',
      'exposures',
      'mail.events',
      'system.changes',
    ])
  })

  test('values are whole literals', () => {
    const options = valueOptions([
      { value: "it's", count: 3 },
      { value: null, count: 9 },
    ])
    expect(options.map((option) => [option.apply, option.detail])).toEqual([["'it''s'", '3×']])
  })
})
