import { describe, expect, test } from 'vitest'
import {
  absolute,
  parseEnd,
  rangeLabel,
  relativeText,
  resolve,
  shift,
  stepFor,
  zoom,
} from '../src/time/range'

const NOW = Date.UTC(2026, 10, 20, 14, 10)
const HOUR = 3_600_000

describe('ends of a range', () => {
  test('relative, now and absolute', () => {
    expect(parseEnd('now', NOW)).toBe(NOW)
    expect(parseEnd('-2h', NOW)).toBe(NOW - 2 * HOUR)
    expect(parseEnd('2026-11-20T14:00:00Z', NOW)).toBe(NOW - 600_000)
    expect(parseEnd('2026-11-20T15:00:00+01:00', NOW)).toBe(NOW - 600_000)
    for (const none of ['', '2h', '-2y', 'yesterday', '-', '14:00']) {
      expect(parseEnd(none, NOW), none).toBeNull()
    }
  })

  test('a range that is none falls back to the last two hours', () => {
    const fallback = { fromMs: NOW - 2 * HOUR, toMs: NOW, live: true }
    expect(resolve({ from: 'now', to: '-2h' }, NOW)).toEqual(fallback)
    expect(resolve({ from: 'x', to: 'now' }, NOW)).toEqual(fallback)
    expect(resolve({ from: '-99999d', to: 'now' }, NOW)).toEqual(fallback)
  })

  test('only a range that ends now is live', () => {
    expect(resolve({ from: '-1h', to: 'now' }, NOW).live).toBe(true)
    expect(resolve(absolute(NOW - HOUR, NOW), NOW).live).toBe(false)
  })
})

describe('moving', () => {
  const live = resolve({ from: '-2h', to: 'now' }, NOW)

  test('earlier is absolute; later stops at now', () => {
    expect(shift(live, -0.5, NOW)).toEqual(absolute(NOW - 3 * HOUR, NOW - HOUR))
    expect(shift(live, 0.5, NOW)).toEqual(absolute(NOW - 2 * HOUR, NOW))
  })

  test('a live range stays live when it gets longer', () => {
    expect(zoom(live, 2)).toEqual({ from: '-4h', to: 'now' })
    const fixed = resolve(absolute(NOW - 2 * HOUR, NOW), NOW)
    expect(zoom(fixed, 0.5)).toEqual(absolute(NOW - 1.5 * HOUR, NOW - 0.5 * HOUR))
  })

  test('relative texts use the largest unit that fits', () => {
    expect(relativeText(90 * 60_000)).toBe('-90m')
    expect(relativeText(48 * HOUR)).toBe('-2d')
    expect(relativeText(10)).toBe('-1m')
  })
})

test('labels say presets, other lengths, and fixed ends', () => {
  const format = (ms: number) => new Date(ms).toISOString().slice(11, 16)
  expect(rangeLabel({ from: '-2h', to: 'now' }, format, NOW)).toBe('Last 2 hours')
  expect(rangeLabel({ from: '-90m', to: 'now' }, format, NOW)).toBe('Last 90 minutes')
  expect(rangeLabel(absolute(NOW - HOUR, NOW), format, NOW)).toBe('13:10 – 14:10')
})

test('a chart never has more points than asked', () => {
  const window = (hours: number) => ({ fromMs: NOW - hours * HOUR, toMs: NOW, live: true })
  expect(stepFor(window(2), 3_000)).toBe(60)
  expect(stepFor(window(24 * 7), 3_000)).toBe(300)
  expect(stepFor(window(2), 150, 1)).toBe(60)
  expect(stepFor(window(24 * 400), 10)).toBe(86_400)
})
