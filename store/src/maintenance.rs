//! What is done about files behind everybody's back: merging, removal, checkpoints of Delta logs. One thread, of low priority.
//!
//! It yields: to events when memory is full, to the disk by `store.compact_bytes_per_s_max`, and it drops what it does when the store closes.
//! Datasets of which rows are being deleted are passed over until that is done.

use std::{
    cell::Cell,
    collections::HashMap,
    sync::{
        Arc,
        atomic::Ordering::Relaxed,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::Duration,
};

use hashbrown::HashSet;
use parking_lot::{Condvar, Mutex};

use crate::{
    DatasetName, Error, Timestamp,
    compact::{self, Change, NotDone, Policy},
    dataset::Dataset,
    delta::DeltaError,
    error::describe,
    metrics::Metrics,
    retain,
    shared::Shared,
};

/// How often the time is looked at.
const TICK: Duration = Duration::from_secs(1);
/// A dataset whose files could not be merged is left alone for this long.
const RETRY_AFTER: Duration = Duration::from_secs(60);
/// Full memory stops merging for at most this many waits in a row, so that files do not pile up for ever.
const PAUSES_MAX: u32 = 100;
const PAUSE: Duration = Duration::from_millis(100);
/// Bytes written between two pauses.
const PACE_BYTES: u64 = 1 << 20;
/// A clock that differs from the time elapsed by more than this was set (microseconds).
const CLOCK_SET_US: u64 = 3_600_000_000;

/// How the maintenance thread is woken, asked and stopped.
#[derive(Debug, Default)]
pub(crate) struct MaintenanceSignal {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    woken: bool,
    stop: bool,
    /// Who waits for everything there is to do, at once.
    asked: Vec<SyncSender<Result<(), Error>>>,
}

impl MaintenanceSignal {
    /// A checkpoint is due.
    pub(crate) fn wake(&self) {
        self.state.lock().woken = true;
        self.changed.notify_one();
    }

    /// Asks for everything there is to do, at once; the answer arrives in the receiver.
    pub(crate) fn ask_for_everything(&self) -> Receiver<Result<(), Error>> {
        let (done, answer) = sync_channel(1);
        let mut state = self.state.lock();
        if !state.stop {
            state.asked.push(done);
        }
        drop(state);
        self.changed.notify_one();
        answer
    }

    /// Lets the thread end, in the middle of a merge too.
    pub(crate) fn stop(&self) {
        let mut state = self.state.lock();
        state.stop = true;
        state.asked.clear();
        drop(state);
        self.changed.notify_all();
    }

    /// True once the store closes.
    pub(crate) fn is_stopping(&self) -> bool {
        self.state.lock().stop
    }

    /// Waits for a call, for at most `time`.
    fn wait(&self, time: Duration) -> (Vec<SyncSender<Result<(), Error>>>, bool) {
        let mut state = self.state.lock();
        if !state.woken && !state.stop && state.asked.is_empty() {
            self.changed.wait_for(&mut state, time);
        }
        state.woken = false;
        (std::mem::take(&mut state.asked), state.stop)
    }

    /// Lets `time` pass; false when the thread shall end.
    fn rest(&self, time: Duration) -> bool {
        let mut state = self.state.lock();
        if !state.stop {
            self.changed.wait_while_for(&mut state, |state| !state.stop, time);
        }
        !state.stop
    }
}

/// Ends all waiting when the thread ends, also by a panic.
struct Ended<'a>(&'a MaintenanceSignal);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Works until it is stopped.
pub(crate) fn run(shared: &Shared) {
    let _ended = Ended(&shared.maintenance);
    let mut maintenance = Maintenance {
        shared,
        started: (shared.clock.now(), shared.clock.elapsed()),
        looked_at: shared.clock.elapsed(),
        resting: HashMap::new(),
        bad_files: HashSet::new(),
    };
    loop {
        let (asked, stop) = shared.maintenance.wait(TICK);
        if stop {
            return;
        }
        for dataset in shared.all_datasets() {
            checkpoint_if_due(shared, &dataset);
        }
        if asked.is_empty() {
            maintenance.look();
            continue;
        }
        for done in asked {
            maintenance.resting.clear();
            let outcome = maintenance.work(&|_| !shared.maintenance.is_stopping());
            // The asker may have gone; then nobody needs the answer.
            drop(done.send(outcome));
        }
    }
}

