/** The dialect for colouring: keywords, types and functions people write here; `$from` and friends are variables. */

import { SQLDialect } from '@codemirror/lang-sql'
import { FUNCTIONS, KEYWORDS } from './words'

const TYPES =
  'bigint int integer double float real decimal boolean text varchar timestamp date interval json'

/** DataFusion's SQL as far as it is coloured. */
export const dialect = SQLDialect.define({
  keywords: KEYWORDS.filter((word) => !['timestamp', 'date', 'interval'].includes(word)).join(' '),
  types: TYPES,
  builtin: FUNCTIONS.map((one) => one.name).join(' '),
  specialVar: '$',
  doubleQuotedStrings: false,
  identifierQuotes: '"',
})
