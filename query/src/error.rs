//! What can go wrong with a query, in the user's words.
//!
//! Goals: the text says what to do next, names columns as SQL wants them quoted, and holds no path or internal type. The
//! cause is kept as `source` for the log.

mod evaluation;

use datafusion::{
    common::{DataFusionError, SchemaError},
    sql::sqlparser::tokenizer::Location,
};

/// A place in the SQL text, both counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Line.
    pub line: u64,
    /// Column, in characters.
    pub column: u64,
}

impl Position {
    /// The place of a token; `None` for the empty location of generated ones.
    #[must_use]
    pub fn of(location: Location) -> Option<Self> {
        (location.line > 0).then_some(Self { line: location.line, column: location.column })
    }
}

/// Errors of the query stage.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is no SQL.
    #[error("{message}")]
    Syntax {
        /// What was expected.
        message: String,
        /// Where.
        position: Option<Position>,
    },
    /// A table nobody has written to.
    #[error("there is no table {name}{}", nearest_text(nearest))]
    UnknownTable {
        /// As written.
        name: String,
        /// Names like it.
        nearest: Vec<String>,
        /// Where.
        position: Option<Position>,
    },
    /// A name that is no column of any table in scope.
    #[error("there is no column {}{}", quoted(name), nearest_text(nearest))]
    UnknownColumn {
        /// As written, without quotes.
        name: String,
        /// Names like it, quoted.
        nearest: Vec<String>,
        /// Where.
        position: Option<Position>,
    },
    /// A statement that would change something.
    #[error("SQL here is read-only: {what} is not possible; use SELECT, WITH, EXPLAIN, SHOW TABLES or DESCRIBE")]
    ReadOnly {
        /// The statement's verb.
        what: String,
    },
    /// Valid SQL that cannot be run.
    #[error("{message}")]
    Invalid {
        /// Why.
        message: String,
        /// Where, if known.
        position: Option<Position>,
    },
    /// The query's time is up.
    #[error("the query took longer than {timeout_ms} ms: narrow the time range, or raise timeout_ms")]
    Deadline {
        /// The time it had.
        timeout_ms: u64,
    },
    /// Someone deleted the query.
    #[error("the query was cancelled")]
    Cancelled,
    /// The memory pool is used up.
    #[error(
        "the query needs more memory than there is ({memory_bytes_max} bytes for all queries): group by fewer values, or raise query.memory_bytes_max"
    )]
    Memory {
        /// The pool's size.
        memory_bytes_max: usize,
    },
    /// As many queries run as may.
    #[error("{concurrent_max} queries are running, the most allowed: try again, or raise query.concurrent_max")]
    TooMany {
        /// The cap.
        concurrent_max: usize,
    },
    /// The dataset of a request does not exist.
    #[error("there is no dataset {name}{}", nearest_text(nearest))]
    UnknownDataset {
        /// As asked for.
        name: String,
        /// Names like it.
        nearest: Vec<String>,
    },
    /// No event has this id.
    #[error("no event of dataset {dataset} has the id {id}")]
    EventNotFound {
        /// The dataset.
        dataset: String,
        /// The id asked for.
        id: String,
    },
    /// No change has this id.
    #[error("there is no change {id}")]
    ChangeNotFound {
        /// The id asked for.
        id: String,
    },
    /// No event has this trace id.
    #[error("no event of any dataset has the trace id {id}")]
    TraceNotFound {
        /// The id asked for.
        id: String,
    },
    /// No query with this id runs.
    #[error("no running query has the id {id}")]
    QueryNotFound {
        /// The id asked for.
        id: String,
    },
    /// A request field that cannot be used.
    #[error("{message}")]
    Request {
        /// Which field, and what it should be.
        message: String,
    },
    /// None of the formats asked for is one of ours.
    #[error(
        "results come as application/json, application/x-ndjson, text/csv or application/vnd.apache.arrow.stream, not as {accept}"
    )]
    NotAcceptable {
        /// The Accept header.
        accept: String,
    },
    /// A metric's filter or value is not usable.
    #[error("metric {metric}: {part} {text:?} does not work")]
    Metric {
        /// The metric's name.
        metric: String,
        /// `filter`, `value`, `denominator` or `slice`.
        part: &'static str,
        /// The SQL given.
        text: String,
        /// Why.
        #[source]
        source: Box<Error>,
    },
    /// The store could not rebuild an event.
    #[error("event {id} of dataset {dataset} could not be rebuilt")]
    Rebuild {
        /// The dataset.
        dataset: String,
        /// The event's id.
        id: String,
        /// Why.
        #[source]
        source: store::Error,
    },
    /// Data could not be read, or the engine broke.
    #[error("the query failed while {operation}; the server's log has the cause")]
    Engine {
        /// What was being done.
        operation: &'static str,
        /// Why.
        #[source]
        source: Box<DataFusionError>,
    },
    /// A Parquet file to import cannot be read.
    #[error("the Parquet file cannot be read")]
    ReadParquet {
        /// Why.
        #[source]
        source: parquet::errors::ParquetError,
    },
    /// The threads for queries could not be started.
    #[error("could not start {threads} query threads")]
    Threads {
        /// How many.
        threads: usize,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl Error {
    /// The stable word of `docs/api.md`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Syntax { .. } => "sql_syntax",
            Self::UnknownTable { .. } => "unknown_table",
            Self::UnknownColumn { .. } => "unknown_column",
            Self::ReadOnly { .. } => "read_only",
            Self::Invalid { .. } => "sql_invalid",
            Self::Deadline { .. } => "deadline_exceeded",
            Self::Cancelled => "query_cancelled",
            Self::Memory { .. } => "memory_exceeded",
            Self::TooMany { .. } => "too_many_queries",
            Self::UnknownDataset { .. } => "unknown_dataset",
            Self::EventNotFound { .. } => "event_not_found",
            Self::ChangeNotFound { .. } => "change_not_found",
            Self::TraceNotFound { .. } => "trace_not_found",
            Self::QueryNotFound { .. } => "query_not_found",
            Self::Request { .. } => "invalid_request",
            Self::NotAcceptable { .. } => "not_acceptable",
            Self::Metric { source, .. } => source.code(),
            Self::Rebuild { .. } | Self::Engine { .. } | Self::Threads { .. } | Self::ReadParquet { .. } => "internal",
        }
    }

    /// Where in the SQL text, if known.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        match self {
            Self::Syntax { position, .. }
            | Self::UnknownTable { position, .. }
            | Self::UnknownColumn { position, .. }
            | Self::Invalid { position, .. } => *position,
            _ => None,
        }
    }

    /// A plain "this cannot be done" with a place.
    pub(crate) fn invalid(message: impl Into<String>, location: Location) -> Self {
        Self::Invalid { message: message.into(), position: Position::of(location) }
    }

    /// Sorts an error of the planner or the execution into ours.
    pub(crate) fn from_engine(operation: &'static str, memory_bytes_max: usize, error: DataFusionError) -> Self {
        let span = error.diagnostic().and_then(|diagnostic| diagnostic.span);
        let position = span.and_then(|span| Position::of(Location::new(span.start.line, span.start.column)));
        if let Some(message) = evaluation::failure(&error) {
            return Self::Invalid { message, position };
        }
        match error.find_root() {
            DataFusionError::ResourcesExhausted(_) => Self::Memory { memory_bytes_max },
            DataFusionError::SchemaError(schema, _) => Self::from_schema(schema, position),
            DataFusionError::SQL(parser, _) => syntax(&parser.to_string()),
            DataFusionError::Plan(message)
            | DataFusionError::NotImplemented(message)
            | DataFusionError::Execution(message)
            | DataFusionError::Configuration(message) => Self::Invalid { message: tidy(message), position },
            DataFusionError::ArrowError(arrow, _) => Self::Invalid { message: tidy(&arrow.to_string()), position },
            _ => Self::Engine { operation, source: Box::new(error) },
        }
    }

    fn from_schema(error: &SchemaError, position: Option<Position>) -> Self {
        match error {
            SchemaError::FieldNotFound { field, valid_fields } => {
                let names: Vec<&str> = valid_fields.iter().map(|column| column.name.as_str()).collect();
                let nearest = crate::names::nearest(&field.name, names.into_iter());
                Self::UnknownColumn { name: field.name.clone(), nearest: quote_all(&nearest), position }
            }
            SchemaError::AmbiguousReference { field } => Self::Invalid {
                message: format!(
                    "{} is a column of more than one table: write the table's name before it",
                    quoted(&field.name)
                ),
                position,
            },
            other => Self::Invalid { message: tidy(&other.to_string()), position },
        }
    }
}

