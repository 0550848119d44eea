//! Which SQL columns a dataset has, and the expression over physical columns each one stands for.
//!
//! A key whose values differ in type has one physical column per type; at most one of them is set in a row. SQL sees
//! - `x`: by the class of the key's first value: numbers are the union of all numeric siblings (BIGINT while only integers exist, else
//!   DOUBLE), texts the text form of every sibling, booleans the boolean sibling, lists the lists widened to one element type;
//! - `x#num`, `x#text`: the union of the numbers, the text form of everything: they exist for every key;
//! - `x#int`, `x#float`, `x#bool`, `x#ints` …: exactly one sibling, NULL where it never occurred;
//! - `environment`, `rollout`: the first key set among their aliases, as text; never stored;
//! - a name without a column below a prefix whose keys are ids: the text, with `#num` the number, that `rest` holds under it.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, TimeUnit};
use datafusion::{
    common::{Column as ColumnName, ScalarValue},
    functions::core::expr_fn::coalesce,
    logical_expr::{Expr, cast},
};
use store::{Aliases, Class, Column, Kind, Schema, Variant};

use crate::functions::{json_number, json_text, list_json};

/// System columns `SELECT *` leaves out: they are there when named.
const UNLISTED: &[&str] = &["received_at", "seq", "_incarnation", "_day", "_source", "rest", "time_error"];

/// A column of the files and hot batches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Physical {
    pub(crate) name: String,
    /// As the scan gives it: texts are `Utf8View`.
    pub(crate) data_type: DataType,
}

/// What one SQL name stands for.
#[derive(Debug, Clone)]
pub(crate) struct Definition {
    pub(crate) expr: Expr,
    pub(crate) data_type: DataType,
    /// Values are JSON text.
    pub(crate) json: bool,
    pub(crate) physical: Vec<Physical>,
}

/// How a comparison with a number has to be written so that it is exact and can skip data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    /// As it stands.
    Plain,
    /// Integers and floats: each sibling against the literal.
    IntsAndFloats,
    /// Texts: numbers among them count too. Whether an integer and a float sibling exist.
    Text { ints: bool, floats: bool },
}

/// The columns of one dataset at one instant.
#[derive(Debug, Clone)]
pub(crate) struct Columns {
    schema: Arc<Schema>,
    aliases: Arc<Aliases>,
}

impl Columns {
    pub(crate) fn new(schema: Arc<Schema>, aliases: Arc<Aliases>) -> Self {
        Self { schema, aliases }
    }

    /// Keys that stand for one thing under several names.
    pub(crate) fn aliases(&self) -> &Aliases {
        &self.aliases
    }

    pub(crate) fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// True if SQL may use this name.
    pub(crate) fn contains(&self, name: &str) -> bool {
        system_type(name).is_some()
            || self.aliases.keys(name).is_some()
            || self.schema.column(name).is_some()
            || self.sibling(name).is_some()
            || name == ID
    }

    /// True for a name that is no column, and may have values all the same: below a prefix whose keys are ids.
    pub(crate) fn may_hold(&self, name: &str) -> bool {
        !self.contains(name) && self.member(name).is_some()
    }

    /// What a name stands for.
    pub(crate) fn define(&self, name: &str) -> Option<Definition> {
        if let Some(data_type) = system_type(name) {
            return Some(single(name, data_type, name == "_source" || name == "rest"));
        }
        if let Some(keys) = self.aliases.keys(name) {
            return Some(self.first_text_of(keys));
        }
        if name == ID {
            return Some(single("event_id", DataType::Utf8View, false));
        }
        if let Some(column) = self.schema.column(name) {
            return Some(plain(column));
        }
        if let Some((column, suffix)) = self.sibling(name) {
            return Some(sibling(column, suffix));
        }
        let (key, is_number) = self.member(name)?;
        let rest = single("rest", DataType::Utf8View, false);
        Some(if is_number {
            Definition { expr: json_number(rest.expr, key), data_type: DataType::Float64, ..rest }
        } else {
            Definition { expr: json_text(rest.expr, key), ..rest }
        })
    }

