//! Retention: days that are over their age, or beyond a dataset's size, leave as whole files by one commit.
//!
//! `store.retention_days` and `store.retention_bytes` hold for the datasets of users; `[store.retention.<dataset>]` says otherwise for one.
//! Of our own only those named there are cut, and `metric_points` by default after 400 days. A day counts by `time` of its events. First-seen
//! state is in the log's metadata, not in files: it outlives them.
//!
//! Points of slices of metrics are kept for 35 days, those of their parents as long as the dataset: older files of `metric_points` are
//! written anew without them.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    Config, DataFile, DatasetName, Error, Kind, Timestamp,
    catalog::values_of,
    compact::{self, NotDone, removal},
    config::Retention,
    dataset::Dataset,
    delta::REMOVED_ROWS,
    metrics::Metrics,
    parquet::Input,
    shared::Shared,
};

/// The dataset whose points of slices go before those of parents.
const METRIC_POINTS: &str = "system.metric_points";
/// Points of parent metrics are kept at least this long (days).
pub(crate) const METRIC_POINTS_DAYS: u64 = 400;
/// Points of slices are kept this long (days).
const SLICE_POINTS_DAYS: i32 = 35;
/// The key that tells a slice's point from its parent's.
const SLICE: &str = "slice";

/// What holds for a dataset.
pub(crate) fn rule(config: &Config, dataset: &DatasetName) -> Retention {
    if let Some(rule) = config.retention.get(dataset.as_str()) {
        return *rule;
    }
    match dataset.as_str() {
        METRIC_POINTS => Retention { days: METRIC_POINTS_DAYS, bytes: 0 },
        _ if dataset.is_system() => Retention::default(),
        _ => Retention { days: config.retention_days, bytes: config.retention_bytes },
    }
}

/// The files of the days to drop, oldest day first. The newest day always stays. `unflushed`: bytes that are to come from memory.
fn expired(files: &[Arc<DataFile>], rule: Retention, now: Timestamp, unflushed: u64) -> Vec<Arc<DataFile>> {
    let mut days: BTreeMap<i32, Vec<&Arc<DataFile>>> = BTreeMap::new();
    for file in files {
        days.entry(file.day).or_default().push(file);
    }
    let mut bytes: u64 = files.iter().map(|file| file.bytes).sum::<u64>() + unflushed;
    let newest = days.keys().next_back().copied();
    let kept_days = i32::try_from(rule.days).unwrap_or(i32::MAX);
    let mut dropped = Vec::new();
    for (day, files) in days {
        let is_old = rule.days > 0 && day < now.day().saturating_sub(kept_days);
        let is_beyond = rule.bytes > 0 && bytes > rule.bytes && Some(day) != newest;
        if !is_old && !is_beyond {
            break;
        }
        bytes -= files.iter().map(|file| file.bytes).sum::<u64>();
        dropped.extend(files.into_iter().map(Arc::clone));
    }
    dropped
}

/// Bytes the events in memory will take as files, if they are like those before.
fn unflushed(files: &[Arc<DataFile>], rows: u64) -> u64 {
    let (bytes, all) = files.iter().fold((0_u64, 0_u64), |sum, file| (sum.0 + file.bytes, sum.1 + file.rows));
    u64::try_from(u128::from(bytes) * u128::from(rows) / u128::from(all.max(1))).unwrap_or(u64::MAX)
}

/// Drops what is over. [`Dataset::rewriting`] is to be held.
///
/// # Errors
/// Nothing was dropped.
pub(crate) fn apply(shared: &Shared, dataset: &Dataset) -> Result<(), Error> {
    let (now, files) = (shared.clock.now(), dataset.files());
    let unflushed = unflushed(&files, dataset.hot().rows);
    let dropped = expired(&files, rule(&shared.config, &dataset.name), now, unflushed);
    if dropped.is_empty() {
        return Ok(());
    }
    let count = dropped.iter().map(|file| file.rows).sum();
    let mut log = dataset.log.lock();
    let rows = log.count(REMOVED_ROWS, count, now);
    let actions = dropped.iter().map(|file| removal(file, now, true)).chain([rows]).collect();
    if let Err(error) = log.commit(actions, "DELETE", now) {
        dataset.note_stop(&log, &shared.metrics);
        return Err(Error::delta(&dataset.name, error));
    }
    dataset.replace(&dropped, Vec::new());
    tracing::info!(dataset = %dataset.name, files = dropped.len(), "dropped days beyond retention");
    note(shared, dropped.len() as u64, count);
    Ok(())
}

