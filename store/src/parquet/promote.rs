//! From `rest` to columns: a key that became frequent gets a column of its own when its file is written anew.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BooleanBuilder, Float64Builder, Int64Builder, ListBuilder, RecordBatch, StringBuilder,
    },
    datatypes::{Field, Schema},
    error::ArrowError,
};
use hashbrown::HashMap;
use serde_json::value::RawValue;

use super::columns::{Columns, KeyColumn};
use crate::{
    catalog::{Catalog, VariantId},
    memtable::system_field,
    rest::{kind_of, unmark},
    schema::Kind,
};

const REST: &str = "rest";

/// Takes the values of columns a batch lacks out of its `rest`.
#[derive(Debug)]
pub(super) struct Promotion {
    /// By logical name: the columns of the key, and the kind that takes its empty arrays.
    keys: HashMap<String, Key>,
}

#[derive(Debug)]
struct Key {
    columns: Vec<KeyColumn>,
    lists: Option<Kind>,
}

/// Values of some rows for a column, as JSON.
#[derive(Debug)]
struct Found<'a> {
    column: &'a KeyColumn,
    values: Vec<(usize, String)>,
}

/// The members of one `rest`, in their order.
type Members<'a> = Vec<(String, &'a RawValue)>;

impl Promotion {
    /// Into the typed columns of a file to write.
    pub(super) fn new(columns: &Columns, catalog: &Catalog) -> Self {
        let schema = catalog.schema();
        let mut keys: HashMap<String, Key> = HashMap::new();
        for column in &columns.typed {
            let lists = || schema.column(&column.name).and_then(crate::rest::oldest_list);
            let key = keys.entry(column.name.clone()).or_insert_with(|| Key { columns: Vec::new(), lists: lists() });
            key.columns.push(column.clone());
        }
        Self { keys }
    }

    /// The batch with what its `rest` holds of columns it lacks in those columns.
    pub(super) fn apply(&self, batch: RecordBatch) -> Result<RecordBatch, ArrowError> {
        let Some((at, _)) = batch.schema_ref().column_with_name(REST) else { return Ok(batch) };
        let rest = Arc::clone(batch.column(at));
        if rest.null_count() == rest.len() {
            return Ok(batch);
        }
        let texts = rest.as_string::<i32>();
        let mut found: HashMap<VariantId, Found<'_>> = HashMap::new();
        let mut left = StringBuilder::with_capacity(rest.len(), texts.value_data().len());
        for row in 0..rest.len() {
            let members = if texts.is_null(row) { Vec::new() } else { members(texts.value(row))? };
            let before = members.len();
            let kept: Members<'_> = members
                .into_iter()
                .filter_map(|(name, value)| match self.column_of(&name, value.get(), &batch) {
                    Some(column) => {
                        let new = || Found { column, values: Vec::new() };
                        let found = found.entry(column.variant).or_insert_with(new);
                        found.values.push((row, value.get().to_owned()));
                        None
                    }
                    None => Some((name, value)),
                })
                .collect();
            match kept.len() {
                0 => left.append_null(),
                same if same == before => left.append_value(texts.value(row)),
                _ => left.append_value(object(&kept)),
            }
        }
        if found.is_empty() {
            return Ok(batch);
        }
        widen(&batch, at, Arc::new(left.finish()), found.into_values().collect())
    }

    /// The column that takes a member of `rest`: one of the file to write that the batch does not have.
    fn column_of(&self, name: &str, json: &str, batch: &RecordBatch) -> Option<&KeyColumn> {
        let key = self.keys.get(name)?;
        let kind = kind_of(json, key.lists)?;
        let column = key.columns.iter().find(|column| column.kind == kind)?;
        batch.schema_ref().column_with_name(&column.physical).is_none().then_some(column)
    }
}

fn members(text: &str) -> Result<Members<'_>, ArrowError> {
    /// Keeps the order of members, and members of one name apart.
    struct InOrder;
    impl<'de> serde::de::Visitor<'de> for InOrder {
        type Value = Members<'de>;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members = Vec::new();
            while let Some(member) = map.next_entry::<String, &'de RawValue>()? {
                members.push(member);
            }
            Ok(members)
        }
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    serde::Deserializer::deserialize_map(&mut reader, InOrder)
        .map_err(|error| ArrowError::ParseError(format!("the column rest holds no JSON object: {error}")))
}