    /// The key of a name without a column whose values `rest` may hold all the same, and whether its numbers are meant.
    fn member<'n>(&self, name: &'n str) -> Option<(&'n str, bool)> {
        if !self.schema.is_below_collapsed(name) {
            return None;
        }
        let (key, is_number) = match name.rsplit_once('#') {
            Some((key, "num")) => (key, true),
            Some((key, "text")) => (key, false),
            Some(_) => return None,
            None => (name, false),
        };
        self.schema.column(key).is_none().then_some((key, is_number))
    }

    /// How to compare this column with a number.
    pub(crate) fn comparison(&self, name: &str) -> Comparison {
        match self.schema.column(name) {
            Some(column) if self.aliases.keys(name).is_none() => {
                let has = |kind| variant(column, kind).is_some();
                match column.class {
                    Class::Number if has(Kind::Int) && has(Kind::Float) => Comparison::IntsAndFloats,
                    Class::Text => Comparison::Text { ints: has(Kind::Int), floats: has(Kind::Float) },
                    _ => Comparison::Plain,
                }
            }
            _ if self.aliases.keys(name).is_some() || name == ID || name == "event_id" || name.ends_with("#text") => {
                Comparison::Text { ints: false, floats: false }
            }
            _ if self.member(name).is_some_and(|(_, is_number)| !is_number) => {
                Comparison::Text { ints: false, floats: false }
            }
            _ => Comparison::Plain,
        }
    }

    /// The names `SELECT *` means, in order.
    pub(crate) fn listed(&self) -> Vec<String> {
        let system = store::schema::SYSTEM_COLUMNS.iter().filter(|name| !UNLISTED.contains(name));
        let keys = self.schema.columns.iter().map(|column| column.name.as_str()).filter(|name| self.listed_key(name));
        system.copied().chain(keys).map(ToOwned::to_owned).collect()
    }

    /// False for what the store keeps only to give events back as sent.
    pub(crate) fn listed_key(&self, name: &str) -> bool {
        system_type(name).is_none() && name != ID
    }

    /// Every plain name, for suggestions.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let aliases = ["environment", "rollout"].into_iter();
        let keys = self
            .schema
            .columns
            .iter()
            .map(|column| column.name.as_str())
            .filter(|name| self.aliases.keys(name).is_none());
        store::schema::SYSTEM_COLUMNS.iter().copied().chain(aliases).chain(keys)
    }

    /// The first text of several keys, NULL if none exists.
    pub(crate) fn first_text_of<K: AsRef<str>>(&self, keys: &[K]) -> Definition {
        let texts: Vec<Definition> = keys
            .iter()
            .filter_map(|key| self.schema.column(key.as_ref()))
            .map(|column| sibling(column, "text"))
            .collect();
        first_of(texts, DataType::Utf8View)
    }

    fn sibling<'a>(&self, name: &'a str) -> Option<(&Column, &'a str)> {
        let (key, suffix) = name.rsplit_once('#')?;
        let known = matches!(suffix, "num" | "text") || KINDS.iter().any(|kind| kind.suffix() == suffix);
        self.schema.column(key).filter(|_| known).map(|column| (column, suffix))
    }
}

/// The client's id of an event is its `event_id`, as text; what the store keeps to give it back as sent is no column of SQL.
const ID: &str = "id";

const KINDS: [Kind; 9] =
    [Kind::Int, Kind::Float, Kind::Text, Kind::Bool, Kind::Ints, Kind::Floats, Kind::Texts, Kind::Bools, Kind::Json];

