import { useVirtualizer } from '@tanstack/react-virtual'
import {
  lazy,
  Suspense,
  useEffect,
  useImperativeHandle,
  useMemo,
  useRef,
  useState,
  type Ref,
} from 'react'
import type { Zone } from '../time/format'
import { cellText } from './cells'
import type { CellAction } from './cell-menu'
import { cellTone, columnWidth } from './grid-columns'
import type { Result, ResultColumn } from './result'

const CellMenu = lazy(async () => ({ default: (await import('./cell-menu')).CellMenu }))

const ROW_PX = 29
const HEAD_PX = 32
/** Room for a scroll bar below a short result. */
const SCROLLBAR_PX = 16

/** What the page asks of the grid. */
export interface GridHandle {
  focus: () => void
}

interface Props {
  result: Result
  columns: ResultColumn[]
  zone: Zone
  activeRow: number | null
  canOpen: boolean
  onActiveRow: (row: number) => void
  onOpen: (row: number) => void
  onAction: (action: CellAction, column: ResultColumn, row: number) => void
  handle: Ref<GridHandle>
}

interface Target {
  anchor: Element
  row: number
  column: number
}

/** A result as a grid: only what is in view is in the page, in both directions. */
export function ResultGrid(props: Props) {
  const { result, columns, zone } = props
  const scroller = useRef<HTMLDivElement>(null)
  const [activeColumn, setActiveColumn] = useState(0)
  const [menu, setMenu] = useState<Target | null>(null)
  const [resized, setResized] = useState<Record<string, number>>({})
  const widths = useMemo(
    () => columns.map((column) => columnWidth(column, result.rows, zone)),
    [columns, result, zone],
  )
  const widthOf = (index: number) => resized[columns[index]?.name ?? ''] ?? widths[index] ?? 100
  const rows = useVirtualizer({
    count: result.rows,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW_PX,
    overscan: 12,
    scrollPaddingStart: HEAD_PX,
  })
  const across = useVirtualizer({
    horizontal: true,
    count: columns.length,
    getScrollElement: () => scroller.current,
    estimateSize: widthOf,
    overscan: 3,
  })
  useEffect(() => across.measure(), [across, widths, resized])
  useImperativeHandle(props.handle, () => ({ focus: () => scroller.current?.focus() }))

  const row = props.activeRow ?? 0
  const go = (nextRow: number, nextColumn: number) => {
    const boundedRow = Math.max(0, Math.min(result.rows - 1, nextRow))
    const boundedColumn = Math.max(0, Math.min(columns.length - 1, nextColumn))
    props.onActiveRow(boundedRow)
    setActiveColumn(boundedColumn)
    rows.scrollToIndex(boundedRow)
    across.scrollToIndex(boundedColumn)
  }
  const onKeyDown = (event: React.KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target !== scroller.current) return
    const page = Math.max(1, Math.floor((scroller.current?.clientHeight ?? 300) / ROW_PX) - 2)
    const moves: Record<string, [number, number]> = {
      ArrowDown: [row + 1, activeColumn],
      j: [row + 1, activeColumn],
      ArrowUp: [row - 1, activeColumn],
      k: [row - 1, activeColumn],
      ArrowRight: [row, activeColumn + 1],
      ArrowLeft: [row, activeColumn - 1],
      PageDown: [row + page, activeColumn],
      PageUp: [row - page, activeColumn],
      Home: [0, activeColumn],
      End: [result.rows - 1, activeColumn],
    }
    const move = moves[event.key]
    const column = columns[activeColumn]
    if (move) go(...move)
    else if (event.key === 'Enter' && props.canOpen) props.onOpen(row)
    else if (event.key === ' ' || event.key === 'Enter') openMenu(row, activeColumn)
    else if (event.key === 'f' && column) props.onAction('filter', column, row)
    else if (event.key === 'x' && column) props.onAction('exclude', column, row)
    else return
    event.preventDefault()
    event.stopPropagation()
  }
  const openMenu = (atRow: number, atColumn: number) => {
    const cell = scroller.current?.querySelector(`[data-cell="${atRow}:${atColumn}"]`)
    if (cell) setMenu({ anchor: cell, row: atRow, column: atColumn })
  }
  const resize = (name: string, width: number) =>
    setResized((old) => ({ ...old, [name]: Math.max(48, Math.min(900, width)) }))
  const shown = across.getVirtualItems()
  return (
    <>
      <div
        ref={scroller}
        className="grid"
        style={{ maxHeight: HEAD_PX + result.rows * ROW_PX + SCROLLBAR_PX }}
        role="grid"
        tabIndex={0}
        aria-label="Result"
        aria-rowcount={result.rows + 1}
        aria-colcount={columns.length}
        aria-activedescendant={props.activeRow === null ? undefined : `cell-${row}-${activeColumn}`}
        onKeyDown={onKeyDown}
      >
        <div
          role="presentation"
          className="grid-space"
          style={{ height: rows.getTotalSize() + HEAD_PX, width: across.getTotalSize() }}
        >
          <div className="grid-head" role="row" aria-rowindex={1} style={{ height: HEAD_PX }}>
            {shown.map((item) => (
              <HeadCell
                key={columns[item.index]!.name + String(item.index)}
                column={columns[item.index]!}
                index={item.index}
                left={item.start}
                width={item.size}
                onResize={resize}
                onMenu={(anchor) => setMenu({ anchor, row: -1, column: item.index })}
              />
            ))}
          </div>
          {rows.getVirtualItems().map((line) => (
            <div
              key={line.key}
              role="row"
              aria-rowindex={line.index + 2}
              aria-selected={line.index === props.activeRow}
              className={line.index === props.activeRow ? 'grid-row is-active' : 'grid-row'}
              style={{ transform: `translateY(${line.start + HEAD_PX}px)`, height: ROW_PX }}
            >
              {shown.map((item) => {
                const column = columns[item.index]!
                const text = cellText(column.kind, column.get(line.index), zone)
                const tone = cellTone(column.name, text)
                return (
                  <div
                    key={item.key}
                    id={`cell-${line.index}-${item.index}`}
                    data-cell={`${line.index}:${item.index}`}
                    role="gridcell"
                    aria-colindex={item.index + 1}
                    className={cellClass(
                      column,
                      tone,
                      line.index === props.activeRow && item.index === activeColumn,
                    )}
                    style={{ left: item.start, width: item.size }}
                    onClick={(event) => {
                      go(line.index, item.index)
                      if (window.getSelection()?.toString()) return
                      setMenu({ anchor: event.currentTarget, row: line.index, column: item.index })
                    }}
                  >
                    {tone === 'variant' ? <span className="variant">{text}</span> : text}
                  </div>
                )
              })}
            </div>
          ))}
        </div>
      </div>
      <Suspense fallback={null}>
        {menu && columns[menu.column] && (
          <CellMenu
            anchor={menu.anchor}
            header={menu.row < 0}
            column={columns[menu.column]!}
            text={
              menu.row < 0
                ? columns[menu.column]!.name
                : cellText(columns[menu.column]!.kind, columns[menu.column]!.get(menu.row), zone)
            }
            canOpen={props.canOpen}
            onClose={() => {
              setMenu(null)
              scroller.current?.focus({ preventScroll: true })
            }}
            onAction={(action) => {
              if (action === 'open') props.onOpen(menu.row)
              else props.onAction(action, columns[menu.column]!, menu.row)
            }}
          />
        )}
      </Suspense>
    </>
  )
}

