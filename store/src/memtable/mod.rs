//! Unflushed events as Arrow batches, queryable at once.
//!
//! Rows are inserted in the order of the WAL into an open chunk; what was inserted is closed into batches by whoever reads it, or
//! by the flusher: that takes milliseconds a chunk, so never by those who insert, and never under the lock they wait for
//! ([`crate::dataset::Dataset`] has the two locks). Closed batches are shared, never changed. Here, at insert, the catalog
//! settles which column a value goes to, so that a replay of the WAL gives the same columns.

mod builder;
mod chunk;
mod sights;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use arrow::datatypes::{Field, FieldRef};
use hashbrown::HashSet;
use ulid::Ulid;

use self::chunk::{Chunk, SystemText};
pub(crate) use self::chunk::{merge, system_field};
use crate::{
    DatasetName, FirstSight, HotBatch, Timestamp,
    catalog::{
        Catalog, Settled, VariantId,
        trie::{NONE, NodeId, Role},
    },
    decode::{
        Rows,
        rows::{Cell, Row, Span, Value},
        time::Spelling,
    },
    reassemble::quoted,
    rest::without_mark,
};

/// Rows of a full chunk: what DataFusion takes as one batch.
const CHUNK_ROWS: usize = 8_192;
/// Text bytes of a full chunk; Arrow's offsets end at 2 GiB.
const CHUNK_BYTES: usize = 64 << 20;
/// Cells of a full chunk, nulls included: a chunk of many sparse columns is cut early, since each null takes room.
const CHUNK_CELLS: usize = 8 << 20;

/// What one WAL record gives to its rows.
#[derive(Debug, Clone)]
pub(crate) struct Stamp {
    pub dataset: DatasetName,
    /// Place of the first stored row.
    pub first_seq: u64,
    /// ULID of the first stored row: 48 bits of time, 40 bits that mark the incarnation (its first ones), 40 bits of counter.
    pub ulid_base: u128,
    pub received_at: Timestamp,
    /// Incarnation of the log, uuid text.
    pub incarnation: Arc<str>,
    /// Imported, or within the dataset's first hour: first sights are remembered, and reported as no news.
    pub silent: bool,
}

/// Events of one dataset since the last flush.
#[derive(Debug)]
pub(crate) struct Memtable {
    catalog: Arc<Catalog>,
    /// By node.
    slots: Vec<Slot>,
    spelling: Option<Spelling>,
    open: Chunk,
    /// Full chunks, older than `open`.
    full: Vec<Chunk>,
    /// The chunks that are being closed, older than `full`.
    closing: Vec<Extent>,
    /// Older than `closing`.
    frozen: Vec<HotBatch>,
    frozen_rows: usize,
    frozen_bytes: usize,
    /// Cells of the row at hand whose key is usually nested otherwise.
    unusual: Vec<(VariantId, Value)>,
    /// Values of the row at hand that have no type.
    bare: Vec<(NodeId, Span)>,
    /// Values of the row at hand whose key has no column.
    uncolumned: Vec<(NodeId, Value)>,
    /// Hashes of the values of release dimensions seen since the last flush.
    familiar: HashSet<u64>,
    /// Set after closing a chunk panicked: rows are missing, and only the WAL has them.
    torn: bool,
}

/// What is to be known of a chunk without its rows.
#[derive(Debug, Clone, Copy)]
struct Extent {
    rows: usize,
    bytes: usize,
    times: Option<(Timestamp, Timestamp)>,
}

impl Extent {
    fn of(chunk: &Chunk) -> Self {
        Self { rows: chunk.rows, bytes: chunk.bytes, times: chunk.times() }
    }
}

/// Makes batches of chunks.
#[derive(Debug)]
pub(crate) struct Closer {
    catalog: Arc<Catalog>,
    /// By column; made when first needed.
    fields: Vec<Option<FieldRef>>,
}

impl Closer {
    pub(crate) fn new(catalog: Arc<Catalog>) -> Self {
        Self { catalog, fields: Vec::new() }
    }

    /// The chunks as batches, in their order.
    pub(crate) fn close(&mut self, chunks: Cut) -> Vec<HotBatch> {
        chunks.0.into_iter().map(|chunk| self.close_one(chunk)).collect()
    }

