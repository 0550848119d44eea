import { createContext, useContext, type ReactNode } from 'react'

interface Actions {
  openJump: () => void
  openHelp: () => void
}

const Context = createContext<Actions>({ openJump: () => undefined, openHelp: () => undefined })

/** Gives pages the dialogs of the shell. */
export function ShellActions({ value, children }: { value: Actions; children: ReactNode }) {
  return <Context value={value}>{children}</Context>
}

/** The dialogs of the shell. */
export const useShellActions = () => useContext(Context)
