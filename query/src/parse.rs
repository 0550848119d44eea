//! SQL text -> one read-only statement.
//!
//! Works on tokens before the parser sees them, because event keys are words such as `user.id`, `end.time` or `experiments.13`
//! that SQL would read as a function, a keyword or a number.

use datafusion::sql::sqlparser::{
    ast::{ObjectName, Query, Statement},
    dialect::GenericDialect,
    keywords::Keyword,
    parser::{Parser, ParserError},
    tokenizer::{Location, Span, Token, TokenWithSpan, Tokenizer, Word},
};

use crate::error::{Error, syntax};

/// Nesting the parser follows before it gives up: far above any query written by hand.
const NESTING_MAX: usize = 100;

/// Verbs of statements that change something or leave the database: refused by name before parsing, so that the answer is
/// `read_only` even where our dialect could not parse the rest.
const WRITING_VERBS: &[&str] = &[
    "INSERT",
    "UPDATE",
    "DELETE",
    "MERGE",
    "UPSERT",
    "REPLACE",
    "CREATE",
    "DROP",
    "ALTER",
    "TRUNCATE",
    "COPY",
    "SET",
    "RESET",
    "USE",
    "GRANT",
    "REVOKE",
    "BEGIN",
    "START",
    "COMMIT",
    "ROLLBACK",
    "SAVEPOINT",
    "CALL",
    "EXECUTE",
    "PREPARE",
    "DEALLOCATE",
    "DO",
    "LOAD",
    "INSTALL",
    "ATTACH",
    "DETACH",
    "PRAGMA",
    "VACUUM",
    "ANALYZE",
    "OPTIMIZE",
    "REFRESH",
    "LOCK",
    "UNLOCK",
    "KILL",
    "UNLOAD",
    "EXPORT",
    "IMPORT",
    "LISTEN",
    "NOTIFY",
    "COMMENT",
    "RENAME",
    "DECLARE",
    "FETCH",
    "CLOSE",
    "CACHE",
    "UNCACHE",
];

/// What a text asks for.
#[derive(Debug, Clone)]
pub(crate) enum Command {
    /// A query.
    Query(Box<Query>),
    /// EXPLAIN of a query: the statement with its query inside.
    Explain(Box<Statement>),
    /// SHOW TABLES.
    ShowTables,
    /// DESCRIBE t or SHOW COLUMNS FROM t.
    Describe(ObjectName),
}

/// Parses a text of exactly one statement.
///
/// # Errors
/// `sql_syntax` with the place, `read_only`, or `sql_invalid` for more or less than one statement.
pub(crate) fn parse(sql: &str) -> Result<Command, Error> {
    let tokens = tokens(sql)?;
    if let Some(verb) = first_word(&tokens)
        && let Some(what) = WRITING_VERBS.iter().find(|writing| verb.eq_ignore_ascii_case(writing))
    {
        return Err(Error::ReadOnly { what: (*what).to_owned() });
    }
    let dialect = GenericDialect {};
    let mut parser = Parser::new(&dialect).with_recursion_limit(NESTING_MAX).with_tokens_with_locations(tokens);
    let mut statements = parser.parse_statements().map_err(parser_error)?;
    match (statements.pop(), statements.is_empty()) {
        (Some(statement), true) => command(statement),
        (None, _) => Err(Error::invalid("the text holds no statement", Location::empty())),
        (Some(_), false) => Err(Error::invalid("one statement at a time: the text holds several", Location::empty())),
    }
}

/// Parses the condition or value of a metric: one SQL expression and nothing after it.
///
/// # Errors
/// `sql_syntax` with the place.
pub(crate) fn parse_expression(text: &str) -> Result<datafusion::sql::sqlparser::ast::Expr, Error> {
    let dialect = GenericDialect {};
    let mut parser = Parser::new(&dialect).with_recursion_limit(NESTING_MAX).with_tokens_with_locations(tokens(text)?);
    let expression = parser.parse_expr().map_err(parser_error)?;
    let rest = parser.next_token();
    if rest.token == Token::EOF {
        Ok(expression)
    } else {
        Err(Error::Syntax {
            message: format!("the expression ends before {}", rest.token),
            position: crate::error::Position::of(rest.span.start),
        })
    }
}

fn parser_error(error: ParserError) -> Error {
    match error {
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => syntax(&message),
        ParserError::RecursionLimitExceeded => {
            Error::Syntax { message: format!("the statement nests deeper than {NESTING_MAX} levels"), position: None }
        }
    }
}

fn command(parsed: Statement) -> Result<Command, Error> {
    match parsed {
        Statement::Query(query) => Ok(Command::Query(query)),
        Statement::Explain { ref statement, .. } => match statement.as_ref() {
            Statement::Query(_) => Ok(Command::Explain(Box::new(parsed))),
            other => Err(Error::ReadOnly { what: format!("EXPLAIN {}", verb(other)) }),
        },
        Statement::ExplainTable { table_name, .. } => Ok(Command::Describe(table_name)),
        Statement::ShowTables { .. } => Ok(Command::ShowTables),
        Statement::ShowColumns { show_options, .. } => {
            match show_options.show_in.and_then(|show_in| show_in.parent_name) {
                Some(table) => Ok(Command::Describe(table)),
                None => Err(Error::invalid("SHOW COLUMNS needs a table: SHOW COLUMNS FROM events", Location::empty())),
            }
        }
        Statement::ShowVariable { .. } | Statement::ShowVariables { .. } => {
            Err(Error::invalid("only SHOW TABLES and SHOW COLUMNS FROM <table> can be shown", Location::empty()))
        }
        other => Err(Error::ReadOnly { what: verb(&other) }),
    }
}

