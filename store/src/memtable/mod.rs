//! Unflushed events as Arrow batches, queryable at once.
use std::sync::Arc;

use crate::{DatasetName, FirstSight, HotBatch, Timestamp, catalog::Catalog, decode::Rows};

/// What one WAL record gives to its rows.
#[derive(Debug, Clone)]
pub(crate) struct Stamp {
    pub dataset: DatasetName,
    /// Place of the first stored row.
    pub first_seq: u64,
    /// ULID of the first stored row; its 48 bit of milliseconds are those of `received_at`.
    pub ulid_base: u128,
    pub received_at: Timestamp,
    /// Incarnation of the log, uuid text.
    pub incarnation: Arc<str>,
    /// Replayed or imported: first sights are remembered, not reported as news.
    pub silent: bool,
}

#[derive(Debug)]
pub(crate) struct Memtable {}

impl Memtable {
    pub(crate) fn new(catalog: Arc<Catalog>) -> Self {
        unimplemented!()
    }
    pub(crate) fn insert(&mut self, rows: &Rows, keep: Option<&[bool]>, stamp: &Stamp) -> Vec<FirstSight> {
        unimplemented!()
    }
    pub(crate) fn freeze(&mut self) -> Vec<HotBatch> {
        unimplemented!()
    }
    pub(crate) fn rows(&self) -> usize {
        unimplemented!()
    }
    pub(crate) fn bytes(&self) -> usize {
        unimplemented!()
    }
}
