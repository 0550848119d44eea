/** Identifiers and literals of SQL as people write them: quoted only when they have to be. */

/** Words that are no column name without quotes. */
const RESERVED = new Set(
  (
    'all and any as asc between by case cast check create cross current_date current_time current_timestamp default ' +
    'desc distinct else end except exists extract false filter first for from full group having in inner intersect ' +
    'interval into is join last lateral left like ilike limit natural not null nulls offset on or order outer over ' +
    'partition right select similar table then to true union unique using values when where window with'
  ).split(' '),
)

/** `service.name` as it is, `"experiments.13"` and `"price#int"` in quotes, quotes doubled. */
export function quoteName(name: string): string {
  const plain = name.split('.').every((part) => /^[A-Za-z_][A-Za-z0-9_]*$/.test(part))
  if (plain && !RESERVED.has(name.toLowerCase())) return name
  return `"${name.replaceAll('"', '""')}"`
}

/** The name without its quotes. */
export function unquoteName(text: string): string {
  return text.startsWith('"') && text.endsWith('"') && text.length > 1
    ? text.slice(1, -1).replaceAll('""', '"')
    : text
}

/** A text literal. */
export const quoteText = (text: string): string => `'${text.replaceAll("'", "''")}'`

/** A literal for a value of a result cell; `null` is written as such. */
export function quoteValue(value: unknown): string {
  if (value === null || value === undefined) return 'null'
  if (typeof value === 'number' || typeof value === 'bigint') return String(value)
  if (typeof value === 'boolean') return value ? 'true' : 'false'
  if (typeof value === 'string') return quoteText(value)
  return quoteText(JSON.stringify(value))
}

/** The nearest names by edit distance, at most three, only such that are near. */
export function nearestNames(name: string, known: Iterable<string>): string[] {
  const wanted = name.toLowerCase()
  const limit = Math.max(2, Math.floor(wanted.length / 3))
  return [...known]
    .map((candidate) => ({ candidate, far: distance(wanted, candidate.toLowerCase()) }))
    .filter((one) => one.far <= limit || one.candidate.toLowerCase().includes(wanted))
    .sort((a, b) => a.far - b.far)
    .slice(0, 3)
    .map((one) => one.candidate)
}

function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i]
    for (let j = 1; j <= b.length; j += 1) {
      const swap = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, swap))
    }
    row = next
  }
  return row[b.length]!
}
