/** The words of the SQL people write here: DataFusion's, without the hundreds nobody types. */

/** Keywords offered by completion. */
export const KEYWORDS = (
  'select from where and or not in is null like ilike between as distinct group by order having limit offset asc desc ' +
  'case when then else end join left inner full cross on using with union all except intersect exists over partition ' +
  'filter within interval cast timestamp date true false nulls first last'
).split(' ')

/** A function with what it takes, for completion. */
export interface SqlFunction {
  name: string
  signature: string
}

const functions = (list: string): SqlFunction[] =>
  list
    .trim()
    .split('\n')
    .map((line) => {
      const [name = '', signature = ''] = line.trim().split(/\s(.*)/s)
      return { name, signature }
    })

/** The functions offered by completion. */
export const FUNCTIONS: readonly SqlFunction[] = functions(`
  explain_diff ('selection', 'baseline')
  compare_variants ('experiment', 'metric')
  compare_sections ('experiment', 'metric', by => 'statement')
  messages_only_in ('experiment', 'variant', versus => 'A')
  new_messages ('release')
  srm_check ('experiment')
  state_at (time)
  state_diff (from, to)
  minimum_detectable_effect ('experiment', 'metric')
  time_bucket ('1 minute', time)
  weighted_count ()
  weighted_sum (number)
  weighted_avg (number)
  message_template (text)
  count (*) or (expression)
  sum (number)
  avg (number)
  min (expression)
  max (expression)
  median (number)
  approx_percentile_cont (number, 0.95)
  approx_distinct (expression)
  stddev (number)
  corr (number, number)
  array_agg (expression)
  string_agg (text, separator)
  first_value (expression order by …)
  last_value (expression order by …)
  date_bin (interval, time)
  date_trunc ('minute', time)
  date_part ('hour', time)
  extract (hour from time)
  to_timestamp (text)
  now ()
  coalesce (expression, …)
  nullif (expression, expression)
  greatest (expression, …)
  least (expression, …)
  abs (number)
  round (number, digits)
  floor (number)
  ceil (number)
  ln (number)
  log10 (number)
  power (base, exponent)
  lower (text)
  upper (text)
  trim (text)
  length (text)
  substr (text, start, length)
  split_part (text, separator, n)
  replace (text, from, to)
  starts_with (text, prefix)
  strpos (text, part)
  concat (text, …)
  regexp_like (text, pattern)
  regexp_match (text, pattern)
  regexp_replace (text, pattern, to)
  md5 (text)
  sha256 (text)
  array_length (list)
  array_has (list, element)
  unnest (list)
  row_number () over (…)
  rank () over (…)
  lag (expression, n) over (…)
  lead (expression, n) over (…)
  percentile_cont (0.95) within group (order by …)
`)
