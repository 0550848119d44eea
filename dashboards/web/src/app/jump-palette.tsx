import { useQuery } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { Bell, ChartSpline, Database, Search } from 'lucide-react'
import { useMemo, useState, type ReactNode } from 'react'
import { alertsQuery } from '../api/alerts'
import { metricsQuery } from '../api/metrics'
import { datasetsQuery } from '../api/schema'
import { Modal } from '../controls/modal'
import { formatShort } from '../time/format'

const SHOWN_MAX = 40

interface Target {
  id: string
  kind: string
  name: string
  detail: string
  icon: ReactNode
  go: () => void
}

/** Ctrl K: go to a page, a metric, an open alert or a dataset by a part of its name. */
export function JumpPalette({ onClose }: { onClose: () => void }) {
  const [text, setText] = useState('')
  const [chosen, setChosen] = useState(0)
  const targets = useTargets()
  const found = useMemo(() => matching(targets, text).slice(0, SHOWN_MAX), [targets, text])
  const at = Math.min(chosen, found.length - 1)
  const go = (target: Target | undefined) => {
    if (!target) return
    onClose()
    target.go()
  }
  const onKeyDown = (event: React.KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key]
    if (step !== undefined) {
      event.preventDefault()
      setChosen((at + step + found.length) % Math.max(found.length, 1))
    } else if (event.key === 'Enter') {
      event.preventDefault()
      go(found[at])
    }
  }
  return (
    <Modal title="Jump to" open onClose={onClose} width={560}>
      <input
        className="palette-input"
        role="combobox"
        aria-label="Page, metric, alert or dataset"
        aria-expanded="true"
        aria-controls="palette-list"
        aria-activedescendant={found[at] ? `palette-${found[at].id}` : undefined}
        placeholder="Page, metric, alert or dataset"
        autoFocus
        value={text}
        onChange={(event) => {
          setText(event.target.value)
          setChosen(0)
        }}
        onKeyDown={onKeyDown}
      />
      <ul id="palette-list" className="palette-list" role="listbox" aria-label="Matches">
        {found.map((target, index) => (
          <li
            key={target.id}
            id={`palette-${target.id}`}
            role="option"
            aria-selected={index === at}
            className="palette-item"
            onPointerMove={() => setChosen(index)}
            onClick={() => go(target)}
          >
            {target.icon}
            <span>{target.name}</span>
            <small>{target.detail}</small>
          </li>
        ))}
      </ul>
      {found.length === 0 && <p className="muted">Nothing is called so.</p>}
    </Modal>
  )
}

function useTargets(): Target[] {
  const navigate = useNavigate()
  const metrics = useQuery(metricsQuery).data
  const datasets = useQuery(datasetsQuery).data
  const alerts = useQuery(alertsQuery('open')).data
  return useMemo(() => {
    const page = (name: string, to: '/' | '/explore' | '/alerts', icon: ReactNode): Target => ({
      id: `page-${name}`,
      kind: 'page',
      name,
      detail: 'page',
      icon,
      go: () => void navigate({ to }),
    })
    return [
      page('Explore', '/explore', <Search size={15} aria-hidden="true" />),
      page('Metrics', '/', <ChartSpline size={15} aria-hidden="true" />),
      page('Alerts', '/alerts', <Bell size={15} aria-hidden="true" />),
      ...(alerts ?? []).map((alert): Target => ({
        id: `alert-${alert.id}`,
        kind: 'alert',
        name: alert.sentence,
        detail: 'open alert',
        icon: <Bell size={15} aria-hidden="true" />,
        go: () =>
          void navigate({
            to: '/metrics/$name',
            params: { name: alert.metric },
            search: { alert: alert.id, slice: alert.slice ?? undefined },
          }),
      })),
      ...(metrics ?? []).map((metric): Target => ({
        id: `metric-${metric.name}`,
        kind: 'metric',
        name: metric.title,
        detail: `metric ${metric.name}`,
        icon: <ChartSpline size={15} aria-hidden="true" />,
        go: () => void navigate({ to: '/metrics/$name', params: { name: metric.name } }),
      })),
      ...(datasets ?? []).map((dataset): Target => ({
        id: `dataset-${dataset.name}`,
        kind: 'dataset',
        name: dataset.name,
        detail: `dataset, ${formatShort(dataset.events)} events`,
        icon: <Database size={15} aria-hidden="true" />,
        go: () => void navigate({ to: '/explore', search: { ds: dataset.name } }),
      })),
    ]
  }, [metrics, datasets, alerts, navigate])
}

/** Every word has to occur; matches at the start of a name come first. */
function matching(targets: readonly Target[], text: string): Target[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean)
  const first = words[0] ?? ''
  return targets
    .filter((target) => {
      const all = `${target.name} ${target.detail}`.toLowerCase()
      return words.every((word) => all.includes(word))
    })
    .map((target, index) => ({
      target,
      rank: (target.name.toLowerCase().startsWith(first) ? 0 : 1_000) + index,
    }))
    .sort((a, b) => a.rank - b.rank)
    .map((one) => one.target)
}
