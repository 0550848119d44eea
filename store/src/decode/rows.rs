//! The accepted events of one request as typed cells, and what each row needs beside them.

use std::borrow::Cow;

use super::time::Spelling;
use crate::{Reject, Timestamp, catalog::trie::NodeId, schema::Kind};

/// A text: in the raw events, or, if it had escapes, among the unescaped ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    start: u32,
    /// Highest bit: unescaped.
    length: u32,
}

/// Texts of one request fit 31 bits; `decode` refuses events beyond.
pub(super) const TEXT_BYTES_MAX: usize = 0x7fff_ffff;
const UNESCAPED: u32 = 1 << 31;

impl Span {
    #[expect(clippy::cast_possible_truncation, reason = "positions are at most TEXT_BYTES_MAX")]
    pub(super) fn raw(start: usize, length: usize) -> Self {
        Self { start: start as u32, length: length as u32 }
    }

    pub(super) fn unescaped(start: usize, length: usize) -> Self {
        let raw = Self::raw(start, length);
        Self { length: raw.length | UNESCAPED, ..raw }
    }

    /// Start and length, if the text is one of the raw events.
    pub(super) fn position_in_raw(self) -> Option<(usize, usize)> {
        (self.length & UNESCAPED == 0).then_some((self.start as usize, self.length as usize))
    }
}

/// A value of one key in one event.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Value {
    /// Only inside lists.
    Null,
    Int(i64),
    Float(f64),
    Bool(bool),
    Text(Span),
    /// JSON text of an array that is no plain list; inside a list, of anything but a scalar.
    Json(Span),
    /// JSON text of a value that has no type to keep it under: `{}`, `[]`, and objects and arrays of nulls alone; also objects
    /// with ever other keys. It goes to `rest`.
    Bare(Span),
    /// A range of `Rows::elements`.
    List {
        kind: Kind,
        start: u32,
        length: u32,
    },
}

impl Value {
    /// The column kind of the value.
    #[inline]
    pub(crate) fn kind(self) -> Kind {
        match self {
            Self::Int(_) => Kind::Int,
            Self::Float(_) => Kind::Float,
            Self::Bool(_) => Kind::Bool,
            Self::Text(_) => Kind::Text,
            Self::Json(_) | Self::Bare(_) | Self::Null => Kind::Json,
            Self::List { kind, .. } => kind,
        }
    }
}

/// A value and the key path it stands under.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cell {
    pub node: NodeId,
    pub value: Value,
}

/// What a row has beside its cells.
#[derive(Debug, Clone, Default)]
pub(crate) struct Row {
    pub(super) raw_start: usize,
    pub(super) raw_length: usize,
    pub(super) cells_end: usize,
    /// As judged against `received_at`.
    pub time: Timestamp,
    /// The value under the key `time` and its spelling, if it was understood.
    pub sent_time: Option<(Value, Option<Spelling>)>,
    /// Why `time` is not what was sent.
    pub time_error: Option<Cow<'static, str>>,
    pub(super) id: Option<Span>,
    /// The value under the key `id`.
    pub sent_id: Option<Value>,
    /// Cells alone do not give the event back.
    pub needs_source: bool,
    /// The nodes of the keys `time` and `id`, where sent.
    pub time_node: NodeId,
    pub id_node: NodeId,
}

impl Row {
    /// Bytes of the event.
    pub(crate) fn raw_length(&self) -> usize {
        self.raw_length
    }
}

/// The accepted events of one request, decoded. Values are typed; which column each goes to is settled at insert.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    pub(super) rejects: Vec<Reject>,
    pub(super) rows: Vec<Row>,
    pub(super) cells: Vec<Cell>,
    pub(super) elements: Vec<Value>,
    /// One line per event.
    pub(super) raw: String,
    pub(super) unescaped: String,
}

impl Rows {
    /// Accepted events.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Events that could not be taken, in order of their index.
    pub(crate) fn rejects(&self) -> &[Reject] {
        &self.rejects
    }

    /// The accepted event as one line of JSON, without the line break.
    pub(crate) fn raw(&self, row: usize) -> &[u8] {
        self.raw_text(row).as_bytes()
    }

    pub(crate) fn raw_text(&self, row: usize) -> &str {
        let Row { raw_start, raw_length, .. } = self.rows[row];
        &self.raw[raw_start..raw_start + raw_length]
    }

    /// The client's own id.
    pub(crate) fn id(&self, row: usize) -> Option<&str> {
        self.rows[row].id.map(|id| self.text(id))
    }

    /// Bytes of memory held, about.
    pub(crate) fn bytes(&self) -> usize {
        self.raw.capacity()
            + self.unescaped.capacity()
            + self.rows.capacity() * size_of::<Row>()
            + self.cells.capacity() * size_of::<Cell>()
            + self.elements.capacity() * size_of::<Value>()
    }

    pub(crate) fn row(&self, row: usize) -> &Row {
        &self.rows[row]
    }

    /// The cells of a row, at most one per node.
    pub(crate) fn cells(&self, row: usize) -> &[Cell] {
        let start = if row == 0 { 0 } else { self.rows[row - 1].cells_end };
        &self.cells[start..self.rows[row].cells_end]
    }

    #[inline]
    pub(crate) fn text(&self, span: Span) -> &str {
        let start = span.start as usize;
        let length = (span.length & !UNESCAPED) as usize;
        let place = if span.length & UNESCAPED == 0 { &self.raw } else { &self.unescaped };
        &place[start..start + length]
    }

    /// The items of a list value.
    pub(crate) fn elements(&self, start: u32, length: u32) -> &[Value] {
        &self.elements[start as usize..start as usize + length as usize]
    }
}
