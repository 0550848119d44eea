/** A small booking site: how many bookings a minute has, before and after somebody breaks its checkout. */

const MINUTE = 60_000
const DAY = 1_440

/** Multiply-with-carry is enough here, and the same everywhere. */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

/** Knuth's method; rates here are below a hundred. */
export function poisson(rate: number, random: () => number): number {
  const limit = Math.exp(-rate)
  let product = random()
  let count = 0
  while (product > limit) {
    product *= random()
    count += 1
  }
  return count
}

/** Bookings expected in a minute since the epoch: a day and a week of their own, 45 to 85. */
export function rateAt(minute: number): number {
  const day = Math.sin(((minute % DAY) / DAY) * 2 * Math.PI - 2)
  const weekday = Math.floor(minute / DAY) % 7
  return (65 + 18 * day) * (weekday >= 4 ? 1.06 : 1)
}

/** History as `time,count` lines, ending before `toMinute`. */
export function historyCsv(toMinute: number, days: number, random: () => number): string {
  const lines = ['time,count']
  for (let minute = toMinute - days * DAY; minute < toMinute; minute += 1) {
    lines.push(`${new Date(minute * MINUTE).toISOString()},${poisson(rateAt(minute), random)}`)
  }
  return lines.join('\n') + '\n'
}

/** Events of a minute as NDJSON: bookings at `kept` of the usual rate, the rest fails in variant B. */
export function eventsOf(minute: number, kept: number, random: () => number): string {
  const wanted = poisson(rateAt(minute), random)
  const lines: string[] = []
  for (let index = 0; index < wanted; index += 1) {
    const booked = random() < kept
    const variant = booked && random() < 0.4 ? 'control' : 'B'
    lines.push(
      JSON.stringify({
        time: new Date(minute * MINUTE + Math.floor(random() * MINUTE)).toISOString(),
        id: `m${minute}-${index}`,
        environment: 'production',
        'service.name': 'web',
        route: '/checkout/pay',
        status: booked ? 200 : 500,
        level: booked ? 'info' : 'error',
        message: booked ? 'booking confirmed' : 'payment form not ready',
        country: ['NL', 'DE', 'FR'][Math.floor(random() * 3)],
        duration_ms: Math.round(random() * 3_000) / 10,
        experiments: { '13': variant },
        cart: { rooms: 1 + Math.floor(random() * 3), total: Math.round(random() * 90_000) / 100 },
      }),
    )
  }
  return lines.length === 0 ? '' : lines.join('\n') + '\n'
}

/** The metric file of the site. */
export const METRIC = `[[metric]]
name = "bookings"
title = "Bookings"
unit = "bookings"
dataset = "shop"
environment = "production"
kind = "count"
filter = "route = '/checkout/pay' AND status = 200"
slices = ["country"]
zone = "UTC"
direction = "down"
smallest_drop = 0.12
budget_share = 0.005
owner = "checkout-team"
runbook = "https://wiki.example.com/bookings"
`
