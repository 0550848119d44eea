//! The scan behind a minute of many series: events in a real store, counted by the query the alerter asks.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use alerter::history::Minute;
use anyhow::{Context as _, Result};
use query::{Engine, Measure, MetricQuery, MinuteSeries, TimeRange};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};
use store::{Clock, DatasetName, Store, Timestamp};

/// Metrics; each has its total and the values of each column as series.
const METRICS: usize = 10;

/// Columns that metrics are sliced by.
const COLUMNS: [&str; 5] = ["country", "city", "campaign", "device", "route"];

/// Events of the minute, for each value of a column.
const EVENTS_PER_VALUE: usize = 25;

/// Minutes stored before and after the one that is counted.
const BESIDE: i64 = 1;

/// Events of one append.
const APPEND: usize = 5_000;

/// Times a scan is repeated; the median counts.
const RUNS: usize = 5;

/// Metric, and column with value of a slice.
type Key = (String, Option<(String, String)>);

/// One minute, counted.
#[derive(Debug)]
pub(crate) struct Scanned {
    /// Events of the minute.
    pub(crate) events: usize,
    /// Series with at least one event.
    pub(crate) series: Vec<(Key, f64)>,
    /// Wall time of the scan; it uses as many threads as the engine has.
    pub(crate) time: Duration,
}

#[derive(Debug)]
struct Stopped(Timestamp);

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        self.0
    }
}

/// Stores a few minutes of events and counts one of them, for about `series` series.
pub(crate) fn measure(series: usize, minute: Minute, seed: u64) -> Result<Scanned> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let values = series / METRICS / COLUMNS.len();
    runtime.block_on(async {
        let folder = tempfile::tempdir().context("could not make a data folder")?;
        let clock = Arc::new(Stopped(Timestamp::from_minutes(minute + BESIDE + 1)));
        let config = store::Config { folder: folder.path().to_path_buf(), ..store::Config::default() };
        let store = Store::open(config, clock.clone()).await?;
        let dataset = DatasetName::from_user("shop").context("a dataset name")?;
        let mut random = StdRng::seed_from_u64(seed);
        let events = values * EVENTS_PER_VALUE;
        for at in minute - BESIDE..=minute + BESIDE {
            for begin in (0..events).step_by(APPEND) {
                let count = APPEND.min(events - begin);
                let batch: Vec<Value> = (0..count).map(|_| event(at, values, &mut random)).collect();
                store.append_values(&dataset, &batch).await?;
            }
        }
        let config = query::Config { slice_values_max: values, ..query::Config::default() };
        let engine = Engine::new(config, store.clone(), clock)?;
        let metrics: Vec<MetricQuery> = (0..METRICS).map(|number| metric(&dataset, number)).collect();
        let range = TimeRange { from: Timestamp::from_minutes(minute), to: Timestamp::from_minutes(minute + 1) };
        let mut times = Vec::new();
        let mut counted = HashMap::new();
        for _ in 0..RUNS {
            let began = Instant::now();
            counted = by_series(engine.minute_counts(&metrics, range).await?);
            times.push(began.elapsed());
        }
        times.sort();
        store.close().await?;
        Ok(Scanned { events, series: counted.into_iter().collect(), time: times[RUNS / 2] })
    })
}

fn event(minute: Minute, values: usize, random: &mut StdRng) -> Value {
    let second = random.random_range(0..60_000_000);
    let mut event = json!({
        "time": Timestamp(minute * 60_000_000 + second).to_rfc3339(),
        "status": if random.random_bool(0.02) { 500 } else { 200 },
        "step": random.random_range(0..METRICS),
        "ms": random.random_range(5..900),
    });
    for column in COLUMNS {
        event[column] = json!(format!("{column}-{}", random.random_range(0..values)));
    }
    event
}

fn metric(dataset: &DatasetName, number: usize) -> MetricQuery {
    MetricQuery {
        name: format!("metric_{number}"),
        dataset: dataset.clone(),
        environment: None,
        measure: Measure::Count,
        filter: Some(format!("status = 200 AND step <> {number}")),
        slices: COLUMNS.iter().map(|column| (*column).to_owned()).collect(),
    }
}

fn by_series(counted: Vec<MinuteSeries>) -> HashMap<Key, f64> {
    counted
        .into_iter()
        .map(|one| ((one.metric, one.slice), one.minutes.iter().map(|point| point.count).sum()))
        .collect()
}
