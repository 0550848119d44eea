import { useEffect, useRef } from 'react'
import { recall, remember } from './memory'

/** Handlers by key: `y`, `[`, `g e` (two keys), `ctrl+k`. */
export type Shortcuts = Record<string, () => void>

const SEQUENCE_MS = 1_200
const PREFERENCE = 'single-keys'
const stack: { current: Shortcuts }[] = []
let pending: { key: string; at: number } | null = null
let installed = false

/** Single letters can be turned off (WCAG 2.1.4). */
export const singleKeysOn = (): boolean => recall(PREFERENCE, true)

/** Turns single letters on or off in this browser. */
export const setSingleKeys = (on: boolean): void => remember(PREFERENCE, on)

/** Keys of a component while it is on the screen; the newest component wins. */
export function useShortcuts(shortcuts: Shortcuts): void {
  const latest = useRef(shortcuts)
  latest.current = shortcuts
  useEffect(() => {
    install()
    stack.push(latest)
    return () => {
      stack.splice(stack.indexOf(latest), 1)
    }
  }, [])
}

function install(): void {
  if (installed) return
  installed = true
  window.addEventListener('keydown', onKeyDown)
}

function find(key: string): (() => void) | undefined {
  for (let at = stack.length - 1; at >= 0; at -= 1) {
    const handler = stack[at]!.current[key]
    if (handler) return handler
  }
  return undefined
}

/** Letters typed into a field, an editor or an open dialog are text. */
function isTyping(event: KeyboardEvent): boolean {
  const target = event.target as HTMLElement | null
  if (!target) return false
  return (
    target.isContentEditable ||
    ['INPUT', 'TEXTAREA', 'SELECT'].includes(target.tagName) ||
    target.closest('[role="dialog"], [role="menu"], [role="listbox"]') !== null
  )
}

function onKeyDown(event: KeyboardEvent): void {
  if (event.defaultPrevented || event.altKey) return
  if (event.ctrlKey || event.metaKey) {
    const handler = find(`ctrl+${event.key.toLowerCase()}`)
    if (!handler) return
    event.preventDefault()
    handler()
    return
  }
  if (isTyping(event) || !singleKeysOn()) return
  const sequence =
    pending && Date.now() - pending.at < SEQUENCE_MS ? `${pending.key} ${event.key}` : null
  pending = null
  const handler = (sequence ? find(sequence) : undefined) ?? find(event.key)
  if (handler) {
    event.preventDefault()
    handler()
    return
  }
  if (event.key === 'g') pending = { key: 'g', at: Date.now() }
}
