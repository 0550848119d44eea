import { useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { Check, Copy } from 'lucide-react'
import { useEffect, useRef } from 'react'
import { datasetsQuery } from '../api/schema'
import { Button } from '../controls/button'
import { copyText } from '../controls/copy'
import { say } from '../controls/toast'

/** Nothing was ever sent: a line that sends the first event, and a page that waits for it. */
export function FirstEvent() {
  const datasets = useQuery({ ...datasetsQuery, refetchInterval: 1_000 }).data
  const arrived = datasets?.find(
    (dataset) => !dataset.name.startsWith('system.') && dataset.events > 0,
  )
  const told = useRef(false)
  useEffect(() => {
    if (!arrived || told.current) return
    told.current = true
    say(`First event in ${arrived.name}`)
  }, [arrived])
  const line = `curl ${window.location.origin}/api/v1/events/shop -H 'content-type: application/json' -d '{"route": "/checkout/pay", "status": 200, "service.name": "web", "duration_ms": 184.2}'`
  const copy = async () =>
    (await copyText(line)) ? say('Copied') : say('The browser did not allow copying', 'danger')
  return (
    <div className="page-message is-wide first-event">
      <h2>Send the first event</h2>
      <p>
        Any JSON object is an event. No schema has to be declared: every key is a column at once.
      </p>
      <div className="code-line">
        <pre className="code-block is-wrapped" tabIndex={0}>
          {line}
        </pre>
        <Button onClick={() => void copy()}>
          <Copy size={15} aria-hidden="true" /> Copy
        </Button>
      </div>
      {arrived ? (
        <p className="waiting is-done">
          <Check size={16} aria-hidden="true" /> It arrived in <b>{arrived.name}</b>.{' '}
          <Link to="/explore" search={{ ds: arrived.name }} className="button is-primary">
            Explore it
          </Link>
        </p>
      ) : (
        <p className="waiting" role="status">
          <i aria-hidden="true" /> Waiting for the first event
        </p>
      )}
      <p className="muted">
        Behind a key: add <code>-H "Authorization: Bearer $KEY"</code> with a key of scope ingest.
      </p>
    </div>
  )
}
