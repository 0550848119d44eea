//! One dataset: its unflushed events, its files, and the cut between the two.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::{Path, PathBuf},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use hashbrown::HashMap;
use parking_lot::{Mutex, MutexGuard};

use crate::{
    Aliases, DataFile, DatasetName, DatasetSummary, Error, FirstSight, HotBatch, Snapshot, Timestamp,
    catalog::Catalog,
    decode::Rows,
    delta::{Add, Log},
    disk::Disk,
    memtable::{self, Closer, Inserted, Memtable, Stamp},
    metrics::Metrics,
};

/// Folder of all tables below the data folder.
pub(crate) const DATASETS_FOLDER: &str = "datasets";
/// For this long after a dataset's first event, new versions and variants are recorded, but are no news.
const FIRST_HOUR_US: i64 = 3_600_000_000;

/// A dataset. `state` is the lock under which every event is in memory or in a file, never both, never neither; inserts wait for
/// it, so it is held for moments only.
#[derive(Debug)]
pub(crate) struct Dataset {
    pub(crate) name: DatasetName,
    pub(crate) catalog: Arc<Catalog>,
    /// Seq of the next event. Only the WAL's writer changes it (and recovery, before there is one).
    pub(crate) next_seq: AtomicU64,
    /// True after an error of the Delta log that only a restart clears.
    pub(crate) stopped: AtomicBool,
    /// While the WAL is replayed: events are taken one by one, because together they once made inserting panic.
    pub(crate) isolated: AtomicBool,
    pub(crate) state: Mutex<State>,
    /// Taken while chunks of memory are closed, before `state`.
    closer: Mutex<Closer>,
    /// The Delta log; taken for a whole flush, never while holding `state`.
    pub(crate) log: Mutex<Log>,
    /// Taken while live files are replaced or dropped, before `checkpointing` and `log`; a flush only adds files and does not take it.
    pub(crate) rewriting: Mutex<()>,
    /// Taken while a checkpoint is written, before `log`.
    pub(crate) checkpointing: Mutex<()>,
    root: PathBuf,
}

/// What changes with each insert and flush.
#[derive(Debug)]
pub(crate) struct State {
    active: Memtable,
    /// Taken out for the flush under way, or kept from one that failed: older than everything in `active`.
    sealed: Vec<HotBatch>,
    sealed_rows: usize,
    sealed_bytes: usize,
    /// Seq of the last event in `sealed`.
    sealed_seq: u64,
    files: Vec<Arc<DataFile>>,
    /// Files that are no longer live, by path: a snapshot may still hold them.
    replaced: HashMap<String, Weak<DataFile>>,
    /// Seq of the last event in memory or files.
    pub(crate) applied_seq: u64,
    /// Seq of the last event in files, as the Delta log says.
    pub(crate) flushed_seq: u64,
    /// Receipt of the oldest event in memory.
    oldest_received: Option<Timestamp>,
    /// Receipt of the dataset's first event.
    pub(crate) created_at: Option<Timestamp>,
}

/// The rows taken out for a flush.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub(crate) batches: Vec<HotBatch>,
    pub(crate) last_seq: u64,
    pub(crate) created_at: Timestamp,
}

impl Dataset {
    /// A dataset without files or events. Nothing is written before its first flush.
    pub(crate) fn new(disk: &Arc<dyn Disk>, folder: &Path, name: DatasetName, aliases: &Aliases) -> Self {
        let root = folder.join(DATASETS_FOLDER).join(name.as_str());
        let log = Log::new(Arc::clone(disk), folder, &root);
        Self::from_parts(name, root, log, Catalog::new(), ("", aliases))
    }

