//! `message_template(text)` and `template_id(template)`: which statement in the code a text came from.
//!
//! The method is the token rule of Drain (He et al., ICWS 2017): tokens that hold a digit are variable, and so is what stands in
//! quotes. Drain's second step, clustering by similarity, is left out on purpose: its groups depend on the order in which texts arrive,
//! while this is a function of the text alone, so that a template is the same after a restart, on another node, and in memory and files alike.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, StringViewBuilder},
    compute::cast,
    datatypes::DataType,
};
use datafusion::{
    common::Result,
    logical_expr::{ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility},
};

/// What stands for a variable part, as Drain writes it.
const WILDCARD: &str = "<*>";
/// Bytes of a text that are looked at: the statement shows long before.
const TEXT_BYTES_MAX: usize = 4_096;

pub(super) fn all() -> Vec<Arc<ScalarUDF>> {
    vec![udf("message_template", write_template), udf("template_id", write_id)]
}

fn udf(name: &'static str, make: fn(&str, &mut String)) -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::from(TextFunction { name, make, signature: Signature::string(1, Volatility::Immutable) }))
}

pub(super) fn message_template(text: Expr) -> Expr {
    udf("message_template", write_template).call(vec![text])
}

pub(super) fn template_id(template: Expr) -> Expr {
    udf("template_id", write_id).call(vec![template])
}

/// A function from a text to a text.
#[derive(Debug)]
struct TextFunction {
    name: &'static str,
    make: fn(&str, &mut String),
    signature: Signature,
}

impl PartialEq for TextFunction {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for TextFunction {}

impl std::hash::Hash for TextFunction {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for TextFunction {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn invoke_with_args(&self, call: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let texts = cast(&call.args[0].to_array(call.number_rows)?, &DataType::Utf8View)?;
        let texts = texts.as_string_view();
        let mut made = StringViewBuilder::with_capacity(texts.len());
        let (mut text, mut before) = (String::new(), None);
        for row in 0..texts.len() {
            if texts.is_null(row) {
                made.append_null();
                continue;
            }
            // Texts repeat in runs: equal views are equal texts.
            let view = texts.views()[row];
            if before != Some(view) {
                text.clear();
                (self.make)(texts.value(row), &mut text);
                before = Some(view);
            }
            made.append_value(&text);
        }
        Ok(ColumnarValue::Array(Arc::new(made.finish()) as ArrayRef))
    }
}

/// 64 bits of FNV-1a as 16 hexadecimal digits.
fn write_id(template: &str, out: &mut String) {
    let hash = template
        .bytes()
        .fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3));
    out.push_str(&format!("{hash:016x}"));
}

/// The text with its variable parts masked.
fn write_template(text: &str, out: &mut String) {
    let end = (0..=TEXT_BYTES_MAX.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let mut rest = &text[..end];
    while let Some(first) = rest.chars().next() {
        if let Some(length) = quoted(rest, first) {
            out.push(first);
            out.push_str(WILDCARD);
            out.push(first);
            rest = &rest[length..];
        } else if is_part_of_token(first) {
            let length = rest.find(|c| !is_part_of_token(c)).unwrap_or(rest.len());
            push_token(&rest[..length], out);
            rest = &rest[length..];
        } else {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
}

/// Bytes of a quoted part, its quotes included; an apostrophe inside a word quotes nothing, and never gets here.
fn quoted(rest: &str, quote: char) -> Option<usize> {
    if !matches!(quote, '\'' | '"' | '`') {
        return None;
    }
    let close = rest[1..].find(quote)? + 1;
    // `'O''Brien'` is one literal of SQL.
    let doubled = rest[close + 1..].starts_with(quote);
    let length = if doubled { close + 1 + quoted(&rest[close + 1..], quote)? } else { close + 1 };
    Some(length)
}

/// Letters, digits, and what joins them inside of ids, addresses, paths, times and numbers.
fn is_part_of_token(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | '/' | '@' | '%' | '+' | '#' | '\'' | '~')
}

/// A token, masked if it holds a digit; marks around it stay (`took 12ms.`, `id:7`).
fn push_token(token: &str, out: &mut String) {
    if !token.bytes().any(|byte| byte.is_ascii_digit()) {
        return out.push_str(token);
    }
    let is_mark = |c: char| matches!(c, '.' | ':' | '\'');
    let body = token.trim_end_matches(is_mark);
    // `key:value` and `path/7` keep what stands before the value.
    let head = body
        .char_indices()
        .take_while(|(_, c)| !c.is_ascii_digit())
        .filter(|(_, c)| matches!(c, ':' | '/' | '#' | '@'))
        .last()
        .map_or(0, |(at, c)| at + c.len_utf8());
    let keeps_head = head > 0 && !body[..head].contains('.');
    out.push_str(if keeps_head { &body[..head] } else { "" });
    out.push_str(WILDCARD);
    out.push_str(&token[body.len()..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &str) {
        let mut found = String::new();
        write_template(text, &mut found);
        assert_eq!(found, expect, "{text}");
    }

    #[test]
    fn what_varies_is_masked() {
        check("booked room 7", "booked room <*>");
        check("took 12.5ms, retry 3/5.", "took <*>, retry <*>.");
        check("user 3f2a-77b1 from 10.0.0.7:443 failed", "user <*> from <*> failed");
        check("GET /hotel/77?day=2026-11-20 -> 200", "GET /hotel/<*>?day=<*> -> <*>");
        check("key \"blue car\" not found", "key \"<*>\" not found");
        check("SELECT a FROM t WHERE id = 17 AND name = 'O''Brien'", "SELECT a FROM t WHERE id = <*> AND name = '<*>'");
        check("user's cart is empty", "user's cart is empty");
        check("it is 5 o'clock", "it is <*> o'clock");
        check("", "");
        check("größe 7 überschritten", "größe <*> überschritten");
        check("open 'quote", "open 'quote");
    }

    #[test]
    fn templates_of_templates_are_themselves() {
        for text in ["booked room 7", "key 'x y' of 10.0.0.1", "GET /hotel/77 -> 200"] {
            let (mut once, mut twice) = (String::new(), String::new());
            write_template(text, &mut once);
            write_template(&once, &mut twice);
            assert_eq!(once, twice);
        }
    }

    #[test]
    fn ids_are_fixed_for_ever() {
        let mut id = String::new();
        write_id("booked room <*>", &mut id);
        assert_eq!(id.len(), 16);
        let mut empty = String::new();
        write_id("", &mut empty);
        assert_eq!(empty, "cbf29ce484222325", "FNV-1a's offset basis");
    }
}
