import { useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { giveKey } from '../api/client'
import { Button } from '../controls/button'
import { Modal } from '../controls/modal'

/** Asks for a key when the server answers 401; the key stays in this tab. */
export function KeyPrompt() {
  const queries = useQueryClient()
  const [key, setKey] = useState('')
  const submit = (event: React.FormEvent) => {
    event.preventDefault()
    if (key.trim() === '') return
    giveKey(key)
    setKey('')
    void queries.invalidateQueries()
  }
  return (
    <Modal
      title="Key needed"
      description="This server answers only with a key. The first one was printed when it started; keys are managed with “yellowline keys”."
      open
      onClose={() => undefined}
      closable={false}
      width={440}
    >
      <form className="form" onSubmit={submit}>
        <label>
          Key
          <input
            type="password"
            autoComplete="current-password"
            autoFocus
            value={key}
            onChange={(event) => setKey(event.target.value)}
          />
        </label>
        <p className="muted">Kept for this tab only, and sent to this server only.</p>
        <div className="form-end">
          <Button type="submit" tone="primary" disabled={key.trim() === ''}>
            Use this key
          </Button>
        </div>
      </form>
    </Modal>
  )
}
