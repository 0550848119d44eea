//! One group: judging its requests, encoding them, and what happens when it cannot be written.

use std::{io, ops::ControlFlow, sync::Arc, sync::atomic::Ordering::Relaxed};

use super::{Request, Writer, write_error};
use crate::{
    Error, Receipt, Timestamp,
    accounts::Counts,
    applier::{Answer, Applied, Counted, Insert},
    dataset::Dataset,
    dedup::KeyAnswer,
    memtable::Stamp,
    wal::{FrameKind, Payload, Record, Segment, SegmentId, compress::compress, record::put_u32, write_frame},
};

/// Small records are compressed together up to this size; larger blocks gain nothing (5.5:1 at 1 MB).
const BLOCK_BYTES: usize = 1024 * 1024;
/// A single record below this size is not worth a zstd frame of its own.
const COMPRESS_BYTES_MIN: usize = 512;

/// A judged request: what will be written, and what to take back if it cannot be.
#[derive(Debug)]
struct Judged {
    request: Request,
    record: Record,
    keep: Option<Vec<bool>>,
    refusal: Option<Error>,
}

/// What judging a group changed.
#[derive(Debug, Default)]
struct Undo {
    ids: usize,
    keys: usize,
    seqs: Vec<(Arc<Dataset>, u64)>,
    lsn: u64,
}

impl Writer {
    /// Makes the requests durable as one group and passes them on. One that stores nothing leaves its counts.
    pub(super) fn commit(&mut self, requests: Vec<Request>) -> ControlFlow<()> {
        if requests.is_empty() {
            return ControlFlow::Continue(());
        }
        let segment = match self.ready_segment() {
            Ok(segment) => segment.header.id,
            Err(error) => return self.refuse_all(requests, error),
        };
        let mut undo = Undo { lsn: self.next_lsn, ..Undo::default() };
        let now = self.window_clock.now();
        let judged = requests.into_iter().map(|request| self.judge(request, segment, now, &mut undo)).collect();
        let judged = self.number(judged);
        match self.write_group(&judged) {
            Ok(()) => self.hand_over(self.applied(judged)),
            Err(error) => {
                self.take_back(undo);
                self.refuse_all(judged.into_iter().map(|judged| judged.request).collect(), error)
            }
        }
    }

    /// Decides what of a request is stored. `now`: by the windows' clock.
    fn judge(&mut self, mut request: Request, segment: SegmentId, now: Timestamp, undo: &mut Undo) -> Judged {
        let mut record = Record {
            lsn: 0,
            import: request.import,
            dataset: request.name.as_str().to_owned(),
            received_at: request.received_at,
            first_seq: 0,
            stored: 0,
            duplicates: 0,
            ulid_base: 0,
            key: None,
            rejected: std::mem::take(&mut request.rejected),
            payload: Payload::default(),
        };
        let events = u32::try_from(request.rows.len()).unwrap_or(u32::MAX);
        let answer = request.key.as_ref().map(|key| self.keys.look_up(&record.dataset, key, now));
        let mut judged = match answer {
            Some(KeyAnswer::Repeated) => {
                record.duplicates = events;
                return Judged { request, record, keep: None, refusal: None };
            }
            Some(KeyAnswer::Reused) => {
                let key = request.key.as_ref().map(|entry| entry.key.clone()).unwrap_or_default();
                record.rejected.push(("idempotency_key_reused".to_owned(), events));
                return Judged { request, record, keep: None, refusal: Some(Error::IdempotencyKeyReused { key }) };
            }
            Some(KeyAnswer::New) | None => {
                let keep = self.without_duplicates(&request, now, undo);
                Judged { request, record, keep, refusal: None }
            }
        };
        let kept =
            judged.keep.as_ref().map_or(judged.request.rows.len(), |keep| keep.iter().filter(|keep| **keep).count());
        judged.record.stored = u32::try_from(kept).unwrap_or(u32::MAX);
        judged.record.duplicates = events - judged.record.stored;
        if judged.record.stored > 0 {
            self.reserve(&mut judged, segment, now, undo);
        }
        judged
    }

    /// Which rows are new; `None` when all are.
    fn without_duplicates(&mut self, request: &Request, now: Timestamp, undo: &mut Undo) -> Option<Vec<bool>> {
        let mut keep = Vec::new();
        for (row, id) in request.ids.iter().enumerate() {
            let Some(id) = id else { continue };
            if self.ids.insert(*id, now) {
                undo.ids += 1;
                continue;
            }
            if keep.is_empty() {
                keep = vec![true; request.rows.len()];
            }
            keep[row] = false;
        }
        (!keep.is_empty()).then_some(keep)
    }

    /// Gives a request that stores something its numbers.
    fn reserve(&mut self, judged: &mut Judged, segment: SegmentId, now: Timestamp, undo: &mut Undo) {
        let record = &mut judged.record;
        let Some(dataset) = &judged.request.dataset else { return };
        let first_seq = dataset.next_seq.load(Relaxed);
        undo.seqs.push((Arc::clone(dataset), first_seq));
        dataset.next_seq.store(first_seq + u64::from(record.stored), Relaxed);
        record.first_seq = first_seq;
        record.ulid_base = self.ulids.reserve(record.received_at, record.stored);
        record.key = judged.request.key.take();
        if let Some(key) = &record.key {
            self.keys.insert(&record.dataset, key, record.received_at, now, segment);
            undo.keys += 1;
        }
    }

    /// Numbers all records of the group.
    fn number(&mut self, mut judged: Vec<Judged>) -> Vec<Judged> {
        for judged in &mut judged {
            judged.record.lsn = self.next_lsn;
            self.next_lsn += 1;
        }
        judged
    }

