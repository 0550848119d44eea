//! Adds events up by minute, metric and slice value.

use std::{collections::HashMap, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch, StringViewArray},
    compute::cast,
    datatypes::{DataType, Float64Type, Int64Type},
};
use datafusion::common::Result;

use super::{
    MINUTE_US, MinutePoint, MinuteSeries, TimeRange,
    metric::{MetricColumns, Scan, TIME, WEIGHT},
};

/// Slice values one accumulator keeps before new ones are dropped: far above any useful slicing, it bounds memory when an id is
/// taken for a slice.
const SLICE_VALUES_MAX: usize = 20_000;

#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    count: f64,
    sum: f64,
    sum_squares: f64,
    denominator: f64,
    weight_squares: f64,
    rows: u64,
    /// Events of the denominator, to tell an empty minute.
    seen: u64,
}

impl Sums {
    fn add(&mut self, other: &Self) {
        self.count += other.count;
        self.sum += other.sum;
        self.sum_squares += other.sum_squares;
        self.denominator += other.denominator;
        self.weight_squares += other.weight_squares;
        self.rows += other.rows;
        self.seen += other.seen;
    }

    fn point(&self, minute: i64) -> Option<MinutePoint> {
        (self.rows > 0 || self.seen > 0).then_some(MinutePoint {
            minute,
            count: self.count,
            sum: self.sum,
            sum_squares: self.sum_squares,
            denominator: self.denominator,
            rows: self.rows,
            weight_squares: self.weight_squares,
        })
    }
}

/// Minutes of one slice value, by place in the range.
type Sparse = HashMap<u32, Sums>;

#[derive(Debug, Default)]
struct Totals {
    /// Dense, by place in the range; empty until the first event.
    minutes: Vec<Sums>,
    /// Per slice column: value -> minutes.
    slices: Vec<HashMap<String, Sparse>>,
}

/// Sums of all metrics of a scan.
#[derive(Debug)]
pub(super) struct Accumulator {
    scan: Arc<Scan>,
    first_minute: i64,
    minutes: usize,
    totals: Vec<Totals>,
}

impl Accumulator {
    pub(super) fn new(scan: Arc<Scan>, range: TimeRange) -> Self {
        let first_minute = range.from.minutes();
        let minutes = usize::try_from(range.to.minutes() - first_minute).unwrap_or_default();
        let totals = scan
            .metrics
            .iter()
            .map(|metric| Totals {
                minutes: Vec::new(),
                slices: metric.slices.iter().map(|_| HashMap::new()).collect(),
            })
            .collect();
        Self { scan, first_minute, minutes, totals }
    }

    /// The series of a dataset that does not exist.
    pub(super) fn nothing(metric: &str) -> MinuteSeries {
        MinuteSeries { metric: metric.to_owned(), slice: None, minutes: Vec::new() }
    }

    pub(super) fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let events = Events::new(batch, self.first_minute, self.minutes)?;
        let scan = Arc::clone(&self.scan);
        for (metric, totals) in scan.metrics.iter().zip(&mut self.totals) {
            totals.minutes.resize(self.minutes, Sums::default());
            let counted = Counted::new(batch, metric)?;
            for row in 0..batch.num_rows() {
                let Some(place) = events.places[row] else { continue };
                let Some(sums) = counted.sums(row, events.weights.value(row)) else { continue };
                totals.minutes[place as usize].add(&sums);
                for (slice, values) in totals.slices.iter_mut().zip(&counted.slices) {
                    if let Some(minutes) = values.is_valid(row).then(|| minutes_of(slice, values.value(row))).flatten()
                    {
                        minutes.entry(place).or_default().add(&sums);
                    }
                }
            }
        }
        Ok(())
    }

    pub(super) fn merge(&mut self, other: Self) {
        for (totals, others) in self.totals.iter_mut().zip(other.totals) {
            if totals.minutes.is_empty() {
                totals.minutes = others.minutes;
            } else {
                totals.minutes.iter_mut().zip(&others.minutes).for_each(|(sums, more)| sums.add(more));
            }
            for (slice, other_slice) in totals.slices.iter_mut().zip(others.slices) {
                for (value, minutes) in other_slice {
                    let mine = slice.entry(value).or_default();
                    minutes.into_iter().for_each(|(place, sums)| mine.entry(place).or_default().add(&sums));
                }
            }
        }
    }

    /// Totals first, then the slices' values, the most frequent first and at most `values_max` of a column.
    pub(super) fn series(self, values_max: usize) -> Vec<MinuteSeries> {
        let mut all = Vec::new();
        for (metric, totals) in self.scan.metrics.iter().zip(self.totals) {
            let minutes = totals.minutes.iter().zip(self.first_minute..);
            all.push(MinuteSeries {
                metric: metric.name.clone(),
                slice: None,
                minutes: minutes.filter_map(|(sums, minute)| sums.point(minute)).collect(),
            });
            for ((column, _), values) in metric.slices.iter().zip(totals.slices) {
                all.extend(slice_series(metric, column, values, values_max, self.first_minute));
            }
        }
        all
    }
}

