//! What readers get: frozen views, summaries, counts.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use arrow::record_batch::RecordBatch;

use crate::{Aliases, DatasetName, Schema, Timestamp};

/// A frozen view of one dataset with each event exactly once: `hot` and `files` never overlap.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Which dataset.
    pub dataset: DatasetName,
    /// All columns known; those of `hot` and `files` are subsets.
    pub schema: Arc<Schema>,
    /// Keys of its events that stand for one thing under several names.
    pub aliases: Arc<Aliases>,
    /// Unflushed events, physical columns. Each batch has its own subset of the columns: an absent one is all NULL.
    pub hot: Vec<HotBatch>,
    /// Absolute folder of the dataset's Delta table.
    pub root: PathBuf,
    /// Flushed events, oldest commit first.
    pub files: Vec<Arc<DataFile>>,
}

/// Some unflushed events.
#[derive(Debug, Clone)]
pub struct HotBatch {
    /// Physical columns.
    pub batch: RecordBatch,
    /// The earliest `time` in it.
    pub time_min: Timestamp,
    /// The latest `time` in it.
    pub time_max: Timestamp,
}

/// One live Parquet file of the Delta log. While anybody holds it, the file stays on disk, also when it is no longer live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataFile {
    /// Relative to `Snapshot::root`, not percent-encoded: `_day=2026-11-20/part-....parquet`
    pub path: String,
    /// Size of the file.
    pub bytes: u64,
    /// Events in it.
    pub rows: u64,
    /// Days since 1970-01-01 UTC: the value of the partition column `_day`.
    pub day: i32,
    /// The earliest `time` in it.
    pub time_min: Timestamp,
    /// The latest `time` in it.
    pub time_max: Timestamp,
    /// When it was written.
    pub written_at: Timestamp,
    /// True for a file that compaction made of others; false for one of a flush.
    pub compacted: bool,
}

/// Counts of one dataset and minute of receipt: `received = stored + duplicates + Σ rejected`, in events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IngestCount {
    /// Which dataset.
    pub dataset: DatasetName,
    /// Start of the minute.
    pub minute: Timestamp,
    /// Events that arrived in requests that were decoded.
    pub received: u64,
    /// Events stored: durable and queryable.
    pub stored: u64,
    /// Events seen before.
    pub duplicates: u64,
    /// Events refused, by reason.
    pub rejected: BTreeMap<String, u64>,
    /// Requests refused before they were decoded, by reason; exact between restarts.
    pub refused: BTreeMap<String, u64>,
}

/// A dataset in figures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatasetSummary {
    /// Its name.
    pub name: DatasetName,
    /// Events stored, unflushed ones included.
    pub events: u64,
    /// Size of its Parquet files.
    pub bytes_on_disk: u64,
    /// Number of its Parquet files.
    pub files: u64,
    /// Number of its columns, system columns left out.
    pub columns: u64,
    /// The earliest `time`.
    pub first_event: Option<Timestamp>,
    /// The latest `time`.
    pub last_event: Option<Timestamp>,
}
