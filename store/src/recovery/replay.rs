//! The WAL on top of the tables: every record after a table's txn goes into memory again, exactly as it did the first time.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use super::{
    Opened,
    chain::{self, Link, WalFolder},
    litter::Strays,
    pipeline::{self, Job, Pipeline, Ready, decode_again},
};
use crate::{
    DatasetName, Error, FirstSight, Timestamp,
    accounts::Counts,
    applier::Counted,
    dataset::{DATASETS_FOLDER, Dataset},
    decode::Rows,
    dedup::{IdWindow, KeyWindow},
    error::describe,
    flush,
    memtable::Stamp,
    metrics::Metrics,
    quarantine::{self, PANICKED, Quarantined},
    shared::Shared,
    wal::{
        CarriedKey, FrameKind, HEADER_BYTES, KeyEntry, Record, Seal, SegmentContent, SegmentId, compress::unpack_block,
        record::Reader, scan, split_events,
    },
    writer::{Tail, WriterStart},
};

/// Replays the WAL and tells the writer where to go on.
///
/// # Errors
/// When the WAL cannot be read or belongs to a newer version, or a table has lost commits.
pub(super) fn replay(shared: Arc<Shared>, isolated: &BTreeSet<DatasetName>, strays: &Strays) -> Result<Opened, Error> {
    let config = &shared.config;
    let mut ids = IdWindow::new(config.dedup_window_s, config.dedup_ids_max);
    super::ids::load(&shared, &mut ids)?;
    let keys = KeyWindow::new(config.dedup_window_s, config.dedup_keys_max);
    let next_lsn = shared.accounts_table.lock().lsn() + 1;
    let (pipeline, decoder) = pipeline::new();
    let mut replay = Replay {
        shared: &shared,
        isolated,
        strays,
        now: shared.clock.now(),
        ids,
        keys,
        next_lsn,
        tail: Tail::default(),
        in_tail: false,
        pipeline,
        found: Found::default(),
    };
    let end = std::thread::scope(|scope| {
        scope.spawn(move || decoder.run());
        let end = replay.run();
        replay.pipeline.close();
        end
    })?;
    let Replay { ids, keys, next_lsn, tail, found, .. } = replay;
    let applied = |name: &DatasetName| shared.dataset(name).map_or(0, |dataset| dataset.state.lock().applied_seq);
    let tables = shared.config.folder.join(DATASETS_FOLDER);
    strays.refuse_rest(&tables, applied, (&shared.accounts_table.lock(), next_lsn - 1))?;
    let metrics = &shared.metrics;
    Metrics::set(&metrics.wal_damaged, found.damaged);
    Metrics::set(&metrics.wal_lost_events, found.lost);
    Metrics::set(&metrics.replayed_events, found.replayed);
    let start = WriterStart { next_segment: end.next, previous: end.newest, next_lsn, ids, keys, tail };
    shared.note_memory(shared.all_datasets().into_iter());
    Ok(Opened { shared, start, sights: found.sights, quarantined: found.quarantined })
}

/// Where the chain of segments ends.
struct End {
    newest: Seal,
    /// An id no file ever had.
    next: SegmentId,
}

/// What the replay came across.
#[derive(Default)]
struct Found {
    sights: Vec<FirstSight>,
    quarantined: Vec<Quarantined>,
    damaged: u64,
    lost: u64,
    replayed: u64,
}

struct Replay<'a> {
    shared: &'a Shared,
    isolated: &'a BTreeSet<DatasetName>,
    strays: &'a Strays,
    /// When the replay began.
    now: Timestamp,
    ids: IdWindow,
    keys: KeyWindow,
    next_lsn: u64,
    /// Frames that may be there only because the page cache outlived the process. Replayed last.
    tail: Tail,
    in_tail: bool,
    pipeline: Pipeline,
    found: Found,
}