function cellClass(column: ResultColumn, tone: string, active: boolean): string {
  const classes = ['grid-cell']
  if (column.kind === 'number' || column.kind === 'integer') classes.push('is-number')
  if (tone !== '') classes.push(`is-${tone}`)
  if (active) classes.push('is-cursor')
  return classes.join(' ')
}

function HeadCell({
  column,
  index,
  left,
  width,
  onResize,
  onMenu,
}: {
  column: ResultColumn
  index: number
  left: number
  width: number
  onResize: (name: string, width: number) => void
  onMenu: (anchor: Element) => void
}) {
  const start = useRef<{ x: number; width: number } | null>(null)
  return (
    <div
      role="columnheader"
      aria-colindex={index + 1}
      className="grid-head-cell"
      style={{ left, width }}
    >
      <button
        type="button"
        tabIndex={-1}
        className={column.kind === 'number' || column.kind === 'integer' ? 'is-number' : ''}
        title={`${column.name}, ${column.type}`}
        onClick={(event) => onMenu(event.currentTarget)}
      >
        {column.name}
      </button>
      <i
        className="grid-resize"
        aria-hidden="true"
        onPointerDown={(event) => {
          event.currentTarget.setPointerCapture(event.pointerId)
          start.current = { x: event.clientX, width }
        }}
        onPointerMove={(event) => {
          if (start.current)
            onResize(column.name, start.current.width + event.clientX - start.current.x)
        }}
        onPointerUp={() => (start.current = null)}
      />
    </div>
  )
}
