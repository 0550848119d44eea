//! Which keys a dataset has, which types occurred under each, and what they are called on disk.

use arrow::datatypes::DataType;

/// Physical type of one column. A key whose values differ in type has one column per kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    Int,
    Float,
    Text,
    Bool,
    Ints,
    Floats,
    Texts,
    Bools,
    /// Arrays that are no plain list of scalars, kept as JSON text (Utf8).
    Json,
}

impl Kind {
    /// The suffix of a sibling: `price#float`.
    #[must_use]
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Int => "int",
            Self::Float => "float",
            Self::Text => "text",
            Self::Bool => "bool",
            Self::Ints => "ints",
            Self::Floats => "floats",
            Self::Texts => "texts",
            Self::Bools => "bools",
            Self::Json => "json",
        }
    }

    /// Arrow type: Int64, Float64, Utf8, Boolean, or a List of one of them (items nullable, field name `element`).
    #[must_use]
    pub fn data_type(self) -> DataType {
        unimplemented!()
    }
}

/// Fixed for ever by the first non-null value of a key: the SQL type of its plain name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    Number,
    Text,
    Bool,
    List,
    Json,
}

/// One key of a dataset (dotted, as users write it) with every type that occurred.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Logical name: `cart.price`, `messages.text`, `experiments.13`. A user key that equals a system column is `user:<key>`.
    pub name: String,
    pub class: Class,
    /// In order of first occurrence; the first one owns the plain physical name.
    pub variants: Vec<Variant>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    pub kind: Kind,
    /// Name in Parquet, Delta and hot batches.
    pub physical: String,
    /// Non-null values stored so far.
    pub values: u64,
}

/// All columns of a dataset at one instant, in order of first occurrence, system columns not included.
#[derive(Debug, Clone, Default)]
pub struct Schema {
    pub columns: Vec<Column>,
}

impl Schema {
    /// Looks a logical name up in O(1).
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&Column> {
        unimplemented!()
    }
}

/// Columns every dataset has, present in every file and hot batch except `_day` (a Delta partition value; days of `time`).
/// time, received_at: Timestamp(µs, "UTC") · event_id, _incarnation, _source, rest, time_error: Utf8 · seq: Int64 · _day: Date32
pub const SYSTEM_COLUMNS: [&str; 9] =
    ["time", "received_at", "event_id", "seq", "_incarnation", "_day", "_source", "rest", "time_error"];
