//! Memory to files: one dataset at a time, one contiguous range of its events, all days in one commit; then the counts;
//! then the WAL segments that hold nothing else any more are removed.
//!
//! Order of what becomes durable: Parquet files, their folders, the commit (module `delta`), and only then the WAL shrinks.
//! What fails before the commit is tried again with everything that arrived since; readers see the events in memory
//! all the while.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::Ordering::Relaxed,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::Duration,
};

use parking_lot::{Condvar, Mutex};

use crate::{
    Error, Timestamp,
    dataset::{Dataset, Sealed},
    delta::{Action, Add, DAY_COLUMN, DeltaError, Format, Metadata, Protocol, Txn, data_file, format_day},
    disk::{DiskFile, create_dirs, discard},
    error::describe,
    metrics::Metrics,
    parquet::{self, EncodedFile, ParquetOptions},
    shared::Shared,
    wal::SegmentId,
    writer::Work,
};

/// How often ages are looked at when nothing else happens.
const TICK: Duration = Duration::from_secs(1);
/// After a failed flush only explicit ones and full memtables try again for this long.
const RETRY_AFTER_S: i64 = 5;
/// How long after the oldest uncounted record the counts are written, at the latest.
const ACCOUNTS_INTERVAL_S: i64 = 300;

/// How the flusher is woken and asked.
#[derive(Debug, Default)]
pub(crate) struct FlushSignal {
    state: Mutex<SignalState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct SignalState {
    woken: bool,
    stop: bool,
    asked: Vec<SyncSender<Result<(), Error>>>,
}

/// What the flusher shall do next.
#[derive(Debug)]
struct Call {
    asked: Vec<SyncSender<Result<(), Error>>>,
    stop: bool,
}

impl FlushSignal {
    /// Makes the flusher look at all datasets soon.
    pub(crate) fn wake(&self) {
        self.state.lock().woken = true;
        self.changed.notify_one();
    }

    /// Asks for a flush of everything acknowledged so far; the answer arrives in the receiver.
    pub(crate) fn ask(&self) -> Receiver<Result<(), Error>> {
        let (done, answer) = sync_channel(1);
        let mut state = self.state.lock();
        if !state.stop {
            state.asked.push(done);
        }
        drop(state);
        self.changed.notify_one();
        answer
    }

    /// Lets the flusher end.
    pub(crate) fn stop(&self) {
        let mut state = self.state.lock();
        state.stop = true;
        state.asked.clear();
        drop(state);
        self.changed.notify_one();
    }

    fn wait(&self) -> Call {
        let mut state = self.state.lock();
        if !state.woken && !state.stop && state.asked.is_empty() {
            self.changed.wait_for(&mut state, TICK);
        }
        state.woken = false;
        Call { asked: std::mem::take(&mut state.asked), stop: state.stop }
    }
}

/// Works until it is stopped.
pub(crate) fn run(shared: &Shared) {
    let mut flusher = Flusher { shared, failed_at: None, accounts_at: shared.clock.now() };
    loop {
        let call = shared.flush.wait();
        if call.stop {
            return;
        }
        if call.asked.is_empty() {
            flusher.flush_due();
            continue;
        }
        let outcome = flusher.flush_all();
        for done in call.asked {
            // The asker may have gone; then nobody needs the answer.
            drop(done.send(outcome.clone()));
        }
    }
}

struct Flusher<'a> {
    shared: &'a Shared,
    failed_at: Option<Timestamp>,
    accounts_at: Timestamp,
}

