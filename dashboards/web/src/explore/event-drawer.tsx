import { useQuery } from '@tanstack/react-query'
import { ChevronDown, ChevronUp, Copy } from 'lucide-react'
import { useMemo, useState } from 'react'
import { eventQuery } from '../api/schema'
import { useShortcuts } from '../app/shortcuts'
import { Button } from '../controls/button'
import { copyText } from '../controls/copy'
import { Modal } from '../controls/modal'
import { say } from '../controls/toast'
import { jsonText } from './cells'
import { flatten } from './flatten'

interface Props {
  dataset: string
  id: string
  onClose: () => void
  /** To the next or previous row; absent when the event is not of the result. */
  onStep: ((by: 1 | -1) => void) | null
  onFilter: (column: string, value: unknown) => void
}

/** One event as it was sent: its fields with a search, or its JSON. */
export function EventDrawer({ dataset, id, onClose, onStep, onFilter }: Props) {
  const event = useQuery(eventQuery(dataset, id))
  const [view, setView] = useState<'fields' | 'json'>('fields')
  useShortcuts({ j: () => onStep?.(1), k: () => onStep?.(-1) })
  const copy = async (text: string, what: string) =>
    (await copyText(text))
      ? say(`${what} copied`)
      : say('The browser did not allow copying', 'danger')
  const json = event.data === undefined ? '' : jsonText(event.data, 2)
  const curl = `curl '${window.location.origin}/api/v1/events/${encodeURIComponent(dataset)}/${encodeURIComponent(id)}'`
  const onKeyDown = (key: React.KeyboardEvent) => {
    if (key.target instanceof HTMLInputElement || key.ctrlKey || key.metaKey || key.altKey) return
    if (key.key === 'j') onStep?.(1)
    else if (key.key === 'k') onStep?.(-1)
  }
  return (
    <Modal title="Event" open onClose={onClose} place="drawer">
      <div className="drawer-body" onKeyDown={onKeyDown}>
        <div className="drawer-tools">
          <code className="drawer-id">{id}</code>
          {onStep && (
            <>
              <Button className="is-icon" aria-label="Previous row (k)" onClick={() => onStep(-1)}>
                <ChevronUp size={16} aria-hidden="true" />
              </Button>
              <Button className="is-icon" aria-label="Next row (j)" onClick={() => onStep(1)}>
                <ChevronDown size={16} aria-hidden="true" />
              </Button>
            </>
          )}
          <div className="segments" role="group" aria-label="Form">
            {(['fields', 'json'] as const).map((one) => (
              <button
                key={one}
                type="button"
                aria-pressed={view === one}
                onClick={() => setView(one)}
              >
                {one === 'fields' ? 'Fields' : 'JSON'}
              </button>
            ))}
          </div>
          <Button onClick={() => void copy(json, 'JSON')} disabled={json === ''}>
            <Copy size={14} aria-hidden="true" /> JSON
          </Button>
          <Button onClick={() => void copy(curl, 'curl line')}>
            <Copy size={14} aria-hidden="true" /> curl
          </Button>
        </div>
        {event.isPending && (
          <div className="skeleton drawer-skeleton" role="status" aria-label="Loading" />
        )}
        {event.error && (
          <p className="is-danger" role="alert">
            {event.error.message}
          </p>
        )}
        {event.data && view === 'json' && (
          <pre className="code-block drawer-json" tabIndex={0}>
            {json}
          </pre>
        )}
        {event.data && view === 'fields' && <Fields event={event.data} onFilter={onFilter} />}
      </div>
    </Modal>
  )
}

function Fields({
  event,
  onFilter,
}: {
  event: Record<string, unknown>
  onFilter: (column: string, value: unknown) => void
}) {
  const [text, setText] = useState('')
  const fields = useMemo(() => flatten(event), [event])
  const wanted = text.toLowerCase()
  const shown = fields.filter(
    (field) =>
      field.name.toLowerCase().includes(wanted) || field.text.toLowerCase().includes(wanted),
  )
  return (
    <>
      <input
        type="search"
        className="field-search"
        aria-label="Search fields and values"
        placeholder={`Search ${fields.length} fields and values`}
        value={text}
        onChange={(change) => setText(change.target.value)}
      />
      <dl className="event-fields">
        {shown.map((field) => (
          <div key={field.name}>
            <dt className={field.name.startsWith('experiments.') ? 'is-variant' : ''}>
              {field.name}
            </dt>
            <dd>
              <span>{field.text}</span>
              {field.scalar && (
                <button
                  type="button"
                  className="text-button"
                  onClick={() => onFilter(field.name, field.value)}
                >
                  filter
                </button>
              )}
            </dd>
          </div>
        ))}
      </dl>
      {shown.length === 0 && <p className="muted">No field contains this.</p>}
    </>
  )
}
