//! Which files to merge next: pure.
//!
//! A day that still gets events is merged by tiers of size, each four times the one before: only when a tier has
//! `store.compact_files_min` files, or enough for a file of full size. So a byte is rewritten about once per tier it climbs (log of the
//! size, not of the number of flushes), and files of `store.compact_file_bytes_min` or more are left alone.
//!
//! A day is closed when it is over and got no new file for `store.compact_closed_after_s`. Then what is small is merged whatever its
//! number: the day ends as one file if it fits into `store.compact_file_bytes_max`, else as few. Late events that come after that wait
//! until they are an eighth of what would have to be rewritten with them, or a day has passed.

use std::{collections::BTreeMap, sync::Arc};

use crate::{Config, DataFile, Timestamp};

const US_PER_S: i64 = 1_000_000;
const S_PER_DAY: i64 = 86_400;
/// Files below this size are of the lowest tier.
const LOWEST_TIER_BYTES: u64 = 16 << 10;
/// Late files are merged with a large one when they are this part of it, ...
const LATE_SHARE: u64 = 8;
/// ... or when none came for this long.
const LATE_PATIENCE_S: i64 = S_PER_DAY;

/// Bounds of the choice.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Policy {
    pub(crate) files_min: usize,
    pub(crate) files_max: usize,
    pub(crate) file_bytes_min: u64,
    pub(crate) file_bytes_max: u64,
    pub(crate) closed_after_s: i64,
}

impl Policy {
    pub(crate) fn of(config: &Config) -> Self {
        let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        Self {
            files_min: count(config.compact_files_min),
            files_max: count(config.compact_files_max),
            file_bytes_min: config.compact_file_bytes_min,
            file_bytes_max: config.compact_file_bytes_max,
            closed_after_s: i64::try_from(config.compact_closed_after_s).unwrap_or(i64::MAX),
        }
    }
}

/// Files of one day to merge, in order of their commits.
pub(crate) type Job = Vec<Arc<DataFile>>;

/// The job that frees queries of most files; `None` when there is nothing worth doing.
pub(crate) fn pick(files: &[Arc<DataFile>], now: Timestamp, policy: &Policy) -> Option<Job> {
    jobs(files, now, policy).max_by_key(|job| (job.len(), job[0].day))
}

/// How many files there are too many, by the same rules.
pub(crate) fn backlog(files: &[Arc<DataFile>], now: Timestamp, policy: &Policy) -> usize {
    jobs(files, now, policy).map(|job| job.len() - 1).sum()
}

fn jobs(files: &[Arc<DataFile>], now: Timestamp, policy: &Policy) -> impl Iterator<Item = Job> {
    let mut days: BTreeMap<i32, Vec<&Arc<DataFile>>> = BTreeMap::new();
    for file in files {
        days.entry(file.day).or_default().push(file);
    }
    days.into_iter().filter_map(move |(day, files)| {
        let chosen = if is_closed(day, &files, now, policy) {
            of_closed_day(&files, now, policy)
        } else {
            of_open_day(&files, policy)
        };
        let job: Job = files.into_iter().filter(|file| chosen.contains(&file.path.as_str())).map(Arc::clone).collect();
        (job.len() > 1).then_some(job)
    })
}

fn is_closed(day: i32, files: &[&Arc<DataFile>], now: Timestamp, policy: &Policy) -> bool {
    let end_s = (i64::from(day) + 1).saturating_mul(S_PER_DAY);
    now.seconds() >= end_s.saturating_add(policy.closed_after_s) && quiet_s(files, now) >= policy.closed_after_s
}

/// Seconds since events last reached these files.
fn quiet_s(files: &[&Arc<DataFile>], now: Timestamp) -> i64 {
    let newest = files.iter().filter(|file| !file.compacted).map(|file| file.written_at.0).max();
    newest.map_or(i64::MAX, |newest| now.0.saturating_sub(newest) / US_PER_S)
}

fn of_closed_day<'a>(files: &[&'a Arc<DataFile>], now: Timestamp, policy: &Policy) -> Vec<&'a str> {
    let total: u64 = files.iter().map(|file| file.bytes).sum();
    let mut small: Vec<&Arc<DataFile>> = files.to_vec();
    if total > policy.file_bytes_max {
        small.retain(|file| file.bytes < policy.file_bytes_min);
    }
    small.sort_by_key(|file| file.bytes);
    if let Some((large, others)) = small.split_last()
        && large.compacted
        && large.bytes >= policy.file_bytes_min / 2
        && others.iter().map(|file| file.bytes).sum::<u64>().saturating_mul(LATE_SHARE) < large.bytes
        && quiet_s(files, now) < LATE_PATIENCE_S
    {
        small.pop();
        return of_open_day(&small, policy);
    }
    fitting(small.into_iter(), policy)
}

fn of_open_day<'a>(files: &[&'a Arc<DataFile>], policy: &Policy) -> Vec<&'a str> {
    let mut tiers: BTreeMap<u32, Vec<&Arc<DataFile>>> = BTreeMap::new();
    for file in files.iter().filter(|file| file.bytes < policy.file_bytes_min) {
        tiers.entry((file.bytes / LOWEST_TIER_BYTES + 1).ilog2() / 2).or_default().push(file);
    }
    let fills_a_file =
        |files: &[&Arc<DataFile>]| files.iter().map(|file| file.bytes).sum::<u64>() >= policy.file_bytes_max / 16 * 15;
    let due = tiers.into_values().find(|files| files.len() >= policy.files_min || fills_a_file(files));
    due.map(|files| fitting(files.into_iter(), policy)).unwrap_or_default()
}