impl Flusher<'_> {
    /// Flushes what is full or old, or what stands in the way when memory or the WAL is tight.
    fn flush_due(&mut self) {
        let now = self.shared.clock.now();
        let resting =
            self.failed_at.is_some_and(|failed| now.seconds() - failed.seconds() < RETRY_AFTER_S && now >= failed);
        if resting {
            return;
        }
        self.failed_at = None;
        // Events must not reach files before their record, with its counts, is durable.
        if self.shared.tail_is_pending.load(Relaxed)
            && let Err(error) = settle_counts(self.shared)
        {
            return self.note_failure(&error);
        }
        for dataset in self.due(now) {
            if self.flush_dataset(&dataset).is_err() {
                break;
            }
        }
        let counts_are_old =
            now.seconds() - self.accounts_at.seconds() >= ACCOUNTS_INTERVAL_S || now < self.accounts_at;
        let outcome = if counts_are_old || self.shared.wal_is_long() { self.flush_accounts(now) } else { Ok(()) };
        if let Err(error) = outcome.and_then(|()| trim(self.shared)) {
            self.note_failure(&error);
        }
    }

    fn due(&self, now: Timestamp) -> Vec<Arc<Dataset>> {
        let mut all: Vec<_> = self.shared.all_datasets().into_iter().map(|dataset| (dataset.hot(), dataset)).collect();
        all.retain(|(hot, dataset)| hot.rows > 0 && !dataset.stopped.load(Relaxed));
        let held_by = if self.shared.wal_is_long() { trim_plan(self.shared).held_by } else { Vec::new() };
        let largest = all.iter().map(|(hot, _)| hot.bytes).max().filter(|_| self.shared.memory_is_tight());
        let is_due = |(hot, dataset): &(crate::dataset::Hot, Arc<Dataset>)| {
            self.shared.is_full(hot)
                || self.shared.is_old(hot, now)
                || largest == Some(hot.bytes)
                || held_by.contains(&dataset.name)
        };
        all.into_iter().filter(|entry| is_due(entry)).map(|(_, dataset)| dataset).collect()
    }

    fn flush_all(&mut self) -> Result<(), Error> {
        let mut outcome = settle_counts(self.shared);
        if self.shared.tail_is_pending.load(Relaxed) {
            return outcome;
        }
        for dataset in self.shared.all_datasets() {
            let flushed = self.flush_dataset(&dataset);
            outcome = outcome.and(flushed);
        }
        let counted = self.flush_accounts(self.shared.clock.now());
        outcome.and(counted).and_then(|()| trim(self.shared))
    }

    fn flush_dataset(&mut self, dataset: &Arc<Dataset>) -> Result<(), Error> {
        let outcome = flush(self.shared, dataset);
        if let Err(error) = &outcome {
            self.note_failure(error);
        }
        outcome.map(drop)
    }

    fn flush_accounts(&mut self, now: Timestamp) -> Result<(), Error> {
        self.accounts_at = now;
        self.shared.accounts_table.lock().flush(&self.shared.accounts, now)
    }

    fn note_failure(&mut self, error: &Error) {
        self.failed_at = Some(self.shared.clock.now());
        Metrics::add(&self.shared.metrics.flush_failures_total, 1);
        tracing::error!(error = %describe(error), "flush failed; events stay in memory and in the WAL");
    }
}

/// Everything asked of the store before this is durable, visible and counted afterwards.
fn settle_counts(shared: &Shared) -> Result<(), Error> {
    ask_writer(shared, |done| Work::Settle { done })
}

/// Writes what a dataset has in memory; true when there was something.
///
/// # Errors
/// Nothing is lost: the events stay in memory and in the WAL.
pub(crate) fn flush(shared: &Shared, dataset: &Arc<Dataset>) -> Result<bool, Error> {
    let mut log = dataset.log.lock();
    if log.stopped() {
        return Err(Error::delta(&dataset.name, DeltaError::Stopped { path: dataset.root().to_path_buf() }));
    }
    let Some(sealed) = dataset.seal() else { return Ok(false) };
    let started = shared.clock.now();
    let files = write_files(shared, dataset, &sealed)?;
    let mut actions = table_actions(dataset, &log, &sealed);
    actions.extend(files.iter().cloned().map(Action::from));
    let version = i64::try_from(sealed.last_seq).unwrap_or(i64::MAX);
    actions.push(Txn { app_id: shared.incarnation.to_string(), version, last_updated: Some(started.0 / 1000) }.into());
    if let Err(error) = log.commit(actions, "WRITE", started) {
        if log.stopped() {
            dataset.stopped.store(true, Relaxed);
            Metrics::add(&shared.metrics.flush_stopped, 1);
        } else {
            files.iter().for_each(|add| discard(&*shared.disk, &dataset.root().join(&add.path)));
        }
        return Err(Error::delta(&dataset.name, error));
    }
    let data_files = files.iter().map(|add| Arc::new(data_file(add))).collect();
    dataset.swap(sealed.last_seq, data_files, started);
    Metrics::add(&shared.metrics.flushes_total, 1);
    shared.metrics.flush.record_us(shared.clock.now().0 - started.0);
    shared.note_memory(std::iter::once(Arc::clone(dataset)));
    if log.commits_since_checkpoint() >= shared.config.checkpoint_commits
        && let Err(error) = log.checkpoint()
    {
        tracing::warn!(dataset = %dataset.name, error = %describe(&error), "could not write a checkpoint; tried again after the next flush");
    }
    Ok(true)
}

/// protocol and metaData, as far as they are new.
fn table_actions(dataset: &Dataset, log: &crate::delta::Log, sealed: &Sealed) -> Vec<Action> {
    let (schema_string, mut configuration) = dataset.catalog.persist();
    configuration.insert("delta.deletedFileRetentionDuration".to_owned(), "interval 1 hours".to_owned());
    let known = log.state().metadata.as_ref();
    let is_same = |known: &Metadata| known.schema_string == schema_string && known.configuration == configuration;
    if known.is_some_and(is_same) {
        return Vec::new();
    }
    let metadata = Metadata {
        id: known.map_or_else(|| uuid::Uuid::new_v4().to_string(), |known| known.id.clone()),
        name: Some(dataset.name.to_string()),
        format: Format { provider: "parquet".to_owned(), options: BTreeMap::new() },
        schema_string,
        partition_columns: vec![DAY_COLUMN.to_owned()],
        configuration,
        created_time: known.and_then(|known| known.created_time).or(Some(sealed.created_at.0 / 1000)),
    };
    let protocol = known.is_none().then(|| Action::from(Protocol::OURS));
    protocol.into_iter().chain([Action::from(metadata)]).collect()
}

