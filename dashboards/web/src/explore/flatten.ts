/** An event as the columns it becomes: nested objects joined by dots, lists kept. */

import { jsonText } from './cells'

/** One field of an event. */
export interface Field {
  name: string
  value: unknown
  text: string
  /** A value a query can test for. */
  scalar: boolean
}

/** Fields in the order they were sent. */
export function flatten(event: Record<string, unknown>, prefix = ''): Field[] {
  return Object.entries(event).flatMap(([key, value]): Field[] => {
    const name = prefix === '' ? key : `${prefix}.${key}`
    const nested = value !== null && typeof value === 'object' && !Array.isArray(value)
    if (nested && Object.keys(value as object).length > 0) {
      return flatten(value as Record<string, unknown>, name)
    }
    const scalar = value !== null && typeof value !== 'object'
    const text =
      typeof value === 'string' ? value : jsonText(value, Array.isArray(value) ? 2 : undefined)
    return [{ name, value, text, scalar }]
  })
}
