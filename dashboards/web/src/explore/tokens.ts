/** A reader of SQL text that knows just enough to edit it: words, quotes, comments and brackets. */

/** One piece of the text. */
export interface Token {
  kind: 'word' | 'quoted' | 'text' | 'number' | 'variable' | 'symbol' | 'comment'
  text: string
  start: number
  end: number
  /** How many brackets are open around it. */
  depth: number
}

const PATTERNS: readonly [Token['kind'], RegExp][] = [
  ['comment', /--[^\n]*|\/\*[\s\S]*?(?:\*\/|$)/y],
  ['text', /'(?:[^']|'')*(?:'|$)/y],
  ['quoted', /"(?:[^"]|"")*(?:"|$)/y],
  ['variable', /\$[A-Za-z_]\w*/y],
  ['number', /\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/y],
  ['word', /[A-Za-z_\u0080-\uffff][\w\u0080-\uffff#]*/y],
  ['symbol', /[^\s]/y],
]

/** All tokens in order; white space is left out. */
export function tokenize(sql: string): Token[] {
  const tokens: Token[] = []
  let at = 0
  let depth = 0
  while (at < sql.length) {
    if (/\s/.test(sql[at]!)) {
      at += 1
      continue
    }
    const [kind, text] = match(sql, at)
    if (text === ')' && kind === 'symbol') depth = Math.max(0, depth - 1)
    tokens.push({ kind, text, start: at, end: at + text.length, depth })
    if (text === '(' && kind === 'symbol') depth += 1
    at += text.length
  }
  return tokens
}

function match(sql: string, at: number): [Token['kind'], string] {
  for (const [kind, pattern] of PATTERNS) {
    pattern.lastIndex = at
    const found = pattern.exec(sql)
    if (found) return [kind, found[0]]
  }
  return ['symbol', sql[at]!]
}

/** True for the unquoted word, in any case. */
export const isWord = (token: Token | undefined, word: string): boolean =>
  token?.kind === 'word' && token.text.toLowerCase() === word
