//! Group commit: one thread takes everything that waits, decides in order what is a duplicate, gives out sequence numbers,
//! writes all of it with one write and one fdatasync, and hands it to the applier.
//!
//! Nothing is acknowledged before the sync returned. When the write or the sync fails, every request of the group is refused,
//! the ids and numbers it used are taken back, and the file is abandoned (module `wal`).

mod group;

use std::{
    io,
    path::PathBuf,
    sync::{Arc, atomic::Ordering::Relaxed, mpsc::SyncSender},
    time::Duration,
};

use hashbrown::HashMap;
use tokio::sync::oneshot;

use crate::{
    DatasetName, Error, Receipt, Timestamp,
    applier::Applied,
    dataset::Dataset,
    decode::Rows,
    dedup::{IdHash, IdWindow, KeyWindow, WindowClock},
    error::describe,
    metrics::Metrics,
    shared::Shared,
    wal::{Frame, FrameKind, KeyEntry, Payload, Seal, Segment, SegmentContent, SegmentHeader, SegmentId, write_frame},
};

/// A group that no other one follows within this time is followed by a mark, which proves after a crash that it was synced.
const MARK_AFTER: Duration = Duration::from_secs(1);

/// One request to make durable.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) name: DatasetName,
    /// `None` when no event was accepted and the dataset does not exist.
    pub(crate) dataset: Option<Arc<Dataset>>,
    pub(crate) rows: Rows,
    pub(crate) payload: Payload,
    /// Hashes of the events' own ids; empty when no event has one.
    pub(crate) ids: Vec<Option<IdHash>>,
    pub(crate) key: Option<KeyEntry>,
    pub(crate) received_at: Timestamp,
    pub(crate) import: bool,
    pub(crate) rejected: Vec<(String, u32)>,
    pub(crate) reply: Reply,
}

/// Where the answer goes.
pub(crate) type Reply = oneshot::Sender<Result<Receipt, Error>>;

/// What the writer is asked to do.
#[derive(Debug)]
pub(crate) enum Work {
    Append(Box<Request>),
    /// Write the idempotency keys whose only copy is in segments up to `through` again, so that those can be removed.
    Carry {
        through: SegmentId,
        done: SyncSender<Result<(), Error>>,
    },
    /// Begin a new segment, so that the others can be removed; the last of those is the answer.
    Roll {
        done: SyncSender<Result<SegmentId, Error>>,
    },
    /// Make durable what was found at start, and answer behind everything before.
    Settle {
        done: SyncSender<Result<(), Error>>,
    },
}

/// Where the WAL ended when it was opened, and what is remembered for telling duplicates.
#[derive(Debug)]
pub(crate) struct WriterStart {
    pub(crate) next_segment: SegmentId,
    /// The newest segment and how much of it counts.
    pub(crate) previous: Seal,
    pub(crate) next_lsn: u64,
    pub(crate) ids: IdWindow,
    pub(crate) keys: KeyWindow,
    pub(crate) tail: Tail,
}

/// Frames of the WAL that were found at start, but are not known to be durable. They are written again before anything else
/// is: until then no answer, not even "duplicate", may rely on them.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    pub(crate) frames: Vec<(FrameKind, Vec<u8>)>,
    pub(crate) last_lsn: u64,
    pub(crate) last_seqs: HashMap<DatasetName, u64>,
}

impl Tail {
    /// Adds a frame unless it is there already: a start that was cut short left a copy.
    pub(crate) fn add(&mut self, frame: &Frame<'_>) {
        if !self.frames.iter().any(|(kind, body)| *kind == frame.kind && body == frame.body) {
            self.frames.push((frame.kind, frame.body.to_vec()));
        }
    }
}

