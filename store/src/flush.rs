//! Memory to files: one dataset at a time, one contiguous range of its events, all days in one commit; then the counts;
//! then the WAL segments that hold nothing else any more are removed.
//!
//! Order of what becomes durable: Parquet files, their folders, the commit (module `delta`), and only then the WAL shrinks.
//! What fails before the commit is tried again with everything that arrived since; readers see the events in memory
//! all the while.

mod files;
mod trim;

use std::{
    sync::{
        Arc,
        atomic::Ordering::Relaxed,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::Duration,
};

pub(crate) use files::{PartFile, flush};
use parking_lot::{Condvar, Mutex};
use trim::{trim, trim_plan};

use crate::{
    Error, Timestamp, dataset::Dataset, error::describe, metrics::Metrics, priority, shared::Shared, wal::SegmentId,
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

/// Ends all waiting when the flusher ends, also by a panic.
struct Ended<'a>(&'a FlushSignal);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Works until it is stopped.
pub(crate) fn run(shared: &Shared) {
    let _ended = Ended(&shared.flush);
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
        self.close_full_chunks();
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

    fn close_full_chunks(&self) {
        let mut datasets = self.shared.all_datasets();
        datasets.retain(|dataset| dataset.has_full() && !dataset.is_torn());
        if !datasets.is_empty() {
            priority::yielding(|| datasets.iter().for_each(|dataset| dataset.freeze_full()));
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
        for dataset in self.shared.all_datasets() {
            crate::maintenance::checkpoint_if_due(self.shared, &dataset);
        }
        let counted = self.flush_accounts(self.shared.clock.now());
        outcome.and(counted).and_then(|()| trim(self.shared))
    }

    fn flush_dataset(&mut self, dataset: &Arc<Dataset>) -> Result<(), Error> {
        // A panic over one dataset's events must not keep the others from their files.
        let attempt = std::panic::AssertUnwindSafe(|| flush(self.shared, dataset));
        let outcome = std::panic::catch_unwind(attempt).unwrap_or(Err(Error::Thread { thread: "flusher" }));
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

/// Begins a new WAL segment; the one before it. Flushing everything then removes it.
pub(crate) fn roll_wal(shared: &Shared) -> Result<SegmentId, Error> {
    let (done, answer) = sync_channel(1);
    shared.queue.push_own(Work::Roll { done }).map_err(|_| Error::Closed)?;
    answer.recv().unwrap_or(Err(Error::Thread { thread: "writer" }))
}

fn ask_writer(shared: &Shared, work: impl FnOnce(SyncSender<Result<(), Error>>) -> Work) -> Result<(), Error> {
    let (done, answer) = sync_channel(1);
    shared.queue.push_own(work(done)).map_err(|_| Error::Closed)?;
    answer.recv().unwrap_or(Err(Error::Thread { thread: "writer" }))
}
