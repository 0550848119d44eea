import { describe, expect, test } from 'vitest'
import {
  formatBytes,
  formatDayMinute,
  formatDuration,
  formatElapsed,
  formatFull,
  formatMinute,
  formatNumber,
  formatShare,
  formatShort,
  zoneName,
} from '../src/time/format'

const AT = Date.UTC(2026, 10, 20, 14, 7, 5, 120)
const plain = (text: string) => text.replaceAll('\u202f', ' ')

describe('times', () => {
  test('are printed on the shown clock', () => {
    expect(formatMinute(AT, 'utc')).toBe('14:07')
    expect(formatFull(AT, 'utc', 120_034)).toBe('2026-11-20 14:07:05.120034')
    expect(formatFull(AT, 'utc', 120_000)).toBe('2026-11-20 14:07:05.120')
    expect(formatFull(AT, 'utc')).toBe('2026-11-20 14:07:05')
    expect(zoneName('utc')).toBe('UTC')
    expect(zoneName('local', AT)).toMatch(/^UTC[+−]\d+/)
  })

  test('carry the year only when it is another one', () => {
    expect(formatDayMinute(AT, 'utc', AT)).toBe('20 Nov 14:07')
    expect(formatDayMinute(AT, 'utc', AT + 400 * 86_400_000)).toBe('20 Nov 2026 14:07')
  })

  test('midnight is 00:00 and not 24:00', () => {
    expect(formatMinute(Date.UTC(2026, 0, 1), 'utc')).toBe('00:00')
  })
})

describe('numbers', () => {
  const check = (value: number, expected: string) =>
    expect(plain(formatNumber(value))).toBe(expected)

  test('keep the digits a reader needs', () => {
    check(1_934_221, '1 934 221')
    check(67, '67')
    check(12.54, '12.5')
    check(1.234, '1.23')
    check(0.0345, '0.035')
    check(-37, '−37')
    check(0, '0')
    check(Number.NaN, '–')
    check(1e21, '1.00e+21')
  })

  test('short forms', () => {
    expect(plain(formatShort(1_934_221))).toBe('1.9 M')
    expect(plain(formatShort(4_812))).toBe('4 812')
    expect(plain(formatShort(48_120))).toBe('48.1 k')
    expect(plain(formatBytes(38_000_000))).toBe('38 MB')
    expect(plain(formatBytes(999_600))).toBe('1 MB')
    expect(plain(formatBytes(0))).toBe('0 B')
    expect(plain(formatElapsed(42.3))).toBe('42 ms')
    expect(plain(formatElapsed(1_260))).toBe('1.3 s')
  })

  test('a share is never a zero that is none, nor a hundred that is none', () => {
    expect(plain(formatShare(0.18))).toBe('18 %')
    expect(plain(formatShare(0.9995))).toBe('100 %')
    expect(plain(formatShare(0.994))).toBe('99.4 %')
    expect(plain(formatShare(0.0002))).toBe('< 0.1 %')
    expect(plain(formatShare(0))).toBe('0 %')
  })

  test('durations', () => {
    expect(formatDuration(9_700)).toBe('10 s')
    expect(formatDuration(600_000)).toBe('10 min')
    expect(formatDuration(7_500_000)).toBe('2 h 5 min')
    expect(formatDuration(360_000_000)).toBe('4 d 4 h')
  })
})
