//! `list_json(list)`: a list as JSON text, the text form of list columns.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, StringViewBuilder},
    datatypes::{DataType, Float64Type, Int64Type},
};
use datafusion::{
    common::{Result, cast::as_list_array, exec_err, plan_err},
    logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility},
};

pub(super) fn udf() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::from(ListJson { signature: Signature::any(1, Volatility::Immutable) }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ListJson {
    signature: Signature,
}

impl ScalarUDFImpl for ListJson {
    fn name(&self) -> &'static str {
        "list_json"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match &arguments[0] {
            DataType::List(_) | DataType::Null => Ok(DataType::Utf8View),
            other => plan_err!("list_json takes a list, not {other}"),
        }
    }

    fn invoke_with_args(&self, call: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let lists = call.args[0].to_array(call.number_rows)?;
        if lists.data_type().is_null() {
            return Ok(ColumnarValue::Array(arrow::array::new_null_array(&DataType::Utf8View, lists.len())));
        }
        let lists = as_list_array(&lists)?;
        let mut texts = StringViewBuilder::with_capacity(lists.len());
        let mut text = String::new();
        for row in 0..lists.len() {
            if lists.is_null(row) {
                texts.append_null();
                continue;
            }
            text.clear();
            write_list(&mut text, &lists.value(row))?;
            texts.append_value(&text);
        }
        Ok(ColumnarValue::Array(Arc::new(texts.finish()) as ArrayRef))
    }
}

fn write_list(text: &mut String, items: &ArrayRef) -> Result<()> {
    text.push('[');
    for at in 0..items.len() {
        if at > 0 {
            text.push(',');
        }
        if items.is_null(at) {
            text.push_str("null");
        } else {
            write_item(text, items, at)?;
        }
    }
    text.push(']');
    Ok(())
}

fn write_item(text: &mut String, items: &ArrayRef, at: usize) -> Result<()> {
    match items.data_type() {
        DataType::Int64 => text.push_str(&items.as_primitive::<Int64Type>().value(at).to_string()),
        DataType::Float64 => {
            text.push_str(&serde_json::Value::from(items.as_primitive::<Float64Type>().value(at)).to_string())
        }
        DataType::Boolean => text.push_str(if items.as_boolean().value(at) { "true" } else { "false" }),
        DataType::Utf8 => text.push_str(&serde_json::Value::from(items.as_string::<i32>().value(at)).to_string()),
        DataType::Utf8View => text.push_str(&serde_json::Value::from(items.as_string_view().value(at)).to_string()),
        DataType::List(_) => write_list(text, &items.as_list::<i32>().value(at))?,
        other => return exec_err!("list_json of {other} elements"),
    }
    Ok(())
}