fn slice_series(
    metric: &MetricColumns,
    column: &str,
    values: HashMap<String, Sparse>,
    values_max: usize,
    first_minute: i64,
) -> Vec<MinuteSeries> {
    let rows = |minutes: &Sparse| minutes.values().map(|sums| sums.rows.max(sums.seen)).sum::<u64>();
    let mut values: Vec<(u64, String, Sparse)> =
        values.into_iter().map(|(value, minutes)| (rows(&minutes), value, minutes)).collect();
    values.sort_by(|(a_rows, a, _), (b_rows, b, _)| b_rows.cmp(a_rows).then_with(|| a.cmp(b)));
    if values.len() > values_max {
        tracing::warn!(
            metric = metric.name,
            column,
            values = values.len(),
            values_max,
            "slice values beyond the limit are left out"
        );
        values.truncate(values_max);
    }
    let series = |(_, value, minutes): (u64, String, Sparse)| {
        let mut points: Vec<MinutePoint> =
            minutes.iter().filter_map(|(place, sums)| sums.point(first_minute + i64::from(*place))).collect();
        points.sort_by_key(|point| point.minute);
        MinuteSeries { metric: metric.name.clone(), slice: Some((column.to_owned(), value)), minutes: points }
    };
    values.into_iter().map(series).collect()
}

fn minutes_of<'s>(slice: &'s mut HashMap<String, Sparse>, value: &str) -> Option<&'s mut Sparse> {
    if !slice.contains_key(value) {
        if slice.len() >= SLICE_VALUES_MAX {
            return None;
        }
        slice.insert(value.to_owned(), Sparse::new());
    }
    slice.get_mut(value)
}

/// Minute and weight of each event of a batch.
struct Events {
    places: Vec<Option<u32>>,
    weights: Float64Array,
}

impl Events {
    fn new(batch: &RecordBatch, first_minute: i64, minutes: usize) -> Result<Self> {
        let times: &Int64Array = batch.column(TIME).as_primitive::<Int64Type>();
        let places = times
            .iter()
            .map(|time| {
                let place = u32::try_from(time?.div_euclid(MINUTE_US) - first_minute).ok()?;
                ((place as usize) < minutes).then_some(place)
            })
            .collect();
        let weights = cast(batch.column(WEIGHT), &DataType::Float64)?;
        Ok(Self { places, weights: weights.as_primitive::<Float64Type>().clone() })
    }
}

/// The columns of one metric.
struct Counted {
    numerator: Option<BooleanArray>,
    denominator: Option<Option<BooleanArray>>,
    value: Option<Float64Array>,
    slices: Vec<StringViewArray>,
}

impl Counted {
    fn new(batch: &RecordBatch, metric: &MetricColumns) -> Result<Self> {
        let condition = |at: usize| batch.column(at).as_boolean().clone();
        let text = |column: &ArrayRef| -> Result<StringViewArray> {
            Ok(cast(column, &DataType::Utf8View)?.as_string_view().clone())
        };
        Ok(Self {
            numerator: metric.numerator.map(condition),
            denominator: metric.denominator.map(|at| at.map(condition)),
            value: metric.value.map(|at| batch.column(at).as_primitive::<Float64Type>().clone()),
            slices: metric.slices.iter().map(|(_, at)| text(batch.column(*at))).collect::<Result<_>>()?,
        })
    }

    /// What one event adds; `None` if nothing.
    fn sums(&self, row: usize, weight: f64) -> Option<Sums> {
        let is = |condition: &Option<BooleanArray>| condition.as_ref().is_none_or(|values| values.value(row));
        let counts = is(&self.numerator);
        let is_seen = self.denominator.as_ref().is_some_and(is);
        if !counts && !is_seen {
            return None;
        }
        let mut sums = Sums::default();
        if is_seen {
            sums.denominator = weight;
            sums.seen = 1;
        }
        if counts {
            let value = self.value.as_ref().map_or(1.0, |values| values.value(row));
            sums.count = weight;
            sums.sum = value * weight;
            sums.sum_squares = value * value * weight;
            sums.weight_squares = weight * weight;
            sums.rows = 1;
        }
        Some(sums)
    }
}
