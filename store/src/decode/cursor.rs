//! A pull parser over the text of one event: strict RFC 8259, no copy, no tree.
//!
//! Why not a parser crate: columns need three things at once that the fast ones do not give together. The exact digits of
//! a number (to know what a double loses), the byte range of a value (kept as JSON text, and named in a reject), and a
//! comparison of the *raw* key with the one expected next, which skips scanning and hashing of nearly all keys.
//! `tests/oracle.rs` of this module holds it against `serde_json`.

use super::number::{self, Number};

/// Why an event is refused: a stable code, and the place as a byte counted from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub code: &'static str,
    pub message: String,
}

#[cold]
pub(crate) fn fault(code: &'static str, message: String) -> Box<Fault> {
    Box::new(Fault { code, message })
}

/// A string token: where its content stands between the quotes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StringToken {
    pub start: usize,
    pub end: usize,
    /// True if the content has backslashes and must go through `unescape`.
    pub escaped: bool,
}

#[derive(Debug)]
pub(crate) struct Cursor<'a> {
    text: &'a str,
    bytes: &'a [u8],
    pub at: usize,
    /// A line break was seen between tokens (they are illegal inside strings).
    pub line_break: bool,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, bytes: text.as_bytes(), at: 0, line_break: false }
    }

    /// The text between two byte positions.
    pub(crate) fn slice(&self, start: usize, end: usize) -> &'a str {
        &self.text[start..end]
    }

    /// Bytes of the text.
    pub(crate) fn length(&self) -> usize {
        self.bytes.len()
    }

    /// The byte at the cursor, 0 at the end (a NUL outside strings is an error anyway).
    #[inline]
    pub(crate) fn peek(&self) -> u8 {
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    #[inline]
    pub(crate) fn skip_blanks(&mut self) {
        while let Some(byte) = self.bytes.get(self.at) {
            match byte {
                b' ' | b'\t' => {}
                b'\n' | b'\r' => self.line_break = true,
                _ => return,
            }
            self.at += 1;
        }
    }

    /// Goes over `expected` if the text continues so.
    #[inline]
    pub(crate) fn take(&mut self, expected: &[u8]) -> bool {
        let found = self.bytes.get(self.at..self.at + expected.len());
        let taken = found.is_some_and(|found| same_bytes(found, expected));
        if taken {
            self.at += expected.len();
        }
        taken
    }

    #[cold]
    pub(crate) fn expected(&self, what: &str) -> Box<Fault> {
        let place = self.at + 1;
        let message = match self.text[self.at..].chars().next() {
            None => format!("expected {what} at byte {place}, found the end of the event"),
            Some(found) => format!("expected {what} at byte {place}, found {found:?}"),
        };
        fault("malformed_json", message)
    }

    /// A string token, the cursor at its opening quote; leaves the cursor behind the closing one.
    #[inline]
    pub(crate) fn string(&mut self) -> Result<StringToken, Box<Fault>> {
        let start = self.at + 1;
        let mut at = start;
        let mut escaped = false;
        loop {
            at = find_special(self.bytes, at);
            match self.bytes.get(at) {
                Some(b'"') => {
                    self.at = at + 1;
                    return Ok(StringToken { start, end: at, escaped });
                }
                Some(b'\\') => {
                    escaped = true;
                    at = self.check_escape(at)?;
                }
                Some(control) => {
                    let message = format!(
                        "control character {control:#04x} inside a string at byte {}: write it as an escape",
                        at + 1
                    );
                    return Err(fault("malformed_json", message));
                }
                None => {
                    let message = format!("the string that starts at byte {start} does not end");
                    return Err(fault("malformed_json", message));
                }
            }
        }
    }

    /// The position behind the escape at `at`.
    fn check_escape(&self, at: usize) -> Result<usize, Box<Fault>> {
        match self.bytes.get(at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
            Some(b'u') if hex4(self.bytes, at + 2).is_some() => Ok(at + 6),
            _ => Err(fault("malformed_json", format!("unknown escape at byte {}", at + 1))),
        }
    }

    /// A number token, the cursor at its first character.
    #[inline]
    pub(crate) fn number(&mut self) -> Result<Number, Box<Fault>> {
        match number::parse(self.bytes, self.at) {
            Ok((number, end)) => {
                self.at = end;
                Ok(number)
            }
            Err(at) => {
                self.at = at;
                Err(self.expected("a digit"))
            }
        }
    }

    /// `true`, `false` or `null`, the cursor at its first character.
    #[inline]
    pub(crate) fn literal(&mut self) -> Result<Option<bool>, Box<Fault>> {
        if self.take(b"true") {
            Ok(Some(true))
        } else if self.take(b"false") {
            Ok(Some(false))
        } else if self.take(b"null") {
            Ok(None)
        } else {
            Err(self.expected("a value"))
        }
    }

    /// Goes over one value of any type, checking all of it; `depth` levels may open below.
    pub(crate) fn skip_value(&mut self, depth: usize) -> Result<(), Box<Fault>> {
        match self.peek() {
            b'"' => self.string().map(drop),
            b'-' | b'0'..=b'9' => self.number().map(drop),
            b'{' => self.skip_members(depth, b'}', "`,` or `}`"),
            b'[' => self.skip_members(depth, b']', "`,` or `]`"),
            _ => self.literal().map(drop),
        }
    }

    fn skip_members(&mut self, depth: usize, close: u8, separator: &str) -> Result<(), Box<Fault>> {
        let depth = self.descend(depth)?;
        self.at += 1;
        self.skip_blanks();
        if self.peek() == close {
            self.at += 1;
            return Ok(());
        }
        loop {
            if close == b'}' {
                if self.peek() != b'"' {
                    return Err(self.expected("a key in quotes"));
                }
                self.string()?;
                self.colon()?;
            }
            self.skip_value(depth)?;
            if !self.more(close, separator)? {
                return Ok(());
            }
        }
    }

    /// The `:` behind a key and the blanks around it.
    #[inline]
    pub(crate) fn colon(&mut self) -> Result<(), Box<Fault>> {
        self.skip_blanks();
        if self.peek() != b':' {
            return Err(self.expected("`:`"));
        }
        self.at += 1;
        self.skip_blanks();
        Ok(())
    }

    /// After a member: true if a `,` promises another one, false if the container was closed.
    #[inline]
    pub(crate) fn more(&mut self, close: u8, separator: &str) -> Result<bool, Box<Fault>> {
        self.skip_blanks();
        let next = self.peek();
        if next == b',' {
            self.at += 1;
            self.skip_blanks();
            Ok(true)
        } else if next == close {
            self.at += 1;
            Ok(false)
        } else {
            Err(self.expected(separator))
        }
    }

    /// One level less, or the reject that says where it became too deep.
    #[inline]
    pub(crate) fn descend(&self, depth: usize) -> Result<usize, Box<Fault>> {
        depth.checked_sub(1).ok_or_else(|| {
            fault("too_deep", format!("objects and arrays are nested too deeply at byte {}", self.at + 1))
        })
    }
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// Position of the first quote, backslash or control character at or after `at`; the length if there is none.
/// Eight bytes a step: each mask's lowest set bit is exact, as a borrow only runs upwards from a true hit.
#[inline]
fn find_special(bytes: &[u8], mut at: usize) -> usize {
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*chunk);
        let quote = word ^ (ONES * 0x22);
        let backslash = word ^ (ONES * 0x5c);
        let hits = (quote.wrapping_sub(ONES) & !quote)
            | (backslash.wrapping_sub(ONES) & !backslash)
            | (word.wrapping_sub(ONES * 0x20) & !word);
        let hits = hits & HIGHS;
        if hits != 0 {
            return at + (hits.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while let Some(byte) = bytes.get(at) {
        if *byte == b'"' || *byte == b'\\' || *byte < 0x20 {
            break;
        }
        at += 1;
    }
    at
}

/// Equality of two slices of one length by words; keys are too short for a call of `memcmp` to pay.
#[inline]
fn same_bytes(left: &[u8], right: &[u8]) -> bool {
    if let (Some(left_end), Some(right_end)) = (left.last_chunk::<8>(), right.last_chunk::<8>()) {
        // the last word overlaps the ones before it
        let mut same = u64::from_ne_bytes(*left_end) == u64::from_ne_bytes(*right_end);
        let mut at = 0;
        while let (Some(left), Some(right)) = (word(left, at), word(right, at)) {
            same &= left == right;
            at += 8;
        }
        same
    } else if let (Some(left_end), Some(right_end)) = (left.last_chunk::<4>(), right.last_chunk::<4>()) {
        let same_start = left.first_chunk::<4>().map(|word| u32::from_ne_bytes(*word))
            == right.first_chunk::<4>().map(|word| u32::from_ne_bytes(*word));
        same_start && u32::from_ne_bytes(*left_end) == u32::from_ne_bytes(*right_end)
    } else {
        left == right
    }
}

#[inline]
fn word(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk::<8>().map(|word| u64::from_ne_bytes(*word))
}

fn hex4(bytes: &[u8], at: usize) -> Option<u32> {
    let digits = bytes.get(at..at + 4)?;
    digits.iter().try_fold(0, |value, digit| Some(value * 16 + char::from(*digit).to_digit(16)?))
}

/// Appends the content of a checked string token to `out`. False if it held half of a surrogate pair, which no UTF-8 text
/// can hold: U+FFFD stands for it.
pub(crate) fn unescape(content: &str, out: &mut String) -> bool {
    let bytes = content.as_bytes();
    let mut whole = true;
    let mut from = 0;
    while let Some(ahead) = bytes[from..].iter().position(|byte| *byte == b'\\') {
        let at = from + ahead;
        out.push_str(&content[from..at]);
        from = at + 2;
        match bytes[at + 1] {
            b'b' => out.push('\u{8}'),
            b'f' => out.push('\u{c}'),
            b'n' => out.push('\n'),
            b'r' => out.push('\r'),
            b't' => out.push('\t'),
            b'u' => {
                let (character, end) = code_point(bytes, at);
                whole &= character.is_some();
                out.push(character.unwrap_or(char::REPLACEMENT_CHARACTER));
                from = end;
            }
            plain => out.push(char::from(plain)),
        }
    }
    out.push_str(&content[from..]);
    whole
}

/// The character of the `\u` escape at `at` (of two, if they are a surrogate pair) and where it ends.
fn code_point(bytes: &[u8], at: usize) -> (Option<char>, usize) {
    let unit = hex4(bytes, at + 2).unwrap_or(0xd800);
    if let Some(character) = char::from_u32(unit) {
        return (Some(character), at + 6);
    }
    let is_pair = bytes.get(at + 6..at + 8) == Some(b"\\u") && unit < 0xdc00;
    let low = if is_pair { hex4(bytes, at + 8).filter(|low| (0xdc00..0xe000).contains(low)) } else { None };
    match low {
        Some(low) => (char::from_u32(0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00)), at + 12),
        None => (None, at + 6),
    }
}
