//! Events -> WAL -> memtable -> Parquet with a Delta log, and consistent reads.
//!
//! Not here: HTTP, SQL, forecasts. `store` knows no other crate of ours.
#![allow(unused_variables, clippy::unimplemented, missing_docs)]

pub mod event;
pub mod schema;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use arrow::record_batch::RecordBatch;
use bytes::Bytes;
pub use event::{DatasetName, SeqNo, Timestamp};
pub use schema::{Class, Column, Kind, Schema, Variant};

/// The wall clock as a seam: tests and simulations pass their own.
pub trait Clock: Send + Sync + std::fmt::Debug {
    fn now(&self) -> Timestamp;
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("placeholder")]
    Placeholder,
}

#[derive(Debug, Clone, serde::Deserialize, serde::Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub folder: PathBuf,
}
impl Default for Config {
    fn default() -> Self {
        Self { folder: PathBuf::from("yellowline-data") }
    }
}

/// One event that could not be taken: its place in the request and why. `code` is a stable snake_case word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    pub index: u32,
    pub code: &'static str,
    pub message: String,
}

/// The accepted events of one request, decoded into typed cells. Opaque outside `store`.
#[derive(Debug)]
pub struct Decoded {/* rows, rejects, bytes of the accepted events */}
impl Decoded {
    pub fn len(&self) -> usize {
        unimplemented!()
    }
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    pub fn rejects(&self) -> &[Reject] {
        unimplemented!()
    }
}

/// What one `append` did, after it became durable and visible.
#[derive(Debug, Clone)]
pub struct Receipt {
    pub accepted: u32,
    pub duplicates: u32,
    /// Values of release dimensions never seen before in this dataset (see `FirstSight`).
    pub first_sights: Vec<FirstSight>,
}

/// First event that carries a service.version, rollout or experiment variant never seen before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstSight {
    pub dataset: DatasetName,
    /// `version`, `rollout` or `experiment`
    pub dimension: &'static str,
    pub environment: Option<String>,
    pub service: Option<String>,
    /// `service.version`, `rollout`, or the experiment's name
    pub target: String,
    pub value: String,
    pub time: Timestamp,
    /// True in the dataset's first hour and for imports: recorded as seen, no change line inferred.
    pub silent: bool,
}

#[derive(Debug, Clone, Default)]
pub struct AppendOptions {
    pub idempotency_key: Option<String>,
    /// History: exempt from the past-time limit; first sights are silent.
    pub import: bool,
}

#[derive(Debug, Clone)]
pub struct Store {
    _inner: Arc<()>,
}

impl Store {
    /// Opens or creates the data folder, recovers the WAL, and starts the background flush.
    pub async fn open(config: Config, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        unimplemented!()
    }
    /// Splits and decodes a request body (`events`: raw JSON objects, one slice each, already cut by ingest).
    /// Pure apart from learning key names; bad events become rejects.
    pub fn decode(
        &self,
        dataset: &DatasetName,
        events: &[&[u8]],
        received_at: Timestamp,
        options: &AppendOptions,
    ) -> Decoded {
        unimplemented!()
    }
    /// Returns after the events are fsynced in the WAL *and* visible to new snapshots.
    pub async fn append(
        &self,
        dataset: &DatasetName,
        decoded: Decoded,
        options: AppendOptions,
    ) -> Result<Receipt, Error> {
        unimplemented!()
    }
    /// `decode` + `append` for events made by ourselves (changes, alerts, metric points).
    pub async fn append_values(&self, dataset: &DatasetName, events: &[serde_json::Value]) -> Result<Receipt, Error> {
        unimplemented!()
    }
    /// A frozen, consistent view of one dataset. `None` if the dataset does not exist.
    pub fn snapshot(&self, dataset: &DatasetName) -> Option<Snapshot> {
        unimplemented!()
    }
    /// All datasets, `system.*` included, sorted by name.
    pub fn datasets(&self) -> Vec<DatasetSummary> {
        unimplemented!()
    }
    /// Every event of a (small, ours) dataset as it was sent, in seq order, each with its `time`.
    pub fn read_events(&self, dataset: &DatasetName) -> Result<Vec<serde_json::Value>, Error> {
        unimplemented!()
    }
    /// Rebuilds the JSON of one row of a batch in physical columns (from hot data or a file).
    pub fn event_json(&self, schema: &Schema, batch: &RecordBatch, row: usize) -> Result<serde_json::Value, Error> {
        unimplemented!()
    }
    /// Received, rejected by reason, duplicates and stored per dataset and minute.
    pub fn ingest_counts(&self) -> Vec<IngestCount> {
        unimplemented!()
    }
    /// Writes the memtables to Parquet now.
    pub async fn flush(&self) -> Result<(), Error> {
        unimplemented!()
    }
    /// Flushes, syncs and stops the background work.
    pub async fn close(&self) -> Result<(), Error> {
        unimplemented!()
    }
    /// Prometheus text lines of this stage (`yellowline_store_*`).
    pub fn metrics_text(&self) -> String {
        unimplemented!()
    }
}

#[derive(Debug, Clone)]
pub struct IngestCount {
    pub dataset: DatasetName,
    pub minute: Timestamp,
    pub received: u64,
    pub stored: u64,
    pub duplicates: u64,
    pub rejected: BTreeMap<String, u64>,
}

#[derive(Debug, Clone)]
pub struct DatasetSummary {
    pub name: DatasetName,
    pub events: u64,
    pub bytes_on_disk: u64,
    pub files: u64,
    pub columns: u64,
    pub first_event: Option<Timestamp>,
    pub last_event: Option<Timestamp>,
}

/// Each event exactly once: `hot` and `files` never overlap.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub dataset: DatasetName,
    pub schema: Arc<Schema>,
    /// Unflushed events, physical columns. Each batch has its own subset of the columns: an absent one is all NULL.
    pub hot: Vec<HotBatch>,
    /// Absolute folder of the dataset's Delta table.
    pub root: PathBuf,
    pub files: Vec<Arc<DataFile>>,
}

#[derive(Debug, Clone)]
pub struct HotBatch {
    pub batch: RecordBatch,
    pub time_min: Timestamp,
    pub time_max: Timestamp,
}

/// One live Parquet file of the Delta log.
#[derive(Debug, Clone)]
pub struct DataFile {
    /// Relative to `Snapshot::root`, not percent-encoded: `_day=2026-11-20/part-....parquet`
    pub path: String,
    pub bytes: u64,
    pub rows: u64,
    /// Days since 1970-01-01 UTC: the value of the partition column `_day`.
    pub day: i32,
    pub time_min: Timestamp,
    pub time_max: Timestamp,
}
