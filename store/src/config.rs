//! Settings of the store, each with its unit and what it costs.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::Aliases;

const MIB: u64 = 1024 * 1024;

/// Section `[store]` of the configuration file. Unknown keys are refused.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The data folder; created when absent, used by one process at a time.
    #[serde(skip)]
    pub folder: PathBuf,
    /// Show the folder and write nothing to it: queries are answered, events and changes refused with 503. Several such
    /// processes may share a folder, none of them with one that writes.
    pub read_only: bool,
    /// A dataset is written to Parquet once its unflushed events take this many bytes of memory.
    /// Higher: fewer, larger files; more memory.
    pub memtable_bytes_max: u64,
    /// A dataset is written to Parquet once it holds this many unflushed events (one row group).
    pub memtable_rows_max: u64,
    /// A dataset is written to Parquet this many seconds after its oldest unflushed event arrived.
    /// Higher: fewer files; a longer replay after a crash.
    pub flush_interval_s: u64,
    /// Unflushed events of all datasets together: beyond half of it the largest dataset is flushed early,
    /// beyond all of it appends are refused as busy.
    pub memory_bytes_max: u64,
    /// Requests waiting for the disk, in bytes of their events; more are refused as busy.
    pub queue_bytes_max: u64,
    /// Requests waiting for the disk; more are refused as busy.
    pub queue_requests_max: u64,
    /// Bytes of events that share one write and one fdatasync at most.
    pub group_bytes_max: u64,
    /// A WAL segment file is closed at this size; trimming frees whole segments.
    pub wal_segment_bytes_max: u64,
    /// The WAL as a whole: beyond it the datasets that hold it back are flushed, whatever their age.
    pub wal_bytes_max: u64,
    /// Event ids and idempotency keys are remembered for this many seconds ...
    pub dedup_window_s: u64,
    /// ... and up to this many ids (16 to 24 bytes of memory each), whichever is less.
    pub dedup_ids_max: u64,
    /// Idempotency keys remembered at most, oldest forgotten first.
    pub dedup_keys_max: u64,
    /// Datasets at most, ours (`system.*`) included.
    pub datasets_max: u64,
    /// A checkpoint of a Delta log is written every this many commits.
    pub checkpoint_commits: u64,
    /// Counts per minute (`system.ingest`) kept in memory, in days; older ones stay in their table.
    pub accounts_days: u64,
    /// How often files are looked at for merging and removal, in seconds; 0: never in the background.
    pub compact_interval_s: u64,
    /// Files of about one size and day that are merged at least, while the day still gets events.
    /// Lower: fewer files for queries; more rewriting.
    pub compact_files_min: u64,
    /// Files merged at once at most: bounds memory.
    pub compact_files_max: u64,
    /// Files of this size are left alone.
    pub compact_file_bytes_min: u64,
    /// Merging aims at files up to this size.
    pub compact_file_bytes_max: u64,
    /// A past day without new events for this many seconds is closed: what is small in it is merged, whatever its number.
    pub compact_closed_after_s: u64,
    /// Bytes of Parquet that merging writes per second at most: leaves the disk and the processor to events and queries.
    pub compact_bytes_per_s_max: u64,
    /// Typed columns of one file, those of experiments not counted; rarer keys are in its column `rest`. Takes effect with each file written.
    pub file_columns_max: u64,
    /// A column without a value in the last so many days moves to `rest` when an older file that has it is written anew.
    pub column_unused_days: u64,
    /// Files that are no longer live stay on disk for this many seconds, for other programs that read an older version.
    pub removed_files_s: u64,
    /// Days of events kept in the datasets of users, by `time`; 0: for ever. Dropped in whole days.
    pub retention_days: u64,
    /// Bytes of Parquet kept in each dataset of users; 0: no bound. The oldest days beyond it are dropped.
    pub retention_bytes: u64,
    /// The same for single datasets, ours (`system.*`) included: `[store.retention.shop]`, `[store.retention."system.alerts"]`.
    pub retention: BTreeMap<String, Retention>,
    /// Keys that name the same thing in different conventions: `[store.aliases]`.
    pub aliases: Aliases,
}

