//! Events -> WAL -> memtable -> Parquet with a Delta log, and consistent reads.
//!
//! Not here: HTTP, SQL, forecasts. `store` knows no other crate of ours.
//!
//! # What is promised
//! - **Durable.** [`Store::append`] returns after the events are in the WAL and synced. A crash of the process or the machine
//!   at any moment loses none of them and doubles none. (A lost or lying disk does lose them: copy the folder elsewhere.)
//! - **Visible at once.** Every snapshot taken after `append` returned has the events, also the first one after a restart.
//! - **Once.** An event id, or an `Idempotency-Key`, that was seen within the window is not stored again, across restarts.
//! - **Accounted.** received = stored + duplicates + rejected, per dataset and minute, across crashes.
//! - **Bounded.** Queue, memory, WAL, windows and datasets have limits (see [`Config`]); at a limit there is [`Error::Busy`].
//!
//! # How
//! One writer thread takes all waiting requests, decides in order what is a duplicate, numbers the rest and writes them with
//! one fdatasync (`writer`, `wal`). An applier thread inserts them into memtables and lets the requesters go (`applier`).
//! A flusher thread turns memtables into Parquet files and commits them to Delta logs (`flush`, `delta`), and removes WAL
//! segments that hold nothing else any more. Opening a folder replays what is not in files (`recovery`).
//! All writing goes through [`disk::Disk`].

mod accounts;
mod aliases;
mod applier;
#[cfg(test)]
mod as_sent;
pub mod backup;
pub(crate) mod catalog;
mod compact;
mod config;
mod dataset;
pub(crate) mod decode;
mod dedup;
mod delta;
pub mod disk;
mod erase;
mod error;
pub mod event;
mod flush;
mod intake;
mod maintenance;
pub(crate) mod memtable;
mod metrics;
pub(crate) mod parquet;
pub mod priority;
mod quarantine;
mod queue;
mod read;
pub(crate) mod reassemble;
mod recovery;
pub mod rest;
mod retain;
pub mod schema;
mod shared;
pub(crate) mod sight;
mod snapshot;
mod threads;
mod upkeep;
pub mod verify;
mod wal;
mod writer;

use std::{sync::Arc, time::Duration};

pub use aliases::Aliases;
use arrow::record_batch::RecordBatch;
pub use config::{Config, Retention};
pub use erase::{Deletion, DeletionRequest, RowMatcher};
pub use error::{DeltaError, Error};
pub use event::{DatasetName, SeqNo, Timestamp};
pub use intake::{AppendOptions, Decoded, FirstSight, Receipt, Reject};
pub use schema::{Class, Column, Kind, Schema, Variant};
pub use snapshot::{DataFile, DatasetSummary, HotBatch, IngestCount, Snapshot};
pub use upkeep::{FileSummary, Upkeep};

use crate::{
    disk::{Disk, RealDisk},
    quarantine::Quarantined,
    shared::Shared,
    threads::Threads,
};

/// The wall clock as a seam: tests and simulations pass their own.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Microseconds since 1970-01-01 UTC.
    fn now(&self) -> Timestamp;

    /// Time since some fixed moment, by a clock that nobody sets; only differences count. Unless it is overridden it follows
    /// `now`, which is right for clocks that never jump.
    fn elapsed(&self) -> Duration {
        Duration::from_micros(u64::try_from(self.now().0).unwrap_or(0))
    }
}

/// Handle of an open data folder; clones share it. When the last one is dropped without [`Store::close`], the threads end
/// as after a crash: everything acknowledged is in the WAL, nothing is flushed.
#[derive(Debug, Clone)]
pub struct Store {
    shared: Arc<Shared>,
    threads: Arc<Threads>,
    recovered_sights: Arc<[FirstSight]>,
}

impl Store {
    /// Opens or creates the data folder, recovers the WAL, and starts the background flush.
    ///
    /// # Errors
    /// When the folder cannot be used, is in use, was written by a newer version, or is damaged beyond what the WAL mends.
    pub async fn open(config: Config, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        Self::open_on(config, clock, Arc::new(RealDisk)).await
    }

