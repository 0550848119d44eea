//! Hostile events from a seed: few keys, so that types and nestings collide; twins, dots and names of system columns among them;
//! numbers and texts at the edges; and events that are broken.

use crate::random::Random;

/// Makes events, one after the other.
#[derive(Debug)]
pub struct Generator(Random);

/// Few keys, so that types and nestings collide.
const KEYS: [&str; 34] = [
    "a",
    "A",
    "b",
    "a.b",
    "a.B",
    "c",
    "",
    ".",
    "a.",
    "user",
    "user.id",
    "id",
    "time",
    "Time",
    "seq",
    "rest",
    "_source",
    "user:seq",
    "event_id",
    "messages",
    "messages.text",
    "probes",
    "experiments",
    "13",
    "checkout.new",
    "price",
    "price#int",
    "PRICE",
    "price~2",
    "größe",
    "GRÖSSE",
    "with space",
    "q\\\"uote",
    "u\\u0041\\ud83d\\ude00",
];
const ELEMENT_KEYS: [&str; 8] = ["text", "level", "time_ms", "ctx", "a", "A", "args", ""];
const NUMBERS: [&str; 28] = [
    "0",
    "-0",
    "1",
    "-1",
    "10",
    "10.0",
    "10.5",
    "9007199254740993",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "-9223372036854775809",
    "18446744073709551615",
    "123456789012345678901234567890",
    "0.1",
    "0.10000000000000001",
    "0.1000000000000000055",
    "3.14159265358979323846",
    "1e3",
    "1E-7",
    "1e400",
    "-1e400",
    "1e-400",
    "5e-324",
    "1.7976931348623157e308",
    "1e22",
    "1.5e300",
    "0.0",
];
const TEXTS: [&str; 22] = [
    "",
    "x",
    "text",
    "null",
    "10",
    "\\n\\t\\r\\b\\f\\/\\\\\\\"",
    "\\u0000",
    "\\ud83d\\ude00",
    "😀",
    "\\ud800",
    "\\udc00x",
    "\\ud800\\u0041",
    "é",
    "\\u00e9",
    "2026-11-20T14:10:00Z",
    "2026-11-20T14:09:59.123Z",
    "2026-11-20T14:10:00.123456789Z",
    "1999-01-01T00:00:00Z",
    "01KAGXJ0000000000000000000",
    "[1,2]",
    "{\\\"a\\\":1}",
    "\u{7f}\u{2028}",
];
const TIMES: [&str; 16] = [
    "\"2026-11-20T14:09:00.123Z\"",
    "\"2026-11-20T14:09:01.5Z\"",
    "\"2026-11-20T15:09:01+01:00\"",
    "1795183700",
    "1795183700123",
    "1795183700123456",
    "1795183700123456789",
    "1795183700.25",
    "\"2026-11-20T14:10:00Z\"",
    "\"2026-11-21T03:10:00Z\"",
    "\"2026-11-18T03:10:00Z\"",
    "\"soon\"",
    "true",
    "null",
    "{}",
    "[1]",
];

impl Generator {
    /// The events of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Random::of(seed, 0, 0))
    }

    /// A number from 0, less than `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0.bits() % bound
    }

    /// A place in a list.
    fn place(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or(0)
    }

    fn pick<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.place(choices.len())]
    }

    fn blank(&mut self) -> &'static str {
        self.pick(&["", "", "", "", " ", "\t", "\n", "\r\n"])
    }

    /// A well-formed event.
    pub fn event(&mut self) -> String {
        let mut out = String::new();
        self.object(&mut out, 4, false);
        out
    }

    fn object(&mut self, out: &mut String, depth: u64, in_element: bool) {
        out.push('{');
        let members = if depth == 4 { self.below(9) } else { self.below(4) };
        for member in 0..members {
            if member > 0 {
                out.push(',');
            }
            let key = if in_element { self.pick(&ELEMENT_KEYS) } else { self.pick(&KEYS) };
            let (before, between, after) = (self.blank(), self.blank(), self.blank());
            out.push_str(&format!("{before}\"{key}\"{between}:{after}"));
            match key {
                "time" if depth == 4 && self.below(4) > 0 => out.push_str(self.pick(&TIMES)),
                "messages" | "probes" if self.below(4) > 0 => self.elements(out, depth),
                _ => self.value(out, depth.saturating_sub(1), in_element),
            }
            out.push_str(self.blank());
        }
        out.push('}');
    }

    fn elements(&mut self, out: &mut String, depth: u64) {
        out.push('[');
        for element in 0..self.below(4) {
            if element > 0 {
                out.push(',');
            }
            if self.below(20) == 0 {
                self.value(out, depth.saturating_sub(2), true);
            } else {
                self.object(out, depth.saturating_sub(2), true);
            }
        }
        out.push(']');
    }

    fn value(&mut self, out: &mut String, depth: u64, in_element: bool) {
        match self.below(if depth == 0 { 7 } else { 10 }) {
            0 => out.push_str("null"),
            1 => out.push_str(self.pick(&["true", "false"])),
            2 | 3 => out.push_str(self.pick(&NUMBERS)),
            4..=6 => out.push_str(&format!("\"{}\"", self.pick(&TEXTS))),
            7 => self.object(out, depth, in_element),
            _ => self.array(out, depth - 1, in_element),
        }
    }

    /// Mostly of one type.
    fn array(&mut self, out: &mut String, depth: u64, in_element: bool) {
        let kind = self.below(6);
        out.push('[');
        for item in 0..self.below(5) {
            if item > 0 {
                out.push(',');
            }
            match kind {
                0 | 1 => out.push_str(self.pick(&NUMBERS)),
                2 => out.push_str(self.pick(&["null", "true", "false"])),
                3 => out.push_str(self.pick(&["1", "2", "null", "-7"])),
                4 => out.push_str(&format!("\"{}\"", self.pick(&TEXTS))),
                _ => self.value(out, depth, in_element),
            }
        }
        out.push(']');
    }

    /// An event with a few bytes changed, left out or doubled.
    pub fn broken_event(&mut self) -> Vec<u8> {
        let mut bytes = self.event().into_bytes();
        for _change in 0..self.below(3) + 1 {
            let at = self.place(bytes.len());
            match self.below(4) {
                0 => drop(bytes.remove(at)),
                1 => bytes[at] = b"{}[]:,\"\\0-e.\x00\xff u1"[self.place(17)],
                2 => bytes.insert(at, bytes[at]),
                _ => bytes.truncate(at),
            }
            if bytes.is_empty() {
                break;
            }
        }
        bytes
    }
}