fn note(shared: &Shared, files: u64, events: u64) {
    let metrics = &shared.metrics;
    Metrics::add(&metrics.retention_files_total, files);
    Metrics::add(&metrics.retention_events_total, events);
    Metrics::set(&metrics.retention_last_timestamp_seconds, u64::try_from(shared.clock.now().seconds()).unwrap_or(0));
}

/// Takes points of slices that are over out of their files. [`Dataset::rewriting`] is to be held.
///
/// # Errors
/// The file at hand is as it was.
pub(crate) fn take_out_slices(shared: &Shared, dataset: &Dataset, go_on: &dyn Fn(u64) -> bool) -> Result<(), NotDone> {
    if dataset.name.as_str() != METRIC_POINTS {
        return Ok(());
    }
    let schema = dataset.catalog.schema();
    let Some(slice) = schema.column(SLICE).and_then(|column| column.variant(Kind::Text)) else { return Ok(()) };
    let number = dataset.catalog.physicals().iter().position(|physical| *physical.name == *slice.physical);
    let before = shared.clock.now().day().saturating_sub(SLICE_POINTS_DAYS);
    for file in dataset.files().into_iter().filter(|file| file.day < before) {
        let slices = {
            let log = dataset.log.lock();
            let tags = log.state().files.get(&file.path).and_then(|(_, add)| add.tags.as_ref());
            tags.zip(number).and_then(|(tags, number)| values_of(tags).nth(number)).unwrap_or(0)
        };
        if slices == 0 {
            continue;
        }
        let path = dataset.root().join(&file.path);
        let bad = |error: Error| NotDone::BadFile(file.path.clone(), error);
        let opened = shared.disk.open(&path).map_err(|source| bad(Error::read(&path, source)))?;
        let rows = Input::open(&file.path, opened, file.time_min.0)
            .and_then(|input| input.rows_with(SLICE, &slice.physical))
            .map_err(|source| bad(Error::read(&path, source)))?;
        let count = rows.len() as u64;
        compact::take_out(shared, dataset, file, rows, &[REMOVED_ROWS], go_on)?;
        tracing::info!(dataset = %dataset.name, events = count, "took out points of slices beyond retention");
        note(shared, 0, count);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(sizes: &[(i32, u64)]) -> Vec<Arc<DataFile>> {
        let file = |(day, bytes): &(i32, u64)| {
            Arc::new(DataFile {
                path: format!("{day}-{bytes}"),
                bytes: *bytes,
                rows: 1,
                day: *day,
                time_min: Timestamp(0),
                time_max: Timestamp(0),
                written_at: Timestamp(0),
                compacted: false,
            })
        };
        sizes.iter().map(file).collect()
    }

    fn check(sizes: &[(i32, u64)], days: u64, bytes: u64, dropped: &[&str]) {
        let now = Timestamp(100 * 86_400_000_000 + 5);
        let gone = expired(&files(sizes), Retention { days, bytes }, now, 0);
        assert_eq!(gone.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(), dropped);
    }

    #[test]
    fn whole_days_go_by_age_and_by_size_oldest_first() {
        let sizes = [(98, 30), (90, 10), (100, 50), (90, 11), (95, 20)];
        check(&sizes, 0, 0, &[]);
        check(&sizes, 10, 0, &[]);
        check(&sizes, 9, 0, &["90-10", "90-11"]);
        check(&sizes, 0, 100, &["90-10", "90-11"]);
        check(&sizes, 0, 99, &["90-10", "90-11", "95-20"]);
        check(&sizes, 0, 1, &["90-10", "90-11", "95-20", "98-30"]);
        check(&sizes, 3, 1_000, &["90-10", "90-11", "95-20"]);
    }

    #[test]
    fn events_in_memory_count_as_the_bytes_they_will_take() {
        let files = files(&[(98, 60), (99, 40)]);
        assert_eq!(unflushed(&files, 1), 50, "two rows have 100 bytes");
        assert_eq!(unflushed(&[], 1), 0);
        let rule = Retention { days: 0, bytes: 120 };
        assert!(expired(&files, rule, Timestamp(0), 20).is_empty());
        assert_eq!(expired(&files, rule, Timestamp(0), 21).len(), 1);
    }
}
