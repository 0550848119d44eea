import { Link as LinkIcon, Moon, Search, Sun } from 'lucide-react'
import { useEffect, type ReactNode } from 'react'
import { Button } from '../controls/button'
import { copyText } from '../controls/copy'
import { say } from '../controls/toast'
import { absolute, shift, zoom } from '../time/range'
import { RangePicker } from '../time/range-picker'
import { useShellActions } from './shell-actions'
import { useShortcuts } from './shortcuts'
import { toggleTheme, useTheme } from './theme'
import { useRange, type RangeState } from './use-range'

interface Props {
  title: string
  subtitle?: ReactNode
  /** Pages without a time axis have no range. */
  ranged?: boolean
}

/** Title of the page, its time range, and what every page offers. */
export function TopBar({ title, subtitle, ranged = true }: Props) {
  const theme = useTheme()
  const state = useRange()
  const { openJump } = useShellActions()
  useEffect(() => {
    document.title = `${title} · Yellowline`
  }, [title])
  const copy = () => void copyLink(ranged ? state : null)
  useShortcuts({
    y: copy,
    ...(ranged
      ? {
          '[': () => state.setRange(shift(state.window(), -0.5, Date.now())),
          ']': () => state.setRange(shift(state.window(), 0.5, Date.now())),
          '-': () => state.setRange(zoom(state.window(), 2)),
          '=': () => state.setRange(zoom(state.window(), 0.5)),
        }
      : {}),
  })
  const other = theme === 'dark' ? 'light' : 'dark'
  return (
    <header className="top-bar">
      <div className="top-title">
        <h1>{title}</h1>
        {subtitle && <div className="top-sub">{subtitle}</div>}
      </div>
      <div className="top-tools">
        <Button className="jump-button" aria-label="Jump to… Ctrl K" onClick={openJump}>
          <Search size={15} aria-hidden="true" />
          <span className="wide-only">Jump to…</span>
          <kbd className="wide-only">Ctrl K</kbd>
        </Button>
        {ranged && <RangePicker state={state} />}
        <Button aria-label="Copy link" onClick={copy}>
          <LinkIcon size={15} aria-hidden="true" />
          <span className="wide-only">Copy link</span>
        </Button>
        <Button
          className="is-icon"
          aria-label={`Switch to the ${other} theme`}
          onClick={toggleTheme}
        >
          {theme === 'dark' ? (
            <Sun size={16} aria-hidden="true" />
          ) : (
            <Moon size={16} aria-hidden="true" />
          )}
        </Button>
      </div>
    </header>
  )
}

/** A link of an incident must show the same next week: relative times become absolute. */
async function copyLink(state: RangeState | null): Promise<void> {
  const url = new URL(window.location.href)
  if (state) {
    const { fromMs, toMs } = state.window()
    const fixed = absolute(Math.floor(fromMs / 1_000) * 1_000, Math.ceil(toMs / 1_000) * 1_000)
    url.searchParams.set('from', fixed.from)
    url.searchParams.set('to', fixed.to)
  }
  const copied = await copyText(url.toString().replaceAll('%3A', ':'))
  if (copied) say(state ? 'Link copied, with fixed times' : 'Link copied')
  else say('The browser did not allow copying: copy the address bar instead', 'danger')
}