/// The type of a system column as scanned.
pub(crate) fn system_type(name: &str) -> Option<DataType> {
    match name {
        "time" | "received_at" => Some(DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
        "seq" => Some(DataType::Int64),
        "_day" => Some(DataType::Date32),
        "event_id" | "_incarnation" | "_source" | "rest" | "time_error" => Some(DataType::Utf8View),
        _ => None,
    }
}

/// The type of a kind as scanned: views of texts compare and group faster than offsets.
fn scanned_type(kind: Kind) -> DataType {
    match kind {
        Kind::Text | Kind::Json => DataType::Utf8View,
        other => other.data_type(),
    }
}

fn element_type(kind: Kind) -> Option<DataType> {
    match kind {
        Kind::Ints => Some(DataType::Int64),
        Kind::Floats => Some(DataType::Float64),
        Kind::Texts => Some(DataType::Utf8),
        Kind::Bools => Some(DataType::Boolean),
        _ => None,
    }
}

fn variant(column: &Column, kind: Kind) -> Option<&Variant> {
    column.variants.iter().find(|variant| variant.kind == kind)
}

fn single(name: &str, data_type: DataType, json: bool) -> Definition {
    Definition {
        expr: Expr::Column(ColumnName::new_unqualified(name)),
        data_type: data_type.clone(),
        json,
        physical: vec![Physical { name: name.to_owned(), data_type }],
    }
}

fn exactly(variant: &Variant) -> Definition {
    single(&variant.physical, scanned_type(variant.kind), variant.kind == Kind::Json)
}

fn null(data_type: DataType) -> Definition {
    let value = ScalarValue::try_from(&data_type).unwrap_or(ScalarValue::Null);
    Definition { expr: Expr::Literal(value, None), data_type, json: false, physical: Vec::new() }
}

/// The first value set; `data_type` only counts when there is no part at all.
fn first_of(mut parts: Vec<Definition>, data_type: DataType) -> Definition {
    match parts.len() {
        0 => null(data_type),
        1 => parts.remove(0),
        _ => Definition {
            expr: coalesce(parts.iter().map(|part| part.expr.clone()).collect()),
            data_type: parts[0].data_type.clone(),
            json: parts.iter().all(|part| part.json),
            physical: parts.into_iter().flat_map(|part| part.physical).collect(),
        },
    }
}

fn converted(part: Definition, data_type: &DataType) -> Definition {
    if part.data_type == *data_type {
        return part;
    }
    Definition { expr: cast(part.expr, data_type.clone()), data_type: data_type.clone(), ..part }
}

/// The plain name, by class.
fn plain(column: &Column) -> Definition {
    match column.class {
        Class::Number => numbers(column),
        Class::Text => texts(column),
        Class::Bool => variant(column, Kind::Bool).map_or_else(|| null(DataType::Boolean), exactly),
        Class::List => lists(column),
        Class::Json => {
            let mut definition = texts(column);
            definition.json = true;
            definition
        }
    }
}

fn sibling(column: &Column, suffix: &str) -> Definition {
    match suffix {
        "num" => numbers(column),
        "text" => Definition { json: false, ..texts(column) },
        _ => {
            let kind = KINDS.into_iter().find(|kind| kind.suffix() == suffix).unwrap_or(Kind::Text);
            variant(column, kind).map_or_else(|| null(scanned_type(kind)), exactly)
        }
    }
}

fn numbers(column: &Column) -> Definition {
    let (int, float) = (variant(column, Kind::Int), variant(column, Kind::Float));
    match (int, float) {
        (Some(int), Some(float)) => {
            first_of(vec![converted(exactly(int), &DataType::Float64), exactly(float)], DataType::Float64)
        }
        (Some(only), None) | (None, Some(only)) => exactly(only),
        (None, None) => null(DataType::Float64),
    }
}

fn texts(column: &Column) -> Definition {
    let parts = column.variants.iter().map(text_of).collect();
    first_of(parts, DataType::Utf8View)
}

/// The text form: numbers as written, booleans `true` and `false`, lists as JSON.
fn text_of(variant: &Variant) -> Definition {
    let part = exactly(variant);
    if element_type(variant.kind).is_some() {
        return Definition { expr: list_json(part.expr), data_type: DataType::Utf8View, ..part };
    }
    converted(part, &DataType::Utf8View)
}

/// Lists of one element type as they are; mixed ones as doubles if all are numbers, else as texts.
fn lists(column: &Column) -> Definition {
    let found: Vec<&Variant> = column.variants.iter().filter(|variant| element_type(variant.kind).is_some()).collect();
    let numeric = found.iter().all(|variant| matches!(variant.kind, Kind::Ints | Kind::Floats));
    let element = match found.as_slice() {
        [] => return null(list_of(DataType::Utf8)),
        [only] => return exactly(only),
        _ if numeric => DataType::Float64,
        _ => DataType::Utf8,
    };
    let parts = found.into_iter().map(|variant| converted(exactly(variant), &list_of(element.clone()))).collect();
    first_of(parts, list_of(element))
}

fn list_of(element: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("element", element, true)))
}
