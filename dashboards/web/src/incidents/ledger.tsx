import type { Suspect } from '../api/alerts'
import { formatNumber } from '../time/format'

/** Lines of the ledger are clamped to this many bits on either side. */
const BITS_MAX = 10

const WORDS: Record<string, string> = {
  timing: 'timing',
  control: 'control',
  dose: 'dose',
  prior: 'prior',
  reversal: 'reversal',
}
const ORDER = Object.keys(WORDS)

/** The ledger of a suspect, line by line: bars to the right speak for it, bars to the left against it. */
export function Ledger({ suspect }: { suspect: Suspect }) {
  const lines = ledgerLines(suspect)
  return (
    <dl className="ledger">
      {lines.map(([name, bits]) => (
        <div key={name} className="ledger-line">
          <dt>{WORDS[name] ?? name}</dt>
          <dd>
            <span className="ledger-bar" aria-hidden="true">
              <i className={bits < 0 ? 'is-against' : 'is-for'} style={barStyle(bits)} />
            </span>
            <span className="ledger-bits">{signed(bits)}</span>
          </dd>
        </div>
      ))}
    </dl>
  )
}

/** Every field counted in bits, in the order of the method; a line nothing is known of is left out. */
export function ledgerLines(suspect: Suspect): [name: string, bits: number][] {
  const lines: [string, number][] = []
  for (const [key, value] of Object.entries(suspect)) {
    if (key.endsWith('_bits') && typeof value === 'number') {
      lines.push([key.slice(0, -'_bits'.length), value])
    }
  }
  const place = (name: string) => (ORDER.includes(name) ? ORDER.indexOf(name) : ORDER.length)
  return lines.sort((a, b) => place(a[0]) - place(b[0]))
}

function barStyle(bits: number): React.CSSProperties {
  const half = (Math.min(Math.abs(bits), BITS_MAX) / BITS_MAX) * 50
  return { left: `${bits < 0 ? 50 - half : 50}%`, width: `${half}%` }
}

/** `+7.8`, `−2`: bits with their sign. */
export const signed = (bits: number) =>
  `${bits < 0 ? '−' : '+'}${formatNumber(Math.abs(Math.round(bits * 10) / 10))}`
