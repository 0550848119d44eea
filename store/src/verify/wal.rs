//! The WAL read as a start would read it: every header, checksum, record and payload.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use hashbrown::HashMap;

use super::Checker;
use crate::{
    DatasetName, Error, Timestamp,
    accounts::Counts,
    catalog::Catalog,
    decode::{self, DecodeOptions},
    dedup::Digest,
    recovery::chain::{self, Link, WalFolder},
    wal::{
        CarriedKey, FrameKind, HEADER_BYTES, KeyEntry, Record, Seal, SegmentId, compress::unpack_block, record::Reader,
        scan, split_events,
    },
};

/// Events of one record that stand in the WAL.
#[derive(Debug)]
pub(super) struct WalEvents {
    pub(super) first_seq: u64,
    pub(super) last_seq: u64,
    pub(super) received_at: Timestamp,
    /// The clients' ids.
    pub(super) ids: Vec<String>,
}

/// What the WAL holds.
#[derive(Debug, Default)]
pub(super) struct WalContent {
    pub(super) segments: u64,
    pub(super) bytes: u64,
    pub(super) records: u64,
    pub(super) keys: u64,
    /// Number of its first record.
    pub(super) first_lsn: Option<u64>,
    pub(super) events: BTreeMap<DatasetName, Vec<WalEvents>>,
    /// Counts of the records that the table of counts does not have yet.
    pub(super) counts: BTreeMap<DatasetName, Counts>,
}

/// Reads all of it. `counted_lsn`: the last record in the table of counts.
///
/// # Errors
/// When a segment cannot be read at all, is of a newer version or of another incarnation.
pub(super) fn check(checker: &mut Checker<'_>, incarnation: &[u8; 16], counted_lsn: u64) -> Result<WalContent, Error> {
    let folder = checker.folder.join("wal");
    let list_error = |source| Error::folder("list", &folder, source);
    let mut content = WalContent::default();
    if !checker.disk.exists(&folder).map_err(list_error)? {
        return Ok(content);
    }
    let listed = checker.disk.list(&folder).map_err(list_error)?;
    let present: Vec<SegmentId> = listed.iter().filter_map(|entry| SegmentId::from_file_name(&entry.name)).collect();
    let chain = chain::of(WalFolder { disk: checker.disk, path: &folder, incarnation }, &present)?;
    for id in present.iter().filter(|id| chain.iter().all(|link| link.id != **id)) {
        checker.note(
            "wal_segment_unused",
            &folder.join(id.file_name()),
            "given up before anything in it was acknowledged; the next start removes it",
        );
    }
    let mut walk = Walk {
        checker,
        path: folder.clone(),
        content: &mut content,
        counted_lsn,
        next_lsn: counted_lsn + 1,
        keys: HashMap::new(),
        catalog: Catalog::new(),
    };
    let newest = chain.last().map(|link| link.id);
    for link in chain {
        walk.segment(&folder, &link, newest == Some(link.id))?;
    }
    content.keys = walk.keys.len() as u64;
    Ok(content)
}

struct Walk<'a, 'b> {
    checker: &'a mut Checker<'b>,
    /// The segment being read.
    path: PathBuf,
    content: &'a mut WalContent,
    counted_lsn: u64,
    next_lsn: u64,
    keys: HashMap<(String, String), (Digest, Timestamp)>,
    /// Only for telling whether events can be decoded, and their ids.
    catalog: Catalog,
}

impl Walk<'_, '_> {
    fn segment(&mut self, folder: &Path, link: &Link, is_newest: bool) -> Result<(), Error> {
        self.path = folder.join(link.id.file_name());
        let bytes = self.checker.disk.read(&self.path).map_err(|source| Error::folder("read", &self.path, source))?;
        self.content.segments += 1;
        self.content.bytes += bytes.len() as u64;
        let Some(header) = &link.header else {
            self.problem(
                "wal_header",
                "its header is damaged, so none of its records can be read; the next start sets it aside".to_owned(),
            );
            return Ok(());
        };
        // As at a start: without the header that would tell how much of an older segment counts, all of it does.
        let whole = bytes.len() as u64;
        let seal = link.seal.or((!is_newest).then_some(Seal { id: link.id, bytes: whole, synced: whole }));
        let scan = scan(&bytes, HEADER_BYTES, header.seed, seal.as_ref());
        for range in &scan.damaged {
            let text = format!(
                "bytes {} to {} are damaged: what was acknowledged there is lost; the next start sets them aside",
                range.start, range.end
            );
            self.problem("wal_damaged", text);
        }
        let cut = scan.frames.last().map_or(HEADER_BYTES, |frame| frame.at + frame.body.len());
        if link.seal.is_none() && scan.end < bytes.len() && scan.damaged.is_empty() && cut <= scan.end {
            let text = format!(
                "the last write is torn at byte {}: it was never acknowledged, the next start cuts it",
                scan.end
            );
            self.checker.note("wal_torn", &self.path, &text);
        }
        for frame in &scan.frames {
            self.frame(frame.kind, frame.body);
        }
        self.checker.progress(bytes.len() as u64);
        Ok(())
    }

