//! Functions over JSON text: `json_get(json, key, …)` and its typed relatives, `json_length`, `json_contains`, `json_keys`.
//!
//! Keys are names of objects or places in arrays (from 0). What is not there, or is no JSON, is NULL. Only the path is looked at: everything
//! beside it is skipped without building values, so `_source` of a megabyte costs one pass.

use std::{fmt, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BooleanBuilder, Float64Builder, Int64Builder, ListBuilder, StringArray,
        StringBuilder, StringViewBuilder,
    },
    compute::cast,
    datatypes::{DataType, Field},
};
use datafusion::{
    common::{Result, ScalarValue, exec_err, plan_err},
    logical_expr::{ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, lit},
};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Names, answers and other names.
const KINDS: [(&str, Answer, &[&str]); 8] = [
    ("json_get", Answer::Json, &["json_get_json"]),
    ("json_get_text", Answer::Text, &["json_get_str", "json_as_text"]),
    ("json_get_int", Answer::Int, &[]),
    ("json_get_float", Answer::Float, &[]),
    ("json_get_bool", Answer::Bool, &[]),
    ("json_length", Answer::Length, &[]),
    ("json_contains", Answer::Contains, &[]),
    ("json_keys", Answer::Keys, &["json_object_keys"]),
];

pub(super) fn all() -> Vec<Arc<ScalarUDF>> {
    KINDS.iter().map(|(name, answer, aliases)| Arc::new(made(name, *answer, aliases))).collect()
}

fn made(name: &'static str, answer: Answer, aliases: &[&str]) -> ScalarUDF {
    let aliases = aliases.iter().map(|alias| (*alias).to_owned()).collect();
    let signature = Signature::user_defined(Volatility::Immutable);
    ScalarUDF::from(JsonFunction { name, answer, aliases, signature })
}

/// A call that gives a text or a number.
pub(super) fn member_call(answer: Answer, object: Expr, key: &str) -> Expr {
    let found = KINDS.iter().find(|(_, known, _)| *known == answer).unwrap_or(&KINDS[0]);
    made(found.0, found.1, found.2).call(vec![object, lit(key)])
}

/// What a function gives of the value it finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Answer {
    Json,
    Text,
    Int,
    Float,
    Bool,
    Length,
    Contains,
    Keys,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct JsonFunction {
    name: &'static str,
    answer: Answer,
    aliases: Vec<String>,
    signature: Signature,
}

impl ScalarUDFImpl for JsonFunction {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        let Some((json, keys)) = arguments.split_first() else {
            return plan_err!("{} takes JSON text and the keys to follow", self.name);
        };
        if !matches!(json, DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 | DataType::Null) {
            return plan_err!("the first argument of {} is JSON text, not {json}", self.name);
        }
        let keys = keys.iter().map(|key| if key.is_integer() { DataType::Int64 } else { DataType::Utf8 });
        Ok(std::iter::once(DataType::Utf8View).chain(keys).collect())
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(match self.answer {
            Answer::Json | Answer::Text => DataType::Utf8View,
            Answer::Int | Answer::Length => DataType::Int64,
            Answer::Float => DataType::Float64,
            Answer::Bool | Answer::Contains => DataType::Boolean,
            Answer::Keys => DataType::List(Arc::new(Field::new("item", DataType::Utf8, true))),
        })
    }

    fn invoke_with_args(&self, call: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (json, keys) = call.args.split_first().map_or((None, &[][..]), |(json, keys)| (Some(json), keys));
        let Some(json) = json else { return exec_err!("{} without arguments", self.name) };
        let texts = json.to_array(call.number_rows)?;
        let path = Path::new(keys, call.number_rows)?;
        let found = (0..texts.len()).map(|row| {
            let texts = texts.as_string_view();
            (!texts.is_null(row)).then(|| path.find(texts.value(row), row)).flatten()
        });
        Ok(ColumnarValue::Array(collect(self.answer, found)))
    }
}

fn collect<'a>(answer: Answer, found: impl Iterator<Item = Option<&'a RawValue>>) -> ArrayRef {
    match answer {
        Answer::Json => {
            let mut texts = StringViewBuilder::new();
            found.for_each(|value| texts.append_option(value.map(RawValue::get)));
            Arc::new(texts.finish())
        }
        Answer::Text => {
            let mut texts = StringViewBuilder::new();
            found.for_each(|value| texts.append_option(value.and_then(text_of)));
            Arc::new(texts.finish())
        }
        Answer::Int => {
            let mut numbers = Int64Builder::new();
            found.for_each(|value| numbers.append_option(value.and_then(|value| value.get().parse().ok())));
            Arc::new(numbers.finish())
        }
        Answer::Float => {
            let mut numbers = Float64Builder::new();
            found.for_each(|value| {
                numbers.append_option(value.and_then(|value| serde_json::from_str(value.get()).ok()))
            });
            Arc::new(numbers.finish())
        }
        Answer::Bool => {
            let mut flags = BooleanBuilder::new();
            found.for_each(|value| flags.append_option(value.and_then(|value| value.get().parse().ok())));
            Arc::new(flags.finish())
        }
        Answer::Contains => {
            let mut flags = BooleanBuilder::new();
            found.for_each(|value| flags.append_value(value.is_some()));
            Arc::new(flags.finish())
        }
        Answer::Length => {
            let mut numbers = Int64Builder::new();
            found.for_each(|value| numbers.append_option(value.and_then(length_of)));
            Arc::new(numbers.finish())
        }
        Answer::Keys => {
            let mut lists = ListBuilder::new(StringBuilder::new());
            found.for_each(|value| {
                let keys = value.and_then(keys_of);
                keys.iter().flatten().for_each(|key| lists.values().append_value(key));
                lists.append(keys.is_some());
            });
            Arc::new(lists.finish())
        }
    }
}

