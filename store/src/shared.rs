//! What the threads of a store and its handle share.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use hashbrown::HashMap;
use parking_lot::{Mutex, RwLock};

use crate::{
    Clock, Config, DatasetName, Error, Timestamp,
    accounts::{Accounts, AccountsTable},
    dataset::{Dataset, Hot},
    dedup::IdHasher,
    disk::{Disk, DiskLock, HoldingDisk},
    erase::Erasing,
    flush::FlushSignal,
    maintenance::MaintenanceSignal,
    metrics::Metrics,
    queue::{Queue, Refused},
    wal::WalIndex,
    writer::Work,
};

/// Folder of the write-ahead log.
const WAL_FOLDER: &str = "wal";
/// The WAL may grow to this many times `store.wal_bytes_max` while flushing fails; then appends are refused.
const WAL_OVERRUN: u64 = 4;
/// A clock that goes back by more than this was set, it did not just drift.
const CLOCK_STEP_S: i64 = 60;

/// The store behind its handle.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) clock: Arc<dyn Clock>,
    /// The disk of the folder; `removals` is the same, for holding them.
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) removals: Arc<HoldingDisk>,
    /// The disk as it was given, for writing elsewhere.
    pub(crate) outside: Arc<dyn Disk>,
    pub(crate) incarnation: Arc<str>,
    pub(crate) incarnation_bytes: [u8; 16],
    pub(crate) datasets: RwLock<HashMap<DatasetName, Arc<Dataset>>>,
    pub(crate) queue: Queue<Work>,
    pub(crate) wal: WalIndex,
    pub(crate) accounts: Accounts,
    /// The table of counts; only flushing takes it.
    pub(crate) accounts_table: Mutex<AccountsTable>,
    pub(crate) ids: IdHasher,
    pub(crate) flush: FlushSignal,
    pub(crate) maintenance: MaintenanceSignal,
    pub(crate) erasing: Erasing,
    pub(crate) metrics: Metrics,
    /// Bytes of unflushed events of each dataset, and of all.
    memory: Mutex<HashMap<DatasetName, u64>>,
    memory_bytes: AtomicU64,
    /// Replayed records are not known to be durable yet: see [`crate::writer::Tail`].
    pub(crate) tail_is_pending: AtomicBool,
    closing: AtomicBool,
    /// Freed, with everything else, when the last thread is gone.
    _lock: Box<dyn DiskLock>,
}

/// What [`Shared::new`] needs beyond the empty parts.
#[derive(Debug)]
pub(crate) struct SharedParts {
    pub(crate) config: Config,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) removals: Arc<HoldingDisk>,
    pub(crate) outside: Arc<dyn Disk>,
    pub(crate) incarnation: uuid::Uuid,
    pub(crate) accounts: Accounts,
    pub(crate) accounts_table: AccountsTable,
    pub(crate) lock: Box<dyn DiskLock>,
}

impl Shared {
    pub(crate) fn new(parts: SharedParts, datasets: Vec<Dataset>) -> Self {
        let SharedParts { config, clock, disk, removals, outside, incarnation, accounts, accounts_table, lock } = parts;
        let datasets = datasets.into_iter().map(|dataset| (dataset.name.clone(), Arc::new(dataset))).collect();
        Self {
            queue: Queue::new(config.queue_requests_max, config.queue_bytes_max),
            config,
            clock,
            disk,
            removals,
            outside,
            incarnation: incarnation.to_string().into(),
            incarnation_bytes: *incarnation.as_bytes(),
            datasets: RwLock::new(datasets),
            wal: WalIndex::default(),
            accounts,
            accounts_table: Mutex::new(accounts_table),
            ids: IdHasher::default(),
            flush: FlushSignal::default(),
            maintenance: MaintenanceSignal::default(),
            erasing: Erasing::default(),
            metrics: Metrics::default(),
            memory: Mutex::new(HashMap::new()),
            memory_bytes: AtomicU64::new(0),
            tail_is_pending: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            _lock: lock,
        }
    }

    pub(crate) fn wal_folder(&self) -> PathBuf {
        self.config.folder.join(WAL_FOLDER)
    }

    pub(crate) fn dataset(&self, name: &DatasetName) -> Option<Arc<Dataset>> {
        self.datasets.read().get(name).map(Arc::clone)
    }

    /// All datasets, sorted by name.
    pub(crate) fn all_datasets(&self) -> Vec<Arc<Dataset>> {
        let mut all: Vec<Arc<Dataset>> = self.datasets.read().values().map(Arc::clone).collect();
        all.sort_by(|left, right| left.name.cmp(&right.name));
        all
    }

    /// A dataset that is in nobody's list yet.
    pub(crate) fn new_dataset(&self, name: &DatasetName) -> Arc<Dataset> {
        Arc::new(Dataset::new(&self.disk, &self.config.folder, name.clone(), &self.config.aliases))
    }

