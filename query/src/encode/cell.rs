//! One value of a result as JSON.

use std::fmt::Write as _;

use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::{
        DataType, Date32Type, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
        TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
        UInt8Type, UInt16Type, UInt32Type, UInt64Type,
    },
    util::display::{ArrayFormatter, FormatOptions},
};
use chrono::{DateTime, SecondsFormat, Utc};

/// Integers beyond ±2^53 lose digits in JavaScript's numbers, so they go out as strings.
const EXACT_MAX: u64 = 1 << 53;

/// How values of one column are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Style {
    /// Texts are JSON already.
    pub(super) json: bool,
    /// Integers stay numbers however large: the reader is no JavaScript.
    pub(super) exact: bool,
}

impl Style {
    /// Of a value inside a list or struct.
    fn inner(self) -> Self {
        Self { json: false, ..self }
    }
}

/// Writes the value at `row` as JSON.
pub(super) fn write_cell(out: &mut String, column: &ArrayRef, row: usize, style: Style) {
    if column.is_null(row) {
        out.push_str("null");
        return;
    }
    match column.data_type() {
        DataType::Boolean => out.push_str(if column.as_boolean().value(row) { "true" } else { "false" }),
        DataType::Int8 => integer(out, style, column.as_primitive::<Int8Type>().value(row).into()),
        DataType::Int16 => integer(out, style, column.as_primitive::<Int16Type>().value(row).into()),
        DataType::Int32 => integer(out, style, column.as_primitive::<Int32Type>().value(row).into()),
        DataType::Int64 => integer(out, style, column.as_primitive::<Int64Type>().value(row)),
        DataType::UInt8 => integer(out, style, column.as_primitive::<UInt8Type>().value(row).into()),
        DataType::UInt16 => integer(out, style, column.as_primitive::<UInt16Type>().value(row).into()),
        DataType::UInt32 => integer(out, style, column.as_primitive::<UInt32Type>().value(row).into()),
        DataType::UInt64 => match i64::try_from(column.as_primitive::<UInt64Type>().value(row)) {
            Ok(value) => integer(out, style, value),
            Err(_) => text(out, &column.as_primitive::<UInt64Type>().value(row).to_string()),
        },
        DataType::Float16 => double(out, column.as_primitive::<Float16Type>().value(row).to_f64()),
        DataType::Float32 => double(out, column.as_primitive::<Float32Type>().value(row).into()),
        DataType::Float64 => double(out, column.as_primitive::<Float64Type>().value(row)),
        DataType::Utf8 => string(out, column.as_string::<i32>().value(row), style),
        DataType::LargeUtf8 => string(out, column.as_string::<i64>().value(row), style),
        DataType::Utf8View => string(out, column.as_string_view().value(row), style),
        DataType::Timestamp(unit, zone) => match instant(column, row, *unit) {
            Some(at) => timestamp(out, at, zone.is_some()),
            None => formatted(out, column, row),
        },
        DataType::List(_) => list(out, style, &column.as_list::<i32>().value(row)),
        DataType::LargeList(_) => list(out, style, &column.as_list::<i64>().value(row)),
        DataType::FixedSizeList(..) => list(out, style, &column.as_fixed_size_list().value(row)),
        DataType::Struct(fields) => {
            out.push('{');
            for (at, (field, values)) in fields.iter().zip(column.as_struct().columns()).enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                text(out, field.name());
                out.push(':');
                write_cell(out, values, row, style.inner());
            }
            out.push('}');
        }
        DataType::Dictionary(..) => match arrow::compute::cast(&column.slice(row, 1), &DataType::Utf8View) {
            Ok(values) => write_cell(out, &values, 0, style),
            Err(_) => formatted(out, column, row),
        },
        _ => formatted(out, column, row),
    }
}

/// One value as a JSON value.
pub(crate) fn cell_value(column: &ArrayRef, row: usize) -> serde_json::Value {
    let mut text = String::new();
    write_cell(&mut text, column, row, Style::default());
    serde_json::from_str(&text).unwrap_or(serde_json::Value::Null)
}

fn integer(out: &mut String, style: Style, value: i64) {
    if value.unsigned_abs() > EXACT_MAX && !style.exact {
        push(out, format_args!("\"{value}\""));
    } else {
        push(out, format_args!("{value}"));
    }
}

