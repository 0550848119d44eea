//! `rest`: the values of the rarest keys of a wide file, as one JSON object per row.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringBuilder};

use super::columns::KeyColumn;
use crate::{
    reassemble::{quoted, scalar_json},
    rest::mark,
};

/// `rest` of some rows with the values of further columns added to it.
pub(super) fn add(rest: &ArrayRef, overflow: &[(&KeyColumn, ArrayRef)]) -> ArrayRef {
    let names: Vec<String> = overflow.iter().map(|(column, _)| quoted(&column.name)).collect();
    let before = rest.as_string_opt::<i32>();
    let mut builder = StringBuilder::with_capacity(rest.len(), 0);
    for row in 0..rest.len() {
        let mut object = String::from("{");
        let members = before.filter(|before| before.is_valid(row)).map(|before| before.value(row));
        if let Some(members) = members.and_then(|text| text.strip_prefix('{')?.strip_suffix('}')) {
            object.push_str(members);
        }
        for ((column, array), name) in overflow.iter().zip(&names) {
            if let Some(value) = scalar_json(column.kind, array, row) {
                if object.len() > 1 {
                    object.push(',');
                }
                object.push_str(name);
                object.push(':');
                object.push_str(&mark(column.kind, value));
            }
        }
        if object.len() > 1 {
            object.push('}');
            builder.append_value(object);
        } else {
            builder.append_null();
        }
    }
    Arc::new(builder.finish())
}
