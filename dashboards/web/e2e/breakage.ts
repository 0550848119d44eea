/** Breaks the checkout of the small site: history, a yellow line with decoys, fewer bookings, and the alert that opens. */

import { until, type Server } from './server'
import { eventsOf, historyCsv, randomFrom } from './site'

const MINUTE = 60_000
const HISTORY_DAYS = 42
/** Minutes of events before the activation, and after it. */
const BEFORE = 30
const AFTER = 9
/** Part of the bookings that still work after it. */
const KEPT = 0.4
const ALERT_MS = 150_000

/** What the tests read of an alert. */
export interface Alert {
  id: string
  state: string
  sentence: string
  suspects: { change: { id: string } }[]
  off_actions: { outcome: string | null }[]
}

/** An open incident and the change behind it. The site stays broken, minute after minute, until `mend` is called. */
export interface Breakage {
  alert: Alert
  changeId: string
  /** Bookings are whole again from the next minute on. */
  mend: () => void
  /** Ends the traffic. */
  stop: () => Promise<void>
}

/** Loads history and events, declares experiment 13 with `off`, goes on with broken traffic, and waits for the alert. */
export async function breakCheckout(server: Server, off: unknown): Promise<Breakage> {
  const onset = Math.floor(Date.now() / MINUTE) - AFTER
  const random = randomFrom(20_261_120)
  await server.api('/metrics/bookings/points', {
    body: historyCsv(onset - BEFORE, HISTORY_DAYS, random),
    contentType: 'text/csv',
  })
  const activation = await server.api<{ id: string }>('/changes', {
    body: {
      kind: 'experiment',
      experiment: '13',
      variant: 'B',
      share: 0.8,
      title: 'experiment 13 → 80 %',
      time: new Date(onset * MINUTE).toISOString(),
      environment: 'production',
      service: 'web',
      actor: 'm.visser',
      off,
    },
  })
  await postChange(server, 'config', 'cache.ttl 30 → 60', onset - 18)
  await postChange(server, 'deploy', 'web 2026.47.2', onset - 25)
  for (let minute = onset - BEFORE; minute < onset + AFTER; minute += 1) {
    await postMinute(server, minute, minute < onset ? 1 : KEPT, random)
  }
  const traffic = goOn(server, onset + AFTER, random)
  let alert: Alert | undefined
  await until(
    async () => {
      const { alerts } = await server.api<{ alerts: Alert[] }>('/alerts?state=open')
      alert = alerts[0]
      return alerts.length > 0
    },
    'the alert to open',
    ALERT_MS,
  )
  return { alert: alert!, changeId: activation.id, ...traffic }
}

/** Sends each minute once it is over; a source that falls silent would be an incident of its own. */
function goOn(server: Server, first: number, random: () => number) {
  let live = true
  let kept = KEPT
  const send = async () => {
    for (let next = first; live;) {
      if (Math.floor(Date.now() / MINUTE) > next) {
        await postMinute(server, next, kept, random)
        next += 1
      } else {
        await new Promise((resolve) => setTimeout(resolve, 250))
      }
    }
  }
  const sending = send()
  return {
    mend: () => {
      kept = 1
    },
    stop: async () => {
      live = false
      await sending
    },
  }
}

/** The events of one minute. */
const postMinute = (server: Server, minute: number, kept: number, random: () => number) =>
  server.api('/events/shop', {
    body: eventsOf(minute, kept, random),
    contentType: 'application/x-ndjson',
  })

async function postChange(server: Server, kind: string, title: string, minute: number) {
  const time = new Date(minute * MINUTE).toISOString()
  await server.api('/changes', { body: { kind, title, time, environment: 'production' } })
}
