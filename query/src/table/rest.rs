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
use serde_json::value::RawValue;
use store::{
    Kind,
    rest::{items, kind_of, unmark},
};

use crate::functions::json_member;

const REST: &str = "rest";

/// Which key and kind each column of a table is, for those that may be in `rest`.
#[derive(Debug, Default)]
pub(super) struct Fallback {
    columns: HashMap<String, Member>,
}

/// Where a column's values are in `rest`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Member {
    key: Arc<str>,
    kind: Kind,
    /// The kind that has the empty arrays of the key.
    lists: Option<Kind>,
}

impl Fallback {
    pub(super) fn new(schema: &store::Schema, table: &Schema) -> Self {
        let wanted: std::collections::HashSet<&str> =
            table.fields().iter().map(|field| field.name().as_str()).collect();
        let mut columns = HashMap::new();
        for column in &schema.columns {
            for variant in column.variants.iter().filter(|variant| wanted.contains(variant.physical.as_str())) {
                let (key, lists) = (Arc::from(column.name.as_str()), store::rest::oldest_list(column));
                columns.insert(variant.physical.clone(), Member { key, kind: variant.kind, lists });
            }
        }
        Self { columns }
    }

    /// The values of a column a batch lacks, from the batch's `rest`; `None` if it has none.
    pub(super) fn extract(&self, batch: &RecordBatch, name: &str) -> Result<Option<ArrayRef>> {
        let (Some(member), Some(rest)) = (self.columns.get(name), batch.column_by_name(REST)) else {
            return Ok(None);
        };
        if rest.null_count() == rest.len() {
            return Ok(None);
        }
        let texts = cast(rest, &DataType::Utf8View)?;
        Ok(Some(values(texts.as_string_view(), member)))
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
        let (Some(member), Ok(at)) = (self.rest.columns.get(name), self.physical.index_of(REST)) else {
            return Ok(None);
        };
        if self.physical.index_of(name).is_ok() {
            return Ok(None);
        }
        let data_type = self.logical.field_with_name(name)?.data_type().clone();
        let signature = Signature::any(1, Volatility::Immutable);
        let function = ScalarUDF::from(RestValue { member: member.clone(), data_type, signature });
        let rest: Arc<dyn PhysicalExpr> = Arc::new(Column::new(REST, at));
        let options = Arc::new(ConfigOptions::default());
        let call = ScalarFunctionExpr::try_new(Arc::new(function), vec![rest], &self.physical, options)?;
        Ok(Some(Arc::new(call)))
    }
}

/// `rest['key']` as one kind.
#[derive(Debug, PartialEq, Eq, Hash)]
struct RestValue {
    member: Member,
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
        let found = values(texts.as_string_view(), &self.member);
        let found = if *found.data_type() == self.data_type { found } else { cast(&found, &self.data_type)? };
        Ok(ColumnarValue::Array(found))
    }
}

/// The member `key` of each JSON object, where it is of this kind; the kinds part values as decoding into columns does.
fn values(texts: &StringViewArray, member: &Member) -> ArrayRef {
    let (key, kind) = (&member.key, member.kind);
    let found = (0..texts.len()).map(|row| (!texts.is_null(row)).then(|| json_member(texts.value(row), key)).flatten());
    let found = found.map(|value| value.filter(|value| kind_of(value.get(), member.lists) == Some(kind)));
    match kind {
        Kind::Int => {
            let mut numbers = Int64Builder::with_capacity(texts.len());
            found.for_each(|value| numbers.append_option(value.and_then(|value| value.get().parse().ok())));
            Arc::new(numbers.finish())
        }
        Kind::Float => {
            let mut numbers = Float64Builder::with_capacity(texts.len());
            found.for_each(|value| numbers.append_option(value.and_then(|value| value.get().parse().ok())));
            Arc::new(numbers.finish())
        }
        Kind::Bool => {
            let mut flags = BooleanBuilder::with_capacity(texts.len());
            found.for_each(|value| flags.append_option(value.and_then(|value| value.get().parse().ok())));
            Arc::new(flags.finish())
        }
        Kind::Text => {
            let mut found_texts = StringViewBuilder::with_capacity(texts.len());
            let text = |value: &RawValue| serde_json::from_str::<String>(value.get()).ok();
            found.for_each(|value| found_texts.append_option(value.and_then(text)));
            Arc::new(found_texts.finish())
        }
        Kind::Json => {
            let mut found_texts = StringViewBuilder::with_capacity(texts.len());
            found.for_each(|value| found_texts.append_option(value.map(|value| unmark(kind, value.get()))));
            Arc::new(found_texts.finish())
        }
        Kind::Ints | Kind::Floats | Kind::Texts | Kind::Bools => lists(found, kind),
    }
}

fn lists<'a>(found: impl Iterator<Item = Option<&'a RawValue>>, kind: Kind) -> ArrayRef {
    let mut lists =
        ListBuilder::new(StringBuilder::new()).with_field(Arc::new(Field::new("element", DataType::Utf8, true)));
    for value in found {
        let items = value.and_then(|value| items(value.get()));
        for item in items.iter().flatten() {
            match item {
                Some(text) if kind == Kind::Texts => {
                    lists.values().append_option(serde_json::from_str::<String>(text).ok())
                }
                item => lists.values().append_option(*item),
            }
        }
        lists.append(items.is_some());
    }
    let texts: ArrayRef = Arc::new(lists.finish());
    // The texts are values of this kind as JSON spells them, so the cast cannot fail.
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
            Some(r#"{"a.b":[ ]}"#),
            Some(r#"{"a.b":[0.1,null]}"#),
        ]);
        let of = |kind| values(&texts, &Member { key: "a.b".into(), kind, lists: Some(Kind::Floats) });
        assert_eq!(of(Kind::Int).as_primitive::<arrow::datatypes::Int64Type>().iter().flatten().sum::<i64>(), 1);
        assert_eq!(of(Kind::Float).null_count(), 6);
        assert_eq!(of(Kind::Text).as_string_view().value(2), "x");
        let lists = of(Kind::Floats);
        assert_eq!(
            (lists.null_count(), lists.as_list::<i32>().value(5).len(), lists.as_list::<i32>().value(6).len()),
            (5, 0, 2)
        );
    }
}
