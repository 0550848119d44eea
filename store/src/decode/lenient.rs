//! JSON text -> a value, for texts that `serde_json` refuses because its values cannot hold them exactly.

use serde_json::{Map, Number as JsonNumber, Value};

use super::{
    cursor::{Cursor, Fault, unescape},
    number::Number,
};

/// The value at the cursor. A number beyond a double becomes the text of its digits, half of a surrogate pair U+FFFD.
pub(crate) fn value(cursor: &mut Cursor<'_>) -> Result<Value, Box<Fault>> {
    cursor.skip_blanks();
    let start = cursor.at;
    match cursor.peek() {
        b'{' => object(cursor),
        b'[' => array(cursor),
        b'"' => Ok(Value::String(string(cursor)?)),
        b'-' | b'0'..=b'9' => Ok(match cursor.number()? {
            Number::Int(value) => value.into(),
            Number::Float { value, .. } => match JsonNumber::from_f64(value) {
                Some(number) => Value::Number(number),
                None => cursor.slice(start, cursor.at).into(),
            },
        }),
        _ => Ok(cursor.literal()?.map_or(Value::Null, Value::Bool)),
    }
}

fn string(cursor: &mut Cursor<'_>) -> Result<String, Box<Fault>> {
    if cursor.peek() != b'"' {
        return Err(cursor.expected("a key in quotes"));
    }
    let token = cursor.string()?;
    let mut text = String::with_capacity(token.end - token.start);
    unescape(cursor.slice(token.start, token.end), &mut text);
    Ok(text)
}

fn object(cursor: &mut Cursor<'_>) -> Result<Value, Box<Fault>> {
    let mut members = Map::new();
    cursor.at += 1;
    cursor.skip_blanks();
    if cursor.take(b"}") {
        return Ok(Value::Object(members));
    }
    loop {
        let key = string(cursor)?;
        cursor.colon()?;
        members.insert(key, value(cursor)?);
        if !cursor.more(b'}', "`,` or `}`")? {
            return Ok(Value::Object(members));
        }
    }
}

fn array(cursor: &mut Cursor<'_>) -> Result<Value, Box<Fault>> {
    let mut items = Vec::new();
    cursor.at += 1;
    cursor.skip_blanks();
    if cursor.take(b"]") {
        return Ok(Value::Array(items));
    }
    loop {
        items.push(value(cursor)?);
        if !cursor.more(b']', "`,` or `]`")? {
            return Ok(Value::Array(items));
        }
    }
}