    /// [`Store::open`] on another disk, for simulations.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub async fn open_on(config: Config, clock: Arc<dyn Clock>, disk: Arc<dyn Disk>) -> Result<Self, Error> {
        let opening = tokio::task::spawn_blocking(move || recovery::open(&config, &clock, &disk));
        let opened = opening.await.map_err(|_| Error::Thread { thread: "recovery" })??;
        let recovery::Opened { shared, start, sights, quarantined } = opened;
        if shared.config.read_only {
            // No thread, nothing to write: appends are refused, flushing is done.
            return Ok(Self { threads: Arc::new(Threads::none(&shared)), shared, recovered_sights: Arc::default() });
        }
        let threads = Arc::new(Threads::start(&shared, start)?);
        let store = Self { shared, threads, recovered_sights: sights.into() };
        store.report_quarantined(&quarantined).await?;
        Ok(store)
    }

    /// Splits and decodes a request body (`events`: raw JSON objects, one slice each, already cut by ingest).
    /// Pure apart from learning key names; bad events become rejects.
    #[must_use]
    pub fn decode(
        &self,
        dataset: &DatasetName,
        events: &[&[u8]],
        received_at: Timestamp,
        options: &AppendOptions,
    ) -> Decoded {
        intake::decode(&self.shared, dataset, events, received_at, options)
    }

    /// Returns after the events are fsynced in the WAL *and* visible to new snapshots.
    ///
    /// Not cancel safe in one direction: dropped while waiting, the events are stored all the same.
    ///
    /// # Errors
    /// `Busy` (nothing stored, try again), `WriteWal` (nothing acknowledged, try again), `IdempotencyKeyReused`, `Closed`.
    pub async fn append(
        &self,
        dataset: &DatasetName,
        decoded: Decoded,
        options: AppendOptions,
    ) -> Result<Receipt, Error> {
        intake::append(&self.shared, dataset, decoded, options).await
    }

    /// `decode` + `append` for events made by ourselves (changes, alerts, metric points): all of them or none.
    ///
    /// # Errors
    /// As [`Store::append`], and `OwnEventRefused`.
    pub async fn append_values(&self, dataset: &DatasetName, events: &[serde_json::Value]) -> Result<Receipt, Error> {
        let texts: Vec<String> = events.iter().map(ToString::to_string).collect();
        let slices: Vec<&[u8]> = texts.iter().map(String::as_bytes).collect();
        let options = AppendOptions::default();
        let decoded = self.decode(dataset, &slices, self.shared.clock.now(), &options);
        if let Some(reject) = decoded.rejects().first() {
            return Err(Error::OwnEventRefused { dataset: dataset.clone(), message: reject.message.clone() });
        }
        self.append(dataset, decoded, options).await
    }

    /// Counts a request that was refused before its events were decoded (too large, too many, no key).
    pub fn count_refused(&self, dataset: &DatasetName, code: &'static str) {
        self.shared.accounts.refuse(dataset, code, self.shared.clock.now());
    }

    /// New versions, rollouts and variants found while replaying the WAL at open: a crash may have kept whoever records them
    /// from doing so. Recording one twice must be harmless.
    #[must_use]
    pub fn recovered_first_sights(&self) -> &[FirstSight] {
        &self.recovered_sights
    }

    /// A frozen, consistent view of one dataset. `None` if the dataset does not exist.
    #[must_use]
    pub fn snapshot(&self, dataset: &DatasetName) -> Option<Snapshot> {
        self.shared.dataset(dataset)?.snapshot()
    }

    /// All datasets, `system.*` included, sorted by name.
    #[must_use]
    pub fn datasets(&self) -> Vec<DatasetSummary> {
        self.shared.all_datasets().iter().filter_map(|dataset| dataset.summary()).collect()
    }

    /// All live data files, by dataset, oldest commit first.
    #[must_use]
    pub fn files(&self) -> Vec<FileSummary> {
        upkeep::files(&self.shared)
    }

    /// How the files of all datasets fare, sorted by name.
    #[must_use]
    pub fn upkeep(&self) -> Vec<Upkeep> {
        upkeep::all(&self.shared)
    }

    /// Every event of a (small, ours) dataset as it was sent, in seq order, each with its `time`.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn read_events(&self, dataset: &DatasetName) -> Result<Vec<serde_json::Value>, Error> {
        self.snapshot(dataset).map_or(Ok(Vec::new()), |snapshot| read::events(&*self.shared.disk, &snapshot))
    }

    /// The exact JSON text of the event with this `seq` and `event_id` in a file of the snapshot; `None` if it is not in it.
    ///
    /// Costs what the file's columns cost, however many the dataset has.
    ///
    /// # Errors
    /// When the file cannot be read, or a stored JSON text cannot be parsed.
    pub fn event_text_in(
        &self,
        snapshot: &Snapshot,
        file: &DataFile,
        seq: i64,
        id: &str,
    ) -> Result<Option<String>, Error> {
        read::event(&*self.shared.disk, snapshot, file, (seq, id))
    }

    /// Rebuilds the JSON of one row of a batch in physical columns (from hot data or a file).
    ///
    /// # Errors
    /// When a stored JSON text cannot be parsed.
    pub fn event_json(&self, schema: &Schema, batch: &RecordBatch, row: usize) -> Result<serde_json::Value, Error> {
        reassemble::event_json(schema, batch, row).map_err(Error::reassemble)
    }

    /// The exact JSON text of one row: numbers beyond a double and lone surrogates, too.
    ///
    /// # Errors
    /// When a stored JSON text cannot be parsed.
    pub fn event_text(&self, schema: &Schema, batch: &RecordBatch, row: usize) -> Result<String, Error> {
        reassemble::event_text(schema, batch, row).map_err(Error::reassemble)
    }

    /// Received, rejected by reason, duplicates and stored per dataset and minute.
    #[must_use]
    pub fn ingest_counts(&self) -> Vec<IngestCount> {
        self.shared.accounts.all()
    }

    /// Writes everything acknowledged so far to Parquet, and the counts to their table.
    ///
    /// # Errors
    /// What could not be written stays in memory and in the WAL, and is tried again.
    pub async fn flush(&self) -> Result<(), Error> {
        if self.is_read_only() {
            return Ok(());
        }
        let answer = self.shared.flush.ask();
        let waiting = tokio::task::spawn_blocking(move || answer.recv());
        waiting.await.ok().and_then(Result::ok).unwrap_or(Err(Error::Closed))
    }

    /// Makes a request to delete rows durable; [`Store::carry_out_deletion`] does it.
    ///
    /// # Errors
    /// `ReadOnly`; when it cannot be written.
    pub fn request_deletion(&self, dataset: &DatasetName, request: DeletionRequest<'_>) -> Result<Deletion, Error> {
        erase::request(&self.shared, dataset, request)
    }

    /// The requests to delete that are not forgotten, oldest first, each with how far it is.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn deletions(&self) -> Result<Vec<Deletion>, Error> {
        erase::pending(&self.shared)
    }

    /// Carries a request out as far as it goes now: the rows of events acknowledged before leave every file. Until
    /// [`Deletion::is_done`] it is to be called again, also after a restart. One is carried out at a time.
    ///
    /// # Errors
    /// `NoDeletion`, `ReadOnly`; else what was done stays done: try again.
    pub async fn carry_out_deletion(
        &self,
        deletion: Deletion,
        matcher: Arc<dyn RowMatcher>,
    ) -> Result<Deletion, Error> {
        let shared = Arc::clone(&self.shared);
        let working = tokio::task::spawn_blocking(move || erase::carry_out(&shared, deletion, &*matcher));
        working.await.unwrap_or(Err(Error::Thread { thread: "deletion" }))
    }

    /// True while this deletion is being carried out.
    #[must_use]
    pub fn is_deleting(&self, id: &str) -> bool {
        self.shared.erasing.is_current(id)
    }

    /// Forgets a request that is done or no longer wanted; false, and nothing happens, while it is being carried out.
    ///
    /// # Errors
    /// When its file cannot be removed.
    pub fn forget_deletion(&self, id: &str) -> Result<bool, Error> {
        erase::forget(&self.shared, id)
    }

    /// Merges files until none are worth merging, removes those nobody needs any more, and writes due checkpoints: what the
    /// background does by and by, at once and without sparing the machine.
    ///
    /// # Errors
    /// What failed stays as it was and is tried again in the background.
    pub async fn compact(&self) -> Result<(), Error> {
        if self.is_read_only() {
            return Ok(());
        }
        let answer = self.shared.maintenance.ask_for_everything();
        let waiting = tokio::task::spawn_blocking(move || answer.recv());
        waiting.await.ok().and_then(Result::ok).unwrap_or(Err(Error::Closed))
    }

    /// Refuses new events, flushes, syncs and stops the background work.
    ///
    /// # Errors
    /// When not everything could be flushed; it is in the WAL then, and the store is closed all the same.
    pub async fn close(&self) -> Result<(), Error> {
        self.shared.refuse_appends();
        let flushed = self.flush().await;
        let threads = Arc::clone(&self.threads);
        let stopped = tokio::task::spawn_blocking(move || threads.stop()).await;
        flushed.and(stopped.map_err(|_| Error::Thread { thread: "closing" }))
    }

    /// Whether the store works as it should: false after [`Store::close`], when a thread of the store has died, and when a
    /// panic damaged unflushed events in memory. A restart mends the last two: it replays the WAL, and sets aside (see
    /// `system.quarantine`) the events over which inserting panics. True does not mean that a disk takes events.
    #[must_use]
    pub fn is_running(&self) -> bool {
        let torn = self.shared.all_datasets().iter().any(|dataset| dataset.is_torn());
        (self.is_read_only() || self.threads.all_run()) && !torn
    }

    /// Whether the folder was opened for reading only.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.shared.config.read_only
    }

    /// Copies everything acknowledged so far to a new folder, while this node goes on (module [`backup`]). Blocks.
    ///
    /// # Errors
    /// `NotEmpty`; `Interrupted` when `on_progress` breaks; when files cannot be read or written. The target is marked as
    /// incomplete then.
    pub fn backup(
        &self,
        target: &std::path::Path,
        on_progress: backup::OnProgress<'_>,
    ) -> Result<backup::Summary, Error> {
        backup::of_running(&self.shared, target, on_progress)
    }

    /// Prometheus text lines of this stage (`yellowline_store_*`).
    #[must_use]
    pub fn metrics_text(&self) -> String {
        self.shared.show_health();
        self.shared.metrics.text()
    }

    /// Puts events of the WAL that were set aside where SQL finds them.
    async fn report_quarantined(&self, quarantined: &[Quarantined]) -> Result<(), Error> {
        let others = quarantined.iter().filter(|event| event.dataset != quarantine::dataset());
        let events: Vec<serde_json::Value> = others.map(|event| event.event(&self.shared.incarnation)).collect();
        if events.is_empty() { Ok(()) } else { self.append_values(&quarantine::dataset(), &events).await.map(drop) }
    }
}