    fn write_group(&mut self, judged: &[Judged]) -> io::Result<()> {
        let last_lsn = self.next_lsn - 1;
        let synced = self.write(|segment, out| {
            let mut block = Block::new(segment);
            for judged in judged {
                block.push(&judged.record, &*judged.payload()?, out)?;
            }
            block.close(out)
        })?;
        let seqs = judged.iter().filter_map(|judged| Some((judged.request.name.clone(), judged.record.last_seq()?)));
        self.shared.wal.note(synced, last_lsn, seqs);
        Ok(())
    }

    fn applied(&self, judged: Vec<Judged>) -> Vec<Applied> {
        let applied = judged.into_iter().map(|mut judged| {
            let record = &judged.record;
            let counted = Counted {
                lsn: record.lsn,
                name: judged.request.name.clone(),
                minute: record.received_at.minutes(),
                counts: Counts::of(record),
            };
            let dataset = judged.request.dataset.take().filter(|_| record.stored > 0);
            let insert = dataset.map(|dataset| Insert {
                stamp: Stamp {
                    dataset: dataset.name.clone(),
                    first_seq: record.first_seq,
                    ulid_base: record.ulid_base,
                    received_at: record.received_at,
                    incarnation: Arc::clone(&self.shared.incarnation),
                    silent: record.import,
                },
                dataset,
                rows: std::mem::take(&mut judged.request.rows),
                keep: judged.keep.take(),
                stored: record.stored,
                bytes: u64::from(record.payload.raw_bytes.max(judged.request.payload.raw_bytes)),
            });
            Applied { counted: Some(counted), insert, answer: Some(answer(judged)), settled: None }
        });
        applied.collect()
    }

    fn take_back(&mut self, undo: Undo) {
        self.ids.rewind(undo.ids);
        self.keys.rewind(undo.keys);
        for (dataset, seq) in undo.seqs.into_iter().rev() {
            dataset.next_seq.store(seq, Relaxed);
        }
        self.next_lsn = undo.lsn;
    }

    /// Nothing of these requests is stored or acknowledged.
    fn refuse_all(&self, requests: Vec<Request>, error: io::Error) -> ControlFlow<()> {
        let error = write_error(error);
        let refused = requests.into_iter().map(|request| {
            let answer = Answer { reply: request.reply, outcome: Err(error.clone()), received_at: request.received_at };
            Applied { answer: Some(answer), ..Applied::default() }
        });
        self.hand_over(refused.collect())
    }

    /// Writes keys again whose segments are about to be removed.
    pub(super) fn carry(&mut self, through: SegmentId) -> Result<(), Error> {
        let keys = self.keys.held_through(through, self.window_clock.now());
        if keys.is_empty() {
            return Ok(());
        }
        let mut segment = SegmentId(0);
        let written = self.write(|open, out| {
            segment = open.header.id;
            write_frame(out, open.header.seed, open.synced(), FrameKind::Keys, |out| {
                keys.iter().for_each(|key| key.encode(out))
            });
            Ok(())
        });
        let synced = written.map_err(write_error)?;
        self.shared.wal.note(synced, 0, std::iter::empty());
        self.keys.carried(&keys, segment);
        Ok(())
    }
}

impl Judged {
    /// The bytes of the stored events only.
    fn payload(&self) -> io::Result<std::borrow::Cow<'_, Payload>> {
        use std::borrow::Cow;
        let rows = &self.request.rows;
        match &self.keep {
            _ if self.record.stored == 0 => Ok(Cow::Owned(Payload::default())),
            None => Ok(Cow::Borrowed(&self.request.payload)),
            Some(keep) => {
                let kept = (0..rows.len()).filter(|row| keep[*row]).map(|row| rows.raw(row));
                Payload::from_events(kept).map(Cow::Owned)
            }
        }
    }
}

fn answer(judged: Judged) -> Answer {
    let receipt =
        Receipt { accepted: judged.record.stored, duplicates: judged.record.duplicates, first_sights: Vec::new() };
    let outcome = judged.refusal.map_or(Ok(receipt), Err);
    Answer { reply: judged.request.reply, outcome, received_at: judged.record.received_at }
}

/// Gathers small records for one zstd frame.
struct Block {
    seed: u64,
    synced: u64,
    raw: Vec<u8>,
    records: usize,
}

impl Block {
    fn new(segment: &Segment) -> Self {
        Self { seed: segment.header.seed, synced: segment.synced(), raw: Vec::new(), records: 0 }
    }

    fn push(&mut self, record: &Record, payload: &Payload, out: &mut Vec<u8>) -> io::Result<()> {
        if payload.zstd {
            self.close(out)?;
            write_frame(out, self.seed, self.synced, FrameKind::Record, |out| record.encode(payload, out));
            return Ok(());
        }
        let start = self.raw.len();
        put_u32(&mut self.raw, 0);
        record.encode(payload, &mut self.raw);
        let mut length = Vec::with_capacity(4);
        put_u32(&mut length, self.raw.len() - start - 4);
        self.raw[start..start + 4].copy_from_slice(&length);
        self.records += 1;
        if self.raw.len() >= BLOCK_BYTES { self.close(out) } else { Ok(()) }
    }

    /// Writes what was gathered.
    fn close(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        if self.records == 0 {
            return Ok(());
        }
        if self.records == 1 && self.raw.len() < COMPRESS_BYTES_MIN {
            write_frame(out, self.seed, self.synced, FrameKind::Record, |out| out.extend_from_slice(&self.raw[4..]));
        } else {
            let packed = compress(&self.raw)?;
            write_frame(out, self.seed, self.synced, FrameKind::Block, |out| {
                put_u32(out, self.raw.len());
                out.extend_from_slice(&packed);
            });
        }
        self.raw.clear();
        self.records = 0;
        Ok(())
    }
}
