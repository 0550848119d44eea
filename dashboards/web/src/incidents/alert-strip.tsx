import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { BellOff, Check } from 'lucide-react'
import { lazy, Suspense, useState } from 'react'
import { endSilence, silencesQuery, verdictOf, type Alert } from '../api/alerts'
import { useShortcuts } from '../app/shortcuts'
import { SafeLink } from '../changes/change-detail'
import { lookOf } from '../charts/kinds'
import { Button } from '../controls/button'
import { say } from '../controls/toast'
import { formatDayMinute, zoneName, type Zone } from '../time/format'
import { alertMeta } from './alert-meta'
import { ExportButton } from './export-button'
import { Feedback } from './feedback'
import { isOff, OffButton, OffStates } from './off-state'
import './incidents.css'

const AcknowledgeDialog = lazy(async () => ({
  default: (await import('./alert-dialogs')).AcknowledgeDialog,
}))
const OffDialog = lazy(async () => ({ default: (await import('./off-dialog')).OffDialog }))
const SilenceDialog = lazy(async () => ({
  default: (await import('./alert-dialogs')).SilenceDialog,
}))

interface Props {
  alert: Alert
  zone: Zone
  /** The change the dialog asks to turn off. */
  off: string | undefined
  onOff: (change: string | undefined) => void
  onSuspect: (changeId: string) => void
}

/** What happened, since when, why probably, and what a person can do about it. */
export function AlertStrip({ alert, zone, off, onOff, onSuspect }: Props) {
  const [dialog, setDialog] = useState<'acknowledge' | 'silence' | null>(null)
  const open = alert.state !== 'resolved'
  const suspect = alert.sentence_parts.find((part) => part.change)?.change
  useShortcuts({
    a: () => open && alert.state !== 'acknowledged' && setDialog('acknowledge'),
    m: () => open && setDialog('silence'),
    o: () => suspect && onSuspect(suspect),
  })
  const offer = (alert.offers ?? []).find(
    (one) => one.change === off && one.allowed && open && !isOff(alert, one.change),
  )
  const failed = alert.notifications.filter((delivery) => delivery.state === 'failed')
  return (
    <>
      {failed.length > 0 && (
        <div className="strip is-delivery" role="alert">
          <strong>
            The page did not reach {[...new Set(failed.map((one) => one.channel))].join(', ')}.
          </strong>{' '}
          {failed[0]?.last_error}
        </div>
      )}
      <section className={`strip is-${alert.state}`} aria-label="Alert" data-alert={alert.id}>
        <div className="strip-text">
          <Sentence alert={alert} onSuspect={onSuspect} />
          <p className="strip-meta">
            {alertMeta(alert, zone, Date.now()).join(' · ')}
            {alert.links?.runbook && (
              <>
                {' · '}
                <SafeLink url={alert.links.runbook} label="runbook" />
              </>
            )}
          </p>
          <OffStates alert={alert} zone={zone} />
        </div>
        <div className="strip-actions">
          {open ? (
            <>
              {alert.state === 'acknowledged' ? (
                <span className="strip-state">
                  <Check size={15} aria-hidden="true" /> {acknowledgedText(alert, zone)}
                </span>
              ) : (
                <Button onClick={() => setDialog('acknowledge')}>
                  <Check size={15} aria-hidden="true" /> Acknowledge
                </Button>
              )}
              <SilenceButton alert={alert} zone={zone} onOpen={() => setDialog('silence')} />
              <OffButton alert={alert} onPress={(pressed) => onOff(pressed.change)} />
            </>
          ) : (
            <span className="strip-state">Resolved {resolvedText(alert, zone)}</span>
          )}
          <ExportButton alert={alert} />
          {(!open || verdictOf(alert) !== null) && <Feedback alert={alert} />}
        </div>
      </section>
      <Suspense fallback={null}>
        {offer && <OffDialog alert={alert} offer={offer} onClose={() => onOff(undefined)} />}
        {dialog === 'acknowledge' && (
          <AcknowledgeDialog alert={alert} onClose={() => setDialog(null)} />
        )}
        {dialog === 'silence' && (
          <SilenceDialog metric={alert.metric} zone={zone} onClose={() => setDialog(null)} />
        )}
      </Suspense>
    </>
  )
}

/** The sentence with its first statement strong and the suspect in yellow, a link to its line. */
function Sentence({ alert, onSuspect }: { alert: Alert; onSuspect: (changeId: string) => void }) {
  const parts = alert.sentence_parts.length > 0 ? alert.sentence_parts : [{ text: alert.sentence }]
  return (
    <p className="sentence">
      {parts.map((part, index) => {
        const { change } = part
        if (change !== undefined) {
          return (
            <a
              key={index}
              className={`suspect-link is-${kindName(alert, change)}`}
              href={`#change-${change}`}
              onClick={(event) => {
                event.preventDefault()
                onSuspect(change)
              }}
            >
              {part.text}
            </a>
          )
        }
        return index === 0 ? (
          <strong key={index}>{part.text}</strong>
        ) : (
          <span key={index}>{part.text}</span>
        )
      })}
    </p>
  )
}

/** The look of a named change: activations are yellow, others have the colour of their line. */
function kindName(alert: Alert, id: string): string {
  const suspect = alert.suspects.find((one) => one.change.id === id)
  return lookOf(suspect?.change.kind ?? 'experiment').name
}

function SilenceButton({ alert, zone, onOpen }: { alert: Alert; zone: Zone; onOpen: () => void }) {
  const queries = useQueryClient()
  const silences = useQuery(silencesQuery).data ?? []
  const held = silences.find(
    (one) =>
      (one.metric === alert.metric || one.metric === '*') && Date.parse(one.until) > Date.now(),
  )
  const end = useMutation({
    mutationFn: endSilence,
    onSuccess: () => say('Silence ended'),
    onError: (error) => say(error.message, 'danger'),
    onSettled: () => queries.invalidateQueries({ queryKey: ['silences'] }),
  })
  if (held) {
    const until = Date.parse(held.until)
    return (
      <Button
        onClick={() => end.mutate(held.id)}
        disabled={end.isPending}
        title={held.reason ?? ''}
      >
        <BellOff size={15} aria-hidden="true" /> Silent until {formatDayMinute(until, zone, until)}{' '}
        · end
      </Button>
    )
  }
  return (
    <Button onClick={onOpen}>
      <BellOff size={15} aria-hidden="true" /> Silence
    </Button>
  )
}

function acknowledgedText(alert: Alert, zone: Zone): string {
  const who = alert.acknowledged_by ?? 'somebody'
  if (alert.acknowledged_at === null) return `Acknowledged by ${who}`
  const ms = Date.parse(alert.acknowledged_at)
  return `Acknowledged by ${who}, ${formatDayMinute(ms, zone, ms)} ${zoneName(zone, ms)}`
}

function resolvedText(alert: Alert, zone: Zone): string {
  if (alert.resolved_at === null) return ''
  const ms = Date.parse(alert.resolved_at)
  return `${formatDayMinute(ms, zone, ms)} ${zoneName(zone, ms)}`
}
