//! One call of a table function: its arguments as the statement has them, checked.

use std::collections::HashMap;

use datafusion::sql::sqlparser::{
    ast::{
        Expr, FunctionArg, FunctionArgExpr, FunctionArgOperator, Ident, ObjectName, Spanned, TableFunctionArgs,
        TypedString, UnaryOperator, Value,
    },
    tokenizer::Location,
};

use super::{Kind, Signature};
use crate::{
    error::{Error, Position},
    names::nearest,
};

/// A text of the statement and the place of its quote.
#[derive(Debug, Clone)]
pub(crate) struct Spot {
    pub(crate) text: String,
    pub(crate) at: Location,
}

#[derive(Debug, Clone)]
enum Given {
    Text(Spot),
    Number(f64),
    Texts(Vec<Spot>),
    /// An expression of SQL.
    Expression(String),
}

/// A function and what it was given.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) signature: &'static Signature,
    /// Where the function's name stands.
    pub(crate) at: Location,
    given: HashMap<&'static str, Given>,
}

impl Call {
    /// Reads a call; `None` if the function is none of ours.
    ///
    /// # Errors
    /// `sql_invalid` with the place: an unknown, missing, repeated or unfit argument.
    pub(crate) fn read(name: &ObjectName, args: &TableFunctionArgs) -> Result<Option<Self>, Error> {
        let [part] = name.0.as_slice() else { return Ok(None) };
        let Some(signature) = part.as_ident().and_then(|name| Signature::named(&name.value)) else { return Ok(None) };
        let mut call = Self { signature, at: name.span().start, given: HashMap::new() };
        let mut place = 0;
        for arg in &args.args {
            match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::BinaryOp { left, op, .. }))
                    if op.to_string() == "=" && matches!(left.as_ref(), Expr::Identifier(_)) =>
                {
                    let message = format!("name an argument of {} with =>: {left} => …", signature.name);
                    return Err(Error::invalid(message, left.span().start));
                }
                FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => {
                    let parameter = signature.parameters.get(place).ok_or_else(|| {
                        let message = format!("too many arguments: {}", signature.usage());
                        Error::invalid(message, value.span().start)
                    })?;
                    call.give(parameter.name, value)?;
                    place += 1;
                }
                FunctionArg::Named {
                    name,
                    arg: FunctionArgExpr::Expr(value),
                    operator: FunctionArgOperator::RightArrow | FunctionArgOperator::Assignment,
                } => call.give_named(name, value)?,
                other => {
                    return Err(Error::invalid(format!("{} cannot take {other}", signature.name), other.span().start));
                }
            }
        }
        let missing = signature.parameters.iter().find(|one| one.required && !call.given.contains_key(one.name));
        match missing {
            Some(missing) => {
                let message = format!("{} needs {}: {}", signature.name, missing.name, signature.usage());
                Err(Error::invalid(message, call.at))
            }
            None => Ok(Some(call)),
        }
    }

    /// A view of a dataset: a call nobody wrote.
    pub(crate) fn view(signature: &'static Signature, dataset: &str) -> Self {
        let spot = Spot { text: dataset.to_owned(), at: Location::empty() };
        Self { signature, at: Location::empty(), given: HashMap::from([("dataset", Given::Text(spot))]) }
    }

    fn give_named(&mut self, name: &Ident, value: &Expr) -> Result<(), Error> {
        let parameters = self.signature.parameters;
        match parameters.iter().find(|one| one.name.eq_ignore_ascii_case(&name.value)) {
            Some(parameter) => self.give(parameter.name, value),
            None => {
                let near = nearest(&name.value, parameters.iter().map(|one| one.name));
                let hint = near.first().map(|near| format!("; did you mean {near}?")).unwrap_or_default();
                let message = format!(
                    "{} has no argument {}{hint} ({})",
                    self.signature.name,
                    name.value,
                    self.signature.usage()
                );
                Err(Error::invalid(message, name.span.start))
            }
        }
    }

    fn give(&mut self, name: &'static str, value: &Expr) -> Result<(), Error> {
        if matches!(value, Expr::Value(value) if value.value == Value::Null) {
            return Ok(());
        }
        let kind = self.signature.parameters.iter().find(|one| one.name == name).map(|one| one.kind);
        let given = match kind {
            Some(Kind::Number) => number(value).map(Given::Number),
            Some(Kind::Texts) => texts(value).map(Given::Texts),
            Some(Kind::Time) => time(value),
            Some(Kind::Text) => text(value).or_else(|| number_text(value)).map(Given::Text),
            Some(Kind::Sql) | None => text(value).map(Given::Text),
        };
        let Some(given) = given else {
            let wanted = match kind {
                Some(Kind::Number) => "a number",
                Some(Kind::Texts) => "a list of texts, such as ['country', 'os']",
                Some(Kind::Time) => "a time, such as '2026-11-20T14:10:00Z'",
                Some(Kind::Sql) => "SQL in quotes, such as 'status >= 500'",
                _ => "a text in quotes",
            };
            return Err(Error::invalid(format!("{name} of {} is {wanted}", self.signature.name), value.span().start));
        };
        if self.given.insert(name, given).is_some() {
            let message = format!("{name} of {} is given twice", self.signature.name);
            return Err(Error::invalid(message, value.span().start));
        }
        Ok(())
    }

    pub(crate) fn spot(&self, name: &str) -> Option<&Spot> {
        match self.given.get(name) {
            Some(Given::Text(spot)) => Some(spot),
            _ => None,
        }
    }

    /// A required text, or one with a default.
    pub(crate) fn text_or<'a>(&'a self, name: &str, default: &'a str) -> &'a str {
        self.spot(name).map_or(default, |spot| spot.text.as_str())
    }

    pub(crate) fn texts(&self, name: &str) -> Option<&[Spot]> {
        match self.given.get(name) {
            Some(Given::Texts(spots)) => Some(spots),
            _ => None,
        }
    }

    /// An instant as an expression of SQL.
    pub(crate) fn time(&self, name: &str) -> Option<String> {
        match self.given.get(name) {
            Some(Given::Text(spot)) => Some(format!("TIMESTAMP {}", literal(&spot.text))),
            Some(Given::Expression(expression)) => Some(format!("({expression})")),
            _ => None,
        }
    }

    /// A number within bounds, or its default.
    ///
    /// # Errors
    /// `sql_invalid` outside of the bounds.
    pub(crate) fn number_or(
        &self,
        name: &str,
        default: f64,
        bounds: std::ops::RangeInclusive<f64>,
    ) -> Result<f64, Error> {
        let Some(Given::Number(number)) = self.given.get(name) else { return Ok(default) };
        if bounds.contains(number) {
            return Ok(*number);
        }
        let message = format!(
            "{name} of {} is {number}, not between {} and {}",
            self.signature.name,
            bounds.start(),
            bounds.end()
        );
        Err(Error::invalid(message, self.at))
    }

    /// One of a few words.
    ///
    /// # Errors
    /// `sql_invalid` for any other.
    pub(crate) fn word_or(&self, name: &str, words: &[&'static str]) -> Result<&'static str, Error> {
        let Some(spot) = self.spot(name) else { return Ok(words[0]) };
        words.iter().find(|word| **word == spot.text).copied().ok_or_else(|| {
            let message =
                format!("{name} of {} is {:?}, not one of {}", self.signature.name, spot.text, words.join(", "));
            Error::invalid(message, spot.at)
        })
    }
}

/// A text as SQL has it.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Moves an error in a text of the statement to its place in the statement.
pub(crate) fn inside(spot: &Spot, error: Error) -> Error {
    let moved = |position: Option<Position>| {
        let Some(Position { line, column }) = position else { return Position::of(spot.at) };
        // Each quote inside the text was written twice.
        let before = usize::try_from(column.saturating_sub(1)).unwrap_or(0);
        let at_line = usize::try_from(line.saturating_sub(1)).unwrap_or(0);
        let doubled =
            spot.text.lines().nth(at_line).unwrap_or_default().chars().take(before).filter(|c| *c == '\'').count()
                as u64;
        let first = if line <= 1 { spot.at.column } else { 0 };
        Some(Position { line: spot.at.line + line - 1, column: first + column + doubled })
    };
    match error {
        Error::Syntax { message, position } => Error::Syntax { message, position: moved(position) },
        Error::UnknownColumn { name, nearest, position } => {
            Error::UnknownColumn { name, nearest, position: moved(position) }
        }
        Error::UnknownTable { name, nearest, position } => {
            Error::UnknownTable { name, nearest, position: moved(position) }
        }
        Error::Invalid { message, position } => Error::Invalid { message, position: moved(position) },
        other => other,
    }
}

fn text(value: &Expr) -> Option<Spot> {
    match value {
        Expr::Value(found) => match &found.value {
            Value::SingleQuotedString(text) => Some(Spot { text: text.clone(), at: found.span.start }),
            _ => None,
        },
        Expr::Nested(inner) => text(inner),
        _ => None,
    }
}

fn number_text(value: &Expr) -> Option<Spot> {
    match value {
        Expr::Value(found) => match &found.value {
            Value::Number(text, _) => Some(Spot { text: text.clone(), at: found.span.start }),
            _ => None,
        },
        _ => None,
    }
}

fn number(value: &Expr) -> Option<f64> {
    match value {
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => number(expr).map(|number| -number),
        other => number_text(other)?.text.parse().ok(),
    }
}

fn texts(value: &Expr) -> Option<Vec<Spot>> {
    match value {
        Expr::Array(array) => array.elem.iter().map(text).collect(),
        single => text(single).map(|spot| vec![spot]),
    }
}

fn time(value: &Expr) -> Option<Given> {
    match value {
        Expr::Value(_) => text(value).map(Given::Text),
        Expr::TypedString(TypedString { .. }) => Some(Given::Expression(value.to_string())),
        other => Some(Given::Expression(other.to_string())),
    }
}