    fn close_one(&mut self, chunk: Chunk) -> HotBatch {
        let (catalog, fields) = (&self.catalog, &mut self.fields);
        let closed = chunk.finish(&mut |variant| field_of(catalog, fields, variant));
        // the arrays are made here, of equal length and with the types of their fields
        let Ok((batch, counts)) = closed else { unreachable!("a chunk's columns fit its schema") };
        #[cfg(test)]
        tests::panic_over_company(&batch.batch);
        self.catalog.add_values(counts.into_iter());
        batch
    }
}

/// Chunks cut off a memtable, to be closed and given back to [`Memtable::add`].
#[derive(Debug)]
pub(crate) struct Cut(Vec<Chunk>);

/// What became of the rows of one record.
#[derive(Debug, Default)]
pub(crate) struct Inserted {
    pub sights: Vec<FirstSight>,
    /// Rows over which inserting panicked, by their place in the record's rows: they are not in the memtable.
    pub failed: Vec<usize>,
}

/// How far inserting a record's rows came.
#[derive(Debug, Default)]
struct Progress {
    /// Of the next row.
    index: usize,
    /// Of the next row among those that are kept.
    place: u64,
    /// Rows of the open chunk before the next row.
    whole: usize,
}

/// Where the values under one key path go.
#[derive(Debug, Clone, Copy)]
struct Slot {
    /// By kind; `NONE` until settled.
    variants: [VariantId; 9],
    is_usual: bool,
    role: Role,
}

/// In place of a variant: values go to `rest`.
const IN_REST: VariantId = NONE - 1;

const EMPTY_SLOT: Slot = Slot { variants: [NONE; 9], is_usual: false, role: Role::None };

impl Memtable {
    /// An empty memtable over the dataset's keys.
    pub(crate) fn new(catalog: Arc<Catalog>) -> Self {
        let spelling = catalog.settle_spelling(None);
        Self {
            catalog,
            slots: Vec::new(),
            spelling,
            open: Chunk::default(),
            full: Vec::new(),
            closing: Vec::new(),
            frozen: Vec::new(),
            frozen_rows: 0,
            frozen_bytes: 0,
            unusual: Vec::new(),
            bare: Vec::new(),
            uncolumned: Vec::new(),
            familiar: HashSet::new(),
            torn: false,
        }
    }

    /// Inserts the rows marked in `keep` (`None`: all); only they count for `seq` and ULIDs. Gives the values of release
    /// dimensions that this dataset never had before. A row over which this panics is left out, its neighbours go on.
    ///
    /// # Panics
    /// When a chunk could not be closed: then only a replay of the WAL has all rows.
    pub(crate) fn insert(&mut self, rows: &Rows, keep: Option<&[bool]>, stamp: &Stamp) -> Inserted {
        assert!(!self.torn, "unflushed events of {} are damaged in memory", stamp.dataset);
        let mut inserted = Inserted::default();
        let mut progress = Progress::default();
        loop {
            let attempt = || self.insert_until_full(rows, keep, stamp, &mut progress, &mut inserted.sights);
            match catch_unwind(AssertUnwindSafe(attempt)) {
                Ok(true) => self.end_chunk(),
                Ok(false) => return inserted,
                Err(_) => {
                    inserted.failed.push(progress.index);
                    progress.index += 1;
                    progress.place += 1;
                    self.abandon_row(progress.whole);
                }
            }
        }
    }

    /// True when the open chunk is full, false when all rows are in.
    fn insert_until_full(
        &mut self,
        rows: &Rows,
        keep: Option<&[bool]>,
        stamp: &Stamp,
        progress: &mut Progress,
        sights: &mut Vec<FirstSight>,
    ) -> bool {
        while progress.index < rows.len() {
            if keep.is_some_and(|keep| !keep.get(progress.index).copied().unwrap_or(false)) {
                progress.index += 1;
                continue;
            }
            progress.whole = self.open.rows;
            self.insert_row(rows, progress.index, progress.place, stamp);
            self.find_first_sights(rows, progress.index, stamp, sights);
            progress.index += 1;
            progress.place += 1;
            let is_full = self.open.rows >= CHUNK_ROWS
                || self.open.bytes >= CHUNK_BYTES
                || self.open.rows * self.open.width() >= CHUNK_CELLS;
            if is_full {
                return true;
            }
        }
        false
    }

    /// Takes back the row that was being inserted, which some columns have and some have not.
    fn abandon_row(&mut self, whole: usize) {
        self.unusual.clear();
        self.bare.clear();
        self.uncolumned.clear();
        self.open.cut(whole);
        self.end_chunk();
    }