    /// Puts a new dataset in the list; gives back the one that was quicker. `None` when there are too many.
    pub(crate) fn register(&self, dataset: Arc<Dataset>) -> Option<Arc<Dataset>> {
        let mut datasets = self.datasets.write();
        if let Some(known) = datasets.get(&dataset.name) {
            return Some(Arc::clone(known));
        }
        if datasets.len() as u64 >= self.config.datasets_max && !dataset.name.is_system() {
            return None;
        }
        datasets.insert(dataset.name.clone(), Arc::clone(&dataset));
        Some(dataset)
    }

    /// Puts work in the writer's line.
    ///
    /// # Errors
    /// `Busy` when a bound is reached, `Closed`.
    pub(crate) fn enqueue(&self, work: Work, bytes: usize) -> Result<(), Error> {
        self.queue.push(work, bytes).map_err(|refused| match refused {
            Refused::Full(bound) => self.busy(bound),
            Refused::Closed => Error::Closed,
        })
    }

    /// From now on events are refused.
    pub(crate) fn refuse_appends(&self) {
        self.closing.store(true, Relaxed);
    }

    /// Refuses when closing, or when memory or the WAL is full. Our own events are let through: alerts go out under pressure too.
    pub(crate) fn admit(&self, name: &DatasetName) -> Result<(), Error> {
        if self.config.read_only {
            return Err(Error::ReadOnly);
        }
        if self.closing.load(Relaxed) {
            return Err(Error::Closed);
        }
        if name.is_system() {
            return Ok(());
        }
        if self.memory_is_full() {
            return Err(self.busy("store.memory_bytes_max"));
        }
        if self.wal.size().1 >= self.config.wal_bytes_max.saturating_mul(WAL_OVERRUN) {
            return Err(self.busy("store.wal_bytes_max"));
        }
        Ok(())
    }

    fn busy(&self, bound: &'static str) -> Error {
        Metrics::add(&self.metrics.busy_total, 1);
        Error::Busy { bound, retry_after_s: 1 }
    }

    /// Notes how much memory datasets take now, and asks for a flush where a bound is reached.
    pub(crate) fn note_memory(&self, touched: impl Iterator<Item = Arc<Dataset>>) {
        let mut due = false;
        let mut memory = self.memory.lock();
        for dataset in touched {
            let hot = dataset.hot();
            due |= self.is_full(&hot);
            if hot.bytes == 0 {
                memory.remove(&dataset.name);
            } else {
                memory.insert(dataset.name.clone(), hot.bytes);
            }
        }
        let total = memory.values().sum();
        drop(memory);
        self.memory_bytes.store(total, Relaxed);
        Metrics::set(&self.metrics.memtable_bytes, total);
        if due || self.memory_is_tight() || self.wal_is_long() {
            self.flush.wake();
        }
    }

    /// Sets the gauges that nothing else keeps fresh.
    pub(crate) fn show_health(&self) {
        let now = self.clock.now();
        let oldest = self.all_datasets().iter().filter_map(|dataset| dataset.hot().oldest).min();
        let age_s = oldest.map_or(0, |oldest| now.seconds() - oldest.seconds());
        Metrics::set(&self.metrics.oldest_unflushed_seconds, u64::try_from(age_s).unwrap_or(0));
        let free = self.disk.free_bytes(&self.config.folder);
        Metrics::set(&self.metrics.disk_free_bytes, free.ok().flatten().unwrap_or(0));
        let (segments, bytes) = self.wal.size();
        Metrics::set(&self.metrics.wal_segments, segments);
        Metrics::set(&self.metrics.wal_bytes, bytes);
        let deletions = crate::erase::pending(self).map_or(0, |pending| pending.len() as u64);
        Metrics::set(&self.metrics.deletions_pending, deletions);
    }

    /// True when a dataset has enough in memory for a file.
    pub(crate) fn is_full(&self, hot: &Hot) -> bool {
        hot.active_bytes >= self.config.memtable_bytes_max || hot.active_rows >= self.config.memtable_rows_max
    }

    /// True when a dataset's oldest unflushed event is older than the flush interval, or from the future: the clock was set back.
    pub(crate) fn is_old(&self, hot: &Hot, now: Timestamp) -> bool {
        let interval_s = i64::try_from(self.config.flush_interval_s).unwrap_or(i64::MAX);
        let age_s = hot.oldest.map_or(0, |oldest| now.seconds() - oldest.seconds());
        hot.rows > 0 && (age_s >= interval_s || age_s < -CLOCK_STEP_S)
    }

    /// True when half of the memory allowed is taken.
    pub(crate) fn memory_is_tight(&self) -> bool {
        self.memory_bytes.load(Relaxed) >= self.config.memory_bytes_max / 2
    }

    /// True when all of the memory allowed is taken.
    pub(crate) fn memory_is_full(&self) -> bool {
        self.memory_bytes.load(Relaxed) >= self.config.memory_bytes_max
    }

    /// True when the WAL is longer than it should be.
    pub(crate) fn wal_is_long(&self) -> bool {
        self.wal.size().1 > self.config.wal_bytes_max
    }
}
