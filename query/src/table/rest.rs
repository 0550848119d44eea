//! Keys a file or batch has no column for live in its JSON column `rest`: `rest['key']` is the same value.
//!
//! A file holds at most 1,000 columns, chosen by frequency; which key is a column differs from file to file, and no query notices.

use std::{collections::HashMap, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BooleanBuilder, Float64Builder, Int64Builder, ListBuilder, RecordBatch,
        StringBuilder, StringViewArray, StringViewBuilder,
    },
    compute::cast,
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use datafusion::{
    common::{
        Result,
        config::ConfigOptions,
        tree_node::{Transformed, TransformedResult, TreeNode},
    },
    logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility},
    physical_expr::{PhysicalExpr, ScalarFunctionExpr, expressions::Column},
    physical_expr_adapter::{DefaultPhysicalExprAdapterFactory, PhysicalExprAdapter, PhysicalExprAdapterFactory},
};
use serde_json::{Value, value::RawValue};
use store::Kind;

use crate::functions::json_member;

const REST: &str = "rest";

/// Which key and kind each column of a table is, for those that may be in `rest`.
#[derive(Debug, Default)]
pub(super) struct Fallback {
    columns: HashMap<String, (Arc<str>, Kind)>,
}

impl Fallback {
    pub(super) fn new(schema: &store::Schema, table: &Schema) -> Self {
        let wanted: std::collections::HashSet<&str> =
            table.fields().iter().map(|field| field.name().as_str()).collect();
        let mut columns = HashMap::new();
        for column in &schema.columns {
            for variant in column.variants.iter().filter(|variant| wanted.contains(variant.physical.as_str())) {
                columns.insert(variant.physical.clone(), (Arc::from(column.name.as_str()), variant.kind));
            }
        }
        Self { columns }
    }

    /// The values of a column a batch lacks, from the batch's `rest`; `None` if it has none.
    pub(super) fn extract(&self, batch: &RecordBatch, name: &str) -> Result<Option<ArrayRef>> {
        let (Some((key, kind)), Some(rest)) = (self.columns.get(name), batch.column_by_name(REST)) else {
            return Ok(None);
        };
        if rest.null_count() == rest.len() {
            return Ok(None);
        }
        let texts = cast(rest, &DataType::Utf8View)?;
        Ok(Some(values(texts.as_string_view(), key, *kind)))
    }
}

/// Makes a file's expressions: columns it lacks become `rest` look-ups where `rest` may hold them, else NULL.
#[derive(Debug)]
pub(super) struct RestAdapterFactory {
    rest: Arc<Fallback>,
}

impl RestAdapterFactory {
    pub(super) fn new(rest: Arc<Fallback>) -> Self {
        Self { rest }
    }
}

impl PhysicalExprAdapterFactory for RestAdapterFactory {
    fn create(&self, logical: SchemaRef, physical: SchemaRef) -> Result<Arc<dyn PhysicalExprAdapter>> {
        let plain = DefaultPhysicalExprAdapterFactory.create(Arc::clone(&logical), Arc::clone(&physical))?;
        Ok(Arc::new(RestAdapter { rest: Arc::clone(&self.rest), logical, physical, plain }))
    }
}

#[derive(Debug)]
struct RestAdapter {
    rest: Arc<Fallback>,
    logical: SchemaRef,
    physical: SchemaRef,
    plain: Arc<dyn PhysicalExprAdapter>,
}

impl PhysicalExprAdapter for RestAdapter {
    fn rewrite(&self, expr: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        expr.transform(|node| {
            let Some(column) = node.downcast_ref::<Column>() else {
                return Ok(Transformed::no(node));
            };
            match self.look_up(column.name())? {
                Some(found) => Ok(Transformed::yes(found)),
                None => Ok(Transformed::yes(self.plain.rewrite(node)?)),
            }
        })
        .data()
    }
}

impl RestAdapter {
    fn look_up(&self, name: &str) -> Result<Option<Arc<dyn PhysicalExpr>>> {
        let (Some((key, kind)), Ok(at)) = (self.rest.columns.get(name), self.physical.index_of(REST)) else {
            return Ok(None);
        };
        if self.physical.index_of(name).is_ok() {
            return Ok(None);
        }
        let data_type = self.logical.field_with_name(name)?.data_type().clone();
        let signature = Signature::any(1, Volatility::Immutable);
        let function = ScalarUDF::from(RestValue { key: Arc::clone(key), kind: *kind, data_type, signature });
        let rest: Arc<dyn PhysicalExpr> = Arc::new(Column::new(REST, at));
        let options = Arc::new(ConfigOptions::default());
        let call = ScalarFunctionExpr::try_new(Arc::new(function), vec![rest], &self.physical, options)?;
        Ok(Some(Arc::new(call)))
    }
}

/// `rest['key']` as one kind.
#[derive(Debug, PartialEq, Eq, Hash)]
struct RestValue {
    key: Arc<str>,
    kind: Kind,
    data_type: DataType,
    signature: Signature,
}