    fn problem(&mut self, code: &'static str, message: String) {
        self.checker.problem(code, &self.path, message, None);
    }

    fn frame(&mut self, kind: FrameKind, body: &[u8]) {
        match kind {
            FrameKind::Record => self.record_bytes(body),
            FrameKind::Keys => match CarriedKey::decode_all(body) {
                Some(keys) => keys.into_iter().for_each(|key| self.key(&key.dataset, &key.entry, key.received_at)),
                None => self.problem("wal_keys", "a list of idempotency keys does not add up".to_owned()),
            },
            FrameKind::Block => {
                let Some(raw) = unpack_block(body) else {
                    return self.problem("wal_block", "a block of records cannot be decompressed".to_owned());
                };
                let mut rest = Reader(&raw);
                while let Some(record) = rest.u32().and_then(|length| rest.take(length as usize)) {
                    self.record_bytes(record);
                }
            }
        }
    }

    fn record_bytes(&mut self, bytes: &[u8]) {
        let decoded =
            Record::decode(bytes).and_then(|record| Some((DatasetName::from_stored(&record.dataset)?, record)));
        let Some((name, record)) = decoded else {
            return self.problem("wal_record", "a record with a right checksum is none of this version".to_owned());
        };
        self.content.first_lsn.get_or_insert(record.lsn);
        if record.lsn > self.next_lsn {
            let text = format!("records {} to {} are missing before it", self.next_lsn, record.lsn - 1);
            self.problem("wal_gap", text);
        }
        // A start that was cut short leaves a copy; a number counts once.
        let is_copy = record.lsn < self.next_lsn && record.lsn > self.counted_lsn;
        self.next_lsn = self.next_lsn.max(record.lsn + 1);
        if is_copy {
            return;
        }
        self.content.records += 1;
        if record.lsn > self.counted_lsn {
            self.content.counts.entry(name.clone()).or_default().add(&Counts::of(&record));
        }
        if let Some(entry) = &record.key {
            self.key(&record.dataset, entry, record.received_at);
        }
        if let Some(last_seq) = record.last_seq() {
            let ids = self.ids(&record);
            let events = WalEvents { first_seq: record.first_seq, last_seq, received_at: record.received_at, ids };
            self.content.events.entry(name).or_default().push(events);
        }
    }

    fn key(&mut self, dataset: &str, entry: &KeyEntry, received_at: Timestamp) {
        let window_us = self.checker.dedup_window_us;
        let known = self.keys.insert((dataset.to_owned(), entry.key.clone()), (entry.digest, received_at));
        if let Some((digest, before)) = known
            && digest != entry.digest
            && received_at.0.abs_diff(before.0) < window_us
        {
            let text =
                format!("idempotency key {:?} of dataset {dataset} stands for two different requests", entry.key);
            self.problem("key_reused", text);
        }
    }

    /// Decodes the events again, as a start does.
    fn ids(&mut self, record: &Record) -> Vec<String> {
        let raw = record.payload.decompress();
        let events = raw.as_ref().ok().and_then(|raw| split_events(raw));
        let Some(events) = events.filter(|events| events.len() == record.stored as usize) else {
            let text =
                format!("the events of record {} cannot be taken apart: the next start sets them aside", record.lsn);
            self.problem("wal_payload", text);
            return Vec::new();
        };
        let options = DecodeOptions { import: record.import, replay: true, ..DecodeOptions::default() };
        let rows = decode::decode(&self.catalog, &events, record.received_at, &options);
        if rows.len() != events.len() {
            let text = format!(
                "{} events of record {} cannot be decoded any more: the next start sets them aside",
                events.len() - rows.len(),
                record.lsn
            );
            self.problem("wal_event", text);
        }
        (0..rows.len()).filter_map(|row| rows.id(row).map(str::to_owned)).collect()
    }
}