/// A parser's message with its place cut off into a [`Position`].
pub(crate) fn syntax(text: &str) -> Error {
    let text = text.trim_start_matches("sql parser error: ");
    let (message, place) = match text.rfind(" at Line: ") {
        Some(at) => (&text[..at], Some(&text[at + " at Line: ".len()..])),
        None => (text, None),
    };
    let position = place.and_then(|place| {
        let (line, column) = place.split_once(", Column: ")?;
        Some(Position { line: line.trim().parse().ok()?, column: column.trim().parse().ok()? })
    });
    Error::Syntax { message: tidy(message), position }
}

/// A name as SQL wants it: bare if it may be, else in double quotes.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

pub(crate) fn quote_all(names: &[String]) -> Vec<String> {
    names.iter().map(|name| quoted(name)).collect()
}

fn nearest_text(nearest: &[String]) -> String {
    match nearest {
        [] => String::new(),
        [one] => format!("; did you mean {one}?"),
        [firsts @ .., last] => format!("; did you mean {} or {last}?", firsts.join(", ")),
    }
}

/// Messages of the planner: no prefixes of its error kinds, lower case first letter.
pub(crate) fn tidy(message: &str) -> String {
    let mut text = message.trim();
    for prefix in ["Error during planning: ", "Execution error: ", "Arrow error: ", "This feature is not implemented: "]
    {
        text = text.trim_start_matches(prefix);
    }
    let text = text.split("\n\nbacktrace:").next().unwrap_or(text).trim_end_matches('.');
    let mut characters = text.chars();
    match (characters.next(), characters.clone().next()) {
        (Some(first), Some(second)) if first.is_uppercase() && second.is_lowercase() => {
            first.to_lowercase().chain(characters).collect()
        }
        _ => text.to_owned(),
    }
}
