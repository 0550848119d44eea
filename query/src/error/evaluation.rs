//! What an expression cannot be evaluated over, in the user's words: the events are at fault or the SQL, never the engine.
//!
//! Over events in memory such an error comes as what it is. A filter over a file is evaluated by the Parquet reader, which keeps of its
//! error only the text, in Rust's debug notation: `… Error evaluating filter predicate: ArrowError(DivideByZero, Some(""))`. A bad regular
//! expression comes as an external error, or as one the engine takes for its own.

use std::error::Error;

use datafusion::{arrow::error::ArrowError, common::DataFusionError};

use super::tidy;

/// How the Parquet reader begins.
const OF_FILTER: &str = "Error evaluating filter predicate: ";
/// How a regular expression's error begins; `error: <reason>` comes some lines later.
const OF_REGEX: &str = "regex parse error";

/// The message when this is an error of evaluating what the user wrote.
pub(super) fn failure(error: &DataFusionError) -> Option<String> {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    let mut text = String::new();
    while let Some(error) = cause {
        if matches!(error.downcast_ref::<ArrowError>(), Some(ArrowError::DivideByZero)) {
            return Some(division());
        }
        text = error.to_string();
        cause = error.source();
    }
    if text.contains(OF_REGEX) {
        return Some(format!("the regular expression does not work: {}", regex_reason(&text)));
    }
    if let Some((_, told)) = text.split_once(OF_FILTER) {
        if told.starts_with("ResourcesExhausted") || told.starts_with("Internal") {
            return None;
        }
        return Some(if told.contains("DivideByZero") { division() } else { advised(&quoted_text(told)?) });
    }
    text.contains("Cannot cast ").then(|| advised(&text))
}

fn division() -> String {
    "division by zero: write nullif(divisor, 0), then the result is NULL".to_owned()
}

fn advised(text: &str) -> String {
    match text.split_once("Cannot cast ") {
        Some((_, what)) => format!("cannot cast {what}: write try_cast, then the result is NULL"),
        None => tidy(text),
    }
}

/// The reason below the picture of where it is.
fn regex_reason(text: &str) -> String {
    let reason = text.split("error: ").last().unwrap_or_default();
    let end = reason.find(['\n', '\\']).unwrap_or(reason.len());
    reason[..end].trim().to_owned()
}

/// The first string of a debug text, as it was.
fn quoted_text(debug: &str) -> Option<String> {
    let mut characters = debug.split_once('"')?.1.chars();
    let mut text = String::new();
    loop {
        match characters.next()? {
            '"' => return Some(text),
            '\\' => match characters.next()? {
                'n' => text.push(' '),
                other => text.push(other),
            },
            other => text.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(error: DataFusionError, expected: Option<&str>) {
        assert_eq!(failure(&error).as_deref(), expected, "{error}");
    }

    /// As the Parquet reader gives it.
    fn of_filter(debug: &str) -> DataFusionError {
        let arrow = ArrowError::ComputeError(format!("{OF_FILTER}{debug}"));
        DataFusionError::from(parquet::errors::ParquetError::External(Box::new(arrow)))
    }

    #[test]
    fn what_the_sql_is_to_blame_for_is_told_with_what_to_do() {
        let division = Some("division by zero: write nullif(divisor, 0), then the result is NULL");
        check(ArrowError::DivideByZero.into(), division);
        check(of_filter(r#"ArrowError(DivideByZero, Some(""))"#), division);
        let cast = Some("cannot cast string 'x \"0' to value of Int64 type: write try_cast, then the result is NULL");
        check(ArrowError::CastError("Cannot cast string 'x \"0' to value of Int64 type".into()).into(), cast);
        check(
            of_filter(r#"ArrowError(CastError("Cannot cast string 'x \"0' to value of Int64 type"), Some(""))"#),
            cast,
        );
        check(of_filter(r#"Execution("negative count not allowed: -2")"#), Some("negative count not allowed: -2"));
        let regex = "regex parse error:\n    (\n    ^\nerror: unclosed group";
        let told = Some("the regular expression does not work: unclosed group");
        check(DataFusionError::External(regex.into()), told);
        check(of_filter(&format!("Internal({:?})", format!("failed to call: Syntax(\n~~~\n{regex}\n~~~\n)"))), told);
    }

    #[test]
    fn what_is_no_fault_of_the_sql_is_left_to_others() {
        check(of_filter(r#"ResourcesExhausted("no memory")"#), None);
        check(of_filter(r#"Internal("a bug")"#), None);
        check(DataFusionError::Internal("a bug".into()), None);
        check(DataFusionError::External("could not read the file".into()), None);
    }
}
