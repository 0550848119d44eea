import { useMutation, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { acknowledge, silence, type Alert } from '../api/alerts'
import { Button } from '../controls/button'
import { Modal } from '../controls/modal'
import { say } from '../controls/toast'
import { keepActor, lastActor } from './actor'
import { formatDayMinute, zoneName, type Zone } from '../time/format'

const DURATIONS: readonly [label: string, minutes: number][] = [
  ['15 minutes', 15],
  ['1 hour', 60],
  ['4 hours', 240],
  ['1 day', 1_440],
  ['7 days', 10_080],
]

function useAction(run: () => Promise<unknown>, done: string, onClose: () => void) {
  const queries = useQueryClient()
  return useMutation({
    mutationFn: run,
    onSuccess: () => {
      say(done)
      onClose()
    },
    onSettled: () => {
      for (const name of ['alerts', 'alert', 'silences', 'metrics']) {
        void queries.invalidateQueries({ queryKey: [name] })
      }
    },
  })
}

export function ActorField({
  actor,
  onChange,
}: {
  actor: string
  onChange: (actor: string) => void
}) {
  return (
    <label>
      Your name
      <input
        required
        autoComplete="username"
        maxLength={120}
        value={actor}
        onChange={(event) => onChange(event.target.value)}
      />
    </label>
  )
}

/** Somebody has it: recorded with the name, told to the paging service. */
export function AcknowledgeDialog({ alert, onClose }: { alert: Alert; onClose: () => void }) {
  const [actor, setActor] = useState(lastActor)
  const [note, setNote] = useState('')
  const action = useAction(() => acknowledge(alert.id, actor.trim(), note), 'Acknowledged', onClose)
  const submit = (event: React.FormEvent) => {
    event.preventDefault()
    keepActor(actor)
    action.mutate()
  }
  return (
    <Modal title="Acknowledge" description={alert.sentence} open onClose={onClose} width={460}>
      <form className="form" onSubmit={submit}>
        <ActorField actor={actor} onChange={setActor} />
        <label>
          Note <span className="muted">(optional)</span>
          <textarea rows={2} value={note} onChange={(event) => setNote(event.target.value)} />
        </label>
        <FormEnd
          action={action}
          label="Acknowledge"
          disabled={actor.trim() === ''}
          onClose={onClose}
        />
      </form>
    </Modal>
  )
}

/** Nothing is sent for this metric until then; the incident itself goes on and stays visible. */
export function SilenceDialog({
  metric,
  zone,
  onClose,
}: {
  metric: string
  zone: Zone
  onClose: () => void
}) {
  const [actor, setActor] = useState(lastActor)
  const [minutes, setMinutes] = useState(60)
  const [reason, setReason] = useState('')
  const [openedMs] = useState(() => Date.now())
  const untilMs = openedMs + minutes * 60_000
  const action = useAction(
    () => silence(metric, new Date(untilMs).toISOString(), actor.trim(), reason.trim()),
    'Silenced',
    onClose,
  )
  const submit = (event: React.FormEvent) => {
    event.preventDefault()
    keepActor(actor)
    action.mutate()
  }
  return (
    <Modal
      title={`Silence ${metric}`}
      description="Nothing is sent for this metric until then. The incident goes on, and stays visible here."
      open
      onClose={onClose}
      width={460}
    >
      <form className="form" onSubmit={submit}>
        <fieldset className="chips">
          <legend>For how long</legend>
          {DURATIONS.map(([label, value]) => (
            <label key={label} className="chip">
              <input
                type="radio"
                name="duration"
                checked={minutes === value}
                onChange={() => setMinutes(value)}
              />
              <span>{label}</span>
            </label>
          ))}
        </fieldset>
        <p className="muted">
          Until {formatDayMinute(untilMs, zone, openedMs)} {zoneName(zone, untilMs)}
        </p>
        <label>
          Reason
          <textarea
            required
            rows={2}
            value={reason}
            onChange={(event) => setReason(event.target.value)}
          />
        </label>
        <ActorField actor={actor} onChange={setActor} />
        <FormEnd
          action={action}
          label="Silence"
          disabled={actor.trim() === '' || reason.trim() === ''}
          onClose={onClose}
        />
      </form>
    </Modal>
  )
}

function FormEnd({
  action,
  label,
  disabled,
  onClose,
}: {
  action: { isPending: boolean; error: Error | null }
  label: string
  disabled: boolean
  onClose: () => void
}) {
  return (
    <>
      {action.error && (
        <p className="is-danger" role="alert">
          {action.error.message}
        </p>
      )}
      <div className="form-end">
        <Button onClick={onClose}>Cancel</Button>
        <Button type="submit" tone="primary" disabled={disabled || action.isPending}>
          {label}
        </Button>
      </div>
    </>
  )
}
