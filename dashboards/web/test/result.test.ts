import { tableFromArrays, tableToIPC } from '@uwdata/flechette'
import { describe, expect, test } from 'vitest'
import { cellLiteral, cellText } from '../src/explore/cells'
import { shownColumns } from '../src/explore/grid-columns'
import { fromArrow, fromJson } from '../src/explore/result'
import { linesOf } from '../src/explore/result-chart-spec'

const AT = Date.UTC(2026, 10, 20, 14, 10)

describe('a result', () => {
  test('is the same as Arrow and as JSON', () => {
    const bytes = tableToIPC(
      tableFromArrays({
        time: [new Date(AT)],
        n: BigInt64Array.from([9_007_199_254_740_993n]),
        s: ['x'],
      }),
      { format: 'stream' },
    )
    const arrow = fromArrow(bytes!, {})
    const json = fromJson({
      columns: [
        { name: 'time', type: 'timestamp' },
        { name: 'n', type: 'bigint' },
        { name: 's', type: 'text' },
      ],
      rows: [['2026-11-20T14:10:00.000000Z', '9007199254740993', 'x']],
    })
    for (const result of [arrow, json]) {
      const texts = result.columns.map((column) => cellText(column.kind, column.get(0), 'utc'))
      expect(texts).toEqual(['2026-11-20 14:10:00', '9007199254740993', 'x'])
      const literals = result.columns.map((column) => cellLiteral(column, column.get(0)))
      expect(literals).toEqual(["timestamp '2026-11-20T14:10:00Z'", '9007199254740993', "'x'"])
    }
  })

  test('keeps microseconds', () => {
    const { columns } = fromJson({
      columns: [{ name: 'time', type: 'timestamp' }],
      rows: [['2026-11-20T14:10:00.123456Z']],
    })
    expect(cellText('time', columns[0]!.get(0), 'utc')).toBe('2026-11-20 14:10:00.123456')
    expect(cellLiteral(columns[0]!, columns[0]!.get(0))).toBe(
      "timestamp '2026-11-20T14:10:00.123456Z'",
    )
  })

  test('of wide events shows time first, ours last, and nothing that is empty', () => {
    const names = ['event_id', 'seq', 'a', 'time', 'b', 'c', 'd', 'e', 'f', 'empty']
    const result = fromJson({
      columns: names.map((name) => ({ name, type: 'text' })),
      rows: [names.map((name) => (name === 'empty' ? null : name))],
    })
    const shown = shownColumns(result, false).map((column) => column.name)
    expect(shown).toEqual(['time', 'a', 'b', 'c', 'd', 'e', 'f', 'event_id', 'seq'])
    expect(shownColumns(result, true)).toHaveLength(10)
  })
})

describe('lines of a result', () => {
  const minute = (index: number) => new Date(AT + index * 60_000).toISOString()
  const table = (columns: [string, string][], rows: unknown[][]) =>
    fromJson({ columns: columns.map(([name, type]) => ({ name, type })), rows })

  test('a time and numbers', () => {
    const lines = linesOf(
      table(
        [
          ['t', 'timestamp'],
          ['n', 'bigint'],
        ],
        [
          [minute(1), 2],
          [minute(0), 1],
        ],
      ),
    )
    expect([...lines!.lines[0]!.values]).toEqual([1, 2])
  })

  test('one line per name, largest first', () => {
    const rows = [0, 1].flatMap((at) => [
      [minute(at), 'A', 1],
      [minute(at), 'B', 9],
    ])
    const lines = linesOf(
      table(
        [
          ['t', 'timestamp'],
          ['variant', 'text'],
          ['n', 'bigint'],
        ],
        rows,
      ),
    )
    expect(lines!.lines.map((line) => line.label)).toEqual(['B', 'A'])
  })

  test('a missing minute is a gap, not a slope', () => {
    const rows = [0, 1, 2, 3, 4, 5, 7, 8, 9].map((at) => [minute(at), at])
    const lines = linesOf(
      table(
        [
          ['t', 'timestamp'],
          ['n', 'bigint'],
        ],
        rows,
      ),
    )!
    expect(lines.timesMs).toHaveLength(10)
    expect(lines.lines[0]!.values[6]).toBeNaN()
    expect(lines.timesMs[6]).toBe(AT + 6 * 60_000)
  })

  test('raw events and ambiguous rows are no chart', () => {
    const raw: [string, string][] = [
      ['time', 'timestamp'],
      ['event_id', 'text'],
      ['n', 'bigint'],
    ]
    expect(
      linesOf(
        table(raw, [
          [minute(0), 'a', 1],
          [minute(1), 'b', 2],
        ]),
      ),
    ).toBeNull()
    const twice = [
      [minute(0), 1],
      [minute(0), 2],
      [minute(1), 3],
    ]
    expect(
      linesOf(
        table(
          [
            ['t', 'timestamp'],
            ['n', 'bigint'],
          ],
          twice,
        ),
      ),
    ).toBeNull()
    expect(linesOf(table([['n', 'bigint']], [[1], [2]]))).toBeNull()
  })
})
