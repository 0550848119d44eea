//! Arrow builders for one column of an open chunk. Rows without a value cost nothing until the next value or the end of the
//! chunk, when the nulls between are filled in at once.

use arrow::{
    array::{ArrayBuilder, ArrayRef, BooleanBuilder, Float64Builder, Int64Builder, ListBuilder, StringBuilder},
    datatypes::Field,
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
}

#[derive(Debug)]
enum Typed {
    Int(Int64Builder),
    Float(Float64Builder),
    Text(StringBuilder),
    Bool(BooleanBuilder),
    Ints(ListBuilder<Int64Builder>),
    Floats(ListBuilder<Float64Builder>),
    Texts(ListBuilder<StringBuilder>),
    Bools(ListBuilder<BooleanBuilder>),
}

/// The values of one column in an open chunk.
#[derive(Debug)]
pub(super) struct ColumnBuilder {
    typed: Typed,
    /// Rows filled so far, nulls included.
    length: usize,
    /// Non-null values.
    pub values: u64,
}

fn list<B: ArrayBuilder>(items: B, kind: Kind, room: Room) -> ListBuilder<B> {
    let item = kind.element().unwrap_or(Kind::Text).data_type();
    ListBuilder::with_capacity(items, room.rows).with_field(Field::new("element", item, true))
}

impl ColumnBuilder {
    #[cold]
    #[inline(never)]
    pub(super) fn new(kind: Kind, room: Room) -> Self {
        let rows = room.rows;
        let typed = match kind {
            Kind::Int => Typed::Int(Int64Builder::with_capacity(rows)),
            Kind::Float => Typed::Float(Float64Builder::with_capacity(rows)),
            Kind::Text | Kind::Json => Typed::Text(StringBuilder::with_capacity(rows, room.bytes)),
            Kind::Bool => Typed::Bool(BooleanBuilder::with_capacity(rows)),
            Kind::Ints => Typed::Ints(list(Int64Builder::new(), kind, room)),
            Kind::Floats => Typed::Floats(list(Float64Builder::new(), kind, room)),
            Kind::Texts => Typed::Texts(list(StringBuilder::new(), kind, room)),
            Kind::Bools => Typed::Bools(list(BooleanBuilder::new(), kind, room)),
        };
        Self { typed, length: 0, values: 0 }
    }

    /// Room for as much as is held now, and a sixteenth more.
    pub(super) fn room(&self) -> Room {
        let bytes = if let Typed::Text(builder) = &self.typed { builder.values_slice().len() } else { 0 };
        let with_slack = |count: usize| count + count / 16;
        Room { rows: with_slack(self.length), bytes: with_slack(bytes) }
    }

    /// Whether row `row` has a value already.
    pub(super) fn has(&self, row: usize) -> bool {
        self.length > row
    }

    #[inline(never)]
    fn fill_nulls(&mut self, rows: usize) {
        let missing = rows.saturating_sub(self.length);
        if missing == 0 {
            return;
        }
        match &mut self.typed {
            Typed::Int(builder) => builder.append_nulls(missing),
            Typed::Float(builder) => builder.append_nulls(missing),
            Typed::Text(builder) => builder.append_nulls(missing),
            Typed::Bool(builder) => builder.append_nulls(missing),
            Typed::Ints(builder) => builder.append_nulls(missing),
            Typed::Floats(builder) => builder.append_nulls(missing),
            Typed::Texts(builder) => builder.append_nulls(missing),
            Typed::Bools(builder) => builder.append_nulls(missing),
        }
        self.length = rows;
    }

    /// Puts the value of row `row`, which is not before the last one; of another kind than the builder it is left out.
    #[inline]
    pub(super) fn put(&mut self, row: usize, value: Value, rows: &Rows) {
        if self.length < row {
            self.fill_nulls(row);
        }
        match (&mut self.typed, value) {
            (Typed::Int(builder), Value::Int(value)) => builder.append_value(value),
            (Typed::Float(builder), Value::Float(value)) => builder.append_value(value),
            (Typed::Text(builder), Value::Text(span) | Value::Json(span)) => builder.append_value(rows.text(span)),
            (Typed::Bool(builder), Value::Bool(value)) => builder.append_value(value),
            (typed, Value::List { start, length, .. }) => typed.put_list(rows.elements(start, length), rows),
            _ => return,
        }
        self.length += 1;
        self.values += 1;
    }

    /// Puts a text of row `row`.
    pub(super) fn put_text(&mut self, row: usize, text: &str) {
        self.fill_nulls(row);
        if let Typed::Text(builder) = &mut self.typed {
            builder.append_value(text);
            self.length += 1;
            self.values += 1;
        }
    }

    /// The column of a chunk of so many rows. What it has beyond them belongs to a row that was abandoned.
    pub(super) fn finish(mut self, rows: usize) -> ArrayRef {
        self.fill_nulls(rows);
        let array = match &mut self.typed {
            Typed::Int(builder) => ArrayBuilder::finish(builder),
            Typed::Float(builder) => ArrayBuilder::finish(builder),
            Typed::Text(builder) => ArrayBuilder::finish(builder),
            Typed::Bool(builder) => ArrayBuilder::finish(builder),
            Typed::Ints(builder) => ArrayBuilder::finish(builder),
            Typed::Floats(builder) => ArrayBuilder::finish(builder),
            Typed::Texts(builder) => ArrayBuilder::finish(builder),
            Typed::Bools(builder) => ArrayBuilder::finish(builder),
        };
        if array.len() > rows { array.slice(0, rows) } else { array }
    }
}

impl Typed {
    fn put_list(&mut self, items: &[Value], rows: &Rows) {
        match self {
            Self::Ints(builder) => {
                for item in items {
                    builder.values().append_option(if let Value::Int(value) = item { Some(*value) } else { None });
                }
                builder.append(true);
            }
            Self::Floats(builder) => {
                for item in items {
                    builder.values().append_option(if let Value::Float(value) = item { Some(*value) } else { None });
                }
                builder.append(true);
            }
            Self::Texts(builder) => {
                for item in items {
                    builder.values().append_option(if let Value::Text(span) = item {
                        Some(rows.text(*span))
                    } else {
                        None
                    });
                }
                builder.append(true);
            }
            Self::Bools(builder) => {
                for item in items {
                    builder.values().append_option(if let Value::Bool(value) = item { Some(*value) } else { None });
                }
                builder.append(true);
            }
            Self::Int(_) | Self::Float(_) | Self::Text(_) | Self::Bool(_) => {}
        }
    }
}
