//! Working memory of a decoder, kept between requests.

use super::rows::Value;
use crate::catalog::trie::{NONE, NodeId};

/// A value inside an element of `messages` or `probes`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub node: NodeId,
    pub element: u32,
    pub value: Value,
}

/// One parallel list in the making.
#[derive(Debug, Clone, Copy)]
pub(super) struct ListColumn {
    pub node: NodeId,
    /// One bit per type of its items, see `lists`.
    pub types: u8,
}

#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// By node: the object in which the key was seen last, for finding duplicate keys.
    seen: Vec<u32>,
    object: u32,
    /// By node: its place in `columns`, `NONE` between uses.
    pub(super) slots: Vec<u32>,
    pub(super) columns: Vec<ListColumn>,
    pub(super) entries: Vec<Entry>,
    /// A key without its escapes.
    pub(super) key: String,
    /// Cells of the last request and the bytes they came from.
    density: (usize, usize),
}

impl Scratch {
    /// Makes room for so many nodes.
    pub(super) fn fit(&mut self, nodes: usize) {
        if self.seen.len() < nodes {
            self.seen.resize(nodes, 0);
            self.slots.resize(nodes, NONE);
        }
    }

    /// Cells to expect in so many bytes, by the last request; memory for them is made at once.
    pub(super) fn cells_in(&self, bytes: usize) -> usize {
        let (cells, of_bytes) = self.density;
        cells.saturating_mul(bytes).checked_div(of_bytes).unwrap_or(0) + 16
    }

    pub(super) fn learn_density(&mut self, cells: usize, bytes: usize) {
        self.density = (cells, bytes);
    }

    /// A number no object had before; keys seen in it so far: none.
    #[inline]
    pub(super) fn open_object(&mut self) -> u32 {
        if self.object == u32::MAX {
            self.seen.fill(0);
            self.object = 0;
        }
        self.object += 1;
        self.object
    }

    /// True if the key stands in this object for the first time.
    #[inline]
    pub(super) fn is_first(&mut self, node: NodeId, object: u32) -> bool {
        std::mem::replace(&mut self.seen[node as usize], object) != object
    }
}
