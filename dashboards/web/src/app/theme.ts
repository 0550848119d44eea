import { useSyncExternalStore } from 'react'

/** The two looks of the page. */
export type Theme = 'light' | 'dark'

const KEY = 'yellowline.theme'
const listeners = new Set<() => void>()
const system = window.matchMedia('(prefers-color-scheme: dark)')
system.addEventListener('change', () => notify())

function notify(): void {
  for (const listener of listeners) listener()
}

/** The chosen theme, or the system's. */
function current(): Theme {
  const chosen = document.documentElement.dataset['theme']
  if (chosen === 'light' || chosen === 'dark') return chosen
  return system.matches ? 'dark' : 'light'
}

/** Switches to the other theme and remembers it. */
export function toggleTheme(): void {
  const next: Theme = current() === 'dark' ? 'light' : 'dark'
  document.documentElement.dataset['theme'] = next
  try {
    localStorage.setItem(KEY, next)
  } catch {
    // Storage is blocked: the choice holds until the page is left.
  }
  notify()
}

/** The theme that shows now. */
export function useTheme(): Theme {
  return useSyncExternalStore((listener) => {
    listeners.add(listener)
    return () => listeners.delete(listener)
  }, current)
}
