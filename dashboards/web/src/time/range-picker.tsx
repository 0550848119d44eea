import { ChevronDown } from 'lucide-react'
import { useState } from 'react'
import type { RangeState } from '../app/use-range'
import { Button } from '../controls/button'
import { PopoverButton } from '../controls/popover-button'
import { formatDayMinute, zoneName, type Zone } from './format'
import { absolute, PRESETS, rangeLabel } from './range'

/** Chooses a relative or an absolute range, and the clock. */
export function RangePicker({ state }: { state: RangeState }) {
  const now = Date.now()
  const label = rangeLabel(state.range, (ms) => formatDayMinute(ms, state.zone, now), now)
  return (
    <PopoverButton
      className="button range-button"
      aria-description="Time range"
      popupLabel="Time range"
      align="end"
      content={(close) => <RangeChoices state={state} onDone={close} />}
    >
      <span className="range-text">{label}</span>
      <span className="range-zone">{zoneName(state.zone)}</span>
      <ChevronDown size={14} aria-hidden="true" />
    </PopoverButton>
  )
}

function RangeChoices({ state, onDone }: { state: RangeState; onDone: () => void }) {
  const choose = (from: string) => {
    state.setRange({ from, to: 'now' })
    onDone()
  }
  return (
    <div className="range-choices">
      <ul className="range-presets" aria-label="Relative">
        {PRESETS.map((preset) => (
          <li key={preset.from}>
            <button
              type="button"
              className="menu-item"
              aria-pressed={state.range.from === preset.from && state.range.to === 'now'}
              onClick={() => choose(preset.from)}
            >
              {preset.label}
            </button>
          </li>
        ))}
      </ul>
      <AbsoluteRange key={state.zone} state={state} onDone={onDone} />
    </div>
  )
}

function AbsoluteRange({ state, onDone }: { state: RangeState; onDone: () => void }) {
  const [start] = useState(() => state.window())
  const [from, setFrom] = useState(fieldText(start.fromMs, state.zone))
  const [to, setTo] = useState(fieldText(start.toMs, state.zone))
  const fromMs = fieldTime(from, state.zone)
  const toMs = fieldTime(to, state.zone)
  const valid = fromMs !== null && toMs !== null && fromMs < toMs
  const apply = (event: React.FormEvent) => {
    event.preventDefault()
    if (!valid) return
    state.setRange(absolute(fromMs, toMs))
    onDone()
  }
  return (
    <form className="range-absolute" onSubmit={apply}>
      <label>
        From
        <input
          type="datetime-local"
          value={from}
          onChange={(event) => setFrom(event.target.value)}
        />
      </label>
      <label>
        To
        <input type="datetime-local" value={to} onChange={(event) => setTo(event.target.value)} />
      </label>
      {!valid && <p className="is-danger">The start has to be before the end.</p>}
      <fieldset className="zone-choice">
        <legend>Clock</legend>
        {(['utc', 'local'] as const).map((zone) => (
          <label key={zone}>
            <input
              type="radio"
              name="zone"
              checked={state.zone === zone}
              onChange={() => state.setZone(zone)}
            />
            {zone === 'utc' ? 'UTC' : `This browser (${zoneName('local')})`}
          </label>
        ))}
      </fieldset>
      <Button type="submit" tone="primary" disabled={!valid}>
        Show this range
      </Button>
    </form>
  )
}

/** `2026-11-20T14:10` on the shown clock. */
function fieldText(ms: number, zone: Zone): string {
  const offset = zone === 'utc' ? 0 : new Date(ms).getTimezoneOffset() * 60_000
  return new Date(ms - offset).toISOString().slice(0, 16)
}

/** A date and time without an offset: JavaScript reads it as local, with Z as UTC. */
function fieldTime(text: string, zone: Zone): number | null {
  const ms = Date.parse(zone === 'utc' ? `${text}Z` : text)
  return Number.isNaN(ms) ? null : ms
}
