//! The events of one trace as a tree, over all datasets.
//!
//! A span id named as a parent makes a child. An event without one hangs below the event that encloses its start: the latest begun of
//! another service, or, if there is none, the first event of the trace. So traces of services that pass only a trace id on are trees too.

use std::collections::{HashMap, HashSet};

use arrow::{
    array::{Array, AsArray, RecordBatch},
    compute::cast,
    datatypes::{DataType, Float64Type, TimestampMicrosecondType},
};
use serde_json::{Value, json};
use store::{DatasetName, Timestamp};

use crate::{
    catalog::Catalog,
    engine::Engine,
    error::{Error, quoted},
};

/// Keys that name an event's trace, as OpenTelemetry, and as Honeycomb has them.
const TRACE: &[&str] = &["trace_id", "trace.trace_id"];
const SPAN: &[&str] = &["span_id", "trace.span_id"];
const PARENT: &[&str] = &["parent_span_id", "trace.parent_id"];
const SERVICE: &[&str] = &["service.name", "service"];
const NAME: &[&str] = &["name", "route", "http.route"];
const STATUS: &[&str] = &["status", "http.response.status_code", "status_code"];
const DURATION: &str = "duration_ms";

/// One event of a trace.
#[derive(Debug, Clone, PartialEq, Default)]
struct Span {
    dataset: String,
    event_id: String,
    /// µs since 1970: the start.
    time: i64,
    span_id: Option<String>,
    parent_id: Option<String>,
    service: Option<String>,
    name: Option<String>,
    status: Option<String>,
    duration_ms: Option<f64>,
}

impl Engine {
    /// The tree of a trace, as `GET /traces/{id}` gives it: at most `trace_events_max` events, the earliest first.
    ///
    /// # Errors
    /// `trace_not_found`.
    pub async fn trace(&self, id: &str) -> Result<Value, Error> {
        let most = self.inner.config.trace_events_max;
        let mut spans = Vec::new();
        for (dataset, sql) in self.trace_statements(id, most) {
            for batch in self.rows(&sql, None).await? {
                read(&dataset, &batch, &mut spans)?;
            }
        }
        if spans.is_empty() {
            return Err(Error::TraceNotFound { id: id.to_owned() });
        }
        spans.sort_by(|a, b| (a.time, &a.dataset, &a.event_id).cmp(&(b.time, &b.dataset, &b.event_id)));
        let truncated = spans.len() > most;
        spans.truncate(most);
        let parents = parents(&spans);
        Ok(json!({"trace_id": id, "truncated": truncated, "events": preorder(&spans, &parents)}))
    }

    /// A statement for each dataset that knows traces.
    fn trace_statements(&self, id: &str, most: usize) -> Vec<(String, String)> {
        let catalog = Catalog::new(self.inner.as_ref(), None);
        let mut statements = Vec::new();
        for dataset in catalog.user_datasets() {
            let name: &DatasetName = dataset.name();
            let columns = dataset.columns();
            let known = |keys: &[&str]| -> Vec<String> {
                let known = keys.iter().filter(|key| columns.schema().column(key).is_some());
                known.map(|key| quoted(&format!("{key}#text"))).collect()
            };
            let text = |keys: &[&str]| match known(keys).as_slice() {
                [] => "CAST(NULL AS VARCHAR)".to_owned(),
                known => format!("coalesce({})", known.join(", ")),
            };
            let literal = format!("'{}'", id.replace('\'', "''"));
            let matches: Vec<String> = known(TRACE).into_iter().map(|key| format!("{key} = {literal}")).collect();
            if matches.is_empty() {
                continue;
            }
            let duration = if columns.contains(&format!("{DURATION}#num")) {
                format!("CAST({} AS DOUBLE)", quoted(&format!("{DURATION}#num")))
            } else {
                "CAST(NULL AS DOUBLE)".to_owned()
            };
            let sql = format!(
                "SELECT time, {duration} AS duration, event_id, {} AS span, {} AS parent, {} AS service, {} AS name, {} AS status FROM {}.events \
                 WHERE {} ORDER BY time LIMIT {}",
                text(SPAN),
                text(PARENT),
                text(SERVICE),
                text(NAME),
                text(STATUS),
                quoted(name.as_str()),
                matches.join(" OR "),
                most + 1
            );
            statements.push((name.as_str().to_owned(), sql));
        }
        statements
    }
}

fn read(dataset: &str, batch: &RecordBatch, spans: &mut Vec<Span>) -> Result<(), Error> {
    let failed = |source| Error::Engine { operation: "reading a trace", source: Box::new(source) };
    let mut texts = Vec::new();
    for column in &batch.columns()[2..] {
        texts.push(cast(column, &DataType::Utf8View).map_err(|error| failed(error.into()))?);
    }
    let times = batch.column(0).as_primitive::<TimestampMicrosecondType>();
    let durations = batch.column(1).as_primitive::<Float64Type>();
    for row in 0..batch.num_rows() {
        let text = |at: usize| {
            let column = texts[at].as_string_view();
            (!column.is_null(row) && !column.value(row).is_empty()).then(|| column.value(row).to_owned())
        };
        spans.push(Span {
            dataset: dataset.to_owned(),
            time: times.value(row),
            duration_ms: (!durations.is_null(row)).then(|| durations.value(row)),
            event_id: text(0).unwrap_or_default(),
            span_id: text(1),
            parent_id: text(2),
            service: text(3),
            name: text(4),
            status: text(5),
        });
    }
    Ok(())
}

