//! `explain_diff`: the conditions that part some events from others, as a table.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use arrow::{
    array::{AsArray, RecordBatch},
    datatypes::DataType,
};
use async_trait::async_trait;
use datafusion::{
    common::{DataFusionError, Result},
    execution::TaskContext,
    physical_plan::{ExecutionPlan, ExecutionPlanProperties},
};
use futures::StreamExt;
use store::Class;
use tokio::task::JoinSet;

use super::{
    Asked, Call, Check, DATASET, Desk, FILTER, Kind, Shape, Signature, Wants,
    answer::{Answering, refused, reserve},
    call::Spot,
    desk::enclosed,
    optional,
    report::{Cell, batch},
    required,
};
use crate::{
    error::{Error, Position, quote_all, quoted},
    explain::{Cause, Collector, Facts, Options, SEARCH_BYTES_PER_ROW, causes},
    names::nearest,
};

/// Columns that tell how an event ended: consequences, not causes. They are looked at when named in `on`.
const OUTCOMES: &[&str] = &[
    "error",
    "exception",
    "status",
    "status_code",
    "http.status",
    "http.status_code",
    "http.response.status_code",
    "rpc.grpc.status_code",
    "otel.status_code",
    "otel.status_description",
    "duration",
    "sample_rate",
];
/// Columns that name one request: near-unique, so not even read.
const REQUEST_IDS: &[&str] =
    &["id", "trace_id", "span_id", "parent_span_id", "trace.trace_id", "trace.span_id", "trace.parent_id"];
/// Last words of names of measurements: consequences as well.
const MEASURES: &[&str] = &[
    "ns", "us", "ms", "s", "sec", "secs", "seconds", "millis", "bytes", "kb", "mb", "gb", "duration", "latency",
    "elapsed",
];
/// Columns examined at most.
const COLUMNS_MAX: usize = 1_000;

pub(super) static EXPLAIN_DIFF: Signature = Signature {
    name: "explain_diff",
    summary: "What is different about the bad ones? The precise cut (up to three conditions) that parts the events of the selection from those \
              of the baseline (by default all others), counted over all of them, with error control: no row means that nothing \
              differs beyond chance. Distinct users count, not lines. Consequences (status, error.*, durations, sizes) are left out \
              unless named in on.",
    example: "SELECT predicate, support, precision, risk_ratio, score_bits, equivalents, example_event_ids \
              FROM explain_diff('status >= 500', 'status < 500', except => ['booking.*'])",
    parameters: &[
        required("selection", Kind::Sql),
        optional("baseline", Kind::Sql),
        optional("on", Kind::Texts),
        optional("except", Kind::Texts),
        optional("unit", Kind::Text),
        optional("max_order", Kind::Number),
        optional("min_support", Kind::Number),
        optional("alpha", Kind::Number),
        optional("causes", Kind::Number),
        FILTER,
        DATASET,
    ],
    columns: &[
        ("predicate", Shape::Text),
        ("support", Shape::Number),
        ("precision", Shape::Number),
        ("risk_ratio", Shape::Number),
        ("ci_low", Shape::Number),
        ("explanatory_power", Shape::Number),
        ("p_value", Shape::Number),
        ("q_value", Shape::Number),
        ("score_bits", Shape::Number),
        ("bad", Shape::Count),
        ("good", Shape::Count),
        ("bad_units", Shape::Count),
        ("bad_total", Shape::Count),
        ("good_total", Shape::Count),
        ("equivalents", Shape::Texts),
        ("example_event_ids", Shape::Texts),
    ],
    ask,
};