    /// A dataset whose log was found at start.
    ///
    /// # Errors
    /// When the columns kept in the log cannot be understood.
    pub(crate) fn restore(name: DatasetName, log: Log, incarnation: &str, aliases: &Aliases) -> Result<Self, Error> {
        let table = log.state();
        let mut live: Vec<(u64, Arc<Add>)> = table.files.values().cloned().collect();
        live.sort_by(|left, right| (left.0, &left.1.path).cmp(&(right.0, &right.1.path)));
        let catalog = match &table.metadata {
            Some(metadata) => {
                let mut tags = live.iter().filter_map(|(_, add)| add.tags.as_ref());
                Catalog::restore(&metadata.schema_string, &metadata.configuration, &mut tags)
                    .map_err(|error| Error::catalog(&name, &error))?
            }
            None => Catalog::new(),
        };
        Ok(Self::from_parts(name, log.root().to_path_buf(), log, catalog, (incarnation, aliases)))
    }

    fn from_parts(
        name: DatasetName,
        root: PathBuf,
        log: Log,
        catalog: Catalog,
        (incarnation, aliases): (&str, &Aliases),
    ) -> Self {
        // Our own events have the keys we write.
        let aliases = Arc::new(if name.is_system() { Aliases::default() } else { aliases.clone() });
        let catalog = Arc::new(catalog.with_aliases(&aliases));
        let flushed_seq = log.state().txn(incarnation);
        let created_ms = log.state().metadata.as_ref().and_then(|metadata| metadata.created_time);
        let closer = Closer::new(Arc::clone(&catalog));
        let state = State {
            active: Memtable::new(Arc::clone(&catalog)),
            sealed: Vec::new(),
            sealed_rows: 0,
            sealed_bytes: 0,
            sealed_seq: 0,
            files: log.data_files(),
            replaced: HashMap::new(),
            applied_seq: flushed_seq,
            flushed_seq,
            oldest_received: None,
            created_at: created_ms.map(|ms| Timestamp(ms * 1000)),
        };
        Self {
            name,
            catalog,
            next_seq: AtomicU64::new(flushed_seq + 1),
            stopped: AtomicBool::new(false),
            isolated: AtomicBool::new(false),
            state: Mutex::new(state),
            closer: Mutex::new(closer),
            log: Mutex::new(log),
            rewriting: Mutex::new(()),
            checkpointing: Mutex::new(()),
            root,
        }
    }

    /// The table's folder.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Adds the kept rows of one request: visible to every later snapshot. Calls come in the order of the WAL. A row over which
    /// inserting panics is given to `set_aside` with its place in `rows`, before a flush can cover it.
    ///
    /// # Panics
    /// When memory is damaged by an earlier panic: see [`Self::is_torn`].
    pub(crate) fn insert(
        &self,
        rows: &Rows,
        keep: Option<&[bool]>,
        mut stamp: Stamp,
        stored: u32,
        set_aside: &mut dyn FnMut(usize) -> Result<(), Error>,
    ) -> Result<Vec<FirstSight>, Error> {
        let mut state = self.state.lock();
        let created = *state.created_at.get_or_insert(stamp.received_at);
        stamp.silent |= stamp.received_at.0 < created.0.saturating_add(FIRST_HOUR_US);
        let Inserted { sights, failed } = state.active.insert(rows, keep, &stamp);
        for row in failed {
            // Only the WAL has it then: nothing of this memory may be flushed.
            set_aside(row).inspect_err(|_| state.active.tear())?;
        }
        state.applied_seq = stamp.first_seq + u64::from(stored) - 1;
        state.oldest_received.get_or_insert(stamp.received_at);
        Ok(sights)
    }

    /// Like [`Self::insert`] for one row, in a batch of its own; false when that panicked, then memory is as before.
    pub(crate) fn insert_alone(&self, rows: &Rows, stamp: &Stamp) -> bool {
        let mut state = self.state.lock();
        state.created_at.get_or_insert(stamp.received_at);
        let mut alone = Memtable::new(Arc::clone(&self.catalog));
        let attempt = || (alone.insert(rows, None, stamp).failed.is_empty(), alone.freeze());
        let Ok((true, batches)) = catch_unwind(AssertUnwindSafe(attempt)) else { return false };
        state.sealed_rows += rows.len();
        state.sealed_bytes += alone.bytes();
        state.sealed.extend(batches);
        state.sealed_seq = stamp.first_seq;
        state.applied_seq = stamp.first_seq;
        state.oldest_received.get_or_insert(stamp.received_at);
        true
    }