/// The parent of each event, by place; `None` for roots. Events are in order of time. No event is its own ancestor.
fn parents(spans: &[Span]) -> Vec<Option<usize>> {
    let mut by_span: HashMap<&str, usize> = HashMap::new();
    for (at, span) in spans.iter().enumerate() {
        if let Some(id) = &span.span_id {
            by_span.entry(id).or_insert(at);
        }
    }
    let mut parents: Vec<Option<usize>> = Vec::with_capacity(spans.len());
    for (at, span) in spans.iter().enumerate() {
        let named = span.parent_id.as_deref().and_then(|id| by_span.get(id).copied()).filter(|parent| *parent != at);
        let parent = match (&span.parent_id, named) {
            (_, Some(parent)) => Some(parent),
            // Its parent was not recorded: below the first event, like one that names none.
            (_, None) if at == 0 => None,
            (Some(_), None) => Some(0),
            (None, None) => Some(enclosing(spans, at)),
        };
        parents.push(parent);
    }
    for at in 0..parents.len() {
        let mut seen = HashSet::from([at]);
        let mut up = at;
        while let Some(parent) = parents[up] {
            if !seen.insert(parent) {
                // A circle of names: cut above the event met last.
                parents[up] = None;
                break;
            }
            up = parent;
        }
    }
    parents
}

/// The latest begun earlier event of another service that was under way when this one began, else the first event.
fn enclosing(spans: &[Span], at: usize) -> usize {
    let span = &spans[at];
    let is_open = |other: &Span| {
        #[expect(clippy::cast_precision_loss, reason = "differences within one trace")]
        let since_ms = (span.time - other.time) as f64 / 1e3;
        other.service != span.service && other.duration_ms.is_some_and(|duration| since_ms <= duration)
    };
    spans[..at].iter().rposition(is_open).unwrap_or(0)
}

/// Every event behind its parent and before its parent's next child, with its depth: a tree that needs no deep stack to read or write.
fn preorder(spans: &[Span], parents: &[Option<usize>]) -> Vec<Value> {
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); spans.len()];
    for (at, parent) in parents.iter().enumerate() {
        if let Some(parent) = parent {
            children[*parent].push(at);
        }
    }
    let mut waiting: Vec<(usize, usize)> =
        (0..spans.len()).rev().filter(|at| parents[*at].is_none()).map(|at| (at, 0)).collect();
    let mut listed = Vec::with_capacity(spans.len());
    while let Some((at, depth)) = waiting.pop() {
        waiting.extend(children[at].iter().rev().map(|child| (*child, depth + 1)));
        let span = &spans[at];
        listed.push(json!({
            "depth": depth,
            "dataset": span.dataset,
            "event_id": span.event_id,
            "parent_event_id": parents[at].map(|parent| &spans[parent].event_id),
            "time": Timestamp(span.time).to_rfc3339(),
            "duration_ms": span.duration_ms,
            "service": span.service,
            "name": span.name,
            "status": span.status,
            "span_id": span.span_id,
            "parent_span_id": span.parent_id,
        }));
    }
    listed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(time: i64, id: &str, parent: &str, service: &str, duration_ms: f64) -> Span {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Span {
            time: time * 1_000,
            span_id: text(id),
            parent_id: text(parent),
            service: text(service),
            duration_ms: Some(duration_ms),
            ..Span::default()
        }
    }

    fn check(spans: &[Span], expect: &[Option<usize>]) {
        assert_eq!(parents(spans), expect);
        let listed = preorder(spans, expect);
        assert_eq!(listed.len(), spans.len(), "every event is in the tree once");
        assert_eq!(listed[0]["depth"], 0);
    }

    #[test]
    fn named_parents_make_the_tree() {
        let spans = [span(0, "a", "", "web", 9.0), span(1, "b", "a", "api", 5.0), span(2, "c", "b", "api", 1.0)];
        check(&spans, &[None, Some(0), Some(1)]);
    }

    #[test]
    fn without_parents_the_service_under_way_is_one() {
        let spans = [
            span(0, "a", "", "web", 100.0),
            span(10, "b", "", "api", 30.0),
            span(20, "c", "", "database", 5.0),
            span(60, "d", "", "payments", 5.0),
            span(200, "e", "", "mail", 5.0),
        ];
        check(&spans, &[None, Some(0), Some(1), Some(0), Some(0)]);
    }

    #[test]
    fn lost_parents_and_circles_still_give_trees() {
        check(&[span(0, "a", "gone", "web", 9.0), span(1, "b", "lost", "api", 1.0)], &[None, Some(0)]);
        let circle = [span(0, "a", "b", "web", 9.0), span(1, "b", "a", "api", 1.0), span(2, "c", "c", "api", 1.0)];
        let found = parents(&circle);
        assert!(found.iter().any(Option::is_none), "{found:?}");
        check(&circle, &found);
    }

    #[test]
    fn events_stand_behind_their_parents() {
        let spans = [
            span(0, "a", "", "web", 9.0),
            span(1, "b", "a", "x", 1.0),
            span(2, "c", "a", "y", 1.0),
            span(3, "d", "b", "z", 1.0),
        ];
        let listed = preorder(&spans, &parents(&spans));
        let found: Vec<String> = listed.iter().map(|one| format!("{} {}", one["span_id"], one["depth"])).collect();
        assert_eq!(found, ["\"a\" 0", "\"b\" 1", "\"d\" 2", "\"c\" 1"]);
    }

    #[test]
    fn a_long_chain_needs_no_deep_stack() {
        let spans: Vec<Span> =
            (0..1_000).map(|n| span(n, &format!("s{n}"), &format!("s{}", n - 1), "web", 1.0)).collect();
        assert_eq!(preorder(&spans, &parents(&spans))[999]["depth"], 999);
    }
}
