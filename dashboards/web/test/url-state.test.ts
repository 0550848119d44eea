import { describe, expect, test } from 'vitest'
import {
  alertsSearch,
  exploreSearch,
  parseSearch,
  rangeOf,
  sharedSearch,
  stringifySearch,
} from '../src/app/url-state'

describe('the URL', () => {
  test('is plain text that survives the way out and back', () => {
    const search = {
      from: '2026-11-20T13:00:00Z',
      to: 'now',
      q: 'select "experiments.13"\nfrom events where a = \'x & y+z\' and b = 100%',
      ds: 'shop',
    }
    const text = stringifySearch(search)
    expect(text).toContain('from=2026-11-20T13:00:00Z')
    expect(parseSearch(text)).toEqual(search)
  })

  test('leaves out what is absent', () => {
    expect(stringifySearch({ from: undefined, to: '' })).toBe('')
  })

  test('a number or a word stays the text it is', () => {
    expect(exploreSearch(parseSearch('?ev=13&ds=true'))).toMatchObject({ ev: '13', ds: 'true' })
  })

  test('drops what is not valid', () => {
    expect(sharedSearch({ from: 3, to: null, tz: 'mars' })).toEqual({})
    expect(exploreSearch({ view: 'pie' }).view).toBeUndefined()
    expect(alertsSearch({ show: 'history' })).toEqual({ show: 'history' })
  })

  test('half a range is no range', () => {
    const fallback = { from: '-2h', to: 'now' }
    expect(rangeOf({ from: '-1h' }, fallback)).toEqual(fallback)
    expect(rangeOf({ from: '-1h', to: 'now' }, fallback)).toEqual({ from: '-1h', to: 'now' })
  })
})
