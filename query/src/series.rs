//! Minute series of metrics: the alerter's seam.
//!
//! One scan of a dataset serves all its metrics. The scan computes each metric's condition and value once per event; the kernel here adds
//! them up by minute and by slice value, in dense arrays for the totals. GROUPING SETS would repeat every aggregate for every set
//! (ten times slower, see the query design's measurements).

mod accumulate;
mod exposed;
mod metric;

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::{
    execution::TaskContext,
    physical_plan::execute_stream_partitioned,
    sql::sqlparser::ast::{Query, SetExpr},
};
use futures::StreamExt;
use store::{DatasetName, Timestamp};

pub use self::exposed::{BEFORE_MINUTES, EXPOSURES_MAX, ExposedSums, Exposure, GroupSums};
use self::{accumulate::Accumulator, metric::Scan};
use crate::{
    catalog::Catalog,
    engine::{Engine, Inner},
    error::Error,
    names::Unknown,
    parse::{Command, parse},
};

const MINUTE_US: i64 = 60_000_000;
/// Minutes one call may span: two years.
const MINUTES_MAX: i64 = 2 * 366 * 1_440;

/// What a metric counts.
#[derive(Debug, Clone, PartialEq)]
pub enum Measure {
    /// Events that match the filter.
    Count,
    /// The sum of an SQL expression over them.
    Sum {
        /// The expression.
        value: String,
    },
    /// Events that match the filter, among those that match the denominator.
    Ratio {
        /// The condition of the denominator.
        denominator: String,
    },
    /// Events whose value is above a threshold, among those that have one.
    Latency {
        /// The measured expression, in milliseconds.
        value: String,
        /// The threshold, in milliseconds.
        threshold_ms: f64,
    },
}

/// A metric as the query stage needs it.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricQuery {
    /// Its name, given back with its series.
    pub name: String,
    /// The dataset counted.
    pub dataset: DatasetName,
    /// Only events of this environment; `None` for all.
    pub environment: Option<String>,
    /// What is counted.
    pub measure: Measure,
    /// An SQL condition over the event; `None` for all events.
    pub filter: Option<String>,
    /// Columns to split by, one at a time.
    pub slices: Vec<String>,
}

/// Whole minutes, `to` exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeRange {
    /// The first instant.
    pub from: Timestamp,
    /// The first instant after it.
    pub to: Timestamp,
}

/// The minutes of one metric, in total or of one slice value.
#[derive(Debug, Clone, PartialEq)]
pub struct MinuteSeries {
    /// The metric's name.
    pub metric: String,
    /// Column and value, as text; `None` for the total.
    pub slice: Option<(String, String)>,
    /// In order; only minutes with at least one event in the numerator or the denominator.
    pub minutes: Vec<MinutePoint>,
}

/// One minute.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MinutePoint {
    /// Minutes since the epoch.
    pub minute: i64,
    /// Events of the numerator, weighted by `sample_rate`.
    pub count: f64,
    /// Weighted sum of the value; equal to `count` where there is none.
    pub sum: f64,
    /// Weighted sum of the squared value; equal to `count` where there is none.
    pub sum_squares: f64,
    /// Weighted events of the denominator; 0 for counts and sums.
    pub denominator: f64,
    /// Events of the numerator as stored, unweighted.
    pub rows: u64,
    /// Sum of squared weights of the numerator: the variance of a sampled count.
    pub weight_squares: f64,
}

impl Engine {
    /// Counts metrics by minute: one scan per dataset, hot data and the files of the range only.
    ///
    /// A key no event has had yet is NULL here; a dataset that does not exist has no minutes.
    ///
    /// # Errors
    /// [`Error::Metric`] for a condition or value that is no SQL; `sql_invalid` when the types do not fit.
    pub async fn minute_counts(&self, metrics: &[MetricQuery], range: TimeRange) -> Result<Vec<MinuteSeries>, Error> {
        check_range(range)?;
        let mut datasets: Vec<&DatasetName> = metrics.iter().map(|metric| &metric.dataset).collect();
        datasets.sort();
        datasets.dedup();
        let mut all = Vec::new();
        for dataset in datasets {
            let of_dataset: Vec<MetricQuery> =
                metrics.iter().filter(|metric| metric.dataset == *dataset).cloned().collect();
            let inner = Arc::clone(&self.inner);
            let dataset = dataset.clone();
            all.extend(self.on_threads(async move { count(&inner, &dataset, of_dataset, range).await }).await?);
        }
        Ok(all)
    }

    /// Events of any kind per minute: tells the silence of a source from a true zero. Only minutes with events.
    ///
    /// # Errors
    /// When data cannot be read.
    pub async fn minute_presence(
        &self,
        dataset: &DatasetName,
        environment: Option<&str>,
        range: TimeRange,
    ) -> Result<Vec<(i64, u64)>, Error> {
        let presence = MetricQuery {
            name: String::new(),
            dataset: dataset.clone(),
            environment: environment.map(ToOwned::to_owned),
            measure: Measure::Count,
            filter: None,
            slices: Vec::new(),
        };
        let series = self.minute_counts(&[presence], range).await?;
        Ok(series.into_iter().flat_map(|one| one.minutes).map(|point| (point.minute, point.rows)).collect())
    }

