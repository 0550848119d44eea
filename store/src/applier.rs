//! Makes durable events visible: one thread inserts them into the memtables in the order of the WAL, counts them, and only
//! then lets the requesters have their answer. While it works, the writer already syncs the next group.

use std::sync::{
    Arc,
    mpsc::{Receiver, SyncSender},
};

use crate::{
    DatasetName, Error, FirstSight, Receipt, Timestamp,
    accounts::Counts,
    dataset::Dataset,
    decode::Rows,
    memtable::Stamp,
    metrics::Metrics,
    shared::Shared,
    writer::Reply,
};

/// What is left to do for one request of a durable group.
#[derive(Debug, Default)]
pub(crate) struct Applied {
    pub(crate) counted: Option<Counted>,
    pub(crate) insert: Option<Insert>,
    pub(crate) answer: Option<Answer>,
    /// Told once everything before this is applied.
    pub(crate) settled: Option<SyncSender<Result<(), Error>>>,
}

/// The counts of one record of the WAL.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(crate) lsn: u64,
    pub(crate) name: DatasetName,
    pub(crate) minute: i64,
    pub(crate) counts: Counts,
}

/// Rows to add to a dataset.
#[derive(Debug)]
pub(crate) struct Insert {
    pub(crate) dataset: Arc<Dataset>,
    pub(crate) rows: Rows,
    pub(crate) keep: Option<Vec<bool>>,
    pub(crate) stamp: Stamp,
    pub(crate) stored: u32,
    /// JSON bytes, for the metrics.
    pub(crate) bytes: u64,
}

/// What the requester is told, once everything before it is visible.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) reply: Reply,
    pub(crate) outcome: Result<Receipt, Error>,
    pub(crate) received_at: Timestamp,
}

/// Works until the writer is gone.
pub(crate) fn run(shared: &Shared, groups: &Receiver<Vec<Applied>>) {
    while let Ok(group) = groups.recv() {
        group.into_iter().for_each(|applied| apply(shared, applied));
    }
}

fn apply(shared: &Shared, applied: Applied) {
    let sights = applied.insert.map(|insert| insert_rows(shared, insert)).unwrap_or_default();
    if let Some(counted) = applied.counted {
        count(shared, counted);
    }
    if let Some(Answer { reply, mut outcome, received_at }) = applied.answer {
        if let Ok(receipt) = &mut outcome {
            receipt.first_sights = sights;
        }
        shared.metrics.append.record_us(shared.clock.now().0 - received_at.0);
        // A requester that went away has its events stored all the same.
        drop(reply.send(outcome));
    }
    if let Some(settled) = applied.settled {
        drop(settled.send(Ok(())));
    }
}

fn insert_rows(shared: &Shared, insert: Insert) -> Vec<FirstSight> {
    Metrics::add(&shared.metrics.event_bytes_total, insert.bytes);
    let sights = insert.dataset.insert(&insert.rows, insert.keep.as_deref(), insert.stamp, insert.stored);
    // Before the answer goes out: whoever sends the next request is measured by what this one took.
    shared.note_memory(std::iter::once(insert.dataset));
    sights
}

fn count(shared: &Shared, counted: Counted) {
    let counts = &counted.counts;
    Metrics::add(&shared.metrics.events_stored_total, counts.stored);
    Metrics::add(&shared.metrics.events_duplicate_total, counts.duplicates);
    Metrics::add(&shared.metrics.events_rejected_total, counts.rejected.values().sum());
    shared.accounts.count(counted);
}
