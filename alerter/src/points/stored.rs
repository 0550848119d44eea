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
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StoredPoint {
    pub(crate) minute: Minute,
    pub(crate) slice: Option<String>,
    pub(crate) definition: Option<String>,
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

impl StoredPoint {
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

/// Everything stored of one metric.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    /// Points of this definition and imported ones, in time order.
    pub(crate) points: Vec<StoredPoint>,
    /// First minute after those evaluated under this definition.
    pub(crate) evaluated_to: Option<Minute>,
    /// Highest revision of any point of the metric.
    pub(crate) revision: u32,
}

const NUMBERS: [&str; 9] =
    ["actual", "numerator", "exposure", "events", "variance", "expected", "lower", "upper", "score"];

/// Loads what is stored of a metric since a minute.
pub(crate) async fn load(engine: &Engine, store: &Store, metric: &Metric, since: Minute) -> Result<Loaded, Error> {
    let points = read(engine, store, &metric.name, None, since, None).await?;
    let own = metric.fingerprint();
    let revision = points.iter().map(|point| point.revision).max().unwrap_or(0);
    let usable = |point: &StoredPoint| matches!(point.definition.as_deref(), Some(word) if word == own || word == IMPORTED);
    let points: Vec<StoredPoint> = points.into_iter().filter(usable).collect();
    let evaluated = points.iter().filter(|point| point.slice.is_none() && point.definition.as_deref() == Some(&own));
    Ok(Loaded {
        evaluated_to: evaluated.map(|point| point.minute + 1).max(),
        revision: u32::try_from(revision).unwrap_or(u32::MAX),
        points,
    })
}

/// The points of one series between two minutes, for charts.
pub(crate) async fn between(
    engine: &Engine,
    store: &Store,
    metric: &str,
    slice: Option<&str>,
    from: Minute,
    to: Minute,
) -> Result<Vec<StoredPoint>, Error> {
    read(engine, store, metric, Some(slice), from, Some(to)).await
}

async fn read(
    engine: &Engine,
    store: &Store,
    metric: &str,
    slice: Option<Option<&str>>,
    from: Minute,
    to: Option<Minute>,
) -> Result<Vec<StoredPoint>, Error> {
    let Some(snapshot) = store.snapshot(&DatasetName::system("metric_points")) else { return Ok(Vec::new()) };
    // A column exists only once something was stored under its name.
    let has = |name: &str| snapshot.schema.column(name).is_some();
    let number = |name: &&str| {
        if has(name) { format!("CAST({name} AS DOUBLE) AS {name}") } else { format!("CAST(NULL AS DOUBLE) AS {name}") }
    };
    let slice_column = if has("slice") { "slice" } else { "CAST(NULL AS VARCHAR) AS slice" };
    let mut conditions = vec![format!("metric = {}", quoted(metric)), format!("time >= {}", time_literal(from))];
    conditions.extend(to.map(|to| format!("time < {}", time_literal(to))));
    match slice {
        Some(Some(slice)) if has("slice") => conditions.push(format!("slice = {}", quoted(slice))),
        Some(Some(_)) => return Ok(Vec::new()),
        Some(None) if has("slice") => conditions.push("slice IS NULL".to_owned()),
        _ => {}
    }
    let sql = format!(
        "SELECT time, {slice_column}, definition, CAST(revision AS BIGINT) AS revision, {} FROM system.metric_points WHERE {} ORDER BY time",
        NUMBERS.iter().map(number).collect::<Vec<_>>().join(", "),
        conditions.join(" AND ")
    );
    let failed = |source| Error::LoadPoints { metric: metric.to_owned(), source };
    let batches = engine.rows(&sql, None).await.map_err(failed)?;
    Ok(batches.iter().flat_map(points).collect())
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn time_literal(minute: Minute) -> String {
    format!("TIMESTAMP '{}'", store::Timestamp::from_minutes(minute).to_rfc3339())
}

/// The rows of one batch; columns come in the order of the SELECT.
fn points(batch: &RecordBatch) -> Vec<StoredPoint> {
    let column = |index: usize, wanted: &DataType| cast(batch.column(index), wanted).ok();
    let microseconds = DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None);
    let (Some(times), Some(slices), Some(definitions), Some(revisions)) = (
        column(0, &microseconds).and_then(|times| cast(&times, &DataType::Int64).ok()),
        column(1, &DataType::Utf8),
        column(2, &DataType::Utf8),
        column(3, &DataType::Int64),
    ) else {
        return Vec::new();
    };
    let numbers: Vec<Option<arrow::array::ArrayRef>> =
        (0..NUMBERS.len()).map(|i| column(4 + i, &DataType::Float64)).collect();
    let (times, revisions) = (times.as_primitive::<Int64Type>(), revisions.as_primitive::<Int64Type>());
    let (slices, definitions) = (slices.as_string::<i32>(), definitions.as_string::<i32>());
    let text = |array: &arrow::array::StringArray, row: usize| array.is_valid(row).then(|| array.value(row).to_owned());
    let number = |index: usize, row: usize| {
        let array = numbers[index].as_ref()?.as_primitive::<Float64Type>();
        array.is_valid(row).then(|| array.value(row))
    };
    (0..batch.num_rows())
        .map(|row| StoredPoint {
            minute: times.value(row).div_euclid(60_000_000),
            slice: text(slices, row),
            definition: text(definitions, row),
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
        })
        .collect()
}