    /// Counts a row as applied that is set aside instead of being inserted.
    pub(crate) fn skip(&self, seq: u64) {
        let mut state = self.state.lock();
        state.applied_seq = state.applied_seq.max(seq);
    }

    /// Closes the full chunks of memory, or with `all` everything inserted so far, while further rows arrive; gives the locks under
    /// which nobody else closes or takes batches, and the seq of the last event inserted before.
    ///
    /// # Panics
    /// When closing a chunk does; memory is torn then.
    fn close(&self, all: bool) -> (MutexGuard<'_, Closer>, MutexGuard<'_, State>, u64) {
        let mut closer = self.closer.lock();
        let mut state = self.state.lock();
        let (chunks, last_seq) = (state.active.cut(all), state.applied_seq);
        drop(state);
        let closed = catch_unwind(AssertUnwindSafe(|| closer.close(chunks)));
        let mut state = self.state.lock();
        match closed {
            Ok(batches) => state.active.add(batches),
            Err(panic) => {
                state.active.tear();
                drop(state);
                resume_unwind(panic);
            }
        }
        (closer, state, last_seq)
    }

    /// Closes everything in memory; false when that panicked.
    pub(crate) fn freeze(&self) -> bool {
        catch_unwind(AssertUnwindSafe(|| drop(self.close(true)))).is_ok()
    }

    /// True when chunks of memory are full that nobody has closed.
    pub(crate) fn has_full(&self) -> bool {
        self.state.lock().active.has_full()
    }

    /// Closes full chunks, so that the next reader need not. A panic shows with the next insert.
    pub(crate) fn freeze_full(&self) {
        drop(catch_unwind(AssertUnwindSafe(|| drop(self.close(false)))));
    }

    /// True when a panic left memory without some of its events. They are in the WAL: only a restart mends it, and nothing is
    /// flushed before.
    pub(crate) fn is_torn(&self) -> bool {
        self.state.lock().active.is_torn()
    }

    /// Takes what is in memory out for a flush; it stays visible. `None` when there is nothing.
    pub(crate) fn seal(&self) -> Option<Sealed> {
        let (_closer, mut state, last_seq) = self.close(true);
        let (batches, rows, bytes) = state.active.take();
        state.sealed.extend(batches);
        state.sealed_rows += rows;
        state.sealed_bytes += bytes;
        state.sealed_seq = last_seq;
        let created_at = state.created_at?;
        // Also without rows: those before may all be in quarantine.
        (last_seq > state.flushed_seq).then(|| Sealed {
            batches: state.sealed.clone(),
            last_seq: state.sealed_seq,
            created_at,
        })
    }

    /// After the commit: the sealed rows are in `files` now, at one instant for every reader.
    pub(crate) fn swap(&self, last_seq: u64, files: Vec<Arc<DataFile>>, now: Timestamp) {
        let mut state = self.state.lock();
        let sealed = std::mem::take(&mut state.sealed);
        state.sealed_rows = 0;
        state.sealed_bytes = 0;
        state.files.extend(files);
        state.flushed_seq = last_seq;
        state.oldest_received = (state.active.rows() > 0).then_some(now);
        // Giving back hundreds of megabytes takes a while: not under the lock that inserts wait for.
        drop(state);
        drop(sealed);
    }

    /// After a failed commit: when the log takes no more until a restart, neither does the dataset.
    pub(crate) fn note_stop(&self, log: &Log, metrics: &Metrics) {
        if log.stopped() && !self.stopped.swap(true, Relaxed) {
            Metrics::add(&metrics.flush_stopped, 1);
        }
    }

