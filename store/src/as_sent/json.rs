//! Equality of two JSON texts as the product promises it: null members are absent, order of keys and spelling of numbers free,
//! everything else exact.

use crate::decode::{
    cursor::{Cursor, unescape},
    number::is_held,
};

#[derive(Debug, Clone)]
enum Json {
    Literal(String),
    Number(String),
    Text(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

#[track_caller]
pub(super) fn assert_same(sent: &str, given: &str) {
    assert!(same(&parse(sent), &parse(given)), "\n sent: {sent}\ngiven: {given}");
}

fn same(sent: &Json, given: &Json) -> bool {
    match (sent, given) {
        (Json::Literal(sent), Json::Literal(given)) | (Json::Text(sent), Json::Text(given)) => sent == given,
        (Json::Number(sent), Json::Number(given)) => {
            let value: f64 = given.parse().unwrap();
            sent == given
                || sent.parse::<f64>() == Ok(value)
                    && (is_held(sent, value) || is_held(given, value) && is_whole(sent, given))
        }
        (Json::Array(sent), Json::Array(given)) => {
            sent.len() == given.len() && sent.iter().zip(given).all(|(sent, given)| same(sent, given))
        }
        (Json::Object(sent), Json::Object(given)) => {
            let (sent, given) = (members(sent), members(given));
            let pairs = sent.iter().zip(&given);
            sent.len() == given.len() && pairs.fold(true, |all, (s, g)| all && s.0 == g.0 && same(&s.1, &g.1))
        }
        _ => false,
    }
}

/// Integers of 64 bits are compared by their digits.
fn is_whole(sent: &str, given: &str) -> bool {
    sent.parse::<i64>().is_ok_and(|sent| given.parse() == Ok(sent))
}

fn members(object: &[(String, Json)]) -> Vec<(String, Json)> {
    let mut members: Vec<_> =
        object.iter().filter(|(_, value)| !matches!(value, Json::Literal(null) if null == "null")).cloned().collect();
    members.sort_by(|left, right| left.0.cmp(&right.0));
    members
}

fn parse(text: &str) -> Json {
    let mut cursor = Cursor::new(text);
    cursor.skip_blanks();
    value(&mut cursor)
}

fn value(cursor: &mut Cursor<'_>) -> Json {
    let start = cursor.at;
    match cursor.peek() {
        b'"' => Json::Text(text(cursor)),
        b'{' => Json::Object(container(cursor, b'}', |cursor| {
            let key = text(cursor);
            cursor.colon().unwrap();
            (key, value(cursor))
        })),
        b'[' => Json::Array(container(cursor, b']', value)),
        b't' | b'f' | b'n' => {
            cursor.literal().unwrap();
            Json::Literal(cursor.slice(start, cursor.at).to_owned())
        }
        _ => {
            cursor.number().unwrap();
            Json::Number(cursor.slice(start, cursor.at).to_owned())
        }
    }
}

fn container<T>(cursor: &mut Cursor<'_>, close: u8, item: impl Fn(&mut Cursor<'_>) -> T) -> Vec<T> {
    let mut items = Vec::new();
    cursor.at += 1;
    cursor.skip_blanks();
    if cursor.take(&[close]) {
        return items;
    }
    loop {
        items.push(item(cursor));
        if !cursor.more(close, "more").unwrap() {
            return items;
        }
    }
}

/// A string; one with half of a surrogate pair stays as it is spelled.
fn text(cursor: &mut Cursor<'_>) -> String {
    let token = cursor.string().unwrap();
    let raw = cursor.slice(token.start, token.end);
    let mut text = String::new();
    if unescape(raw, &mut text) { text } else { raw.to_owned() }
}
