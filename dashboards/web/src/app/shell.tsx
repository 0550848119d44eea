import { Outlet, useNavigate, useRouterState } from '@tanstack/react-router'
import { lazy, Suspense, useState, useSyncExternalStore } from 'react'
import { isKeyNeeded, onKeyNeeded } from '../api/client'
import { Toast } from '../controls/toast'
import { NewVersion } from './new-version'
import { Rail } from './rail'
import { useShortcuts } from './shortcuts'
import { ShellActions } from './shell-actions'

// Dialogs are loaded when they are opened first: a page does not wait for them.
const JumpPalette = lazy(async () => ({ default: (await import('./jump-palette')).JumpPalette }))
const ShortcutHelp = lazy(async () => ({ default: (await import('./shortcut-help')).ShortcutHelp }))
const KeyPrompt = lazy(async () => ({ default: (await import('./key-prompt')).KeyPrompt }))

/** The frame of every page: rail, page, and the dialogs that open anywhere. */
export function Shell() {
  const [jumping, setJumping] = useState(false)
  const [helping, setHelping] = useState(false)
  const keyNeeded = useSyncExternalStore(onKeyNeeded, isKeyNeeded)
  const navigate = useNavigate()
  const loading = useRouterState({ select: (state) => state.isLoading })
  useShortcuts({
    'ctrl+k': () => setJumping(true),
    '/': () => setJumping(true),
    '?': () => setHelping(true),
    'g e': () => void navigate({ to: '/explore' }),
    'g m': () => void navigate({ to: '/' }),
    'g a': () => void navigate({ to: '/alerts' }),
  })
  return (
    <ShellActions value={{ openJump: () => setJumping(true), openHelp: () => setHelping(true) }}>
      <a className="skip-link" href="#content">
        Skip to content
      </a>
      <div className="shell">
        <Rail />
        <main id="content" tabIndex={-1} aria-busy={loading}>
          <NewVersion />
          <Outlet />
        </main>
      </div>
      <Suspense fallback={null}>
        {jumping && <JumpPalette onClose={() => setJumping(false)} />}
        {helping && <ShortcutHelp onClose={() => setHelping(false)} />}
        {keyNeeded && <KeyPrompt />}
      </Suspense>
      <Toast />
    </ShellActions>
  )
}