impl Replay<'_> {
    fn run(&mut self) -> Result<End, Error> {
        let folder = self.shared.wal_folder();
        let listed = self.shared.disk.list(&folder).map_err(|source| Error::folder("list", &folder, source))?;
        let present: Vec<SegmentId> =
            listed.iter().filter_map(|entry| SegmentId::from_file_name(&entry.name)).collect();
        let highest = present.iter().copied().max().unwrap_or_default();
        let mut end = End { newest: Seal::default(), next: SegmentId(highest.0 + 1) };
        let wal = WalFolder { disk: &*self.shared.disk, path: &folder, incarnation: &self.shared.incarnation_bytes };
        let chain = chain::of(wal, &present)?;
        let newest = chain.last().map(|link| link.id);
        for link in chain {
            end.newest = self.segment(&link, newest == Some(link.id))?;
        }
        self.finish_waiting()?;
        self.replay_tail(end.newest.id)?;
        self.finish_waiting()?;
        // What would panic in the first reader's hands shall do so here.
        for dataset in self.shared.all_datasets() {
            self.freeze(&dataset)?;
        }
        Ok(end)
    }

    /// Inserts everything that is still being decoded.
    fn finish_waiting(&mut self) -> Result<(), Error> {
        loop {
            let ready = self.pipeline.finish();
            if ready.is_empty() {
                return Ok(());
            }
            self.insert_all(ready)?;
        }
    }

    /// Replays what of a segment is durable for sure; gives back how much of it counts.
    fn segment(&mut self, link: &Link, is_newest: bool) -> Result<Seal, Error> {
        let path = self.shared.wal_folder().join(link.id.file_name());
        let bytes = self.shared.disk.read(&path).map_err(|source| Error::folder("read", &path, source))?;
        let mut content = SegmentContent { id: link.id, bytes: bytes.len() as u64, ..SegmentContent::default() };
        let whole = bytes.len() as u64;
        let Some(header) = &link.header else {
            self.quarantine_bytes(link.id, 0, &bytes)?;
            self.shared.wal.push(content);
            return Ok(link.seal.unwrap_or(Seal { id: link.id, bytes: whole, synced: whole }));
        };
        // The header that would tell how much of an older segment counts is gone. All of it then: a refused event may come
        // back, but no acknowledged one is dropped as a torn end.
        let seal = link.seal.or((!is_newest).then_some(Seal { id: link.id, bytes: whole, synced: whole }));
        let scan = scan(&bytes, HEADER_BYTES, header.seed, seal.as_ref());
        for range in &scan.damaged {
            self.quarantine_bytes(link.id, range.start, bytes.get(range.clone()).unwrap_or_default())?;
        }
        if scan.proven > HEADER_BYTES {
            // The first group here is a copy of the tail so far, and it is durable.
            self.tail.frames.clear();
        }
        for frame in &scan.frames {
            if frame.at < scan.proven {
                self.frame(frame.kind, frame.body, &mut content)?;
            } else if !frame.is_mark() {
                self.tail.add(frame);
            }
        }
        self.shared.wal.push(content);
        Ok(Seal { id: link.id, bytes: scan.end as u64, synced: scan.proven as u64 })
    }

    /// Replays the frames that are not known to be durable; those that matter are left in `tail` for the writer to copy.
    fn replay_tail(&mut self, newest: SegmentId) -> Result<(), Error> {
        let frames = std::mem::take(&mut self.tail.frames);
        self.in_tail = true;
        for (kind, body) in frames {
            let mut content = SegmentContent { id: newest, ..SegmentContent::default() };
            self.frame(kind, &body, &mut content)?;
            let covered = |(name, seq): (&DatasetName, &u64)| {
                self.shared.dataset(name).is_some_and(|dataset| dataset.flushed_seq() >= *seq)
            };
            let in_files = content.last_seqs.iter().all(covered)
                && content.last_lsn <= self.shared.accounts_table.lock().lsn()
                && self.keys.held_through(newest, self.now).is_empty();
            self.shared.wal.note(0, content.last_lsn, content.last_seqs.clone().into_iter());
            if !in_files {
                self.tail.frames.push((kind, body));
                self.tail.last_lsn = self.tail.last_lsn.max(content.last_lsn);
                self.tail.last_seqs.extend(content.last_seqs);
            }
        }
        Ok(())
    }

    fn frame(&mut self, kind: FrameKind, body: &[u8], content: &mut SegmentContent) -> Result<(), Error> {
        match kind {
            FrameKind::Record => self.record_bytes(body, content),
            FrameKind::Keys => {
                for key in CarriedKey::decode_all(body).unwrap_or_default() {
                    self.remember_key(&key.dataset, &key.entry, key.received_at, content.id);
                }
                Ok(())
            }
            FrameKind::Block => {
                let Some(raw) = unpack_block(body) else {
                    return self.quarantine_bytes(content.id, body.len(), body);
                };
                let mut rest = Reader(&raw);
                while let Some(record) = rest.u32().and_then(|length| rest.take(length as usize)) {
                    self.record_bytes(record, content)?;
                }
                Ok(())
            }
        }
    }

    fn record_bytes(&mut self, bytes: &[u8], content: &mut SegmentContent) -> Result<(), Error> {
        let decoded =
            Record::decode(bytes).and_then(|record| Some((DatasetName::from_stored(&record.dataset)?, record)));
        let Some((name, record)) = decoded else {
            // The checksum is right, so this is no damage of the disk: a bug, or a record of a newer version.
            return self.quarantine_bytes(content.id, bytes.len(), bytes);
        };
        content.last_lsn = content.last_lsn.max(record.lsn);
        if record.lsn > self.next_lsn {
            self.strays.refuse_accounts_gap(&self.shared.accounts_table.lock())?;
            tracing::error!(
                missing = record.lsn - self.next_lsn,
                first = self.next_lsn,
                "records are missing from the WAL"
            );
        }
        self.next_lsn = self.next_lsn.max(record.lsn + 1);
        self.shared.accounts.count(Counted {
            lsn: record.lsn,
            name: name.clone(),
            minute: record.received_at.minutes(),
            counts: Counts::of(&record),
        });
        if let Some(entry) = &record.key {
            self.remember_key(&record.dataset, entry, record.received_at, content.id);
        }
        let Some(last_seq) = record.last_seq() else { return Ok(()) };
        content.last_seqs.insert(name.clone(), last_seq);
        self.events(name, record, last_seq)
    }

    fn remember_key(&mut self, dataset: &str, entry: &KeyEntry, received_at: Timestamp, segment: SegmentId) {
        self.keys.insert(dataset, entry, received_at, received_at.min(self.now), segment);
    }

    /// Puts the events of a record in line for memory unless they are in files.
    fn events(&mut self, name: DatasetName, record: Record, last_seq: u64) -> Result<(), Error> {
        let dataset = match self.shared.dataset(&name) {
            Some(dataset) => dataset,
            None => {
                self.shared.register(self.shared.new_dataset(&name)).unwrap_or_else(|| self.shared.new_dataset(&name))
            }
        };
        if last_seq <= dataset.flushed_seq() {
            return Ok(());
        }
        dataset.isolated.store(self.isolated.contains(&dataset.name), Relaxed);
        let ready = self.pipeline.push(Job { dataset, record, last_seq });
        self.insert_all(ready)
    }

    /// Inserts what was decoded, in the order of the log.
    fn insert_all(&mut self, ready: Vec<Ready>) -> Result<(), Error> {
        for ready in ready {
            self.insert(&ready)?;
        }
        Ok(())
    }

    fn insert(&mut self, ready: &Ready) -> Result<(), Error> {
        let Ready { job: Job { dataset, record, last_seq }, rows, raw } = ready;
        let applied_seq = dataset.state.lock().applied_seq;
        if *last_seq <= applied_seq {
            return Ok(());
        }
        if record.first_seq > applied_seq + 1 {
            self.strays.refuse_gap((&dataset.name, dataset.root()), applied_seq + 1..=record.first_seq - 1)?;
            let missing = record.first_seq - applied_seq - 1;
            self.found.lost += missing;
            tracing::error!(dataset = %dataset.name, missing, first = applied_seq + 1, "acknowledged events are missing from the WAL");
        }
        dataset.next_seq.store(last_seq + 1, Relaxed);
        if rows.len() == record.stored as usize {
            self.insert_rows(dataset, record, rows)?;
        } else {
            self.insert_one_by_one(dataset, record, raw)?;
        }
        self.flush_if_tight(dataset)
    }

    /// Sequence numbers and ids count all events of the record: those that decode keep theirs.
    fn insert_one_by_one(&mut self, dataset: &Arc<Dataset>, record: &Record, raw: &[u8]) -> Result<(), Error> {
        let events = split_events(raw).filter(|events| events.len() == record.stored as usize);
        let Some(events) = events else {
            self.found.lost += u64::from(record.stored);
            return self.quarantine_bytes(SegmentId(0), raw.len(), raw);
        };
        for (index, event) in (0_u32..).zip(events) {
            let rows = decode_again(dataset, record, &[event]);
            if rows.len() != 1 {
                let reject = rows.rejects().first();
                let reason = reject.map_or_else(|| "the decoder failed".to_owned(), |reject| reject.message.clone());
                self.quarantine_event(dataset, record, event, index, reason)?;
            } else if dataset.insert_alone(&rows, &self.stamp(dataset, record, index)) {
                self.remember_ids(dataset, record, &rows);
                self.found.replayed += 1;
            } else {
                self.quarantine_event(dataset, record, event, index, PANICKED.to_owned())?;
            }
        }
        Ok(())
    }

    fn insert_rows(&mut self, dataset: &Arc<Dataset>, record: &Record, rows: &Rows) -> Result<(), Error> {
        let stamp = self.stamp(dataset, record, 0);
        let mut failed = Vec::new();
        let mut set_aside = |row| {
            failed.push(row);
            Ok(())
        };
        let insert = || dataset.insert(rows, None, stamp, record.stored, &mut set_aside);
        let sights = std::panic::catch_unwind(std::panic::AssertUnwindSafe(insert))
            .map_err(|_| Error::Torn { dataset: dataset.name.clone() })??;
        self.remember_ids(dataset, record, rows);
        self.found.replayed += (rows.len() - failed.len()) as u64;
        self.found.sights.extend(sights);
        for row in failed {
            let index = u32::try_from(row).unwrap_or(u32::MAX);
            self.quarantine_event(dataset, record, rows.raw(row), index, PANICKED.to_owned())?;
        }
        Ok(())
    }

    /// What the events of a record get from event `index` on.
    fn stamp(&self, dataset: &Dataset, record: &Record, index: u32) -> Stamp {
        Stamp {
            dataset: dataset.name.clone(),
            first_seq: record.first_seq + u64::from(index),
            ulid_base: record.ulid_base + u128::from(index),
            received_at: record.received_at,
            incarnation: Arc::clone(&self.shared.incarnation),
            silent: record.import,
        }
    }

    fn remember_ids(&mut self, dataset: &Dataset, record: &Record, rows: &Rows) {
        let seen_at = record.received_at.min(self.now);
        for id in (0..rows.len()).filter_map(|row| rows.id(row)) {
            self.ids.insert(self.shared.ids.hash(dataset.name.as_str(), id), seen_at);
        }
    }

    fn freeze(&self, dataset: &Dataset) -> Result<(), Error> {
        if dataset.freeze() { Ok(()) } else { Err(Error::Torn { dataset: dataset.name.clone() }) }
    }

    /// Keeps memory bounded however long the WAL is. Otherwise the flusher does it later: the sooner readers are served.
    fn flush_if_tight(&self, dataset: &Arc<Dataset>) -> Result<(), Error> {
        self.shared.note_memory(std::iter::once(Arc::clone(dataset)));
        // What is in the tail is not durable yet, and what is in files must be counted in the WAL or in the accounts.
        let is_safe = !self.in_tail || self.shared.config.read_only;
        if !is_safe || !self.shared.memory_is_tight() || !self.shared.is_full(&dataset.hot()) {
            return Ok(());
        }
        self.freeze(dataset)?;
        if self.shared.config.read_only {
            let problems =
                "store.memory_bytes_max is too small to show this folder read-only: its WAL does not fit".to_owned();
            return if self.shared.memory_is_full() { Err(Error::Config { problems }) } else { Ok(()) };
        }
        match flush::flush(self.shared, dataset) {
            Err(error) if self.shared.memory_is_full() => Err(error),
            Err(error) => {
                tracing::error!(dataset = %dataset.name, error = %describe(&error), "could not flush while replaying the WAL");
                Ok(())
            }
            Ok(_) => Ok(()),
        }
    }

    fn quarantine_bytes(&mut self, segment: SegmentId, start: usize, bytes: &[u8]) -> Result<(), Error> {
        self.found.damaged += 1;
        let name = format!("{:016x}-{start}.bin", segment.0);
        tracing::error!(segment = %segment.file_name(), start, bytes = bytes.len(), "the WAL is damaged: see wal/quarantine/{name}");
        quarantine::keep(self.shared, &name, bytes)
    }

    fn quarantine_event(
        &mut self,
        dataset: &Dataset,
        record: &Record,
        event: &[u8],
        index: u32,
        reason: String,
    ) -> Result<(), Error> {
        let seq = record.first_seq + u64::from(index);
        let text = String::from_utf8_lossy(event).into_owned();
        let received_at = record.received_at;
        let quarantined = Quarantined { dataset: dataset.name.clone(), seq, received_at, reason, text };
        quarantined.keep(self.shared)?;
        dataset.skip(seq);
        self.found.quarantined.push(quarantined);
        Ok(())
    }
}
