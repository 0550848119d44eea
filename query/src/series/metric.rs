//! Metrics -> the one SELECT that computes everything they need of an event.

use store::Timestamp;

use super::{Measure, MetricQuery, TimeRange};
use crate::{
    error::{Error, quoted},
    parse::parse_expression,
};

/// Which columns of the scan a metric reads.
#[derive(Debug, Clone)]
pub(super) struct MetricColumns {
    pub(super) name: String,
    /// Condition of the numerator; `None`: every event.
    pub(super) numerator: Option<usize>,
    /// Condition of the denominator, if the metric has one; the inner `None`: every event.
    pub(super) denominator: Option<Option<usize>>,
    pub(super) value: Option<usize>,
    /// Slice columns by name.
    pub(super) slices: Vec<(String, usize)>,
}

/// The SELECT and where its columns go.
#[derive(Debug, Clone)]
pub(super) struct Scan {
    pub(super) sql: String,
    pub(super) metrics: Vec<MetricColumns>,
}

/// Columns before those of the metrics: the time and the weight.
pub(super) const TIME: usize = 0;
pub(super) const WEIGHT: usize = 1;

impl Scan {
    pub(super) fn new(metrics: &[MetricQuery], range: TimeRange) -> Result<Self, Error> {
        let mut columns = Columns(vec![
            "CAST(time AS BIGINT)".to_owned(),
            "greatest(coalesce(\"sample_rate#num\", 1), 1)".to_owned(),
        ]);
        let mut kept = Vec::new();
        let mut parts = Vec::with_capacity(metrics.len());
        for metric in metrics {
            check_syntax(metric)?;
            kept.push(any_condition(metric));
            parts.push(columns_of(metric, &mut columns));
        }
        let mut conditions = vec![format!("time >= {}", literal(range.from)), format!("time < {}", literal(range.to))];
        // Rows no metric counts need not leave the scan; with many metrics the test costs more than it saves.
        if let [Some(only)] = kept.as_slice() {
            conditions.push(format!("({only})"));
        }
        let list: Vec<String> = columns.0.iter().enumerate().map(|(at, sql)| format!("{sql} AS c{at}")).collect();
        let sql = format!("SELECT {} FROM events WHERE {}", list.join(", "), conditions.join(" AND "));
        Ok(Self { sql, metrics: parts })
    }
}

/// SQL expressions of the SELECT, each once.
struct Columns(Vec<String>);

impl Columns {
    fn put(&mut self, sql: String) -> usize {
        match self.0.iter().position(|known| *known == sql) {
            Some(at) => at,
            None => {
                self.0.push(sql);
                self.0.len() - 1
            }
        }
    }
}

fn columns_of(metric: &MetricQuery, columns: &mut Columns) -> MetricColumns {
    let mut condition = |sql: Option<String>| sql.map(|sql| columns.put(format!("({sql}) IS TRUE")));
    let numerator = condition(numerator(metric));
    let denominator = has_denominator(metric).then(|| condition(denominator(metric)));
    let value = match &metric.measure {
        Measure::Sum { value } => Some(columns.put(format!("CAST(({value}) AS DOUBLE)"))),
        Measure::Count | Measure::Ratio { .. } | Measure::Latency { .. } => None,
    };
    let slices = metric.slices.iter().map(|name| (name.clone(), columns.put(slice(name)))).collect();
    MetricColumns { name: metric.name.clone(), numerator, denominator, value, slices }
}

/// A slice's value as text, whatever its type.
fn slice(name: &str) -> String {
    format!("CAST({} AS VARCHAR)", quoted(name))
}

pub(super) fn in_environment(metric: &MetricQuery) -> Option<String> {
    metric.environment.as_ref().map(|name| format!("environment = '{}'", name.replace('\'', "''")))
}

fn all_of(conditions: Vec<Option<String>>) -> Option<String> {
    let conditions: Vec<String> = conditions.into_iter().flatten().map(|sql| format!("({sql})")).collect();
    (!conditions.is_empty()).then(|| conditions.join(" AND "))
}

pub(super) fn numerator(metric: &MetricQuery) -> Option<String> {
    let over = match &metric.measure {
        Measure::Latency { value, threshold_ms } => Some(format!("({value}) > {}", number(*threshold_ms))),
        // A failed request that never was an attempt does not count: the numerator lies within the denominator.
        Measure::Ratio { denominator } => Some(denominator.clone()),
        Measure::Sum { value } => Some(format!("({value}) IS NOT NULL")),
        Measure::Count => None,
    };
    all_of(vec![in_environment(metric), metric.filter.clone(), over])
}

pub(super) fn denominator(metric: &MetricQuery) -> Option<String> {
    match &metric.measure {
        Measure::Ratio { denominator } => all_of(vec![in_environment(metric), Some(denominator.clone())]),
        Measure::Latency { value, .. } => {
            all_of(vec![in_environment(metric), metric.filter.clone(), Some(format!("({value}) IS NOT NULL"))])
        }
        Measure::Count | Measure::Sum { .. } => None,
    }
}

pub(super) fn has_denominator(metric: &MetricQuery) -> bool {
    matches!(metric.measure, Measure::Ratio { .. } | Measure::Latency { .. })
}

/// What an event must fulfil to count anywhere in the metric; the numerator lies within the denominator.
fn any_condition(metric: &MetricQuery) -> Option<String> {
    if has_denominator(metric) { denominator(metric) } else { numerator(metric) }
}

/// A DOUBLE literal that SQL does not read as a decimal.
fn number(value: f64) -> String {
    format!("CAST('{value}' AS DOUBLE)")
}

pub(super) fn literal(at: Timestamp) -> String {
    format!("TIMESTAMP '{}'", at.to_rfc3339())
}

/// Every part of a metric that is SQL, by its name in the file.
fn parts(metric: &MetricQuery) -> Vec<(&'static str, String)> {
    let mut parts: Vec<(&'static str, String)> =
        metric.filter.iter().map(|filter| ("filter", filter.clone())).collect();
    match &metric.measure {
        Measure::Sum { value } | Measure::Latency { value, .. } => parts.push(("value", value.clone())),
        Measure::Ratio { denominator } => parts.push(("denominator", denominator.clone())),
        Measure::Count => {}
    }
    parts
}

/// Each part must be one expression: `1) OR (1 = 1` is none.
pub(super) fn check_syntax(metric: &MetricQuery) -> Result<(), Error> {
    for (part, text) in parts(metric) {
        parse_expression(&text).map_err(|source| wrong(metric, part, &text, source))?;
    }
    Ok(())
}

/// A SELECT per part that plans if the part is right: conditions must be true or false, values numbers.
pub(super) fn checks(metric: &MetricQuery) -> Vec<(&'static str, String, String)> {
    let mut checks: Vec<(&'static str, String, String)> = parts(metric)
        .into_iter()
        .map(|(part, text)| {
            let sql = match part {
                "value" => format!("SELECT CAST(({text}) AS DOUBLE) FROM events LIMIT 0"),
                _ => format!("SELECT 1 FROM events WHERE ({text}) LIMIT 0"),
            };
            (part, text, sql)
        })
        .collect();
    checks.extend(
        metric.slices.iter().map(|name| ("slice", name.clone(), format!("SELECT {} FROM events LIMIT 0", slice(name)))),
    );
    checks
}

pub(super) fn wrong(metric: &MetricQuery, part: &'static str, text: &str, source: Error) -> Error {
    Error::Metric { metric: metric.name.clone(), part, text: text.to_owned(), source: Box::new(source) }
}
