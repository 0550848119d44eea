import { useSyncExternalStore } from 'react'

const SHOWN_MS = 4_000

interface Message {
  text: string
  tone: 'info' | 'danger'
}

let message: Message | null = null
let timer: ReturnType<typeof setTimeout> | undefined
const listeners = new Set<() => void>()

function set(next: Message | null): void {
  message = next
  for (const listener of listeners) listener()
}

/** Says in one line what happened; read out by screen readers, gone after some seconds. */
export function say(text: string, tone: Message['tone'] = 'info'): void {
  clearTimeout(timer)
  set({ text, tone })
  timer = setTimeout(() => set(null), SHOWN_MS)
}

/** Where {@link say} speaks: once, in the shell. */
export function Toast() {
  const shown = useSyncExternalStore(
    (listener) => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    () => message,
  )
  return (
    <div className="toast-place" role="status" aria-live="polite">
      {shown && <div className={`toast is-${shown.tone}`}>{shown.text}</div>}
    </div>
  )
}
