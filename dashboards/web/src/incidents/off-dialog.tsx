import { useMutation, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { turnOff, type Alert, type OffOffer } from '../api/alerts'
import { Button } from '../controls/button'
import { Modal } from '../controls/modal'
import { say } from '../controls/toast'
import { keepActor, lastActor } from './actor'
import { ActorField } from './alert-dialogs'

/** Asks once, showing exactly what will be called, and says what came of it. */
export function OffDialog({
  alert,
  offer,
  onClose,
}: {
  alert: Alert
  offer: OffOffer
  onClose: () => void
}) {
  const [actor, setActor] = useState(lastActor)
  const [reason, setReason] = useState('')
  const queries = useQueryClient()
  const press = useMutation({
    mutationFn: () => turnOff(alert.id, offer, actor.trim(), reason.trim()),
    onSuccess: (answer) => {
      say(answer.called ? `Turned off: ${offer.title}` : `It was turned off before: ${offer.title}`)
      onClose()
    },
    onSettled: () => {
      for (const name of ['alerts', 'alert', 'changes']) {
        void queries.invalidateQueries({ queryKey: [name] })
      }
    },
  })
  const submit = (event: React.FormEvent) => {
    event.preventDefault()
    keepActor(actor)
    press.mutate()
  }
  const body = offer.body === null ? '' : JSON.stringify(offer.body, null, 2)
  return (
    <Modal title="Turn it off?" description={offer.title} open onClose={onClose} width={540}>
      <form className="form" onSubmit={submit}>
        <div className="off-call">
          <p className="muted">The server sends, signed and once:</p>
          <pre>
            <b>{offer.method}</b> {offer.url}
            {body && `\n${body}`}
          </pre>
        </div>
        <ActorField actor={actor} onChange={setActor} />
        <label>
          Reason (optional)
          <input
            maxLength={500}
            value={reason}
            onChange={(event) => setReason(event.target.value)}
          />
        </label>
        {press.error && (
          <p className="off-failure" role="alert">
            {press.error.message}
          </p>
        )}
        <div className="form-end">
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" tone="danger" disabled={actor.trim() === '' || press.isPending}>
            {press.isPending ? 'Turning off …' : 'Turn it off'}
          </Button>
        </div>
      </form>
    </Modal>
  )
}
