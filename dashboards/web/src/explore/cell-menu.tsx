import { Menu } from '@base-ui/react/menu'
import { ArrowDown, ArrowUp, ChartColumn, Copy, Filter, FilterX, PanelRight } from 'lucide-react'
import type { ReactNode } from 'react'
import type { ResultColumn } from './result'

/** What can be done with a cell or a column. */
export type CellAction =
  'filter' | 'exclude' | 'copy' | 'open' | 'count' | 'ascending' | 'descending'

interface Props {
  anchor: Element
  header: boolean
  column: ResultColumn
  text: string
  canOpen: boolean
  onClose: () => void
  onAction: (action: CellAction) => void
}

/** Opens at a cell: filter to it, exclude it, count by its column, copy it, open its event. */
export function CellMenu(props: Props) {
  const { anchor, header, column, text, canOpen, onAction } = props
  const nested = column.kind === 'nested'
  const item = (action: CellAction, icon: ReactNode, label: ReactNode) => (
    <Menu.Item className="menu-item" onClick={() => onAction(action)}>
      {icon}
      <span>{label}</span>
    </Menu.Item>
  )
  return (
    <Menu.Root open modal={false} onOpenChange={(open) => !open && props.onClose()}>
      <Menu.Portal container={document.getElementById('content')}>
        <Menu.Positioner
          anchor={anchor}
          sideOffset={4}
          align="start"
          collisionPadding={8}
          className="layer"
        >
          <Menu.Popup
            className="popup menu"
            aria-label={header ? column.name : 'Cell'}
            finalFocus={false}
          >
            <div className="menu-title" aria-hidden="true">
              {header ? column.name : text === '' ? 'null' : text}
              {header && <small>{column.type}</small>}
            </div>
            {!header &&
              canOpen &&
              item('open', <PanelRight size={15} aria-hidden="true" />, 'Open the event')}
            {!header &&
              !nested &&
              item('filter', <Filter size={15} aria-hidden="true" />, 'Filter to this')}
            {!header &&
              !nested &&
              item('exclude', <FilterX size={15} aria-hidden="true" />, 'Exclude this')}
            {header &&
              item('ascending', <ArrowUp size={15} aria-hidden="true" />, 'Order, lowest first')}
            {header &&
              item(
                'descending',
                <ArrowDown size={15} aria-hidden="true" />,
                'Order, highest first',
              )}
            {item('count', <ChartColumn size={15} aria-hidden="true" />, `Count by ${column.name}`)}
            {item(
              'copy',
              <Copy size={15} aria-hidden="true" />,
              header ? 'Copy name' : 'Copy value',
            )}
          </Menu.Popup>
        </Menu.Positioner>
      </Menu.Portal>
    </Menu.Root>
  )
}
