//! Reading `system.metric_points` back through SQL.

use arrow::{
    array::{Array, AsArray as _, RecordBatch},
    compute::cast,
    datatypes::{DataType, Float64Type, Int64Type},
};
use query::Engine;
use store::{DatasetName, Store};

use super::IMPORTED;
use crate::{
    Error,
    definition::Metric,
    history::{Minute, Observation},
    score::Kind,
};

/// One stored minute.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct StoredPoint<'a> {
    pub(crate) minute: Minute,
    pub(crate) slice: Option<&'a str>,
    pub(crate) definition: Option<&'a str>,
    pub(crate) actual: Option<f64>,
    pub(crate) numerator: Option<f64>,
    pub(crate) exposure: Option<f64>,
    pub(crate) events: Option<f64>,
    pub(crate) variance: Option<f64>,
    pub(crate) expected: Option<f64>,
    pub(crate) lower: Option<f64>,
    pub(crate) upper: Option<f64>,
    pub(crate) score: Option<f64>,
    pub(crate) revision: i64,
}

impl StoredPoint<'_> {
    /// What was seen in the minute; `None` for a minute without data.
    pub(crate) fn observation(&self, kind: Kind) -> Option<Observation> {
        match kind {
            Kind::Ratio => Some(Observation::ratio(self.numerator?, self.exposure?)),
            Kind::Count | Kind::Sum => {
                let value = self.actual?;
                let events = self.events.unwrap_or(value);
                let variance = self.variance.unwrap_or(value);
                Some(Observation { value, exposure: 0.0, events, variance })
            }
        }
    }
}

/// Stored points as they were read.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    batches: Vec<RecordBatch>,
    /// Fingerprint whose points are given out, beside imported ones; `None`: all.
    definition: Option<String>,
    /// First minute after those evaluated under this definition.
    pub(crate) evaluated_to: Option<Minute>,
    /// Highest revision of any point read.
    pub(crate) revision: u32,
}

impl Stored {
    /// Gives out the points of this definition and imported ones, in time order.
    pub(crate) fn for_each(&self, mut take: impl FnMut(StoredPoint<'_>)) {
        for batch in &self.batches {
            points(batch, |point| {
                let usable = match (&self.definition, point.definition) {
                    (None, _) => true,
                    (Some(own), Some(word)) => word == own || word == IMPORTED,
                    (Some(_), None) => false,
                };
                if usable {
                    take(point);
                }
            });
        }
    }
}

const NUMBERS: [&str; 9] =
    ["actual", "numerator", "exposure", "events", "variance", "expected", "lower", "upper", "score"];

/// Loads what is stored of a metric since a minute, and of its slices since a later one.
pub(crate) async fn load(
    engine: &Engine,
    store: &Store,
    metric: &Metric,
    since: Minute,
    slices_since: Minute,
) -> Result<Stored, Error> {
    let parts = [
        format!("time >= {}", time_literal(since)),
        format!("(slice IS NULL OR time >= {})", time_literal(slices_since)),
    ];
    let own = metric.fingerprint();
    let mut stored = read(engine, store, &metric.name, &parts).await?;
    let (mut revision, mut evaluated_to) = (0, None);
    stored.for_each(|point| {
        revision = revision.max(point.revision);
        if point.slice.is_none() && point.definition == Some(&own) {
            evaluated_to = evaluated_to.max(Some(point.minute + 1));
        }
    });
    stored.definition = Some(own);
    stored.evaluated_to = evaluated_to;
    stored.revision = u32::try_from(revision).unwrap_or(u32::MAX);
    Ok(stored)
}

/// The points of one series between two minutes, for charts.
pub(crate) async fn between(
    engine: &Engine,
    store: &Store,
    metric: &str,
    slice: Option<&str>,
    from: Minute,
    to: Minute,
) -> Result<Stored, Error> {
    let slice = slice.map_or_else(|| "slice IS NULL".to_owned(), |slice| format!("slice = {}", quoted(slice)));
    let parts = [format!("time >= {}", time_literal(from)), format!("time < {}", time_literal(to)), slice];
    read(engine, store, metric, &parts).await
}

async fn read(engine: &Engine, store: &Store, metric: &str, conditions: &[String]) -> Result<Stored, Error> {
    let Some(snapshot) = store.snapshot(&DatasetName::system("metric_points")) else { return Ok(Stored::default()) };
    // A column exists only once something was stored under its name.
    let column = |name: &str, sql_type: &str| {
        let known = snapshot.schema.column(name).is_some();
        if known { format!("CAST({name} AS {sql_type})") } else { format!("CAST(NULL AS {sql_type})") }
    };
    let slice = column("slice", "VARCHAR");
    let conditions: Vec<String> = conditions.iter().map(|condition| condition.replacen("slice", &slice, 1)).collect();
    let numbers = NUMBERS.map(|name| format!("{} AS {name}", column(name, "DOUBLE"))).join(", ");
    let sql = format!(
        "SELECT time, {slice} AS slice, {} AS definition, {} AS revision, {numbers} FROM system.metric_points \
         WHERE metric = {} AND {} ORDER BY time",
        column("definition", "VARCHAR"),
        column("revision", "BIGINT"),
        quoted(metric),
        conditions.join(" AND ")
    );
    let failed = |source| Error::LoadPoints { metric: metric.to_owned(), source: Box::new(source) };
    let batches = engine.rows(&sql, None).await.map_err(failed)?;
    Ok(Stored { batches, ..Stored::default() })
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

pub(crate) fn time_literal(minute: Minute) -> String {
    format!("TIMESTAMP '{}'", store::Timestamp::from_minutes(minute).to_rfc3339())
}

/// Gives out the rows of one batch; columns come in the order of the SELECT.
fn points(batch: &RecordBatch, mut take: impl FnMut(StoredPoint<'_>)) {
    let column = |index: usize, wanted: &DataType| cast(batch.column(index), wanted).ok();
    let microseconds = DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None);
    let (Some(times), Some(slices), Some(definitions), Some(revisions)) = (
        column(0, &microseconds).and_then(|times| cast(&times, &DataType::Int64).ok()),
        column(1, &DataType::Utf8),
        column(2, &DataType::Utf8),
        column(3, &DataType::Int64),
    ) else {
        return;
    };
    let numbers: Vec<Option<arrow::array::ArrayRef>> =
        (0..NUMBERS.len()).map(|i| column(4 + i, &DataType::Float64)).collect();
    let (times, revisions) = (times.as_primitive::<Int64Type>(), revisions.as_primitive::<Int64Type>());
    let (slices, definitions) = (slices.as_string::<i32>(), definitions.as_string::<i32>());
    let number = |index: usize, row: usize| {
        let array = numbers[index].as_ref()?.as_primitive::<Float64Type>();
        array.is_valid(row).then(|| array.value(row))
    };
    for row in 0..batch.num_rows() {
        take(StoredPoint {
            minute: times.value(row).div_euclid(60_000_000),
            slice: slices.is_valid(row).then(|| slices.value(row)),
            definition: definitions.is_valid(row).then(|| definitions.value(row)),
            actual: number(0, row),
            numerator: number(1, row),
            exposure: number(2, row),
            events: number(3, row),
            variance: number(4, row),
            expected: number(5, row),
            lower: number(6, row),
            upper: number(7, row),
            score: number(8, row),
            revision: revisions.value(row),
        });
    }
}