    /// After a commit that replaced files: at one instant for every reader.
    pub(crate) fn replace(&self, old: &[Arc<DataFile>], new: Vec<Arc<DataFile>>) {
        let mut state = self.state.lock();
        state.files.retain(|file| !old.iter().any(|gone| gone.path == file.path));
        state.files.extend(new);
        state.replaced.retain(|_, file| file.strong_count() > 0);
        state.replaced.extend(old.iter().map(|file| (file.path.clone(), Arc::downgrade(file))));
    }

    /// True while a snapshot has a file that is no longer live.
    pub(crate) fn is_held(&self, path: &str) -> bool {
        self.state.lock().replaced.get(path).is_some_and(|file| file.strong_count() > 0)
    }

    /// The live files, oldest commit first.
    pub(crate) fn files(&self) -> Vec<Arc<DataFile>> {
        self.state.lock().files.clone()
    }

    /// A frozen view: each event once, from memory or from a file. `None` before the first event.
    pub(crate) fn snapshot(&self) -> Option<Snapshot> {
        if self.state.lock().is_unborn() {
            return None;
        }
        let (closer, state, _) = self.close(true);
        let mut hot = state.sealed.clone();
        hot.extend_from_slice(state.active.frozen());
        let snapshot = Snapshot {
            dataset: self.name.clone(),
            schema: self.catalog.schema(),
            aliases: Arc::clone(&self.catalog.aliases),
            hot,
            root: self.root.clone(),
            files: state.files.clone(),
        };
        drop((state, closer));
        self.merge_small();
        Some(snapshot)
    }

    /// Merges the small chunks that snapshots leave behind. Copying takes a while: not under the lock that inserts wait for.
    fn merge_small(&self) {
        loop {
            let Some(pair) = self.state.lock().active.small() else { return };
            let Ok(merged) = memtable::merge(&pair[0], &pair[1]) else { return };
            if !self.state.lock().active.replace(&pair, merged) {
                return;
            }
        }
    }

    /// Name, sizes and range of the dataset. `None` before the first event.
    pub(crate) fn summary(&self) -> Option<DatasetSummary> {
        let state = self.state.lock();
        if state.is_unborn() {
            return None;
        }
        let file_rows: u64 = state.files.iter().map(|file| file.rows).sum();
        let sealed = state.sealed.iter().map(|batch| (batch.time_min, batch.time_max));
        let times =
            state.files.iter().map(|file| (file.time_min, file.time_max)).chain(sealed).chain(state.active.times());
        let range = times.reduce(|all, next| (all.0.min(next.0), all.1.max(next.1)));
        Some(DatasetSummary {
            name: self.name.clone(),
            events: file_rows + state.rows() as u64,
            bytes_on_disk: state.files.iter().map(|file| file.bytes).sum(),
            files: state.files.len() as u64,
            columns: self.catalog.schema().columns.len() as u64,
            first_event: range.map(|range| range.0),
            last_event: range.map(|range| range.1),
        })
    }

    /// Rows and bytes in memory, and the receipt of the oldest of them.
    pub(crate) fn hot(&self) -> Hot {
        let state = self.state.lock();
        Hot {
            rows: state.rows() as u64,
            active_rows: state.active.rows() as u64,
            bytes: (state.active.bytes() + state.sealed_bytes) as u64,
            active_bytes: state.active.bytes() as u64,
            oldest: state.oldest_received,
        }
    }

    /// Seq of the last event in files.
    pub(crate) fn flushed_seq(&self) -> u64 {
        self.state.lock().flushed_seq
    }
}

/// How much of a dataset is in memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hot {
    pub(crate) rows: u64,
    /// Without what a flush has taken out already.
    pub(crate) active_rows: u64,
    pub(crate) bytes: u64,
    pub(crate) active_bytes: u64,
    pub(crate) oldest: Option<Timestamp>,
}

impl State {
    fn is_unborn(&self) -> bool {
        self.created_at.is_none()
    }

    fn rows(&self) -> usize {
        self.sealed_rows + self.active.rows()
    }
}