    /// Begins another chunk.
    fn end_chunk(&mut self) {
        if self.open.rows > 0 {
            let successor = self.open.successor();
            self.full.push(std::mem::replace(&mut self.open, successor));
        }
    }

    /// True when rows are missing because closing a chunk panicked: nothing of this memtable may go to files.
    pub(crate) fn is_torn(&self) -> bool {
        self.torn
    }

    /// Notes that rows are missing and nowhere but in the WAL.
    pub(crate) fn tear(&mut self) {
        self.torn = true;
    }

    fn insert_row(&mut self, rows: &Rows, index: usize, place: u64, stamp: &Stamp) {
        let row = rows.row(index);
        self.open.open_row(row.time, stamp.received_at, stamp.first_seq + place);
        self.open.bytes += row.raw_length();
        let mut needs_source = row.needs_source;
        for Cell { node, value } in rows.cells(index) {
            match value {
                Value::Bare(span) => self.bare.push((*node, *span)),
                _ => self.put(*node, *value, rows, stamp),
            }
        }
        #[cfg(test)]
        tests::panic_over_poison(rows.raw_text(index));
        self.insert_time(rows, row, stamp);
        self.insert_id(rows, index, place, stamp);
        needs_source |= !self.insert_rest(rows);
        // last, so that the usual nesting of a key wins where an event has both
        needs_source |= !self.unusual.is_empty();
        for (variant, value) in std::mem::take(&mut self.unusual) {
            let is_taken = self.catalog.kinds_beside(variant).into_iter().any(|variant| self.open.has(variant));
            if !is_taken {
                self.open.put(variant, value, rows);
            }
        }
        self.open.put_system(SystemText::Incarnation, &stamp.incarnation);
        if let Some(error) = &row.time_error {
            self.open.put_system(SystemText::TimeError, error);
        }
        if needs_source {
            self.open.bytes += row.raw_length();
            self.open.put_system(SystemText::Source, rows.raw_text(index));
        }
    }

    /// Puts the values without a type or column into `rest`, empty arrays into the list of their key if there is one. False if one's
    /// name does not tell its nesting.
    fn insert_rest(&mut self, rows: &Rows) -> bool {
        let mut told = true;
        let mut rest = String::new();
        for (node, span) in std::mem::take(&mut self.bare) {
            let text = rows.text(span);
            let is_empty_array = text.strip_prefix('[').is_some_and(|text| text.trim_start().starts_with(']'));
            if is_empty_array && let Some((variant, kind)) = self.catalog.list_under(node) {
                self.open.put(variant, Value::List { kind, start: 0, length: 0 }, rows);
                continue;
            }
            told &= self.catalog.is_told_by_name(node);
            rest.push(if rest.is_empty() { '{' } else { ',' });
            rest.push_str(&quoted(&self.catalog.trie.read().node(node).name));
            rest.push(':');
            rest.push_str(&without_mark(text));
        }
        // Where the name does not tell, the event's text does: `rest` is for queries then.
        let is_wanted = told || !self.uncolumned.is_empty();
        for (node, value) in std::mem::take(&mut self.uncolumned) {
            told &= self.catalog.is_natural(node);
            rest.push(if rest.is_empty() { '{' } else { ',' });
            rest.push_str(&quoted(&self.catalog.trie.read().node(node).name));
            rest.push(':');
            push_json(&mut rest, value, rows);
        }
        if is_wanted && !rest.is_empty() {
            self.open.bytes += rest.len();
            rest.push('}');
            self.open.put_system(SystemText::Rest, &rest);
        }
        told
    }

    /// Keeps the sent time where `time` and the dataset's usual spelling do not give it back. A `time` equal to
    /// `received_at` stands for none sent.
    fn insert_time(&mut self, rows: &Rows, row: &Row, stamp: &Stamp) {
        let Some((value, spelling)) = row.sent_time else { return };
        if self.spelling.is_none() {
            self.spelling = self.catalog.settle_spelling(spelling);
        }
        if spelling.is_none() || spelling != self.spelling || row.time == stamp.received_at {
            self.put(row.time_node, value, rows, stamp);
        }
    }

