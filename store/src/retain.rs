//! Retention: days that are over their age, or beyond a dataset's size, leave as whole files by one commit.
//!
//! `store.retention_days` and `store.retention_bytes` hold for the datasets of users; `[store.retention.<dataset>]` says otherwise for one.
//! Of our own only those named there are cut, and `metric_points` by default after 400 days. A day counts by `time` of its events. First-seen
//! state is in the log's metadata, not in files: it outlives them.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    Config, DataFile, DatasetName, Error, Timestamp, compact::removal, config::Retention, dataset::Dataset,
    delta::REMOVED_ROWS, shared::Shared,
};

/// Points of parent metrics are kept at least this long (days).
pub(crate) const METRIC_POINTS_DAYS: u64 = 400;

/// What holds for a dataset.
pub(crate) fn rule(config: &Config, dataset: &DatasetName) -> Retention {
    if let Some(rule) = config.retention.get(dataset.as_str()) {
        return *rule;
    }
    match dataset.as_str() {
        "system.metric_points" => Retention { days: METRIC_POINTS_DAYS, bytes: 0 },
        _ if dataset.is_system() => Retention::default(),
        _ => Retention { days: config.retention_days, bytes: config.retention_bytes },
    }
}

/// The files of the days to drop, oldest day first. The newest day always stays.
fn expired(files: &[Arc<DataFile>], rule: Retention, now: Timestamp) -> Vec<Arc<DataFile>> {
    let mut days: BTreeMap<i32, Vec<&Arc<DataFile>>> = BTreeMap::new();
    for file in files {
        days.entry(file.day).or_default().push(file);
    }
    let mut bytes: u64 = files.iter().map(|file| file.bytes).sum();
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

/// Drops what is over; how many files.
///
/// # Errors
/// Nothing was dropped.
pub(crate) fn apply(shared: &Shared, dataset: &Dataset) -> Result<usize, Error> {
    let now = shared.clock.now();
    let dropped = expired(&dataset.files(), rule(&shared.config, &dataset.name), now);
    if dropped.is_empty() {
        return Ok(0);
    }
    let mut log = dataset.log.lock();
    let rows = log.count(REMOVED_ROWS, dropped.iter().map(|file| file.rows).sum(), now);
    let actions = dropped.iter().map(|file| removal(file, now, true)).chain([rows]).collect();
    if let Err(error) = log.commit(actions, "DELETE", now) {
        dataset.note_stop(&log, &shared.metrics);
        return Err(Error::delta(&dataset.name, error));
    }
    dataset.replace(&dropped, Vec::new());
    tracing::info!(dataset = %dataset.name, files = dropped.len(), "dropped days beyond retention");
    Ok(dropped.len())
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
        let gone = expired(&files(sizes), Retention { days, bytes }, now);
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
}