impl ScalarUDFImpl for RestValue {
    fn name(&self) -> &'static str {
        "rest_value"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(self.data_type.clone())
    }

    fn invoke_with_args(&self, call: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let texts = cast(&call.args[0].to_array(call.number_rows)?, &DataType::Utf8View)?;
        let found = values(texts.as_string_view(), &self.key, self.kind);
        let found = if *found.data_type() == self.data_type { found } else { cast(&found, &self.data_type)? };
        Ok(ColumnarValue::Array(found))
    }
}

/// The member `key` of each JSON object, where it is of this kind; the kinds part values as decoding into columns does.
fn values(texts: &StringViewArray, key: &str, kind: Kind) -> ArrayRef {
    let found = (0..texts.len()).map(|row| (!texts.is_null(row)).then(|| json_member(texts.value(row), key)).flatten());
    match kind {
        Kind::Int => {
            let mut numbers = Int64Builder::with_capacity(texts.len());
            found.for_each(|value| numbers.append_option(value.and_then(|value| value.get().parse().ok())));
            Arc::new(numbers.finish())
        }
        Kind::Float => {
            let mut numbers = Float64Builder::with_capacity(texts.len());
            found.for_each(|value| numbers.append_option(value.and_then(float)));
            Arc::new(numbers.finish())
        }
        Kind::Bool => {
            let mut flags = BooleanBuilder::with_capacity(texts.len());
            found.for_each(|value| flags.append_option(value.and_then(|value| value.get().parse().ok())));
            Arc::new(flags.finish())
        }
        Kind::Text => {
            let mut found_texts = StringViewBuilder::with_capacity(texts.len());
            found.for_each(|value| found_texts.append_option(value.and_then(text)));
            Arc::new(found_texts.finish())
        }
        Kind::Json => {
            let mut found_texts = StringViewBuilder::with_capacity(texts.len());
            let json = |value: &RawValue| {
                (value.get().starts_with('[') && list_kind(value).is_none()).then(|| value.get().to_owned())
            };
            found.for_each(|value| found_texts.append_option(value.and_then(json)));
            Arc::new(found_texts.finish())
        }
        Kind::Ints | Kind::Floats | Kind::Texts | Kind::Bools => {
            lists(found.map(|value| value.filter(|value| list_kind(value) == Some(kind))), kind)
        }
    }
}

fn float(value: &RawValue) -> Option<f64> {
    let number = value.get();
    let starts_as_number = number.starts_with(|c: char| c == '-' || c.is_ascii_digit());
    (starts_as_number && number.parse::<i64>().is_err()).then(|| number.parse().ok()).flatten()
}

fn text(value: &RawValue) -> Option<String> {
    value.get().starts_with('"').then(|| serde_json::from_str(value.get()).ok()).flatten()
}

/// The kind of an array of scalars of one type; nulls fit every kind, and one fraction makes all numbers floats.
fn list_kind(value: &RawValue) -> Option<Kind> {
    let items: Vec<Value> = serde_json::from_str(value.get()).ok()?;
    let kind = |item: &Value| match item {
        Value::Number(number) if number.is_i64() => Some(Kind::Ints),
        Value::Number(_) => Some(Kind::Floats),
        Value::String(_) => Some(Kind::Texts),
        Value::Bool(_) => Some(Kind::Bools),
        _ => None,
    };
    items.iter().filter(|item| !item.is_null()).map(kind).try_fold(None, |known, kind| match (known, kind?) {
        (None, kind) => Some(Some(kind)),
        (Some(known), kind) if known == kind => Some(Some(kind)),
        (Some(Kind::Ints | Kind::Floats), Kind::Ints | Kind::Floats) => Some(Some(Kind::Floats)),
        _ => None,
    })?
}

fn lists<'a>(found: impl Iterator<Item = Option<&'a RawValue>>, kind: Kind) -> ArrayRef {
    let mut lists =
        ListBuilder::new(StringBuilder::new()).with_field(Arc::new(Field::new("element", DataType::Utf8, true)));
    for value in found {
        let items: Option<Vec<Value>> = value.and_then(|value| serde_json::from_str(value.get()).ok());
        for item in items.iter().flatten() {
            match item {
                Value::Null => lists.values().append_null(),
                Value::String(text) => lists.values().append_value(text),
                other => lists.values().append_value(other.to_string()),
            }
        }
        lists.append(items.is_some());
    }
    let texts: ArrayRef = Arc::new(lists.finish());
    // The texts are spelled by serde_json from values of this kind, so the cast cannot fail.
    if kind == Kind::Texts { texts } else { cast(&texts, &kind.data_type()).unwrap_or(texts) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_in_rest_comes_out_under_its_kind_only() {
        let texts = StringViewArray::from(vec![
            Some(r#"{"a.b":1}"#),
            Some(r#"{"a.b":1.5}"#),
            Some(r#"{"a.b":"x"}"#),
            Some(r#"{"c":1}"#),
            None,
        ]);
        assert_eq!(
            values(&texts, "a.b", Kind::Int)
                .as_primitive::<arrow::datatypes::Int64Type>()
                .iter()
                .flatten()
                .sum::<i64>(),
            1
        );
        assert_eq!(values(&texts, "a.b", Kind::Float).null_count(), 4);
        assert_eq!(values(&texts, "a.b", Kind::Text).as_string_view().value(2), "x");
    }
}
