//! Settings of the store, each with its unit and what it costs.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

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
        if self.folder.as_os_str().is_empty() {
            problems.push("store.folder is empty".to_owned());
        }
        problems
    }
}
