//! Arrow builders for one column of an open chunk. Rows without a value cost nothing until the next value or the end of the
//! chunk, when the nulls between are filled in at once.

use arrow::{
    array::{
        ArrayBuilder, ArrayRef, BooleanBuilder, Float64Builder, Int64Builder, ListBuilder, StringBuilder,
    },
    datatypes::Field,
};

use crate::{
    decode::rows::{Rows, Value},
    schema::Kind,
};

/// Rows a builder makes room for at first; chunks cut by a snapshot are small, full ones double a few times.
const ROWS_AT_FIRST: usize = 64;

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

fn text_builder() -> StringBuilder {
    StringBuilder::with_capacity(ROWS_AT_FIRST, ROWS_AT_FIRST * 16)
}

fn list<B: ArrayBuilder>(items: B, kind: Kind) -> ListBuilder<B> {
    let item = kind.element().unwrap_or(Kind::Text).data_type();
    ListBuilder::with_capacity(items, ROWS_AT_FIRST).with_field(Field::new("element", item, true))
}

impl ColumnBuilder {
    pub(super) fn new(kind: Kind) -> Self {
        let typed = match kind {
            Kind::Int => Typed::Int(Int64Builder::with_capacity(ROWS_AT_FIRST)),
            Kind::Float => Typed::Float(Float64Builder::with_capacity(ROWS_AT_FIRST)),
            Kind::Text | Kind::Json => Typed::Text(text_builder()),
            Kind::Bool => Typed::Bool(BooleanBuilder::with_capacity(ROWS_AT_FIRST)),
            Kind::Ints => Typed::Ints(list(Int64Builder::new(), kind)),
            Kind::Floats => Typed::Floats(list(Float64Builder::new(), kind)),
            Kind::Texts => Typed::Texts(list(StringBuilder::new(), kind)),
            Kind::Bools => Typed::Bools(list(BooleanBuilder::new(), kind)),
        };
        Self { typed, length: 0, values: 0 }
    }

    /// Whether row `row` has a value already.
    pub(super) fn has(&self, row: usize) -> bool {
        self.length > row
    }

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

    /// The column of a chunk of so many rows.
    pub(super) fn finish(mut self, rows: usize) -> ArrayRef {
        self.fill_nulls(rows);
        match &mut self.typed {
            Typed::Int(builder) => ArrayBuilder::finish(builder),
            Typed::Float(builder) => ArrayBuilder::finish(builder),
            Typed::Text(builder) => ArrayBuilder::finish(builder),
            Typed::Bool(builder) => ArrayBuilder::finish(builder),
            Typed::Ints(builder) => ArrayBuilder::finish(builder),
            Typed::Floats(builder) => ArrayBuilder::finish(builder),
            Typed::Texts(builder) => ArrayBuilder::finish(builder),
            Typed::Bools(builder) => ArrayBuilder::finish(builder),
        }
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
                    builder.values().append_option(if let Value::Text(span) = item { Some(rows.text(*span)) } else { None });
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