/// How long and how much of a dataset is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// Days, by `time`; 0: for ever.
    pub days: u64,
    /// Bytes of Parquet; 0: no bound.
    pub bytes: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            folder: PathBuf::from("yellowline-data"),
            read_only: false,
            memtable_bytes_max: 128 * MIB,
            memtable_rows_max: 131_072,
            flush_interval_s: 300,
            memory_bytes_max: 1024 * MIB,
            queue_bytes_max: 64 * MIB,
            queue_requests_max: 8192,
            group_bytes_max: 8 * MIB,
            wal_segment_bytes_max: 64 * MIB,
            wal_bytes_max: 1024 * MIB,
            dedup_window_s: 3600,
            dedup_ids_max: 20_000_000,
            dedup_keys_max: 1_000_000,
            datasets_max: 1000,
            checkpoint_commits: 100,
            accounts_days: 35,
            compact_interval_s: 10,
            compact_files_min: 8,
            compact_files_max: 32,
            compact_file_bytes_min: 128 * MIB,
            compact_file_bytes_max: 256 * MIB,
            compact_closed_after_s: 3600,
            compact_bytes_per_s_max: 32 * MIB,
            file_columns_max: 1000,
            column_unused_days: 30,
            removed_files_s: 3600,
            retention_days: 0,
            retention_bytes: 0,
            retention: BTreeMap::new(),
            aliases: Aliases::default(),
        }
    }
}

impl Config {
    /// Everything wrong with these settings, each line with its key; empty when all is well.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let positive = [
            ("memtable_bytes_max", self.memtable_bytes_max),
            ("memtable_rows_max", self.memtable_rows_max),
            ("flush_interval_s", self.flush_interval_s),
            ("memory_bytes_max", self.memory_bytes_max),
            ("queue_bytes_max", self.queue_bytes_max),
            ("queue_requests_max", self.queue_requests_max),
            ("group_bytes_max", self.group_bytes_max),
            ("wal_segment_bytes_max", self.wal_segment_bytes_max),
            ("datasets_max", self.datasets_max),
            ("checkpoint_commits", self.checkpoint_commits),
            ("accounts_days", self.accounts_days),
            ("compact_bytes_per_s_max", self.compact_bytes_per_s_max),
            ("column_unused_days", self.column_unused_days),
        ];
        let mut problems: Vec<String> = positive
            .iter()
            .filter(|(_, value)| *value == 0)
            .map(|(key, _)| format!("store.{key} must be at least 1"))
            .collect();
        if self.memtable_bytes_max > self.memory_bytes_max {
            problems.push("store.memtable_bytes_max is larger than store.memory_bytes_max".to_owned());
        }
        if self.wal_bytes_max < self.wal_segment_bytes_max {
            problems.push("store.wal_bytes_max is smaller than store.wal_segment_bytes_max".to_owned());
        }
        if self.dedup_ids_max > u64::from(u32::MAX) / 2 {
            problems.push("store.dedup_ids_max is larger than 2,147,483,647".to_owned());
        }
        for (key, value) in
            [("compact_files_min", self.compact_files_min), ("compact_files_max", self.compact_files_max)]
        {
            if value < 2 {
                problems.push(format!("store.{key} must be at least 2"));
            }
        }
        if self.compact_file_bytes_max / 2 < self.compact_file_bytes_min {
            problems
                .push("store.compact_file_bytes_max must be at least twice store.compact_file_bytes_min".to_owned());
        }
        for (name, rule) in &self.retention {
            if crate::DatasetName::from_stored(name).is_none() {
                problems.push(format!("store.retention.{name} names no dataset"));
            }
            if name == "system.metric_points" && (1..crate::retain::METRIC_POINTS_DAYS).contains(&rule.days) {
                problems
                    .push(format!("store.retention.{name}.days must be 0 or at least 400: forecasts need last year"));
            }
        }
        problems.extend(self.aliases.problems());
        if self.folder.as_os_str().is_empty() {
            problems.push("store.folder is empty".to_owned());
        }
        problems
    }
}