    /// Sets `event_id`, and keeps the sent id where `event_id` does not give it back: numbers, the empty text, and texts that
    /// look like an id of ours.
    fn insert_id(&mut self, rows: &Rows, index: usize, place: u64, stamp: &Stamp) {
        let row = rows.row(index);
        let id = rows.id(index);
        match id {
            Some(id) => self.open.put_system(SystemText::EventId, id),
            None => {
                let ulid = Ulid(stamp.ulid_base.wrapping_add(u128::from(place)));
                let mut text = [0; ulid::ULID_LEN];
                self.open.put_system(SystemText::EventId, ulid.array_to_str(&mut text));
            }
        }
        let is_given_back = match (row.sent_id, id) {
            (Some(Value::Text(_)), Some(id)) => !is_own_id(id, &stamp.incarnation),
            (sent, _) => sent.is_none(),
        };
        if let (false, Some(value)) = (is_given_back, row.sent_id) {
            self.put(row.id_node, value, rows, stamp);
        }
    }

    /// Puts a value into the open row, or, if its key is usually nested otherwise, aside.
    #[inline]
    fn put(&mut self, node: NodeId, value: Value, rows: &Rows, stamp: &Stamp) {
        let kind = value.kind() as usize;
        let (variant, is_usual) = match self.slots.get(node as usize) {
            Some(slot) if slot.variants[kind] != NONE => (slot.variants[kind], slot.is_usual),
            _ => self.settle(node, value, stamp),
        };
        if variant == IN_REST {
            self.uncolumned.push((node, value));
        } else if is_usual {
            self.open.put(variant, value, rows);
        } else {
            self.unusual.push((variant, value));
        }
    }

    #[cold]
    #[inline(never)]
    fn settle(&mut self, node: NodeId, value: Value, stamp: &Stamp) -> (VariantId, bool) {
        let at = node as usize;
        if self.slots.len() <= at {
            self.slots.resize(at + 1, EMPTY_SLOT);
        }
        let settled = self.catalog.settle(node, value.kind(), stamp.received_at.minutes());
        let settled = settled.unwrap_or(Settled { variant: IN_REST, usual: false });
        let slot = &mut self.slots[at];
        slot.variants[value.kind() as usize] = settled.variant;
        slot.is_usual = settled.usual;
        slot.role = Role::of(&self.catalog.trie.read().node(node).name, &self.catalog.aliases);
        (settled.variant, settled.usual)
    }

    /// True when chunks wait to be closed that take no more rows.
    pub(crate) fn has_full(&self) -> bool {
        !self.full.is_empty()
    }

    /// Cuts off the full chunks to be closed, and the open one if `all`: whoever does must give their batches to [`Self::add`] before
    /// the next cut, or [`Self::tear`] the memtable.
    pub(crate) fn cut(&mut self, all: bool) -> Cut {
        if all {
            self.end_chunk();
        }
        self.closing = self.full.iter().map(Extent::of).collect();
        Cut(std::mem::take(&mut self.full))
    }

    /// Takes the batches of the last cut.
    pub(crate) fn add(&mut self, batches: Vec<HotBatch>) {
        self.closing.clear();
        self.frozen_rows += batches.iter().map(|batch| batch.batch.num_rows()).sum::<usize>();
        self.frozen_bytes += batches.iter().map(|batch| batch.batch.get_array_memory_size()).sum::<usize>();
        self.frozen.extend(batches);
    }

    /// The closed batches, oldest first. Many snapshots leave small ones behind, see [`Self::small`].
    pub(crate) fn frozen(&self) -> &[HotBatch] {
        &self.frozen
    }

    /// Closes everything and gives all batches, for a memtable that has one user.
    pub(crate) fn freeze(&mut self) -> Vec<HotBatch> {
        let chunks = self.cut(true);
        let batches = Closer::new(Arc::clone(&self.catalog)).close(chunks);
        self.add(batches);
        self.frozen.clone()
    }

    /// Takes the closed batches out, for a flush, with their rows and bytes. What was learnt about columns stays, so that the next
    /// chunk has room at once.
    pub(crate) fn take(&mut self) -> (Vec<HotBatch>, usize, usize) {
        self.familiar.clear();
        let (rows, bytes) = (std::mem::take(&mut self.frozen_rows), std::mem::take(&mut self.frozen_bytes));
        (std::mem::take(&mut self.frozen), rows, bytes)
    }