fn ask(call: &Call, desk: &Desk<'_>) -> Result<Asked, Error> {
    let Some(selection) = call.spot("selection") else { return Err(Error::invalid("no selection", call.at)) };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded right there")]
    let options = Options {
        max_order: call.number_or("max_order", 3.0, 1.0..=3.0)? as usize,
        min_support: call.number_or("min_support", 0.05, 0.0..=1.0)?,
        alpha: call.number_or("alpha", 0.05, 1e-9..=0.5)?,
        causes_max: call.number_or("causes", 3.0, 1.0..=10.0)? as usize,
        ..Options::default()
    };
    let table = desk.table("events");
    let mut checks = vec![Check { spot: selection.clone(), table: table.clone(), wants: Wants::Condition }];
    let mut used = desk.columns_of("events", selection)?;
    let selected = enclosed(&selection.text);
    let wanted = match call.spot("baseline") {
        Some(baseline) => {
            checks.push(Check { spot: baseline.clone(), table: table.clone(), wants: Wants::Condition });
            used.extend(desk.columns_of("events", baseline)?);
            format!("({selected} OR {})", enclosed(&baseline.text))
        }
        None => "TRUE".to_owned(),
    };
    let narrowed = desk.narrowed(call, "events", &mut checks);
    if let Some(filter) = call.spot("filter") {
        used.extend(desk.columns_of("events", filter)?);
    }
    let unit = call.spot("unit");
    used.extend(unit.map(|unit| unit.text.clone()));
    used.extend(desk.unit_keys().into_iter().map(ToOwned::to_owned));
    let names = dimensions(call, desk, &used)?;
    if names.is_empty() {
        return Err(Error::invalid(
            "there is no column to explain the difference by: name some with on => [...]",
            call.at,
        ));
    }
    let columns: Vec<String> =
        names.iter().enumerate().map(|(at, name)| format!("{} AS c{at}", quoted(name))).collect();
    let has_unit = unit.is_some() || !desk.unit_keys().is_empty();
    let unit = if has_unit { desk.unit(unit, "")? } else { "CAST(NULL AS VARCHAR)".to_owned() };
    let statement = format!(
        "SELECT coalesce({selected}, FALSE) AS bad, {unit} AS unit, event_id, {} FROM {table} WHERE {wanted}{narrowed}",
        columns.join(", ")
    );
    let answer = Explaining { signature: call.signature, names, options, has_unit };
    Ok(Asked { checks, inputs: vec![statement], answer: Some(Arc::new(answer)) })
}

/// The columns to examine: those named, or all dimensions; without those the question itself speaks of.
fn dimensions(call: &Call, desk: &Desk<'_>, used: &[String]) -> Result<Vec<String>, Error> {
    let columns = desk.dataset().columns();
    let is_used = |name: &str| used.iter().any(|used| used.split('#').next() == Some(name));
    let matches = |spot: &Spot, name: &str| match spot.text.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => spot.text == name,
    };
    let except = call.texts("except").unwrap_or_default();
    let is_excepted = |name: &str| except.iter().any(|spot| matches(spot, name));
    let keys = || columns.schema().columns.iter().filter(|column| columns.listed_key(&column.name));
    let is_scalar = |class: Class| matches!(class, Class::Text | Class::Bool | Class::Number);
    let names: Vec<String> = match call.texts("on") {
        None => keys()
            .filter(|column| is_scalar(column.class) && !is_consequence(&column.name))
            .map(|column| column.name.clone())
            .collect(),
        Some(on) => {
            let mut names = Vec::new();
            for spot in on {
                let before = names.len();
                names.extend(keys().map(|column| column.name.clone()).filter(|name| matches(spot, name)));
                if names.len() == before && (columns.contains(&spot.text) || columns.may_hold(&spot.text)) {
                    names.push(spot.text.clone());
                }
                if names.len() == before {
                    let nearest = quote_all(&nearest(&spot.text, columns.names()));
                    return Err(Error::UnknownColumn {
                        name: spot.text.clone(),
                        nearest,
                        position: Position::of(spot.at),
                    });
                }
            }
            names
        }
    };
    let mut seen = std::collections::HashSet::new();
    Ok(names
        .into_iter()
        .filter(|name| !is_used(name) && !is_excepted(name) && seen.insert(name.clone()))
        .take(COLUMNS_MAX)
        .collect())
}

/// True for names of outcomes, of single requests, and of measurements.
fn is_consequence(name: &str) -> bool {
    let is_below = |known: &&str| name == *known || name.strip_prefix(*known).is_some_and(|rest| rest.starts_with('.'));
    let last = name.rsplit(['.', '_']).next().unwrap_or(name);
    OUTCOMES.iter().any(is_below) || REQUEST_IDS.contains(&name) || MEASURES.contains(&last)
}

#[derive(Debug)]
struct Explaining {
    signature: &'static Signature,
    names: Vec<String>,
    options: Options,
    has_unit: bool,
}