/// JSON has no infinities and no NaN: they are null, as in every JSON library.
fn double(out: &mut String, value: f64) {
    match serde_json::Number::from_f64(value) {
        Some(number) => push(out, format_args!("{number}")),
        None => out.push_str("null"),
    }
}

fn string(out: &mut String, value: &str, style: Style) {
    if style.json && serde_json::from_str::<serde::de::IgnoredAny>(value).is_ok() {
        out.push_str(value)
    } else {
        text(out, value)
    }
}

/// A JSON string: the bytes between escapes are copied at once.
pub(super) fn text(out: &mut String, value: &str) {
    out.push('"');
    let mut from = 0;
    for (at, byte) in value.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0..0x20 => "",
            _ => continue,
        };
        out.push_str(&value[from..at]);
        if escape.is_empty() {
            push(out, format_args!("\\u{byte:04x}"));
        } else {
            out.push_str(escape);
        }
        from = at + 1;
    }
    out.push_str(&value[from..]);
    out.push('"');
}

fn list(out: &mut String, style: Style, items: &ArrayRef) {
    out.push('[');
    for at in 0..items.len() {
        out.push_str(if at > 0 { "," } else { "" });
        write_cell(out, items, at, style.inner());
    }
    out.push(']');
}

fn instant(column: &ArrayRef, row: usize, unit: TimeUnit) -> Option<DateTime<Utc>> {
    match unit {
        TimeUnit::Second => DateTime::from_timestamp(column.as_primitive::<TimestampSecondType>().value(row), 0),
        TimeUnit::Millisecond => {
            DateTime::from_timestamp_millis(column.as_primitive::<TimestampMillisecondType>().value(row))
        }
        TimeUnit::Microsecond => {
            DateTime::from_timestamp_micros(column.as_primitive::<TimestampMicrosecondType>().value(row))
        }
        TimeUnit::Nanosecond => {
            Some(DateTime::from_timestamp_nanos(column.as_primitive::<TimestampNanosecondType>().value(row)))
        }
    }
}

/// RFC 3339; `Z` only where the instant is one.
fn timestamp(out: &mut String, at: DateTime<Utc>, zoned: bool) {
    let text = at.to_rfc3339_opts(SecondsFormat::Micros, true);
    push(out, format_args!("\"{}\"", if zoned { &text } else { text.trim_end_matches('Z') }));
}

/// Dates, intervals, decimals, binaries as Arrow spells them.
fn formatted(out: &mut String, column: &ArrayRef, row: usize) {
    if let DataType::Date32 = column.data_type()
        && let Some(day) = column.as_primitive::<Date32Type>().value_as_date(row)
    {
        return push(out, format_args!("\"{day}\""));
    }
    let options = FormatOptions::default();
    let shown = ArrayFormatter::try_new(column.as_ref(), &options).map(|formatter| formatter.value(row).to_string());
    text(out, &shown.unwrap_or_default());
}

fn push(out: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    out.write_fmt(what).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float64Array, Int64Array, StringArray, TimestampMicrosecondArray};

    use super::*;

    fn check(column: ArrayRef, json: bool, expect: &[&str]) {
        let cells: Vec<String> = (0..column.len())
            .map(|row| {
                let mut out = String::new();
                write_cell(&mut out, &column, row, Style { json, exact: false });
                out
            })
            .collect();
        assert_eq!(cells, expect);
    }

    #[test]
    fn values_survive_javascript() {
        check(
            Arc::new(Int64Array::from(vec![Some(1), Some(9_007_199_254_740_992), Some(-9_007_199_254_740_993), None])),
            false,
            &["1", "9007199254740992", "\"-9007199254740993\"", "null"],
        );
        check(Arc::new(Float64Array::from(vec![1.0, f64::NAN, 1e300])), false, &["1.0", "null", "1e+300"]);
        check(
            Arc::new(TimestampMicrosecondArray::from(vec![1_763_647_200_000_001]).with_timezone("UTC")),
            false,
            &["\"2025-11-20T14:00:00.000001Z\""],
        );
        check(Arc::new(StringArray::from(vec!["a\"b\n\u{1}é", "[1]"])), false, &["\"a\\\"b\\n\\u0001é\"", "\"[1]\""]);
        check(Arc::new(StringArray::from(vec!["[1]", "no json"])), true, &["[1]", "\"no json\""]);
    }
}
