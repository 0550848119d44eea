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
    error::describe,
    memtable::Stamp,
    metrics::Metrics,
    quarantine::{PANICKED, Quarantined},
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
    let Insert { dataset, rows, keep, stamp, stored, .. } = insert;
    let first = stamp.clone();
    let mut set_aside = |row| set_aside(shared, &rows, keep.as_deref(), row, &first);
    let inserted = dataset.insert(&rows, keep.as_deref(), stamp, stored, &mut set_aside);
    let sights = inserted.unwrap_or_else(|error| {
        tracing::error!(dataset = %dataset.name, error = %describe(&error), "an event could be neither inserted nor set aside: restart");
        Vec::new()
    });
    // Before the answer goes out: whoever sends the next request is measured by what this one took.
    shared.note_memory(std::iter::once(dataset));
    sights
}

#[cold]
fn set_aside(shared: &Shared, rows: &Rows, keep: Option<&[bool]>, row: usize, first: &Stamp) -> Result<(), Error> {
    let kept_before = keep.map_or(row, |keep| keep[..row].iter().filter(|keep| **keep).count());
    let quarantined = Quarantined {
        dataset: first.dataset.clone(),
        seq: first.first_seq + kept_before as u64,
        received_at: first.received_at,
        reason: PANICKED.to_owned(),
        text: rows.raw_text(row).to_owned(),
    };
    quarantined.report(shared)
}

fn count(shared: &Shared, counted: Counted) {
    let counts = &counted.counts;
    Metrics::add(&shared.metrics.events_stored_total, counts.stored);
    Metrics::add(&shared.metrics.events_duplicate_total, counts.duplicates);
    Metrics::add(&shared.metrics.events_rejected_total, counts.rejected.values().sum());
    shared.accounts.count(counted);
}
