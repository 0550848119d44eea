//! Which keys a dataset has, which types occurred under each, and what they are called on disk.

use std::{collections::BTreeSet, sync::Arc};

use arrow::datatypes::{DataType, Field, TimeUnit};
use hashbrown::HashMap;

/// Physical type of one column. A key whose values differ in type has one column per kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Whole numbers that fit 64 bits with sign.
    Int,
    /// Numbers written with a fraction or an exponent, and whole numbers beyond 64 bits.
    Float,
    /// Strings.
    Text,
    /// `true` and `false`.
    Bool,
    /// Arrays of `Int`; items may be null, as in the other lists.
    Ints,
    /// Arrays of numbers, at least one of them a `Float`.
    Floats,
    /// Arrays of strings.
    Texts,
    /// Arrays of booleans.
    Bools,
    /// Arrays that are no plain list of scalars, kept as JSON text (Utf8).
    Json,
}

impl Kind {
    /// Every kind, in the order of their discriminants.
    pub const ALL: [Self; 9] = [
        Self::Int,
        Self::Float,
        Self::Text,
        Self::Bool,
        Self::Ints,
        Self::Floats,
        Self::Texts,
        Self::Bools,
        Self::Json,
    ];

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

    /// The kind with this suffix.
    #[must_use]
    pub fn from_suffix(suffix: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.suffix() == suffix)
    }

    /// The class a key gets when this is the kind of its first value.
    #[must_use]
    pub fn class(self) -> Class {
        match self {
            Self::Int | Self::Float => Class::Number,
            Self::Text => Class::Text,
            Self::Bool => Class::Bool,
            Self::Ints | Self::Floats | Self::Texts | Self::Bools => Class::List,
            Self::Json => Class::Json,
        }
    }

    /// The scalar kind of the items of a list; `None` for what is no list.
    #[must_use]
    pub fn element(self) -> Option<Self> {
        match self {
            Self::Ints => Some(Self::Int),
            Self::Floats => Some(Self::Float),
            Self::Texts => Some(Self::Text),
            Self::Bools => Some(Self::Bool),
            _ => None,
        }
    }

    /// Arrow type: Int64, Float64, Utf8, Boolean, or a List of one of them (items nullable, field name `element`).
    #[must_use]
    pub fn data_type(self) -> DataType {
        match self {
            Self::Int => DataType::Int64,
            Self::Float => DataType::Float64,
            Self::Text | Self::Json => DataType::Utf8,
            Self::Bool => DataType::Boolean,
            Self::Ints => list_of(DataType::Int64),
            Self::Floats => list_of(DataType::Float64),
            Self::Texts => list_of(DataType::Utf8),
            Self::Bools => list_of(DataType::Boolean),
        }
    }
}

fn list_of(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("element", item, true)))
}

/// Fixed for ever by the first non-null value of a key: the SQL type of its plain name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// The union of the numeric siblings: BIGINT while only integers exist, else DOUBLE.
    Number,
    /// The text form of all siblings.
    Text,
    /// BOOLEAN.
    Bool,
    /// A list of scalars.
    List,
    /// JSON text.
    Json,
}

/// One key of a dataset (dotted, as users write it) with every type that occurred.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Logical name: `cart.price`, `messages.text`, `experiments.13`. A user key that equals a system column is `user:<key>`.
    pub name: String,
    /// The class of the first value ever stored.
    pub class: Class,
    /// In order of first occurrence; the first one owns the plain physical name.
    pub variants: Vec<Variant>,
    /// How the key was nested when it was first stored: `["cart", "price"]`, or `["service.name"]` for a key sent with a dot in it.
    pub path: Vec<String>,
}

impl Column {
    /// The variant of a kind, if it ever occurred.
    #[must_use]
    pub fn variant(&self, kind: Kind) -> Option<&Variant> {
        self.variants.iter().find(|variant| variant.kind == kind)
    }

    /// Non-null values of all kinds.
    #[must_use]
    pub fn values(&self) -> u64 {
        self.variants.iter().map(|variant| variant.values).sum()
    }
}

/// One type that occurred under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// The type.
    pub kind: Kind,
    /// Name in Parquet, Delta and hot batches.
    pub physical: String,
    /// Non-null values stored so far.
    pub values: u64,
}

/// All columns of a dataset at one instant, in order of first occurrence, system columns not included.
#[derive(Debug, Clone, Default)]
pub struct Schema {
    /// The columns, oldest first.
    pub columns: Vec<Column>,
    /// How `time` is usually spelled in this dataset's events, for giving them back as sent.
    pub(crate) spelling: Option<crate::decode::time::Spelling>,
    collapsed: BTreeSet<String>,
    index: HashMap<String, usize>,
}

impl Schema {
    /// A schema of these columns; of two with one name the first is found.
    #[must_use]
    pub fn new(columns: Vec<Column>) -> Self {
        let mut index = HashMap::with_capacity(columns.len());
        for (at, column) in columns.iter().enumerate() {
            index.entry(column.name.clone()).or_insert(at);
        }
        Self { columns, spelling: None, collapsed: BTreeSet::new(), index }
    }

    pub(crate) fn with_spelling(self, spelling: Option<crate::decode::time::Spelling>) -> Self {
        Self { spelling, ..self }
    }

    pub(crate) fn with_collapsed(self, collapsed: BTreeSet<String>) -> Self {
        Self { collapsed, ..self }
    }

    /// Whether a name without a column may all the same have values, in `rest`: it stands below a prefix whose keys are ids.
    #[must_use]
    pub fn is_below_collapsed(&self, name: &str) -> bool {
        crate::catalog::growth::is_below(&self.collapsed, name)
    }

    /// Prefixes whose new keys go to `rest`, without the dot: ids are used as keys there.
    pub fn collapsed(&self) -> impl Iterator<Item = &str> {
        self.collapsed.iter().map(String::as_str)
    }

    /// Looks a logical name up in O(1).
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.index.get(name).map(|at| &self.columns[*at])
    }
}

/// Columns every dataset has, present in every file and hot batch except `_day` (a Delta partition value; days of `time`).
/// time, received_at: Timestamp(µs, "UTC") · event_id, _incarnation, _source, rest, time_error: Utf8 · seq: Int64 · _day: Date32
pub const SYSTEM_COLUMNS: [&str; 9] =
    ["time", "received_at", "event_id", "seq", "_incarnation", "_day", "_source", "rest", "time_error"];

/// Arrow type of a system column; `None` for any other name.
#[must_use]
pub fn system_type(name: &str) -> Option<DataType> {
    match name {
        "time" | "received_at" => Some(DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
        "seq" => Some(DataType::Int64),
        "_day" => Some(DataType::Date32),
        "event_id" | "_incarnation" | "_source" | "rest" | "time_error" => Some(DataType::Utf8),
        _ => None,
    }
}