struct Maintenance<'a> {
    shared: &'a Shared,
    /// The clock and the time elapsed when the thread began.
    started: (Timestamp, Duration),
    looked_at: Duration,
    /// Datasets that failed, and when.
    resting: HashMap<DatasetName, Duration>,
    /// Files that cannot be merged.
    bad_files: HashSet<String>,
}

impl Maintenance<'_> {
    /// What is due by time.
    fn look(&mut self) {
        let (now, interval_s) = (self.shared.clock.elapsed(), self.shared.config.compact_interval_s);
        if interval_s == 0 || now.saturating_sub(self.looked_at) < Duration::from_secs(interval_s) {
            return;
        }
        self.looked_at = now;
        self.resting.retain(|_, since| now.saturating_sub(*since) < RETRY_AFTER);
        let pace = Pace::new(self.shared);
        // What failed was said, and is tried again.
        drop(self.work(&|bytes| pace.go_on(bytes)));
    }

    /// Merges what is worth merging in all datasets, removes what nobody needs any more.
    fn work(&mut self, go_on: &dyn Fn(u64) -> bool) -> Result<(), Error> {
        let mut outcome = Ok(());
        for dataset in self.shared.all_datasets() {
            // Taken while rows are being deleted: then it is this dataset's turn later.
            if let Some(_alone) = dataset.rewriting.try_lock() {
                outcome = outcome.and(self.retain(&dataset, go_on));
                if !self.resting.contains_key(&dataset.name) {
                    outcome = outcome.and(self.merge(&dataset, go_on));
                }
            }
            compact::remove_expired(self.shared, &dataset, self.shared.config.removed_files_s);
            checkpoint_if_due(self.shared, &dataset);
        }
        self.measure();
        outcome
    }

    /// Drops days beyond retention, unless the clock was set since the start: a wrong one must not cost years of events.
    fn retain(&self, dataset: &Dataset, go_on: &dyn Fn(u64) -> bool) -> Result<(), Error> {
        let (now, started) = (self.shared.clock.now(), &self.started);
        let passed = self.shared.clock.elapsed().saturating_sub(started.1);
        let expected = started.0.0.saturating_add(i64::try_from(passed.as_micros()).unwrap_or(i64::MAX));
        if now.0.abs_diff(expected) > CLOCK_SET_US || dataset.stopped.load(Relaxed) {
            return Ok(());
        }
        if let Err(error) = retain::apply(self.shared, dataset) {
            tracing::error!(dataset = %dataset.name, error = %describe(&error), "could not drop days beyond retention");
            return Err(error);
        }
        // A panic over one dataset's files must not keep the others from theirs.
        let attempt = std::panic::AssertUnwindSafe(|| retain::take_out_slices(self.shared, dataset, go_on));
        let attempt = std::panic::catch_unwind(attempt);
        match attempt.unwrap_or(Err(NotDone::Failed(Error::Thread { thread: "maintenance" }))) {
            Ok(()) | Err(NotDone::GivenUp) => Ok(()),
            Err(NotDone::BadFile(_, error) | NotDone::Failed(error)) => {
                tracing::error!(dataset = %dataset.name, error = %describe(&error), "could not take out points of slices");
                Err(error)
            }
        }
    }

    fn merge(&mut self, dataset: &Arc<Dataset>, go_on: &dyn Fn(u64) -> bool) -> Result<(), Error> {
        let policy = Policy::of(&self.shared.config);
        loop {
            let mut files = dataset.files();
            files.retain(|file| !self.bad_files.contains(&file.path));
            let Some(job) = compact::pick(&files, self.shared.clock.now(), &policy) else { return Ok(()) };
            let change = Change::merge(job);
            // A panic over one dataset's files must not keep the others from theirs.
            let attempt = std::panic::AssertUnwindSafe(|| compact::rewrite(self.shared, dataset, &change, go_on));
            let attempt = std::panic::catch_unwind(attempt);
            let error = match attempt.unwrap_or(Err(NotDone::Failed(Error::Thread { thread: "maintenance" }))) {
                Ok(()) => {
                    tracing::debug!(dataset = %dataset.name, files = change.files.len(), "merged files");
                    continue;
                }
                Err(NotDone::GivenUp) => return Ok(()),
                Err(NotDone::BadFile(path, error)) => {
                    self.bad_files.insert(path);
                    error
                }
                Err(NotDone::Failed(error)) => {
                    self.resting.insert(dataset.name.clone(), self.shared.clock.elapsed());
                    error
                }
            };
            Metrics::add(&self.shared.metrics.compaction_failures_total, 1);
            tracing::error!(dataset = %dataset.name, error = %describe(&error), "could not merge files; they stay as they are");
            if self.resting.contains_key(&dataset.name) {
                return Err(error);
            }
        }
    }

    fn measure(&self) {
        let (policy, now) = (Policy::of(&self.shared.config), self.shared.clock.now());
        let (mut files, mut bytes, mut backlog, mut removed, mut commits) = (0, 0, 0, 0, 0);
        for dataset in self.shared.all_datasets() {
            let live = dataset.files();
            files += live.len() as u64;
            bytes += live.iter().map(|file| file.bytes).sum::<u64>();
            backlog += compact::backlog(&live, now, &policy) as u64;
            let log = dataset.log.lock();
            removed += log.state().removed.len() as u64;
            commits = log.commits_since_checkpoint().max(commits);
        }
        let metrics = &self.shared.metrics;
        Metrics::set(&metrics.files, files);
        Metrics::set(&metrics.file_bytes, bytes);
        Metrics::set(&metrics.compaction_backlog_files, backlog);
        Metrics::set(&metrics.removed_files, removed);
        Metrics::set(&metrics.log_commits, commits);
        Metrics::set(&metrics.compaction_bad_files, self.bad_files.len() as u64);
    }
}