/// The writer thread's own state.
#[derive(Debug)]
pub(crate) struct Writer {
    shared: Arc<Shared>,
    applier: SyncSender<Vec<Applied>>,
    folder: PathBuf,
    segment: Option<Segment>,
    next_segment: SegmentId,
    previous: Seal,
    next_lsn: u64,
    ids: IdWindow,
    keys: KeyWindow,
    window_clock: WindowClock,
    /// When the last group was written, by [`crate::Clock::elapsed`].
    appended_at: Duration,
    tail: Tail,
    ulids: Ulids,
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, applier: SyncSender<Vec<Applied>>, start: WriterStart) -> Self {
        let folder = shared.wal_folder();
        let ulids = Ulids::new(&shared.incarnation_bytes);
        let window_clock = WindowClock::start(Arc::clone(&shared.clock));
        let WriterStart { next_segment, previous, next_lsn, ids, keys, tail } = start;
        shared.tail_is_pending.store(!tail.frames.is_empty(), Relaxed);
        let writer = Self {
            shared,
            applier,
            folder,
            segment: None,
            next_segment,
            previous,
            next_lsn,
            ids,
            keys,
            window_clock,
            appended_at: Duration::ZERO,
            tail,
            ulids,
        };
        writer.show();
        writer
    }

    /// Works until the queue is closed and empty.
    pub(crate) fn run(mut self) {
        let group_bytes_max = usize::try_from(self.shared.config.group_bytes_max).unwrap_or(usize::MAX);
        loop {
            let timeout = self.segment.as_ref().is_some_and(|segment| !segment.is_marked()).then_some(MARK_AFTER);
            let Some(works) = self.shared.queue.take(group_bytes_max, timeout) else { break };
            if works.is_empty() && self.shared.clock.elapsed().saturating_sub(self.appended_at) >= MARK_AFTER {
                self.mark();
            }
            let mut requests = Vec::with_capacity(works.len());
            let mut others = Vec::new();
            for work in works {
                match work {
                    Work::Append(request) => requests.push(*request),
                    other => others.push(other),
                }
            }
            if self.commit(requests).is_break() {
                return;
            }
            others.into_iter().for_each(|other| self.serve(other));
            self.show();
        }
        self.mark();
    }

    fn serve(&mut self, work: Work) {
        match work {
            // The asker may have gone; then nobody needs the answer.
            Work::Carry { through, done } => drop(done.send(self.carry(through))),
            Work::Roll { done } => drop(done.send(self.roll().map_err(write_error))),
            Work::Settle { done } => self.settle(done),
            Work::Append(_) => {}
        }
    }

    /// Makes the tail durable and answers through the applier, behind everything before.
    fn settle(&mut self, done: SyncSender<Result<(), Error>>) {
        if !self.tail.frames.is_empty()
            && let Err(error) = self.ready_segment()
        {
            drop(done.send(Err(write_error(error))));
            return;
        }
        let settled = Applied { settled: Some(done), ..Applied::default() };
        if self.hand_over(vec![settled]).is_break() {
            tracing::error!("the applier ended before the writer");
        }
    }

    /// Proves the last group: without this, damage of its bytes could not be told from a write that was cut.
    fn mark(&mut self) {
        let Some(segment) = self.segment.as_ref().filter(|segment| !segment.is_marked()) else { return };
        let mut bytes = Vec::new();
        write_frame(&mut bytes, segment.header.seed, segment.synced(), FrameKind::Keys, |_| {});
        // A failure is counted and logged, the segment abandoned; the group itself is safe.
        if let (Ok(synced), Some(segment)) = (self.append(&bytes), &mut self.segment) {
            segment.set_marked();
            self.shared.wal.note(synced, 0, std::iter::empty());
        }
    }

    /// The open segment: a new one after the last is full or was abandoned.
    fn ready_segment(&mut self) -> io::Result<&mut Segment> {
        let full = |segment: &Segment| segment.synced() >= self.shared.config.wal_segment_bytes_max;
        if self.segment.as_ref().is_some_and(full)
            && let Some(segment) = self.segment.take()
        {
            self.previous = segment.seal();
        }
        let segment = match self.segment.take() {
            Some(segment) => segment,
            None => self.new_segment()?,
        };
        Ok(self.segment.insert(segment))
    }

    /// Closes the open segment and begins another; the one before it.
    fn roll(&mut self) -> io::Result<SegmentId> {
        if let Some(segment) = self.segment.take() {
            self.previous = segment.seal();
        }
        self.ready_segment()?;
        Ok(self.previous.id)
    }

    fn new_segment(&mut self) -> io::Result<Segment> {
        let id = self.next_segment;
        // Used up even when creating it fails: a name is never used twice.
        self.next_segment = SegmentId(id.0 + 1);
        let header = SegmentHeader {
            incarnation: self.shared.incarnation_bytes,
            id,
            previous: self.previous,
            first_lsn: self.next_lsn,
            seed: u64::from_le_bytes(random_bytes()),
        };
        let mut segment = Segment::create(&*self.shared.disk, &self.folder, header)?;
        self.shared.wal.push(SegmentContent { id, bytes: segment.synced(), ..SegmentContent::default() });
        self.copy_tail(&mut segment)?;
        Ok(segment)
    }

    /// Makes durable what was found at start. When it fails, the new segment is given up and `previous` stays what it was.
    fn copy_tail(&mut self, segment: &mut Segment) -> io::Result<()> {
        if self.tail.frames.is_empty() {
            return Ok(());
        }
        let (mut bytes, synced) = (Vec::new(), segment.synced());
        for (kind, body) in &self.tail.frames {
            write_frame(&mut bytes, segment.header.seed, synced, *kind, |out| out.extend_from_slice(body));
        }
        segment.append(&bytes).inspect_err(|_| Metrics::add(&self.shared.metrics.wal_failures_total, 1))?;
        let tail = std::mem::take(&mut self.tail);
        self.shared.wal.note(segment.synced(), tail.last_lsn, tail.last_seqs.into_iter());
        self.shared.tail_is_pending.store(false, Relaxed);
        Ok(())
    }

    /// Writes and syncs; abandons the file when that fails.
    fn write(&mut self, encode: impl FnOnce(&Segment, &mut Vec<u8>) -> io::Result<()>) -> io::Result<u64> {
        let segment = self.ready_segment()?;
        let mut bytes = Vec::new();
        encode(segment, &mut bytes)?;
        self.append(&bytes)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<u64> {
        let Some(segment) = &mut self.segment else { return Err(io::Error::other("no WAL segment is open")) };
        let started = self.shared.clock.now();
        self.appended_at = self.shared.clock.elapsed();
        if let Err(error) = segment.append(bytes) {
            self.previous = segment.seal();
            self.segment = None;
            Metrics::add(&self.shared.metrics.wal_failures_total, 1);
            tracing::error!(error = %describe(&error), segment = %self.previous.id.file_name(), "a WAL segment failed and is abandoned");
            return Err(error);
        }
        let synced = segment.synced();
        self.shared.metrics.wal_sync.record_us(self.shared.clock.now().0 - started.0);
        Metrics::add(&self.shared.metrics.wal_groups_total, 1);
        Metrics::add(&self.shared.metrics.wal_written_bytes_total, bytes.len() as u64);
        Ok(synced)
    }

    fn show(&self) {
        let metrics = &self.shared.metrics;
        Metrics::set(&metrics.dedup_ids, self.ids.len() as u64);
        Metrics::set(&metrics.dedup_keys, self.keys.len() as u64);
        let now = self.window_clock.now();
        Metrics::set(
            &metrics.dedup_window_seconds,
            self.ids.effective_window_s(now).min(self.keys.effective_window_s(now)),
        );
    }

    /// Sends to the applier, in order; break when it is gone.
    fn hand_over(&self, applied: Vec<Applied>) -> std::ops::ControlFlow<()> {
        match self.applier.send(applied) {
            Ok(()) => std::ops::ControlFlow::Continue(()),
            Err(_) => std::ops::ControlFlow::Break(()),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Also after a panic: nobody may wait for a writer that is gone. Dropping a request tells its sender.
        self.shared.queue.close();
        while self.shared.queue.take(usize::MAX, None).is_some() {}
    }
}

/// Makes event ids: 48 bits of milliseconds that never go back, 40 bits that mark this incarnation, 40 bits of counter.
#[derive(Debug)]
pub(crate) struct Ulids {
    tag: u128,
    millisecond: u64,
    counter: u64,
}

const COUNTER_BITS: u32 = 40;

impl Ulids {
    pub(crate) fn new(incarnation: &[u8; 16]) -> Self {
        let tag = incarnation.iter().take(5).fold(0_u128, |tag, byte| tag << 8 | u128::from(*byte));
        Self { tag: tag << COUNTER_BITS, millisecond: 0, counter: 0 }
    }

    /// The first of `count` consecutive ids.
    fn reserve(&mut self, received_at: Timestamp, count: u32) -> u128 {
        let millisecond = u64::try_from(received_at.0 / 1000).unwrap_or(0).max(self.millisecond);
        let counter_is_spent = self.counter + u64::from(count) >= 1 << COUNTER_BITS;
        if millisecond > self.millisecond || counter_is_spent {
            self.millisecond = millisecond + u64::from(counter_is_spent);
            self.counter = u64::from_le_bytes(random_bytes()) >> (64 - COUNTER_BITS + 1);
        }
        let base = u128::from(self.millisecond) << 80 | self.tag | u128::from(self.counter);
        self.counter += u64::from(count);
        base
    }

    /// True for ids made by this incarnation.
    pub(crate) fn made(&self, id: &str) -> bool {
        const TAG_MASK: u128 = ((1 << 40) - 1) << COUNTER_BITS;
        id.len() == 26 && ulid::Ulid::from_string(id).is_ok_and(|ulid| ulid.0 & TAG_MASK == self.tag)
    }
}

/// Eight bytes from the operating system's generator.
pub(crate) fn random_bytes() -> [u8; 8] {
    let mut bytes = [0; 8];
    // The last eight bytes of a version 4 uuid: 62 random bits and 2 fixed ones, which are the first two here.
    bytes.copy_from_slice(&uuid::Uuid::new_v4().as_bytes()[8..]);
    bytes.rotate_left(1);
    bytes
}

pub(crate) fn write_error(source: io::Error) -> Error {
    Error::WriteWal { source: Arc::new(source) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_grow_never_repeat_and_are_recognised() {
        let mut ulids = Ulids::new(&[0xa7; 16]);
        let times = [5_000_000, 5_000_000, 9_000_000, 1_000_000, 9_000_000];
        let mut last = 0;
        for time in times {
            let base = ulids.reserve(Timestamp(time), 1000);
            assert!(base > last);
            last = base + 999;
        }
        let text = ulid::Ulid(last).to_string();
        assert!(ulids.made(&text));
        assert!(!Ulids::new(&[0xa8; 16]).made(&text));
        assert!(!ulids.made("order-17"));
    }
}