/// Texts without their quotes, everything else as JSON; null is absent.
fn text_of(value: &RawValue) -> Option<String> {
    match value.get() {
        "null" => None,
        text if text.starts_with('"') => serde_json::from_str(text).ok(),
        text => Some(text.to_owned()),
    }
}

fn length_of(value: &RawValue) -> Option<i64> {
    let count = if value.get().starts_with('[') {
        serde_json::from_str::<Vec<&RawValue>>(value.get()).ok()?.len()
    } else {
        keys_of(value)?.len()
    };
    i64::try_from(count).ok()
}

fn keys_of(value: &RawValue) -> Option<Vec<String>> {
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(value.get()).ok()?;
    Some(object.into_iter().map(|(key, _)| key).collect())
}

/// The keys to follow: the same for every row, or a column of them.
enum Path {
    Fixed(Vec<Key>),
    PerRow(Vec<ArrayRef>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Key {
    Name(String),
    Index(usize),
    /// NULL or a negative place: nothing is there.
    Nowhere,
}

impl Path {
    fn new(keys: &[ColumnarValue], rows: usize) -> Result<Self> {
        let fixed: Option<Vec<Key>> = keys
            .iter()
            .map(|key| match key {
                ColumnarValue::Scalar(ScalarValue::Utf8(Some(name))) => Some(Key::Name(name.clone())),
                ColumnarValue::Scalar(ScalarValue::Int64(Some(at))) => {
                    Some(usize::try_from(*at).map_or(Key::Nowhere, Key::Index))
                }
                ColumnarValue::Scalar(_) => Some(Key::Nowhere),
                ColumnarValue::Array(_) => None,
            })
            .collect();
        match fixed {
            Some(keys) => Ok(Self::Fixed(keys)),
            None => Ok(Self::PerRow(
                keys.iter().map(|key| Ok(cast(&key.to_array(rows)?, &DataType::Utf8)?)).collect::<Result<_>>()?,
            )),
        }
    }

    fn find<'a>(&self, json: &'a str, row: usize) -> Option<&'a RawValue> {
        match self {
            Self::Fixed(keys) => find(json, keys),
            Self::PerRow(columns) => {
                let keys: Vec<Key> = columns.iter().map(|column| key_at(column.as_string(), row)).collect();
                find(json, &keys)
            }
        }
    }
}

fn key_at(column: &StringArray, row: usize) -> Key {
    match column.is_null(row) {
        true => Key::Nowhere,
        false => column.value(row).parse().map_or_else(|_| Key::Name(column.value(row).to_owned()), Key::Index),
    }
}

/// The value of one key of a JSON object.
pub(crate) fn member<'a>(json: &'a str, name: &str) -> Option<&'a RawValue> {
    find(json, &[Key::Name(name.to_owned())])
}

fn find<'a>(json: &'a str, keys: &[Key]) -> Option<&'a RawValue> {
    let mut reader = serde_json::Deserializer::from_str(json);
    Follow(keys).deserialize(&mut reader).ok().flatten()
}

struct Follow<'k>(&'k [Key]);

impl<'de> DeserializeSeed<'de> for Follow<'_> {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        if self.0.is_empty() {
            return <&RawValue as serde::Deserialize>::deserialize(reader).map(Some);
        }
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Follow<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let wanted = match &self.0[0] {
            Key::Name(name) => Some(name.clone()),
            Key::Index(at) => Some(at.to_string()),
            Key::Nowhere => None,
        };
        let mut found = None;
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            if Some(key.as_ref()) == wanted.as_deref() {
                found = map.next_value_seed(Follow(&self.0[1..]))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let wanted = if let Key::Index(at) = self.0[0] { Some(at) } else { None };
        let (mut at, mut found) = (0, None);
        loop {
            if Some(at) == wanted {
                match list.next_element_seed(Follow(&self.0[1..]))? {
                    Some(value) => found = value,
                    None => return Ok(found),
                }
            } else if list.next_element::<IgnoredAny>()?.is_none() {
                return Ok(found);
            }
            at += 1;
        }
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str, keys: &[Key], expect: Option<&str>) {
        assert_eq!(find(json, keys).map(RawValue::get), expect, "{json}");
    }

    #[test]
    fn paths_lead_to_values_or_nowhere() {
        let (a, b, one) = (Key::Name("a".into()), Key::Name("b".into()), Key::Index(1));
        check(r#"{"a": {"b": 9007199254740993}}"#, &[a.clone(), b.clone()], Some("9007199254740993"));
        check(r#"{"a": [1, "two"]}"#, &[a.clone(), one.clone()], Some("\"two\""));
        check(r#"{"a": [1]}"#, &[a.clone(), one], None);
        check(r#"{"a": 1}"#, &[a.clone(), b], None);
        check(r#"{"a\u0062": 1, "a": 2}"#, std::slice::from_ref(&a), Some("2"));
        check("no json", &[a], None);
        check("[1]", &[], Some("[1]"));
    }
}
