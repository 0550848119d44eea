import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { columnsQuery, valuesQuery, type Column, type Dataset } from '../api/schema'
import { formatShort } from '../time/format'
import { typeText } from './completion'
import { quoteName } from './names'

const SHOWN_MAX = 200

interface Props {
  datasets: readonly Dataset[]
  dataset: string
  onDataset: (name: string) => void
  onInsert: (text: string) => void
  onFilter: (column: string, value: unknown) => void
  onCount: (column: string) => void
}

/** The dataset's columns, most frequent first; each opens to its top values. */
export function FieldsPanel({ datasets, dataset, onDataset, onInsert, onFilter, onCount }: Props) {
  const [text, setText] = useState('')
  const [opened, setOpened] = useState<string | null>(null)
  const columns = useQuery(columnsQuery(dataset))
  const wanted = text.toLowerCase()
  const found = (columns.data ?? []).filter((column) => column.name.toLowerCase().includes(wanted))
  return (
    <aside className="card fields" aria-label="Columns">
      <div className="fields-head">
        <label className="select is-wide">
          <span className="visually-hidden">Dataset</span>
          <select value={dataset} onChange={(event) => onDataset(event.target.value)}>
            {datasets.map((one) => (
              <option key={one.name} value={one.name}>
                {one.name} · {formatShort(one.events)} events
              </option>
            ))}
          </select>
        </label>
        <input
          type="search"
          aria-label="Search columns"
          placeholder={columns.data ? `Search ${columns.data.length} columns` : 'Search columns'}
          value={text}
          onChange={(event) => setText(event.target.value)}
        />
      </div>
      {columns.error && <p className="is-danger fields-note">{columns.error.message}</p>}
      <ul className="fields-list" tabIndex={0} aria-label="Columns, most frequent first">
        {found.slice(0, SHOWN_MAX).map((column) => (
          <FieldRow
            key={column.name}
            column={column}
            dataset={dataset}
            open={opened === column.name}
            onToggle={() => setOpened(opened === column.name ? null : column.name)}
            onInsert={onInsert}
            onFilter={onFilter}
            onCount={onCount}
          />
        ))}
      </ul>
      {found.length > SHOWN_MAX && (
        <p className="muted fields-note">{found.length - SHOWN_MAX} more: search to see them</p>
      )}
      {columns.data && found.length === 0 && (
        <p className="muted fields-note">No column is called so.</p>
      )}
    </aside>
  )
}

interface RowProps extends Pick<Props, 'onInsert' | 'onFilter' | 'onCount'> {
  column: Column
  dataset: string
  open: boolean
  onToggle: () => void
}

function FieldRow({ column, dataset, open, onToggle, onInsert, onFilter, onCount }: RowProps) {
  return (
    <li className={open ? 'field is-open' : 'field'}>
      <button type="button" className="field-name" aria-expanded={open} onClick={onToggle}>
        <span>{column.name}</span>
        <small>{typeText(column)}</small>
      </button>
      {open && (
        <div className="field-detail">
          <TopValues dataset={dataset} column={column} onFilter={onFilter} />
          <div className="field-actions">
            <button
              type="button"
              className="text-button"
              onClick={() => onInsert(quoteName(column.name))}
            >
              insert
            </button>
            <button type="button" className="text-button" onClick={() => onCount(column.name)}>
              count by
            </button>
          </div>
        </div>
      )}
    </li>
  )
}

function TopValues({
  dataset,
  column,
  onFilter,
}: {
  dataset: string
  column: Column
  onFilter: Props['onFilter']
}) {
  const values = useQuery(valuesQuery(dataset, column.name))
  if (values.isPending)
    return <div className="skeleton values-skeleton" role="status" aria-label="Loading values" />
  if (values.error) return <p className="is-danger">{values.error.message}</p>
  if (values.data.length === 0) return <p className="muted">No value in recent data.</p>
  const most = Math.max(...values.data.map((one) => one.count))
  return (
    <ul className="top-values">
      {values.data.map((one) => {
        const text = typeof one.value === 'string' ? one.value : JSON.stringify(one.value)
        return (
          <li key={text}>
            <button
              type="button"
              title={`Filter to ${text}`}
              onClick={() => onFilter(column.name, one.value)}
            >
              <i style={{ width: `${(one.count / most) * 100}%` }} aria-hidden="true" />
              <span>{text === '' ? '(empty text)' : text}</span>
              <b>{formatShort(one.count)}</b>
            </button>
          </li>
        )
      })}
    </ul>
  )
}
