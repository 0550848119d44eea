//! Cuts a body into the raw bytes of its events without parsing them: `store` parses each one once.

use store::Reject;

use crate::{Error, body::Media};

/// The events of a body as slices of it, and the lines they stood on.
#[derive(Debug)]
pub(crate) struct Split<'a> {
    pub events: Vec<&'a [u8]>,
    pub lines: Lines,
}

/// Line numbers (from 1) of NDJSON events, so that a reject can name its line; empty for other bodies.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Lines(Vec<u32>);

impl Lines {
    /// Puts `line n: ` before the message of each reject.
    pub(crate) fn name_in(&self, rejects: &mut [Reject]) {
        for reject in rejects {
            if let Some(line) = self.0.get(reject.index as usize) {
                reject.message = format!("line {line}: {}", reject.message);
            }
        }
    }
}

/// Splits an object, an array or NDJSON. A single broken event stays one event for the decoder to reject.
///
/// # Errors
/// The body is none of the three, an array is not closed, or it holds more than `limit` events.
pub(crate) fn split(body: &[u8], media: Media, limit: usize) -> Result<Split<'_>, Error> {
    let text = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let Some(start) = skip_space(text, 0) else {
        return Err(Error::Malformed { reason: "the body is empty", position: 0 });
    };
    match (media, text[start]) {
        (Media::Ndjson, _) => split_lines(text, limit),
        (Media::Json, b'[') => split_array(text, start, limit),
        (Media::Json, b'{') if is_one_value(text, start) || !is_line_wise(text) => {
            Ok(Split { events: vec![text[start..].trim_ascii_end()], lines: Lines::default() })
        }
        (Media::Json, b'{') => split_lines(text, limit),
        (Media::Json, _) => Err(Error::Malformed { reason: "expected `{` or `[`", position: start }),
    }
}

fn split_lines(text: &[u8], limit: usize) -> Result<Split<'_>, Error> {
    let mut split = Split { events: Vec::new(), lines: Lines::default() };
    for (number, line) in (1_u32..).zip(lines(text)) {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        if split.events.len() == limit {
            return Err(Error::TooManyEvents { limit });
        }
        split.events.push(line);
        split.lines.0.push(number);
    }
    Ok(split)
}

/// The pieces between line breaks.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let end = memchr::memchr(b'\n', text);
        rest = end.map(|end| &text[end + 1..]);
        Some(&text[..end.unwrap_or(text.len())])
    })
}

fn split_array(text: &[u8], open: usize, limit: usize) -> Result<Split<'_>, Error> {
    const NOT_CLOSED: &str = "the array is not closed";
    let mut events = Vec::new();
    let mut at = open + 1;
    loop {
        let start = skip_space(text, at).ok_or(Error::Malformed { reason: NOT_CLOSED, position: text.len() })?;
        if text[start] == b']' && events.is_empty() {
            at = start;
            break;
        }
        let end = element_end(text, start).ok_or(Error::Malformed { reason: NOT_CLOSED, position: text.len() })?;
        if events.len() == limit {
            return Err(Error::TooManyEvents { limit });
        }
        events.push(text[start..end].trim_ascii_end());
        at = end;
        if text[end] == b']' {
            break;
        }
        at += 1;
    }
    match skip_space(text, at + 1) {
        Some(position) => Err(Error::Malformed { reason: "there is more after the end of the array", position }),
        None => Ok(Split { events, lines: Lines::default() }),
    }
}

/// The offset of the `,` or `]` that ends the array element starting at `start`, brackets and strings respected.
fn element_end(text: &[u8], start: usize) -> Option<usize> {
    let mut depth = 0_usize;
    let mut at = start;
    while at < text.len() {
        match text[at] {
            b'"' => at = string_end(text, at)?,
            b'{' | b'[' => depth += 1,
            b',' | b']' if depth == 0 => return Some(at),
            b'}' | b']' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        at += 1;
    }
    None
}

/// The offset of the quote that closes the string opened at `open`.
fn string_end(text: &[u8], open: usize) -> Option<usize> {
    let mut at = open + 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', text.get(at..)?)?;
        if text[at] == b'"' {
            return Some(at);
        }
        at += 2;
    }
}