/// Tells the search that nobody waits any more.
struct OnDrop(Arc<AtomicBool>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

#[async_trait]
impl Answering for Explaining {
    async fn answer(&self, inputs: Vec<Arc<dyn ExecutionPlan>>, context: Arc<TaskContext>) -> Result<RecordBatch> {
        let Some(input) = inputs.into_iter().next() else { return batch(self.signature, &[]) };
        let mut tasks = JoinSet::new();
        for partition in 0..input.output_partitioning().partition_count() {
            tasks.spawn(collect(Arc::clone(&input), partition, Arc::clone(&context), self.has_unit));
        }
        let (mut collectors, mut reservations) = (Vec::new(), Vec::new());
        while let Some(done) = tasks.join_next().await {
            let (partition, collector, reservation) =
                done.map_err(|error| DataFusionError::External(Box::new(error)))??;
            collectors.push((partition, collector));
            reservations.push(reservation);
        }
        // The same order every time, whoever was done first.
        collectors.sort_by_key(|(partition, _)| *partition);
        let collectors: Vec<Collector> = collectors.into_iter().map(|(_, collector)| collector).collect();
        let reservation = reserve(&context);
        let (bytes, rows) =
            collectors.iter().fold((0, 0), |(bytes, rows), one| (bytes + one.bytes(), rows + one.rows()));
        reservation.try_grow(bytes + rows * SEARCH_BYTES_PER_ROW)?;
        let is_cancelled = Arc::new(AtomicBool::new(false));
        let _stop = OnDrop(Arc::clone(&is_cancelled));
        let (names, mut options) = (self.names.clone(), self.options.clone());
        options.threads = context.session_config().target_partitions();
        let search = tokio::task::spawn_blocking(move || {
            let facts = Facts::merge(&names, collectors);
            let found = causes(&facts, &options, &|| is_cancelled.load(Relaxed));
            (facts.rows(), found)
        });
        let ((bad, good), found) = search.await.map_err(|error| DataFusionError::External(Box::new(error)))?;
        for (count, what) in [(bad, "selection"), (good, "baseline")] {
            if count == 0 {
                return Err(refused(format!("there is nothing to compare: no event meets the {what}")));
            }
        }
        let rows: Vec<Vec<Cell>> = found.into_iter().map(|cause| row(cause, bad, good)).collect();
        batch(self.signature, &rows)
    }
}

/// Codes one partition of the events as they come.
async fn collect(
    input: Arc<dyn ExecutionPlan>,
    partition: usize,
    context: Arc<TaskContext>,
    has_unit: bool,
) -> Result<(usize, Collector, datafusion::execution::memory_pool::MemoryReservation)> {
    /// Columns before those to examine.
    const FIRST: usize = 3;
    let reservation = reserve(&context);
    let schema = input.schema();
    let types: Vec<DataType> = schema.fields()[FIRST..].iter().map(|field| field.data_type().clone()).collect();
    let mut collector = Collector::new(&types);
    let mut stream = input.execute(partition, context)?;
    while let Some(batch) = stream.next().await.transpose()? {
        let columns = batch.columns();
        collector.add(columns[0].as_boolean(), &columns[FIRST..], has_unit.then_some(&columns[1]), Some(&columns[2]));
        reservation.try_resize(collector.bytes())?;
    }
    Ok((partition, collector, reservation))
}

fn row(cause: Cause, bad: usize, good: usize) -> Vec<Cell> {
    let count = |count: u64| Cell::Count(i64::try_from(count).ok());
    vec![
        cause.predicate.as_str().into(),
        cause.support.into(),
        cause.precision.into(),
        cause.risk_ratio.into(),
        cause.risk_ratio_low.into(),
        cause.explanatory_power.into(),
        cause.p_value.into(),
        cause.q_value.into(),
        cause.score_bits.into(),
        count(cause.bad),
        count(cause.good),
        count(cause.bad_units),
        count(bad as u64),
        count(good as u64),
        Cell::Texts(cause.equivalents),
        Cell::Texts(cause.examples),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consequences_are_not_causes() {
        for name in
            ["status", "error.type", "duration_ms", "db.sql_ms", "http.response_bytes", "trace_id", "process.uptime_s"]
        {
            assert!(is_consequence(name), "{name}");
        }
        for name in ["country", "experiments.13", "statuses", "hotel.stars", "service.version", "os"] {
            assert!(!is_consequence(name), "{name}");
        }
    }
}
