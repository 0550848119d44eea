import { describe, expect, test } from 'vitest'
import type { Mark, MarkKind } from '../src/charts/kinds'
import { placeLabels } from '../src/charts/labels'

const mark = (id: string, kind: MarkKind = 'deploy', suspect = false): Mark => ({
  id,
  kind,
  label: id,
  timeMs: 0,
  endMs: null,
  inferred: false,
  suspect,
})
const place = (id: string, x: number, kind?: MarkKind, suspect?: boolean) => ({
  mark: mark(id, kind, suspect),
  x,
})
/** Every label is as wide as it may be, a merged one 20 wider. */
const measure = (_lead: Mark, more: number, widthMax: number) => widthMax + (more > 0 ? 20 : 0)
const names = (labels: ReturnType<typeof placeLabels>) =>
  labels.map((label) => label.lead.id + (label.more > 0 ? ` +${label.more}` : ''))

describe('labels of change lines', () => {
  test('stand centred over their lines while there is room', () => {
    const labels = placeLabels([place('a', 100), place('b', 400)], 600, [100], measure)
    expect(labels.map((label) => label.left)).toEqual([50, 350])
  })

  test('move aside before they are merged, and keep their line below them', () => {
    const labels = placeLabels([place('a', 200), place('b', 260)], 600, [100], measure)
    expect(names(labels)).toEqual(['a', 'b'])
    const [a, b] = labels
    expect(a!.left + a!.width).toBeLessThan(b!.left)
    expect(a!.left <= 200 && a!.left + a!.width >= 200).toBe(true)
    expect(b!.left <= 260 && b!.left + b!.width >= 260).toBe(true)
  })

  test('are merged under the strongest name when they cannot', () => {
    const all = [place('api', 300), place('exp', 302, 'experiment'), place('ttl', 304, 'config')]
    expect(names(placeLabels(all, 600, [100], measure))).toEqual(['exp +2'])
  })

  test('a suspect is the strongest of all', () => {
    const all = [place('exp', 300, 'experiment'), place('ttl', 302, 'config', true)]
    expect(names(placeLabels(all, 600, [100], measure))).toEqual(['ttl +1'])
  })

  test('are cut shorter before they are merged', () => {
    const all = [place('a', 100), place('b', 150), place('c', 200)]
    expect(names(placeLabels(all, 600, [100], measure))).toHaveLength(2)
    expect(names(placeLabels(all, 600, [100, 60], measure))).toEqual(['a', 'b', 'c'])
  })

  test('stay inside the plot', () => {
    const [first, last] = placeLabels([place('a', 2), place('b', 598)], 600, [100], measure)
    expect(first!.left).toBe(0)
    expect(last!.left + last!.width).toBe(600)
  })

  test('two at the right edge are one', () => {
    expect(names(placeLabels([place('a', 590), place('b', 598)], 600, [100], measure))).toEqual([
      'a +1',
    ])
  })

  test('never overlap, whatever comes, and every mark is in exactly one of them', () => {
    let seed = 7
    const random = () => (seed = (seed * 48_271) % 2_147_483_647) / 2_147_483_647
    for (let round = 0; round < 200; round += 1) {
      const width = 200 + random() * 900
      const all = Array.from({ length: Math.floor(random() * 40) }, (_, index) =>
        place(`m${index}`, random() * width, random() < 0.2 ? 'experiment' : 'deploy'),
      )
      const labels = placeLabels(all, width, [100, 60], measure)
      labels.forEach((label, index) => {
        expect(label.left).toBeGreaterThanOrEqual(0)
        expect(label.left + label.width).toBeLessThanOrEqual(width + 0.001)
        const next = labels[index + 1]
        if (next) expect(label.left + label.width).toBeLessThan(next.left)
      })
      const held = labels.flatMap((label) => label.marks.map((one) => one.id)).sort()
      expect(held).toEqual(all.map((one) => one.mark.id).sort())
    }
  })
})
