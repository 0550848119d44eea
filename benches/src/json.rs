//! Writes JSON text straight into a byte buffer; an event has some 140 values, so nothing here allocates or formats.
//! Texts come from tables of ours and are written as they are: they hold no quote, backslash or control character.

use chrono::Datelike;

/// A JSON object or array being written at the end of a buffer. Commas are placed by looking at the last byte.
#[derive(Debug)]
pub(crate) struct Json<'a>(pub(crate) &'a mut Vec<u8>);

impl Json<'_> {
    fn key(&mut self, key: &str) {
        self.comma();
        self.0.push(b'"');
        self.0.extend_from_slice(key.as_bytes());
        self.0.extend_from_slice(b"\":");
    }

    fn comma(&mut self) {
        if !matches!(self.0.last(), None | Some(b'{' | b'[' | b'\n')) {
            self.0.push(b',');
        }
    }

    /// Starts the object under `key`.
    pub(crate) fn object(&mut self, key: &str) -> &mut Self {
        self.key(key);
        self.0.push(b'{');
        self
    }

    /// Starts the array under `key`.
    pub(crate) fn array(&mut self, key: &str) -> &mut Self {
        self.key(key);
        self.0.push(b'[');
        self
    }

    /// Starts an object inside an array, or the event itself.
    pub(crate) fn item(&mut self) -> &mut Self {
        self.comma();
        self.0.push(b'{');
        self
    }

    /// Ends an object.
    pub(crate) fn end(&mut self) {
        self.0.push(b'}');
    }

    /// Ends an array.
    pub(crate) fn end_array(&mut self) {
        self.0.push(b']');
    }

    /// Ready-made members, without the comma before them.
    pub(crate) fn members(&mut self, text: &str) -> &mut Self {
        self.comma();
        self.raw(text)
    }

    /// Bytes as they are: the inside of a text begun with [`Json::begin_text`].
    pub(crate) fn raw(&mut self, text: &str) -> &mut Self {
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    /// A whole number as bytes.
    pub(crate) fn raw_int(&mut self, number: u64) -> &mut Self {
        push_int(self.0, number);
        self
    }

    /// An amount in hundredths as bytes, `12.50`.
    pub(crate) fn raw_cents(&mut self, cents: u64) -> &mut Self {
        push_fixed(self.0, cents, 2);
        self
    }

    /// A day counted from the epoch as bytes, `2026-11-20`.
    pub(crate) fn raw_date(&mut self, day: i32) -> &mut Self {
        push_date(self.0, i64::from(day));
        self
    }

    /// Opens a text value to be filled with `raw*`.
    pub(crate) fn begin_text(&mut self, key: &str) -> &mut Self {
        self.key(key);
        self.0.push(b'"');
        self
    }

    /// Closes a text value.
    pub(crate) fn end_text(&mut self) {
        self.0.push(b'"');
    }

    pub(crate) fn text(&mut self, key: &str, value: &str) -> &mut Self {
        self.begin_text(key).raw(value).end_text();
        self
    }

    pub(crate) fn int(&mut self, key: &str, value: impl Into<u64>) -> &mut Self {
        self.key(key);
        push_int(self.0, value.into());
        self
    }

    /// A number with three digits after the point, given in thousandths (a duration in µs written in ms).
    pub(crate) fn thousandths(&mut self, key: &str, value: u64) -> &mut Self {
        self.key(key);
        push_fixed(self.0, value, 3);
        self
    }

    /// A number with two digits after the point, given in hundredths.
    pub(crate) fn cents(&mut self, key: &str, value: u64) -> &mut Self {
        self.key(key);
        push_fixed(self.0, value, 2);
        self
    }

    pub(crate) fn flag(&mut self, key: &str, value: bool) -> &mut Self {
        self.key(key);
        self.raw(if value { "true" } else { "false" })
    }

    /// `digits` hexadecimal digits of `bits`, 16 at most.
    pub(crate) fn hex(&mut self, bits: u64, digits: u32) -> &mut Self {
        for place in (0..digits).rev() {
            self.0.push(b"0123456789abcdef"[(bits >> (4 * place) & 15) as usize]);
        }
        self
    }

    /// RFC 3339 with microseconds.
    pub(crate) fn time(&mut self, key: &str, micros: i64) -> &mut Self {
        self.begin_text(key);
        let (day, within) = (micros.div_euclid(86_400_000_000), micros.rem_euclid(86_400_000_000).cast_unsigned());
        push_date(self.0, day);
        self.0.push(b'T');
        push_padded(self.0, within / 3_600_000_000, 2);
        self.0.push(b':');
        push_padded(self.0, within / 60_000_000 % 60, 2);
        self.0.push(b':');
        push_padded(self.0, within / 1_000_000 % 60, 2);
        self.0.push(b'.');
        push_padded(self.0, within % 1_000_000, 6);
        self.0.push(b'Z');
        self.end_text();
        self
    }
}

fn push_int(out: &mut Vec<u8>, number: u64) {
    push_padded(out, number, 1);
}

/// Decimal digits with leading zeros up to `width`.
fn push_padded(out: &mut Vec<u8>, mut number: u64, width: usize) {
    let mut digits = [b'0'; 20];
    let mut at = digits.len();
    while number > 0 || digits.len() - at < width {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
    }
    out.extend_from_slice(&digits[at..]);
}

/// `number / 10^decimals`, all decimals written; the last one is never a bare zero, so the type stays a float in every reader.
fn push_fixed(out: &mut Vec<u8>, number: u64, decimals: usize) {
    let scale = 10_u64.pow(u32::try_from(decimals).unwrap_or(0));
    push_int(out, number / scale);
    out.push(b'.');
    push_padded(out, number % scale, decimals);
}

fn push_date(out: &mut Vec<u8>, day: i64) {
    let date = chrono::DateTime::from_timestamp(day * 86_400, 0).unwrap_or_default().date_naive();
    push_padded(out, u64::from(date.year().cast_unsigned()), 4);
    out.push(b'-');
    push_padded(out, u64::from(date.month()), 2);
    out.push(b'-');
    push_padded(out, u64::from(date.day()), 2);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(write: impl FnOnce(&mut Json<'_>), expected: &str) {
        let mut out = Vec::new();
        write(&mut Json(&mut out));
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn members_objects_and_lists_get_their_commas() {
        check(
            |json| {
                json.item().text("a", "x").int("b", 0_u32).object("c").flag("d", true).end();
                json.array("e").item().cents("f", 5).end();
                json.item().thousandths("g", 12_345).end();
                json.end_array();
                json.end();
            },
            r#"{"a":"x","b":0,"c":{"d":true},"e":[{"f":0.05},{"g":12.345}]}"#,
        );
    }

    #[test]
    fn times_and_hexadecimal_ids() {
        check(
            |json| {
                json.item().time("t", 1_795_184_400_123_456).begin_text("id").hex(0xbeef, 8).end_text();
                json.end();
            },
            r#"{"t":"2026-11-20T14:20:00.123456Z","id":"0000beef"}"#,
        );
    }
}