/// The first of these that fit into one file.
fn fitting<'a>(files: impl Iterator<Item = &'a Arc<DataFile>>, policy: &Policy) -> Vec<&'a str> {
    let mut bytes = 0_u64;
    let fits = |file: &&Arc<DataFile>| {
        bytes = bytes.saturating_add(file.bytes);
        bytes <= policy.file_bytes_max
    };
    files.take(policy.files_max).take_while(fits).map(|file| file.path.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const DAY: i32 = 20_777;
    const NOON: i64 = (DAY as i64 * S_PER_DAY + S_PER_DAY / 2) * US_PER_S;
    const HOUR: i64 = 3_600 * US_PER_S;

    fn policy() -> Policy {
        Policy::of(&Config::default())
    }

    fn file(number: usize, mib: u64, compacted: bool) -> Arc<DataFile> {
        Arc::new(DataFile {
            path: format!("_day=2026-11-20/part-{number:04}.parquet"),
            bytes: mib * MIB,
            rows: 1,
            day: DAY,
            time_min: Timestamp(NOON),
            time_max: Timestamp(NOON),
            written_at: Timestamp(NOON),
            compacted,
        })
    }

    fn files(sizes: &[u64]) -> Vec<Arc<DataFile>> {
        sizes.iter().enumerate().map(|(number, mib)| file(number, *mib, false)).collect()
    }

    fn sizes(job: Option<Job>) -> Vec<u64> {
        job.into_iter().flatten().map(|file| file.bytes / MIB).collect()
    }

    #[test]
    fn a_day_that_still_gets_events_is_merged_by_tiers() {
        let now = Timestamp(NOON + HOUR);
        let check = |given: &[u64], expected: &[u64]| assert_eq!(sizes(pick(&files(given), now, &policy())), expected);
        check(&[1; 7], &[]);
        check(&[1; 8], &[1; 8]);
        check(&[1, 60, 1, 1, 1, 1, 1, 1, 1], &[1; 8]);
        check(&[40; 5], &[]);
        check(&[40; 7], &[40; 6]);
        check(&[30; 12], &[30; 8]);
        check(&[200; 20], &[]);
    }

    #[test]
    fn a_closed_day_ends_as_few_files() {
        let now = Timestamp(NOON + 13 * HOUR);
        let check = |given: &[u64], expected: &[u64]| assert_eq!(sizes(pick(&files(given), now, &policy())), expected);
        check(&[1, 60, 3], &[1, 60, 3]);
        check(&[200], &[]);
        check(&[200, 3], &[200, 3]);
        check(&[200, 100, 100, 3], &[100, 100, 3]);
        check(&[200, 200, 3], &[]);
        let fresh = Timestamp(NOON + 13 * HOUR - 1);
        assert_eq!(sizes(pick(&files(&[1, 60, 3]), fresh, &policy())), [] as [u64; 0], "late events may come");
    }

    #[test]
    fn late_events_do_not_rewrite_a_large_file_each_time() {
        let mut all = vec![file(0, 200, true), file(1, 3, false)];
        let days = |days: i64| Timestamp(NOON + days * 24 * HOUR);
        assert_eq!(sizes(pick(&all, Timestamp(NOON + 13 * HOUR), &policy())), [] as [u64; 0]);
        assert_eq!(sizes(pick(&all, days(1), &policy())), [200, 3]);
        all.push(file(2, 30, false));
        assert_eq!(sizes(pick(&all, Timestamp(NOON + 13 * HOUR), &policy())), [200, 3, 30]);
    }

    /// Flushes of one size until the day is over, merged as they come: bytes written per byte flushed.
    fn amplification(mib: u64, flushes: usize) -> f64 {
        let (mut all, mut number, mut merged) = (Vec::new(), 0, 0);
        let mut work = |all: &mut Vec<Arc<DataFile>>, now: i64| {
            while let Some(job) = pick(all, Timestamp(now), &policy()) {
                let bytes: u64 = job.iter().map(|file| file.bytes).sum();
                all.retain(|file| !job.contains(file));
                number += 1;
                all.push(file(10_000 + number, bytes / MIB, true));
                merged += bytes;
            }
        };
        for flush in 0..flushes {
            all.push(file(flush, mib, false));
            work(&mut all, NOON);
        }
        work(&mut all, NOON + 13 * HOUR);
        let total = mib * MIB * flushes as u64;
        assert!(all.iter().all(|file| file.bytes <= 256 * MIB));
        assert!(all.len() as u64 <= total.div_ceil(128 * MIB), "{} files for {} MiB", all.len(), total / MIB);
        #[expect(clippy::cast_precision_loss, reason = "a ratio")]
        return merged as f64 / total as f64;
    }

    #[test]
    fn each_byte_is_rewritten_a_few_times_only() {
        for (mib, flushes, at_most) in [(1, 200, 3.0), (1, 2_000, 3.5), (28, 100, 1.6), (1, 10, 2.0)] {
            let times = amplification(mib, flushes);
            assert!(times <= at_most, "flushes of {mib} MiB are rewritten {times} times");
        }
    }
}
