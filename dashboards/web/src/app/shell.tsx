import { Outlet, useNavigate, useRouterState } from '@tanstack/react-router'
import { useState } from 'react'
import { Toast } from '../controls/toast'
import { JumpPalette } from './jump-palette'
import { KeyPrompt } from './key-prompt'
import { NewVersion } from './new-version'
import { Rail } from './rail'
import { ShortcutHelp } from './shortcut-help'
import { useShortcuts } from './shortcuts'
import { ShellActions } from './shell-actions'

/** The frame of every page: rail, page, and the dialogs that open anywhere. */
export function Shell() {
  const [jumping, setJumping] = useState(false)
  const [helping, setHelping] = useState(false)
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
      {jumping && <JumpPalette onClose={() => setJumping(false)} />}
      <ShortcutHelp open={helping} onClose={() => setHelping(false)} />
      <KeyPrompt />
      <Toast />
    </ShellActions>
  )
}
