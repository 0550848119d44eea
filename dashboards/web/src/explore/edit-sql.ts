/** Edits of a query that a click asks for: a condition more, another order, a count by a column. */

import { quoteName, unquoteName } from './names'
import { isWord, tokenize, type Token } from './tokens'

const AGGREGATES =
  /^(count|sum|avg|mean|min|max|median|approx_\w+|array_agg|string_agg|stddev\w*|var\w*|first_value|last_value|bool_and|bool_or|percentile_\w+|corr|covar\w*)$/i

/** Where the clauses of the outermost SELECT begin; -1 for those it has not. */
interface Outline {
  tokens: Token[]
  select: number
  from: number
  where: number
  /** First clause after WHERE (or the end of the text): conditions go before it. */
  afterWhere: number
  orderBy: number
  limit: number
  end: number
  /** UNION and the like: the text is more than one SELECT. */
  compound: boolean
}

function outline(sql: string): Outline {
  const tokens = tokenize(sql).filter((token) => token.kind !== 'comment')
  const top = tokens.filter((token) => token.depth === 0)
  const at = (word: string) => top.find((token) => isWord(token, word))?.start ?? -1
  const semicolon = top.find((token) => token.text === ';')?.start
  const lastToken = tokens[tokens.length - 1]
  const end = semicolon ?? lastToken?.end ?? 0
  const first = (...words: string[]) => {
    const found = words.map(at).filter((start) => start >= 0)
    return found.length === 0 ? end : Math.min(...found)
  }
  return {
    tokens,
    select: at('select'),
    from: at('from'),
    where: at('where'),
    afterWhere: first('group', 'having', 'window', 'qualify', 'order', 'limit', 'offset', 'fetch'),
    orderBy: at('order'),
    limit: first('limit', 'offset', 'fetch'),
    end,
    compound: top.some((token) =>
      ['union', 'intersect', 'except'].some((word) => isWord(token, word)),
    ),
  }
}

/** Adds `column = value` and the like, where it means what the person sees. */
export function addCondition(sql: string, column: string, test: (name: string) => string): string {
  const plan = outline(sql)
  if (plan.compound || plan.select < 0 || plan.from < 0)
    return wrapped(sql, test(quoteName(column)))
  const item = selectItem(sql, plan, column)
  if (item?.aggregate) return wrapped(sql, test(quoteName(column)))
  return withCondition(sql, plan, test(item?.expression ?? quoteName(column)))
}

function withCondition(sql: string, plan: Outline, condition: string): string {
  const after = sql.slice(plan.afterWhere)
  const tail = after.trim() === '' ? '' : `\n${after.trimStart()}`
  if (plan.where < 0) {
    return `${sql.slice(0, plan.afterWhere).trimEnd()}\nwhere ${condition}${tail}`
  }
  const head = sql.slice(0, plan.where)
  const present = sql.slice(plan.where + 'where'.length, plan.afterWhere).trim()
  const hasOr = plan.tokens.some(
    (token) =>
      token.depth === 0 &&
      token.start > plan.where &&
      token.start < plan.afterWhere &&
      isWord(token, 'or'),
  )
  return `${head}where ${hasOr ? `(${present})` : present}\n  and ${condition}${tail}`
}

const wrapped = (sql: string, condition: string): string =>
  `select *\nfrom (\n${sql.replace(/;\s*$/, '').trimEnd()}\n)\nwhere ${condition}`

/** The expression behind an output column, if the select list names one. */
function selectItem(
  sql: string,
  plan: Outline,
  column: string,
): { expression: string; aggregate: boolean } | null {
  const items: Token[][] = [[]]
  for (const token of plan.tokens) {
    if (token.start < plan.select + 'select'.length || token.start >= plan.from) continue
    if (token.text === ',' && token.depth === 0) items.push([])
    else items[items.length - 1]!.push(token)
  }
  for (const tokens of items) {
    const last = tokens[tokens.length - 1]
    const before = tokens[tokens.length - 2]
    if (!last || !before) continue
    const named =
      isWord(before, 'as') || (before.text === ')' && ['word', 'quoted'].includes(last.kind))
    if (!named || unquoteName(last.text) !== column) continue
    const body = tokens.slice(0, isWord(before, 'as') ? -2 : -1)
    if (body.length === 0) continue
    return {
      expression: sql.slice(body[0]!.start, body[body.length - 1]!.end),
      aggregate: body.some(
        (token, index) =>
          token.kind === 'word' && AGGREGATES.test(token.text) && body[index + 1]?.text === '(',
      ),
    }
  }
  return null
}

/** Sorts by a column, in place of the order the query had. */
export function orderBy(sql: string, column: string, direction: 'asc' | 'desc'): string {
  const plan = outline(sql)
  const clause = `order by ${quoteName(column)}${direction === 'desc' ? ' desc' : ''}`
  if (plan.select < 0) return sql
  const start = plan.orderBy >= 0 ? plan.orderBy : plan.limit
  const tail = sql.slice(plan.limit).trim()
  return `${sql.slice(0, start).trimEnd()}\n${clause}${tail === '' ? '' : `\n${tail}`}`
}

/** How often each value of a column occurs among the rows the query reads. */
export function countBy(sql: string, column: string): string {
  const plan = outline(sql)
  const name = quoteName(column)
  const simple = plan.from >= 0 && !plan.compound && selectItem(sql, plan, column) === null
  const source = simple
    ? sql.slice(plan.from, plan.afterWhere).trim()
    : `from (\n${sql.replace(/;\s*$/, '').trimEnd()}\n)`
  return `select ${name}, count(*) as events\n${source}\ngroup by 1\norder by 2 desc\nlimit 100`
}

/** The raw rows behind a query: what it reads, before it groups. */
export function rawRows(sql: string): string {
  const plan = outline(sql)
  const simple = plan.select === 0 && plan.from >= 0 && !plan.compound
  const source = simple
    ? sql.slice(plan.from, plan.afterWhere).trim()
    : 'from events\nwhere time >= $from and time < $to'
  return `select *\n${source}\norder by time desc\nlimit 1000`
}