/// True when one bracketed value starts at `start` and nothing but space follows it.
fn is_one_value(text: &[u8], start: usize) -> bool {
    let mut depth = 0_usize;
    let mut at = start;
    while at < text.len() {
        match text[at] {
            b'"' => match string_end(text, at) {
                Some(end) => at = end,
                None => return false,
            },
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 1 => return skip_space(text, at + 1).is_none(),
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    false
}

/// True when the body looks like one object per line: its second line begins with `{`, which no line inside an object does
/// before its first `:`.
fn is_line_wise(text: &[u8]) -> bool {
    lines(text).map(<[u8]>::trim_ascii).filter(|line| !line.is_empty()).nth(1).is_some_and(|second| second[0] == b'{')
}

fn skip_space(text: &[u8], from: usize) -> Option<usize> {
    text.get(from..)?.iter().position(|byte| !byte.is_ascii_whitespace()).map(|skipped| from + skipped)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, media: Media, expected: Result<&[&str], &str>) {
        let split = split(body.as_bytes(), media, 4);
        let found =
            split.map(|split| split.events.into_iter().map(|event| str::from_utf8(event).unwrap()).collect::<Vec<_>>());
        match (found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{body}"),
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{body}: {error}"),
            (found, expected) => panic!("{body}: found {found:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn one_object_also_over_several_lines() {
        check(r#" {"a": 1} "#, Media::Json, Ok(&[r#"{"a": 1}"#]));
        check(
            "{\n  \"a\": {\n    \"b\": \"}\"\n  }\n}\n",
            Media::Json,
            Ok(&["{\n  \"a\": {\n    \"b\": \"}\"\n  }\n}"]),
        );
        check("\u{feff}{}", Media::Json, Ok(&["{}"]));
        check(r#"{"a": "#, Media::Json, Ok(&[r#"{"a":"#]));
    }

    #[test]
    fn arrays_are_cut_at_their_own_commas() {
        check(r#"[{"a":"],\"}"},{"b":[1,2]} , 3]"#, Media::Json, Ok(&[r#"{"a":"],\"}"}"#, r#"{"b":[1,2]}"#, "3"]));
        check("[]", Media::Json, Ok(&[]));
        check(r#"[{"a":1},{"a":},{"b":2}]"#, Media::Json, Ok(&[r#"{"a":1}"#, r#"{"a":}"#, r#"{"b":2}"#]));
        check(r#"[{"a":1}"#, Media::Json, Err("the array is not closed at byte 8"));
        check(r#"[{"a":"1}]"#, Media::Json, Err("the array is not closed"));
        check(r#"[{}] {}"#, Media::Json, Err("more after the end of the array at byte 5"));
        check("[1,2,3,4,5]", Media::Json, Err("more than 4 events"));
    }

    #[test]
    fn lines_survive_a_bad_neighbour() {
        check("{\"a\":1}\n{\"a\":\n{\"b\":2}\n", Media::Json, Ok(&["{\"a\":1}", "{\"a\":", "{\"b\":2}"]));
        check("{\"a\":\n{\"b\":2}", Media::Json, Ok(&["{\"a\":", "{\"b\":2}"]));
        check("{\"a\":1}\n{\"b\":2}\n[4]\n", Media::Json, Ok(&["{\"a\":1}", "{\"b\":2}", "[4]"]));
        check("nonsense\n\n{\"b\":2}\r\n", Media::Ndjson, Ok(&["nonsense", "{\"b\":2}"]));
    }

    #[test]
    fn what_is_no_json_is_refused_with_its_place() {
        check("  ", Media::Json, Err("the body is empty at byte 0"));
        check("hello", Media::Json, Err("expected `{` or `[` at byte 0"));
    }

    #[test]
    fn rejects_name_their_line() {
        let split = split(b"{}\n\n{\"a\"\n", Media::Ndjson, 10).unwrap();
        let mut rejects = vec![Reject { index: 1, code: "malformed_json", message: "expected `:`".into() }];
        split.lines.name_in(&mut rejects);
        assert_eq!(rejects[0].message, "line 3: expected `:`");
    }
}
