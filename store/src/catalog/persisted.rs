//! The catalog inside the Delta log.
//!
//! Schema fields in order: the system columns, then every physical column in order of settlement, which never changes.
//! Metadata of a field: `yellowline.name` (logical name), `yellowline.kind` (suffix of the kind) and, where the name split at
//! its dots is not how the key was nested, `yellowline.path` (array of keys). The field `time` has `yellowline.spelling`.
//! Configuration: `yellowline.first_seen`, see `sight`; `yellowline.growth`, see `growth`. Add.tags: `yellowline.values`, the non-null values of a file's columns
//! in field order without the system columns, joined by commas.

use std::collections::BTreeMap;

use arrow::datatypes::DataType;
use serde_json::{Map, Value, json};

use super::{Catalog, Columns, Physical, Trie, growth::Growth, trie};
use crate::{
    decode::time::Spelling,
    schema::{Kind, SYSTEM_COLUMNS, system_type},
    sight::Sights,
};

const NAME: &str = "yellowline.name";
const KIND: &str = "yellowline.kind";
const PATH: &str = "yellowline.path";
const SPELLING: &str = "yellowline.spelling";
const FIRST_SEEN: &str = "yellowline.first_seen";
const GROWTH: &str = "yellowline.growth";
const VALUES: &str = "yellowline.values";

/// Why a persisted catalog could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CatalogError {
    /// The text is not the JSON of a schema.
    #[error("could not parse the schema of the Delta log")]
    Parse(#[source] serde_json::Error),
    /// The text is not what `persist` writes about prefixes.
    #[error("could not parse yellowline.growth in the configuration of the Delta log")]
    Growth(#[source] serde_json::Error),
    /// A field lacks what `persist` writes.
    #[error("field {field:?} in the schema of the Delta log has no valid {part}")]
    Field {
        /// Physical name.
        field: String,
        /// What is missing.
        part: &'static str,
    },
}

pub(super) fn persist(catalog: &Catalog) -> (String, BTreeMap<String, String>) {
    let columns = catalog.columns.lock();
    let system = SYSTEM_COLUMNS.iter().map(|name| {
        let mut metadata = Map::new();
        if let (&"time", Some(spelling)) = (name, columns.spelling) {
            metadata.insert(SPELLING.to_owned(), spelling.to_code().into());
        }
        field(name, &system_type(name).unwrap_or(DataType::Utf8), metadata)
    });
    let own = columns
        .variants
        .iter()
        .map(|physical| field(&physical.name, &physical.kind.data_type(), metadata_of(&columns, physical)));
    let fields: Vec<Value> = system.chain(own).collect();
    let mut configuration = BTreeMap::new();
    let first_seen = catalog.sights.lock().to_code();
    if !first_seen.is_empty() {
        configuration.insert(FIRST_SEEN.to_owned(), first_seen);
    }
    if let Some(growth) = columns.growth.to_code() {
        configuration.insert(GROWTH.to_owned(), growth);
    }
    (json!({"type": "struct", "fields": fields}).to_string(), configuration)
}

fn field(name: &str, data_type: &DataType, metadata: Map<String, Value>) -> Value {
    json!({"name": name, "type": delta_type(data_type), "nullable": true, "metadata": metadata})
}

fn delta_type(data_type: &DataType) -> Value {
    match data_type {
        DataType::Int64 => "long".into(),
        DataType::Float64 => "double".into(),
        DataType::Boolean => "boolean".into(),
        DataType::Date32 => "date".into(),
        DataType::Timestamp(..) => "timestamp".into(),
        DataType::List(element) => {
            json!({"type": "array", "elementType": delta_type(element.data_type()), "containsNull": true})
        }
        _ => "string".into(),
    }
}

fn metadata_of(columns: &Columns, physical: &Physical) -> Map<String, Value> {
    let entry = &columns.entries[physical.column];
    let mut metadata = Map::new();
    metadata.insert(NAME.to_owned(), entry.name.clone().into());
    metadata.insert(KIND.to_owned(), physical.kind.suffix().into());
    if !entry.name.split('.').eq(&entry.path) {
        metadata.insert(PATH.to_owned(), entry.path.clone().into());
    }
    metadata
}

/// The tag of a file with so many values in each column.
pub(crate) fn values_tag(counts: &[u64]) -> (String, String) {
    let counts: Vec<String> = counts.iter().map(u64::to_string).collect();
    (VALUES.to_owned(), counts.join(","))
}

/// The inverse of [`values_tag`], from all tags of a file; nothing for a file without that tag.
pub(crate) fn values_of(tags: &BTreeMap<String, String>) -> impl Iterator<Item = u64> {
    let counts = tags.get(VALUES).map(|counts| counts.split(','));
    counts.into_iter().flatten().map(|count| count.parse().unwrap_or(0))
}

pub(super) fn restore(
    schema_string: &str,
    configuration: &BTreeMap<String, String>,
    file_tags: &mut dyn Iterator<Item = &BTreeMap<String, String>>,
) -> Result<Catalog, CatalogError> {
    let schema: Value = serde_json::from_str(schema_string).map_err(CatalogError::Parse)?;
    let fields = schema["fields"].as_array().map(Vec::as_slice).unwrap_or_default();
    let (mut trie, mut columns) = (Trie::new(), Columns::new());
    if let Some(code) = configuration.get(GROWTH) {
        columns.growth = Growth::from_code(code).map_err(CatalogError::Growth)?;
    }
    for field in fields {
        let name = field["name"].as_str().unwrap_or_default();
        if SYSTEM_COLUMNS.contains(&name) {
            let spelling = field["metadata"][SPELLING].as_str().and_then(Spelling::from_code);
            columns.spelling = columns.spelling.or(spelling);
        } else {
            restore_field(name, &field["metadata"], &mut trie, &mut columns)?;
        }
    }
    for tags in file_tags {
        restore_counts(tags, &mut columns);
    }
    let first_seen = configuration.get(FIRST_SEEN).map(String::as_str).unwrap_or_default();
    Ok(Catalog::with_columns(trie, columns, Sights::from_code(first_seen)))
}

fn restore_field(physical: &str, metadata: &Value, trie: &mut Trie, columns: &mut Columns) -> Result<(), CatalogError> {
    let lacks = |part| CatalogError::Field { field: physical.to_owned(), part };
    let name = metadata[NAME].as_str().ok_or_else(|| lacks(NAME))?;
    let kind = metadata[KIND].as_str().and_then(Kind::from_suffix).ok_or_else(|| lacks(KIND))?;
    let column = match columns.by_name.get(name) {
        Some(column) => *column,
        None => {
            let path: Vec<String> = match metadata.get(PATH) {
                None => name.split('.').map(str::to_owned).collect(),
                Some(path) => serde_json::from_value(path.clone()).map_err(|_not_strings| lacks(PATH))?,
            };
            let node = path.iter().fold(trie::ROOT, |parent, key| trie.find_or_add(parent, key));
            columns.taken.insert(physical);
            columns.growth.learn(name);
            columns.add_entry(name, path, node, physical.to_owned())
        }
    };
    columns.add_variant(column, kind, physical);
    Ok(())
}

fn restore_counts(tags: &BTreeMap<String, String>, columns: &mut Columns) {
    for (variant, count) in values_of(tags).enumerate() {
        if let Some(physical) = columns.variants.get_mut(variant) {
            physical.values += count;
            columns.values += count;
        }
    }
}
