//! Columns of an open chunk as plain vectors. Rows without a value cost nothing until the next value or the end of the
//! chunk, when the nulls between are filled in at once.
//!
//! Not Arrow's own builders: an event touches a hundred columns, and theirs take three checked, uninlined steps per value.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, BooleanArray, Float64Array, Int64Array, ListArray, StringArray},
    buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer},
    datatypes::Field,
    error::ArrowError,
};

use crate::{
    decode::rows::{Rows, Value},
    schema::Kind,
};

/// What a column held when its last chunk was closed: room for as much is made at once in the next one.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Room {
    rows: usize,
    bytes: usize,
    items: usize,
}

/// Bits, one per row.
#[derive(Debug, Default)]
struct Bits {
    words: Vec<u64>,
    length: usize,
}

impl Bits {
    fn with_capacity(bits: usize) -> Self {
        Self { words: Vec::with_capacity(bits.div_ceil(64)), length: 0 }
    }

    #[inline]
    fn push(&mut self, bit: bool) {
        if self.length.is_multiple_of(64) {
            self.words.push(0);
        }
        if let Some(word) = self.words.last_mut() {
            *word |= u64::from(bit) << (self.length % 64);
        }
        self.length += 1;
    }

    /// Appends zeros.
    fn skip(&mut self, count: usize) {
        self.length += count;
        self.words.resize(self.length.div_ceil(64), 0);
    }

    /// Forgets what is beyond so many bits.
    fn cut(&mut self, bits: usize) {
        if self.length > bits {
            self.length = bits;
            self.words.truncate(bits.div_ceil(64));
        }
    }

    fn finish(self) -> BooleanBuffer {
        // Arrow counts bits from the lowest of the first byte on.
        let words = self.words.into_iter().map(u64::to_le).collect::<Vec<_>>();
        BooleanBuffer::new(Buffer::from_vec(words), 0, self.length)
    }
}

/// Values of one type, and which rows have one.
#[derive(Debug)]
enum Values {
    Int(Vec<i64>),
    Float(Vec<f64>),
    Bool(Bits),
    Text { offsets: Vec<i32>, bytes: Vec<u8> },
}

impl Values {
    fn new(kind: Kind, rows: usize, bytes: usize) -> Self {
        match kind {
            Kind::Int => Self::Int(Vec::with_capacity(rows)),
            Kind::Float => Self::Float(Vec::with_capacity(rows)),
            Kind::Bool => Self::Bool(Bits::with_capacity(rows)),
            _ => {
                let mut offsets = Vec::with_capacity(rows + 1);
                offsets.push(0);
                Self::Text { offsets, bytes: Vec::with_capacity(bytes) }
            }
        }
    }

    /// Appends a value; false, and nothing, if it is of another type.
    #[inline]
    fn push(&mut self, value: Value, rows: &Rows) -> bool {
        match (self, value) {
            (Self::Int(values), Value::Int(value)) => values.push(value),
            (Self::Float(values), Value::Float(value)) => values.push(value),
            (Self::Bool(values), Value::Bool(value)) => values.push(value),
            (Self::Text { offsets, bytes }, Value::Text(span) | Value::Json(span)) => {
                push_text(offsets, bytes, rows.text(span));
            }
            _ => return false,
        }
        true
    }

    /// Appends what stands under nulls.
    fn skip(&mut self, count: usize) {
        match self {
            Self::Int(values) => values.resize(values.len() + count, 0),
            Self::Float(values) => values.resize(values.len() + count, 0.0),
            Self::Bool(values) => values.skip(count),
            Self::Text { offsets, .. } => {
                let end = offsets.last().copied().unwrap_or(0);
                offsets.resize(offsets.len() + count, end);
            }
        }
    }

    /// Forgets what is beyond so many values.
    fn cut(&mut self, count: usize) {
        match self {
            Self::Int(values) => values.truncate(count),
            Self::Float(values) => values.truncate(count),
            Self::Bool(values) => values.cut(count),
            Self::Text { offsets, .. } => offsets.truncate(count + 1),
        }
    }

    fn bytes(&self) -> usize {
        if let Self::Text { bytes, .. } = self { bytes.len() } else { 0 }
    }

    fn finish(self, nulls: Option<NullBuffer>) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Self::Int(values) => Arc::new(Int64Array::new(ScalarBuffer::from(values), nulls)),
            Self::Float(values) => Arc::new(Float64Array::new(ScalarBuffer::from(values), nulls)),
            Self::Bool(values) => Arc::new(BooleanArray::new(values.finish(), nulls)),
            Self::Text { offsets, bytes } => {
                let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
                Arc::new(StringArray::try_new(offsets, Buffer::from_vec(bytes), nulls)?)
            }
        })
    }
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "a chunk's texts stay far below 2 GiB: see CHUNK_BYTES")]
fn push_text(offsets: &mut Vec<i32>, bytes: &mut Vec<u8>, text: &str) {
    bytes.extend_from_slice(text.as_bytes());
    offsets.push(bytes.len() as i32);
}

