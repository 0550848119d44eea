//! Result batches -> bytes: JSON, NDJSON, CSV, Arrow IPC, all a batch at a time.

mod arrow_ipc;
mod cell;
mod csv;
mod json;

use arrow::{
    array::RecordBatch,
    datatypes::{DataType, Field},
};
use store::Class;

pub(crate) use self::{
    arrow_ipc::ArrowStream,
    cell::cell_value,
    csv::Csv,
    json::{JsonTable, NdJson},
};
use crate::catalog::JSON_MARK;

/// Rows as JSON objects: a result that is read by ourselves.
#[must_use]
pub fn rows_as_json(batches: &[RecordBatch]) -> Vec<serde_json::Map<String, serde_json::Value>> {
    let row = |batch: &RecordBatch, row: usize| {
        let schema = batch.schema();
        let names = schema.fields().iter().map(|field| field.name().clone());
        names.zip(batch.columns()).map(|(name, column)| (name, cell_value(column, row))).collect()
    };
    batches.iter().flat_map(|batch| (0..batch.num_rows()).map(move |at| row(batch, at))).collect()
}

/// The name of an SQL type in results and schemas.
pub(crate) fn type_name(data_type: &DataType, json: bool) -> String {
    match data_type {
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 if json => "json".to_owned(),
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => "text".to_owned(),
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => "bigint".to_owned(),
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => "bigint".to_owned(),
        DataType::Float16 | DataType::Float32 | DataType::Float64 => "double".to_owned(),
        DataType::Boolean => "boolean".to_owned(),
        DataType::Timestamp(..) => "timestamp".to_owned(),
        DataType::Date32 | DataType::Date64 => "date".to_owned(),
        DataType::Time32(_) | DataType::Time64(_) => "time".to_owned(),
        DataType::Interval(_) | DataType::Duration(_) => "interval".to_owned(),
        DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..) => {
            "decimal".to_owned()
        }
        DataType::List(_)
        | DataType::LargeList(_)
        | DataType::FixedSizeList(..)
        | DataType::ListView(_)
        | DataType::LargeListView(_) => "list".to_owned(),
        DataType::Struct(_) => "struct".to_owned(),
        DataType::Map(..) => "map".to_owned(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            "binary".to_owned()
        }
        DataType::Null => "null".to_owned(),
        DataType::Dictionary(_, value) => type_name(value, json),
        other => other.to_string().to_lowercase(),
    }
}

/// The type of a result column.
pub(crate) fn field_type(field: &Field) -> String {
    type_name(field.data_type(), is_json(field))
}

fn is_json(field: &Field) -> bool {
    field.metadata().contains_key(JSON_MARK)
}

/// The word for a class in schemas.
pub(crate) fn class_name(class: Class) -> &'static str {
    match class {
        Class::Number => "number",
        Class::Text => "text",
        Class::Bool => "bool",
        Class::List => "list",
        Class::Json => "json",
    }
}
