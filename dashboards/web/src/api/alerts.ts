import { queryOptions } from '@tanstack/react-query'
import type { Change } from './changes'
import { get, getText, send } from './client'

/** A piece of the sentence; with `change` it names the suspect and links to its line. */
export interface SentencePart {
  text: string
  change?: string
}

/** One candidate cause, with its share of the evidence. */
export interface Suspect {
  change: Change
  share: number
  timing_bits: number
  prior: number
  wording: string
  /** What the ledger says in a word: `acquitted` when those who were not exposed moved as much. */
  verdict?: 'suspect' | 'acquitted' | 'no control'
  /** Further lines of the ledger, each named `…_bits`. */
  [line: string]: unknown
}

/** The call that turns a suspect off, and whether the server may make it. */
export interface OffOffer {
  change: string
  title: string
  method: string
  url: string
  body: unknown
  /** Sent back with the press, so that nothing else is called than what was shown. */
  confirm: string
  allowed: boolean
  refusal: string | null
}

/** A change that was turned off from an incident, and whether that helped. */
export interface TurnedOff {
  change: string
  title: string
  call: string
  at: string
  actor: string | null
  key: string | null
  reason: string | null
  outcome: 'recovered' | 'not_recovered' | 'unclear' | null
}

/** One delivery of the page to a channel. */
export interface Delivery {
  channel: string
  type: string
  state: 'pending' | 'delivered' | 'failed'
  attempts: number
  last_error: string | null
  delivered_at: string | null
}

/** An incident of one metric: what was expected, what was seen, since when, and why probably. */
export interface Alert {
  id: string
  metric: string
  title?: string
  slice: string | null
  /** `silence`: nothing of any kind arrived from the source. */
  cause?: 'deviation' | 'silence'
  environment: string | null
  unit: string
  direction: 'down' | 'up' | 'both'
  state: 'firing' | 'acknowledged' | 'resolved'
  paged_at: string
  onset: string
  onset_from: string | null
  onset_to: string | null
  resolved_at: string | null
  expected_per_minute: number | null
  seen_per_minute: number | null
  deficit_per_minute: number | null
  /** Of ratios and latencies: shares, 0 to 1. */
  expected_share?: number | null
  seen_share?: number | null
  missed: number | null
  missed_low: number | null
  missed_high: number | null
  /** Expected in minutes nothing is known of. */
  unknown_up_to?: number | null
  budget_share: number | null
  score: number | null
  window_minutes: number | null
  sources: string[]
  sentence: string
  sentence_parts: SentencePart[]
  suspects: Suspect[]
  unknown_share: number | null
  /** Slices by their part of the loss. */
  children?: { slice: string; missed: number; share: number }[]
  silenced_by?: string | null
  off: OffOffer | null
  /** Of every suspect that can be turned off. */
  offers?: OffOffer[]
  off_actions?: TurnedOff[]
  acknowledged_by: string | null
  acknowledged_at: string | null
  feedback: 'true' | 'false' | { verdict: 'true' | 'false' } | null
  links: { console: string | null; runbook: string | null } | null
  notifications: Delivery[]
}

/** Nothing is sent for this metric until then. */
export interface Silence {
  id: string
  metric: string
  until: string
  actor: string | null
  reason: string | null
}

const REFRESH_MS = 5_000

/** Alerts, newest first: those that are open, or all the server remembers. */
export const alertsQuery = (state: 'open' | 'all') =>
  queryOptions({
    queryKey: ['alerts', state],
    queryFn: async ({ signal }) =>
      (await get<{ alerts: Alert[] }>('/alerts', { state }, signal)).alerts,
    refetchInterval: REFRESH_MS,
  })

/** One alert, open or not. */
export const alertQuery = (id: string) =>
  queryOptions({
    queryKey: ['alert', id],
    queryFn: ({ signal }) => get<Alert>(`/alerts/${encodeURIComponent(id)}`, {}, signal),
    refetchInterval: REFRESH_MS,
  })

/** Silences that hold now or later. */
export const silencesQuery = queryOptions({
  queryKey: ['silences'],
  queryFn: async ({ signal }) =>
    (await get<{ silences: Silence[] }>('/silences', {}, signal)).silences,
  refetchInterval: REFRESH_MS * 3,
})

/** The person has seen it: the page does not escalate. */
export const acknowledge = (id: string, actor: string, note: string) =>
  send<Alert>('POST', `/alerts/${encodeURIComponent(id)}/acknowledge`, { actor, note })

/** Turns a suspect off: the server calls what its sender named, once, and watches whether the metric recovers. */
export const turnOff = (id: string, offer: OffOffer, actor: string, reason: string) =>
  send<{ off: TurnedOff; called: boolean; alert: Alert }>(
    'POST',
    `/alerts/${encodeURIComponent(id)}/off`,
    { change: offer.change, confirm: offer.confirm, actor, reason },
  )

/** The incident as a case in Markdown. */
export const caseMarkdown = (id: string) =>
  getText(`/alerts/${encodeURIComponent(id)}/case`, { format: 'md' })

/** Was it a true alert? Stored, and used to tune the rule. */
export const giveFeedback = (id: string, verdict: 'true' | 'false', actor: string) =>
  send<Alert>('POST', `/alerts/${encodeURIComponent(id)}/feedback`, { verdict, actor, note: '' })

/** Sends nothing for the metric until `until`. */
export const silence = (metric: string, until: string, actor: string, reason: string) =>
  send<Silence>('POST', '/silences', { metric, until, actor, reason })

/** Ends a silence now. */
export const endSilence = (id: string) =>
  send<undefined>('DELETE', `/silences/${encodeURIComponent(id)}`)

/** The verdict somebody gave, however the server spells it. */
export function verdictOf(alert: Alert): 'true' | 'false' | null {
  const { feedback } = alert
  if (feedback === null || feedback === undefined) return null
  return typeof feedback === 'string' ? feedback : feedback.verdict
}