    /// Plans a metric's conditions and values against the columns known now.
    ///
    /// # Errors
    /// [`Error::Metric`] with the part that does not work; its code is `unknown_column` for a key no event has had yet, which may
    /// be right for a new metric.
    pub async fn check_metric(&self, metric: &MetricQuery) -> Result<(), Error> {
        metric::check_syntax(metric)?;
        let inner = Arc::clone(&self.inner);
        let metric = metric.clone();
        self.on_threads(async move {
            for (part, text, sql) in metric::checks(&metric) {
                let planned = plan(&inner, &metric.dataset, &sql, Unknown::Refused).await;
                planned.map_err(|source| metric::wrong(&metric, part, &text, source))?;
            }
            Ok(())
        })
        .await
    }
}

fn check_range(range: TimeRange) -> Result<(), Error> {
    let minutes = (range.to.0 - range.from.0).div_euclid(MINUTE_US);
    let whole = range.from.0.rem_euclid(MINUTE_US) == 0 && range.to.0.rem_euclid(MINUTE_US) == 0;
    if whole && (0..=MINUTES_MAX).contains(&minutes) {
        return Ok(());
    }
    Err(Error::Request { message: format!("a range is whole minutes, at most {MINUTES_MAX}, not {minutes}") })
}

/// Plans one SELECT of our own; `None` if the dataset does not exist.
async fn plan(
    inner: &Inner,
    dataset: &DatasetName,
    sql: &str,
    unknown: Unknown,
) -> Result<Option<(crate::session::Statements, Arc<dyn datafusion::physical_plan::ExecutionPlan>)>, Error> {
    let catalog = Catalog::new(inner, Some(dataset.as_str()));
    if catalog.dataset(dataset).is_none() {
        return Ok(None);
    }
    let mut command = parse(sql)?;
    if let (Command::Query(query), Some((schema, table))) = (&mut command, dataset.as_str().split_once('.')) {
        from_table(query, schema, table);
    }
    let mut statements = inner.session.at(inner.clock.now());
    let plan = statements.plan(command, &catalog, unknown, None).await?;
    let physical = statements.physical(&plan).await?;
    Ok(Some((statements, physical)))
}

/// Our own datasets have no `events`: the table is the dataset.
fn from_table(query: &mut Query, schema: &str, table: &str) {
    use datafusion::sql::sqlparser::ast::{Ident, ObjectName, TableFactor};
    if let SetExpr::Select(select) = query.body.as_mut() {
        for item in &mut select.from {
            if let TableFactor::Table { name, .. } = &mut item.relation {
                *name = ObjectName::from(vec![Ident::new(schema), Ident::new(table)]);
            }
        }
    }
}

async fn count(
    inner: &Inner,
    dataset: &DatasetName,
    metrics: Vec<MetricQuery>,
    range: TimeRange,
) -> Result<Vec<MinuteSeries>, Error> {
    let scan = Arc::new(Scan::new(&metrics, range)?);
    let made = Arc::clone(&scan);
    let parts = fold(inner, dataset, &scan.sql, move || Accumulator::new(Arc::clone(&made), range), Accumulator::add);
    let Some(parts) = parts.await? else {
        return Ok(metrics.iter().map(|metric| Accumulator::nothing(&metric.name)).collect());
    };
    let mut total = Accumulator::new(scan, range);
    parts.into_iter().for_each(|part| total.merge(part));
    Ok(total.series(inner.config.slice_values_max))
}

/// Runs a SELECT of our own over a dataset and folds the rows of each partition; `None` if the dataset does not exist.
async fn fold<T: Send + 'static>(
    inner: &Inner,
    dataset: &DatasetName,
    sql: &str,
    new: impl Fn() -> T,
    add: fn(&mut T, &RecordBatch) -> datafusion::common::Result<()>,
) -> Result<Option<Vec<T>>, Error> {
    let Some((statements, plan)) = plan(inner, dataset, sql, Unknown::Null).await? else { return Ok(None) };
    let context = Arc::new(TaskContext::from(statements.state()));
    let streams =
        execute_stream_partitioned(plan, context).map_err(|error| statements.error("starting to count", error))?;
    let mut tasks = tokio::task::JoinSet::new();
    for mut stream in streams {
        let mut part = new();
        tasks.spawn(async move {
            while let Some(batch) = stream.next().await {
                add(&mut part, &batch?)?;
            }
            Ok::<_, datafusion::common::DataFusionError>(part)
        });
    }
    let mut parts = Vec::new();
    while let Some(done) = tasks.join_next().await {
        let part = done.map_err(|error| datafusion::common::DataFusionError::External(Box::new(error))).flatten();
        parts.push(part.map_err(|error| statements.error("counting", error))?);
    }
    Ok(Some(parts))
}
