//! Values of keys without a column of their own: members of the JSON column `rest`, and which column each would be in.
//!
//! A member is spelled as its column would spell it: integers without a fraction, floats with one (or an exponent), texts in quotes.
//! So a value's kind is told by its spelling, and a key can move from `rest` to a column and back without any query noticing. Arrays
//! that do not tell, empty ones and those of JSON columns, have a space behind the bracket when they come from a column: `[ ]`.
//! `[]`, `[null]` or `[{}]` without it never were in one.

use std::borrow::Cow;

use serde_json::{Value, value::RawValue};

use crate::schema::{Column, Kind};

/// The kind of a member of `rest` under a key; `None` for what no column of the key holds: objects, and arrays of nothing or
/// nothing but nulls.
///
/// `lists` is the oldest list kind of the key, whose column has its empty arrays; see [`oldest_list`].
#[must_use]
pub fn kind_of(json: &str, lists: Option<Kind>) -> Option<Kind> {
    match json.as_bytes().first()? {
        b'"' => Some(Kind::Text),
        b't' | b'f' => Some(Kind::Bool),
        b'-' | b'0'..=b'9' if json.parse::<i64>().is_ok() => Some(Kind::Int),
        b'-' | b'0'..=b'9' => is_held(json).then_some(Kind::Float),
        b'[' => list_kind(json, lists),
        _ => None,
    }
}

/// The kind whose columns hold the empty arrays of a key: the first list kind that occurred under it.
#[must_use]
pub fn oldest_list(column: &Column) -> Option<Kind> {
    column.variants.iter().map(|variant| variant.kind).find(|kind| kind.element().is_some())
}

/// The items of a JSON array as JSON texts, `None` for null; `None` altogether for what is no array.
#[must_use]
pub fn items(json: &str) -> Option<Vec<Option<&str>>> {
    let items: Vec<&RawValue> = serde_json::from_str(json).ok()?;
    Some(items.into_iter().map(|item| Some(item.get()).filter(|text| *text != "null")).collect())
}

fn list_kind(json: &str, lists: Option<Kind>) -> Option<Kind> {
    let items = items(json)?;
    if items.is_empty() {
        return lists.filter(|_| is_marked(json));
    }
    let is_null =
        |item: &str| item.starts_with(['-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9']) && !is_held(item);
    let mut kinds = items.iter().flatten().filter(|item| !is_null(item)).map(|item| kind_of(item, None));
    let is_number = |kind: Option<Kind>| matches!(kind, Some(Kind::Int | Kind::Float));
    let merged = kinds.next().and_then(|first| {
        kinds.try_fold(first, |known, kind| match (known, kind) {
            _ if known == kind => Some(known),
            _ if is_number(known) && is_number(kind) => Some(Some(Kind::Float)),
            _ => None,
        })
    });
    match merged.flatten() {
        Some(Kind::Int) => Some(Kind::Ints),
        Some(Kind::Float) => Some(Kind::Floats),
        Some(Kind::Text) => Some(Kind::Texts),
        Some(Kind::Bool) => Some(Kind::Bools),
        _ => (is_marked(json) || serde_json::from_str(json).is_ok_and(|value| has_value(&value, true)))
            .then_some(Kind::Json),
    }
}

/// The text of an array of a column, as `rest` spells it.
pub(crate) fn mark(kind: Kind, json: String) -> String {
    match json.strip_prefix('[') {
        Some(items) if kind == Kind::Json || items == "]" => format!("[ {items}"),
        _ => json,
    }
}

/// The inverse of [`mark`].
#[must_use]
pub fn unmark(kind: Kind, json: &str) -> Cow<'_, str> {
    match json.strip_prefix("[ ") {
        Some(items) if kind == Kind::Json => Cow::Owned(format!("[{items}")),
        _ => Cow::Borrowed(json),
    }
}

/// The text of a value that is in no column, without what looks like a mark.
pub(crate) fn without_mark(json: &str) -> Cow<'_, str> {
    match json.strip_prefix('[') {
        Some(items) if items.starts_with([' ', '\t', '\n', '\r']) => Cow::Owned(format!("[{}", items.trim_start())),
        _ => Cow::Borrowed(json),
    }
}

fn is_marked(json: &str) -> bool {
    json.starts_with("[ ")
}

/// Whether anything in an array would have given a column a value.
fn has_value(json: &Value, is_outermost: bool) -> bool {
    match json {
        Value::Null => false,
        Value::Array(items) => !is_outermost || items.iter().any(|item| has_value(item, false)),
        Value::Object(members) => members.values().any(|value| has_value(value, false)),
        _ => true,
    }
}

/// False for a number that no double comes near: in a list it counts as null.
fn is_held(number: &str) -> bool {
    number.parse::<f64>().is_ok_and(f64::is_finite)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_of_the_kind_its_column_would_be() {
        let kinds = [
            ("1", Some(Kind::Int)),
            ("-9223372036854775808", Some(Kind::Int)),
            ("9223372036854775808", Some(Kind::Float)),
            ("1.0", Some(Kind::Float)),
            ("1e16", Some(Kind::Float)),
            ("-0.0", Some(Kind::Float)),
            ("\"1\"", Some(Kind::Text)),
            ("true", Some(Kind::Bool)),
            ("[1,null,2]", Some(Kind::Ints)),
            ("[1,2.5]", Some(Kind::Floats)),
            ("[\"a\",null]", Some(Kind::Texts)),
            ("[true,false]", Some(Kind::Bools)),
            ("[1,\"a\"]", Some(Kind::Json)),
            ("[[1],[2]]", Some(Kind::Json)),
            ("[{\"a\":1}]", Some(Kind::Json)),
            ("[ {}]", Some(Kind::Json)),
            ("[{}]", None),
            ("[{\"a\":{\"b\":null}}]", None),
            ("[null]", None),
            ("1e400", None),
            ("[1e400]", None),
            ("[ 1e400,{}]", Some(Kind::Json)),
            ("{\"a\":1}", None),
        ];
        for (json, kind) in kinds {
            assert_eq!(kind_of(json, Some(Kind::Texts)), kind, "{json}");
        }
        assert_eq!(kind_of("[ ]", Some(Kind::Texts)), Some(Kind::Texts));
        assert_eq!(kind_of("[]", Some(Kind::Texts)), None);
    }
}
