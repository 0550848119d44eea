//! Decoding ahead: while one batch of records is inserted, a second thread decompresses and decodes the next. A start is as
//! fast as the slower of the two.

use std::sync::{
    Arc,
    atomic::Ordering::Relaxed,
    mpsc::{Receiver, SyncSender, sync_channel},
};

use crate::{
    dataset::Dataset,
    decode::{self, DecodeOptions, Rows},
    wal::{Record, split_events},
};

/// Bytes of compressed events that are decoded at once.
const BATCH_BYTES: usize = 512 * 1024;
/// Batches being decoded while one is inserted; bounds the memory.
const BATCHES_AHEAD: usize = 2;

/// A record whose events are not in files.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) dataset: Arc<Dataset>,
    pub(super) record: Record,
    pub(super) last_seq: u64,
}

/// A decoded record.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) job: Job,
    /// All events of the record, or none: then `raw` has them, to be taken one by one.
    pub(super) rows: Rows,
    pub(super) raw: Vec<u8>,
}

/// The inserting end.
#[derive(Debug)]
pub(super) struct Pipeline {
    waiting: Vec<Job>,
    waiting_bytes: usize,
    jobs: Option<SyncSender<Vec<Job>>>,
    ready: Receiver<Vec<Ready>>,
    in_flight: usize,
}

/// The decoding end.
#[derive(Debug)]
pub(super) struct Decoder {
    jobs: Receiver<Vec<Job>>,
    ready: SyncSender<Vec<Ready>>,
}

/// Both ends.
pub(super) fn new() -> (Pipeline, Decoder) {
    let (jobs_in, jobs) = sync_channel(BATCHES_AHEAD);
    let (ready_in, ready) = sync_channel(BATCHES_AHEAD);
    let pipeline = Pipeline { waiting: Vec::new(), waiting_bytes: 0, jobs: Some(jobs_in), ready, in_flight: 0 };
    (pipeline, Decoder { jobs, ready: ready_in })
}

impl Pipeline {
    /// Puts a record in line; gives back records that are ready to be inserted, in order.
    pub(super) fn push(&mut self, job: Job) -> Vec<Ready> {
        self.waiting_bytes += job.record.payload.bytes.len();
        self.waiting.push(job);
        if self.waiting_bytes < BATCH_BYTES {
            return Vec::new();
        }
        self.send();
        if self.in_flight > BATCHES_AHEAD { self.receive() } else { Vec::new() }
    }

    /// The next records that are ready; none when nothing is in line any more.
    pub(super) fn finish(&mut self) -> Vec<Ready> {
        if !self.waiting.is_empty() {
            self.send();
        }
        if self.in_flight > 0 { self.receive() } else { Vec::new() }
    }

    /// Lets the decoder end.
    pub(super) fn close(&mut self) {
        self.jobs = None;
        while self.ready.recv().is_ok() {}
    }

    fn send(&mut self) {
        self.waiting_bytes = 0;
        let batch = std::mem::take(&mut self.waiting);
        // The decoder ends only when this end is closed: it catches panics.
        if self.jobs.as_ref().is_some_and(|jobs| jobs.send(batch).is_ok()) {
            self.in_flight += 1;
        }
    }

    fn receive(&mut self) -> Vec<Ready> {
        self.in_flight -= 1;
        self.ready.recv().unwrap_or_default()
    }
}

impl Decoder {
    /// Works until the other end is closed.
    pub(super) fn run(self) {
        for batch in self.jobs {
            let ready = batch.into_iter().map(decode_job).collect();
            if self.ready.send(ready).is_err() {
                return;
            }
        }
    }
}

fn decode_job(mut job: Job) -> Ready {
    let payload = std::mem::take(&mut job.record.payload);
    let raw = payload.decompress().map(std::borrow::Cow::into_owned).unwrap_or(payload.bytes);
    let isolated = job.dataset.isolated.load(Relaxed);
    let events = split_events(&raw).filter(|_| !isolated).filter(|events| events.len() == job.record.stored as usize);
    let rows = events.map(|events| decode_again(&job.dataset, &job.record, &events)).unwrap_or_default();
    if rows.len() == job.record.stored as usize {
        return Ready { job, rows, raw: Vec::new() };
    }
    Ready { job, rows: Rows::default(), raw }
}

/// The rows of events that were accepted once. A decoder that panics takes nothing.
pub(super) fn decode_again(dataset: &Dataset, record: &Record, events: &[&[u8]]) -> Rows {
    let options = DecodeOptions { import: record.import, replay: true, ..DecodeOptions::default() };
    let decode = || decode::decode(&dataset.catalog, events, record.received_at, &options);
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(decode)).unwrap_or_default()
}