fn object(members: &Members<'_>) -> String {
    let mut text = String::from("{");
    for (at, (name, value)) in members.iter().enumerate() {
        if at > 0 {
            text.push(',');
        }
        text.push_str(&crate::reassemble::quoted(name));
        text.push(':');
        text.push_str(value.get());
    }
    text.push('}');
    text
}

fn widen(
    batch: &RecordBatch,
    rest_at: usize,
    rest: ArrayRef,
    found: Vec<Found<'_>>,
) -> Result<RecordBatch, ArrowError> {
    let mut fields: Vec<_> = batch.schema_ref().fields().iter().cloned().collect();
    let mut arrays: Vec<ArrayRef> = batch.columns().to_vec();
    fields[rest_at] = system_field(REST);
    arrays[rest_at] = rest;
    for Found { column, values } in found {
        fields.push(Arc::new(Field::new(&column.physical, column.kind.data_type(), true)));
        arrays.push(array(column.kind, &values, batch.num_rows())?);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
}

/// The values of some rows as a column, null in all others.
fn array(kind: Kind, values: &[(usize, String)], rows: usize) -> Result<ArrayRef, ArrowError> {
    let mut values = values.iter().peekable();
    let mut in_order = (0..rows).map(|row| values.next_if(|(at, _)| *at == row).map(|(_, json)| json.as_str()));
    let spelling = |json: &str| ArrowError::ParseError(format!("{json:?} in the column rest is no {}", kind.suffix()));
    macro_rules! scalars {
        ($builder:expr, $parse:expr) => {{
            let mut builder = $builder;
            for json in in_order {
                builder.append_option(json.map(|json| $parse(json).ok_or_else(|| spelling(json))).transpose()?);
            }
            Ok(Arc::new(builder.finish()))
        }};
    }
    macro_rules! lists {
        ($builder:expr, $parse:expr) => {{
            let element = kind.element().unwrap_or(Kind::Text).data_type();
            let mut builder = ListBuilder::new($builder).with_field(Field::new("element", element, true));
            for json in &mut in_order {
                let Some(json) = json else {
                    builder.append_null();
                    continue;
                };
                for item in crate::rest::items(json).ok_or_else(|| spelling(json))? {
                    let value = item.map(|item| $parse(item).ok_or_else(|| spelling(json))).transpose()?;
                    builder.values().append_option(value);
                }
                builder.append(true);
            }
            Ok(Arc::new(builder.finish()))
        }};
    }
    match kind {
        Kind::Int => scalars!(Int64Builder::new(), int),
        Kind::Float => scalars!(Float64Builder::new(), float),
        Kind::Bool => scalars!(BooleanBuilder::new(), bool_of),
        Kind::Text => scalars!(StringBuilder::new(), text),
        Kind::Json => scalars!(StringBuilder::new(), |json| Some(unmark(kind, json))),
        Kind::Ints => lists!(Int64Builder::new(), int),
        Kind::Floats => lists!(Float64Builder::new(), float),
        Kind::Bools => lists!(BooleanBuilder::new(), bool_of),
        Kind::Texts => lists!(StringBuilder::new(), text),
    }
}

fn int(json: &str) -> Option<i64> {
    json.parse().ok()
}

fn float(json: &str) -> Option<f64> {
    json.parse().ok()
}

fn bool_of(json: &str) -> Option<bool> {
    json.parse().ok()
}

fn text(json: &str) -> Option<String> {
    serde_json::from_str(json).ok()
}

/// Counts the members of `rest` that columns would hold, by column.
pub(super) fn count_in_rest(rest: &ArrayRef, catalog: &Catalog, counts: &mut [u64]) -> Result<(), ArrowError> {
    if rest.null_count() == rest.len() {
        return Ok(());
    }
    let (schema, physicals) = (catalog.schema(), catalog.physicals());
    let variants: HashMap<&str, usize> =
        physicals.iter().enumerate().map(|(variant, physical)| (&*physical.name, variant)).collect();
    let texts = rest.as_string::<i32>();
    for text in texts.iter().flatten() {
        for (name, value) in members(text)? {
            let Some(column) = schema.column(&name) else { continue };
            let variant = kind_of(value.get(), crate::rest::oldest_list(column)).and_then(|kind| column.variant(kind));
            if let Some(at) = variant.and_then(|variant| variants.get(variant.physical.as_str()))
                && let Some(count) = counts.get_mut(*at)
            {
                *count += 1;
            }
        }
    }
    Ok(())
}