/// A Parquet file on its way to the disk.
#[derive(Debug)]
struct PartFile {
    file: Box<dyn DiskFile>,
    /// Relative to the table.
    path: String,
    bytes: u64,
}

impl Write for PartFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Writes the Parquet files of all days, durably. On an error those written are removed.
fn write_files(shared: &Shared, dataset: &Dataset, sealed: &Sealed) -> Result<Vec<Add>, Error> {
    let mut created: Vec<String> = Vec::new();
    let written = encode_and_sync(shared, dataset, sealed, &mut created);
    if written.is_err() {
        created.iter().for_each(|path| discard(&*shared.disk, &dataset.root().join(path)));
    }
    written
}

fn encode_and_sync(
    shared: &Shared,
    dataset: &Dataset,
    sealed: &Sealed,
    created: &mut Vec<String>,
) -> Result<Vec<Add>, Error> {
    let (disk, root) = (&shared.disk, dataset.root());
    let mut create = |day: i32| -> io::Result<PartFile> {
        let path = format!("{}/part-{}.parquet", day_folder(day), ulid_of(shared.clock.now()));
        create_dirs(&**disk, &shared.config.folder, &root.join(day_folder(day)))?;
        let file = disk.create(&root.join(&path))?;
        created.push(path.clone());
        Ok(PartFile { file, path, bytes: 0 })
    };
    let encoded = parquet::encode(&sealed.batches, &dataset.catalog, &ParquetOptions::default(), &mut create)
        .map_err(|source| Error::encode(&dataset.name, source))?;
    let mut adds = Vec::with_capacity(encoded.len());
    for (file, mut part) in encoded {
        let path = root.join(&part.path);
        let folder = path.parent().unwrap_or(root);
        part.file.sync().and_then(|()| disk.sync_dir(folder)).map_err(|source| Error::folder("sync", &path, source))?;
        Metrics::add(&shared.metrics.parquet_written_bytes_total, part.bytes);
        adds.push(add_of(file, part, shared.clock.now()));
    }
    Ok(adds)
}

fn add_of(file: EncodedFile, part: PartFile, now: Timestamp) -> Add {
    Add {
        path: part.path,
        partition_values: BTreeMap::from([(DAY_COLUMN.to_owned(), Some(format_day(file.day)))]),
        size: i64::try_from(part.bytes).unwrap_or(i64::MAX),
        modification_time: now.0 / 1000,
        data_change: true,
        stats: Some(file.stats),
        tags: Some(file.tags),
    }
}

fn day_folder(day: i32) -> String {
    format!("{DAY_COLUMN}={}", format_day(day))
}

/// A name that sorts by time.
fn ulid_of(now: Timestamp) -> String {
    let random = u128::from_le_bytes(*uuid::Uuid::new_v4().as_bytes()) & ((1 << 80) - 1);
    let millisecond = u128::from(u64::try_from(now.0 / 1000).unwrap_or(0));
    ulid::Ulid(millisecond << 80 | random).to_string().to_ascii_lowercase()
}

fn trim_plan(shared: &Shared) -> crate::wal::index::Trim {
    let counted = shared.accounts_table.lock().lsn();
    shared.wal.trim(counted, |name| shared.dataset(name).map_or(0, |dataset| dataset.flushed_seq()))
}

/// Removes WAL segments of which everything is in files.
fn trim(shared: &Shared) -> Result<(), Error> {
    let mut plan = trim_plan(shared);
    if plan.ids.is_empty() && plan.held_by_counts && plan.held_by.is_empty() && shared.wal_is_long() {
        let now = shared.clock.now();
        shared.accounts_table.lock().flush(&shared.accounts, now)?;
        plan = trim_plan(shared);
    }
    if let Some(through) = plan.ids.last().copied() {
        carry_keys(shared, through)?;
        let folder = shared.wal_folder();
        for id in plan.ids {
            remove_segment(shared, &folder, id)?;
        }
    }
    let (segments, bytes) = shared.wal.size();
    Metrics::set(&shared.metrics.wal_segments, segments);
    Metrics::set(&shared.metrics.wal_bytes, bytes);
    Ok(())
}

fn carry_keys(shared: &Shared, through: SegmentId) -> Result<(), Error> {
    ask_writer(shared, |done| Work::Carry { through, done })
}

fn ask_writer(shared: &Shared, work: impl FnOnce(SyncSender<Result<(), Error>>) -> Work) -> Result<(), Error> {
    let (done, answer) = sync_channel(1);
    shared.queue.push_own(work(done)).map_err(|_| Error::Closed)?;
    answer.recv().unwrap_or(Err(Error::Thread { thread: "writer" }))
}

fn remove_segment(shared: &Shared, folder: &Path, id: SegmentId) -> Result<(), Error> {
    let path: PathBuf = folder.join(id.file_name());
    match shared.disk.remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::folder("remove", &path, error)),
        _ => {
            shared.wal.remove(id);
            Ok(())
        }
    }
}