/// The items of a column of lists.
#[derive(Debug)]
struct Items {
    /// Where the list of each row ends.
    offsets: Vec<i32>,
    valid: Bits,
}

/// The values of one column in an open chunk.
#[derive(Debug)]
pub(super) struct ColumnBuilder {
    kind: Kind,
    typed: Values,
    items: Option<Box<Items>>,
    valid: Bits,
    /// Non-null values.
    pub values: u64,
}

impl ColumnBuilder {
    #[cold]
    #[inline(never)]
    pub(super) fn new(kind: Kind, room: Room) -> Self {
        let items = kind.element().map(|_| {
            let mut offsets = Vec::with_capacity(room.rows + 1);
            offsets.push(0);
            Box::new(Items { offsets, valid: Bits::with_capacity(room.items) })
        });
        let typed = match kind.element() {
            Some(element) => Values::new(element, room.items, room.bytes),
            None => Values::new(kind, room.rows, room.bytes),
        };
        Self { kind, typed, items, valid: Bits::with_capacity(room.rows), values: 0 }
    }

    /// Room for as much as is held now, and a sixteenth more.
    pub(super) fn room(&self) -> Room {
        let with_slack = |count: usize| count + count / 16;
        let items = self.items.as_ref().map_or(0, |items| items.valid.length);
        Room { rows: with_slack(self.valid.length), bytes: with_slack(self.typed.bytes()), items: with_slack(items) }
    }

    /// Whether row `row` has a value already.
    pub(super) fn has(&self, row: usize) -> bool {
        self.valid.length > row
    }

    #[inline(never)]
    fn fill_nulls(&mut self, rows: usize) {
        let missing = rows.saturating_sub(self.valid.length);
        match &mut self.items {
            Some(items) => {
                let end = items.offsets.last().copied().unwrap_or(0);
                items.offsets.resize(items.offsets.len() + missing, end);
            }
            None => self.typed.skip(missing),
        }
        self.valid.skip(missing);
    }

    /// Puts the value of row `row`, which is not before the last one; of another kind than the column it is left out.
    #[inline]
    pub(super) fn put(&mut self, row: usize, value: Value, rows: &Rows) {
        if self.valid.length < row {
            self.fill_nulls(row);
        }
        let is_taken = match (&mut self.items, value) {
            (Some(items), Value::List { start, length, .. }) => {
                put_list(items, &mut self.typed, rows.elements(start, length), rows);
                true
            }
            (Some(_), _) => false,
            (None, value) => self.typed.push(value, rows),
        };
        if is_taken {
            self.valid.push(true);
            self.values += 1;
        }
    }

    /// Puts a text of row `row`.
    pub(super) fn put_text(&mut self, row: usize, text: &str) {
        if self.valid.length < row {
            self.fill_nulls(row);
        }
        if let Values::Text { offsets, bytes } = &mut self.typed {
            push_text(offsets, bytes, text);
            self.valid.push(true);
            self.values += 1;
        }
    }

    /// The column of a chunk of so many rows. What it has beyond them belongs to a row that was abandoned.
    pub(super) fn finish(mut self, rows: usize) -> Result<ArrayRef, ArrowError> {
        if self.valid.length < rows {
            self.fill_nulls(rows);
        }
        self.valid.cut(rows);
        let nulls = Some(NullBuffer::new(self.valid.finish())).filter(|nulls| nulls.null_count() > 0);
        let Some(items) = self.items else {
            self.typed.cut(rows);
            return self.typed.finish(nulls);
        };
        let Items { mut offsets, mut valid } = *items;
        offsets.truncate(rows + 1);
        let count = offsets.last().and_then(|end| usize::try_from(*end).ok()).unwrap_or(0);
        valid.cut(count);
        self.typed.cut(count);
        let item_nulls = Some(NullBuffer::new(valid.finish())).filter(|nulls| nulls.null_count() > 0);
        let values = self.typed.finish(item_nulls)?;
        let element = self.kind.element().unwrap_or(Kind::Text).data_type();
        let field = Arc::new(Field::new("element", element, true));
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        Ok(Arc::new(ListArray::try_new(field, offsets, values, nulls)?))
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a request has less than 2^31 bytes, hence items")]
fn put_list(items: &mut Items, typed: &mut Values, values: &[Value], rows: &Rows) {
    for value in values {
        let is_valid = typed.push(*value, rows);
        if !is_valid {
            typed.skip(1);
        }
        items.valid.push(is_valid);
    }
    items.offsets.push(items.valid.length as i32);
}