/// Spares the machine.
pub(crate) struct Pace<'a> {
    shared: &'a Shared,
    /// Bytes written since the last rest.
    unpaid: Cell<u64>,
}

impl<'a> Pace<'a> {
    pub(crate) fn new(shared: &'a Shared) -> Self {
        Self { shared, unpaid: Cell::new(0) }
    }

    /// Lets time pass for so many bytes written; false when the store closes.
    pub(crate) fn go_on(&self, bytes: u64) -> bool {
        let signal = &self.shared.maintenance;
        let unpaid = self.unpaid.get() + bytes;
        let mut goes_on = !signal.is_stopping();
        if unpaid >= PACE_BYTES {
            let per_s = self.shared.config.compact_bytes_per_s_max.max(1);
            let micros = unpaid.saturating_mul(1_000_000) / per_s;
            goes_on = goes_on && signal.rest(Duration::from_micros(micros));
            self.unpaid.set(0);
        } else {
            self.unpaid.set(unpaid);
        }
        for _ in 0..PAUSES_MAX {
            if !goes_on || !self.shared.memory_is_full() {
                break;
            }
            goes_on = signal.rest(PAUSE);
        }
        goes_on
    }
}

/// Writes a checkpoint of a dataset's log if there were enough commits since the last, while commits go on.
pub(crate) fn checkpoint_if_due(shared: &Shared, dataset: &Dataset) {
    let _one_at_a_time = dataset.checkpointing.lock();
    if dataset.log.lock().commits_since_checkpoint() < shared.config.checkpoint_commits {
        return;
    }
    match checkpoint(dataset) {
        Ok(()) => Metrics::add(&shared.metrics.checkpoints_total, 1),
        Err(error) => {
            Metrics::add(&shared.metrics.checkpoint_failures_total, 1);
            tracing::warn!(dataset = %dataset.name, error = %describe(&error), "could not write a checkpoint; tried again");
        }
    }
}

fn checkpoint(dataset: &Dataset) -> Result<(), DeltaError> {
    let checkpoint = dataset.log.lock().checkpoint();
    let Some(checkpoint) = checkpoint else { return Ok(()) };
    checkpoint.write()?;
    let kept = dataset.log.lock().note_checkpoint(&checkpoint);
    kept.map_or(Ok(()), |kept| checkpoint.remove_before(kept))
}