    /// Two neighbours to merge with [`merge`] and to give back to [`Self::replace`]: small ones, the older not more than twice as
    /// long. So a row is copied at most log2(`CHUNK_ROWS`) times, and few chunks remain, however often snapshots are taken.
    pub(crate) fn small(&self) -> Option<[HotBatch; 2]> {
        let is_small = |pair: &&[HotBatch]| {
            let [left, right] = [&pair[0].batch, &pair[1].batch];
            left.num_rows() <= 2 * right.num_rows()
                && left.num_rows() + right.num_rows() <= CHUNK_ROWS
                && left.get_array_memory_size() + right.get_array_memory_size() <= CHUNK_BYTES
        };
        let pair = self.frozen.windows(2).rev().find(is_small)?;
        Some([pair[0].clone(), pair[1].clone()])
    }

    /// Puts `merged` in the place of the two chunks it was made of; false when they are gone: flushed, or merged by someone else.
    pub(crate) fn replace(&mut self, [older, newer]: &[HotBatch; 2], merged: HotBatch) -> bool {
        let is_one = |a: &HotBatch, b: &HotBatch| Arc::ptr_eq(a.batch.column(0), b.batch.column(0));
        let place = self.frozen.windows(2).position(|pair| is_one(&pair[0], older) && is_one(&pair[1], newer));
        let Some(at) = place else { return false };
        let bytes = |batch: &HotBatch| batch.batch.get_array_memory_size();
        self.frozen_bytes = (self.frozen_bytes + bytes(&merged)).saturating_sub(bytes(older) + bytes(newer));
        self.frozen.splice(at..at + 2, [merged]);
        true
    }

    /// The earliest and the latest `time` in it.
    pub(crate) fn times(&self) -> Option<(Timestamp, Timestamp)> {
        let frozen = self.frozen.iter().map(|batch| (batch.time_min, batch.time_max));
        let closing = self.closing.iter().filter_map(|extent| extent.times);
        let unclosed = self.unclosed().filter_map(Chunk::times);
        frozen.chain(closing).chain(unclosed).reduce(|all, next| (all.0.min(next.0), all.1.max(next.1)))
    }

    /// Rows inserted.
    pub(crate) fn rows(&self) -> usize {
        let closing = self.closing.iter().map(|extent| extent.rows);
        self.frozen_rows + closing.chain(self.unclosed().map(|chunk| chunk.rows)).sum::<usize>()
    }

    /// Bytes of memory, about.
    pub(crate) fn bytes(&self) -> usize {
        let closing = self.closing.iter().map(|extent| extent.bytes);
        // builders hold about twice the events' bytes: offsets, nulls, room to grow
        self.frozen_bytes + 2 * closing.chain(self.unclosed().map(|chunk| chunk.bytes)).sum::<usize>()
    }

    fn unclosed(&self) -> impl Iterator<Item = &Chunk> {
        self.full.iter().chain([&self.open])
    }
}

/// A value as JSON text.
fn push_json(out: &mut String, value: Value, rows: &Rows) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Int(value) => out.push_str(&value.to_string()),
        // the shortest digits that give the double back; decoded ones are finite
        Value::Float(value) => out.push_str(&format!("{value:?}")),
        Value::Bool(value) => out.push_str(if value { "true" } else { "false" }),
        Value::Text(span) => out.push_str(&quoted(rows.text(span))),
        Value::Json(span) | Value::Bare(span) => out.push_str(rows.text(span)),
        Value::List { start, length, .. } => {
            out.push('[');
            for (at, item) in rows.elements(start, length).iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                push_json(out, *item, rows);
            }
            out.push(']');
        }
    }
}

fn field_of(catalog: &Catalog, fields: &mut Vec<Option<FieldRef>>, variant: VariantId) -> FieldRef {
    let at = variant as usize;
    if fields.len() <= at {
        fields.resize(at + 1, None);
    }
    let field = fields[at].get_or_insert_with(|| {
        let physical = catalog.physical(variant);
        Arc::new(Field::new(&*physical.name, physical.kind.data_type(), true))
    });
    Arc::clone(field)
}

/// Whether an id reads as one that this incarnation of the log made: a ULID with the mark of the incarnation, its first 40
/// bits, in the middle.
pub(crate) fn is_own_id(id: &str, incarnation: &str) -> bool {
    if id.len() != ulid::ULID_LEN || id.bytes().any(|byte| byte.is_ascii_lowercase()) {
        return false;
    }
    let digits = incarnation.chars().filter_map(|digit| digit.to_digit(16)).take(10);
    let mark = digits.fold(0, |mark, digit| mark << 4 | u128::from(digit));
    Ulid::from_string(id).is_ok_and(|ulid| (ulid.0 >> 40) & ((1 << 40) - 1) == mark)
}

#[cfg(test)]
pub(crate) mod tests;