/// The first word of a statement, as the user would name it.
fn verb(statement: &Statement) -> String {
    statement.to_string().split_whitespace().next().unwrap_or("this statement").to_uppercase()
}

fn first_word(tokens: &[TokenWithSpan]) -> Option<&str> {
    tokens.iter().find_map(|token| match &token.token {
        Token::Word(word) => Some(word.value.as_str()),
        Token::Whitespace(_) | Token::SemiColon => None,
        _ => Some(""),
    })
}

/// Tokens in which words that can only be names are no keywords.
fn tokens(sql: &str) -> Result<Vec<TokenWithSpan>, Error> {
    let dialect = GenericDialect {};
    let mut found = Tokenizer::new(&dialect, sql).tokenize_with_location().map_err(|error| Error::Syntax {
        message: crate::error::tidy(&error.message),
        position: crate::error::Position::of(error.location),
    })?;
    split_numbers_after_names(&mut found);
    let dotted: Vec<bool> = (0..found.len())
        .map(|at| {
            let before = at.checked_sub(1).is_some_and(|before| found[before].token == Token::Period);
            before || found.get(at + 1).is_some_and(|next| next.token == Token::Period)
        })
        .collect();
    for at in 0..found.len() {
        let rows_follow = found[at + 1..].iter().find(|next| !matches!(next.token, Token::Whitespace(_)));
        let is_argument = rows_follow.is_some_and(|next| next.token == Token::RArrow);
        let rows_follow = rows_follow.is_some_and(|next| next.token == Token::LParen);
        if let Token::Word(word) = &mut found[at].token {
            let is_name =
                is_argument || word.keyword == Keyword::USER || (word.keyword == Keyword::VALUES && !rows_follow);
            if dotted[at] || is_name {
                word.keyword = Keyword::NoKeyword;
            }
        }
    }
    Ok(found)
}

/// `experiments.13` comes as the word `experiments` and the number `.13`: makes it a name, a period and a name.
fn split_numbers_after_names(tokens: &mut Vec<TokenWithSpan>) {
    let mut at = 1;
    while at < tokens.len() {
        let after_name = matches!(tokens[at - 1].token, Token::Word(_));
        let digits = match &tokens[at].token {
            Token::Number(text, false) if after_name => text.strip_prefix('.').map(ToOwned::to_owned),
            _ => None,
        };
        if let Some(mut digits) = digits {
            let Span { start, mut end } = tokens[at].span;
            if let Some(Token::Word(more)) = tokens.get(at + 1).map(|next| &next.token) {
                digits.push_str(&more.value);
                end = tokens.remove(at + 1).span.end;
            }
            let name = Word { value: digits, quote_style: Some('"'), keyword: Keyword::NoKeyword };
            let middle = Location::new(start.line, start.column + 1);
            tokens[at] = TokenWithSpan::new(Token::Period, Span::new(start, middle));
            tokens.insert(at + 1, TokenWithSpan::new(Token::Word(name), Span::new(middle, end)));
            at += 1;
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sql: &str, expect: &str) {
        let text = match parse(sql) {
            Ok(Command::Query(query)) => query.to_string(),
            Ok(other) => format!("{other:?}").split(['(', ' ']).next().unwrap_or_default().to_owned(),
            Err(error) => format!("{}: {error} {:?}", error.code(), error.position().map(|at| (at.line, at.column))),
        };
        assert_eq!(text, expect, "{sql}");
    }

    #[test]
    fn keys_that_are_words_of_sql_are_names() {
        check("SELECT user.id, end.time, order.total FROM t", "SELECT user.id, end.time, order.total FROM t");
        check("select user, values from t", "SELECT user, values FROM t");
        check("VALUES (1)", "VALUES (1)");
        check("SELECT experiments.13, experiments.13b FROM t", "SELECT experiments.\"13\", experiments.\"13b\" FROM t");
        check("SELECT 1.5, .5 FROM t", "SELECT 1.5, .5 FROM t");
        check("SELECT experiments['13'] FROM t", "SELECT experiments['13'] FROM t");
        check("SELECT price#int FROM t", "SELECT price#int FROM t");
    }

    #[test]
    fn only_reading_statements_pass() {
        check("EXPLAIN SELECT 1", "Explain");
        check("SHOW TABLES", "ShowTables");
        check("DESCRIBE shop.events", "Describe");
        check("SHOW COLUMNS FROM shop.events", "Describe");
        for verb in ["INSERT", "CREATE", "DROP", "COPY", "SET", "UPDATE", "DELETE"] {
            let text = format!("{verb} whatever comes");
            assert_eq!(parse(&text).unwrap_err().code(), "read_only", "{text}");
        }
        assert_eq!(parse("EXPLAIN DELETE FROM t").unwrap_err().code(), "read_only");
    }

    #[test]
    fn errors_have_a_place() {
        check("SELECT a\n  FROM t WHERE (b", "sql_syntax: expected: ), found: EOF None");
        check("SELECT a\n  FROM t GROUP WITH b", "sql_syntax: expected: end of statement, found: GROUP Some((2, 10))");
        check("SELECT 'open", "sql_syntax: unterminated string literal Some((1, 8))");
        check("SELECT 1; SELECT 2", "sql_invalid: one statement at a time: the text holds several None");
        check("", "sql_invalid: the text holds no statement None");
    }
}
