//! Numbers by their digits: which ones 64 bits hold, and which ones a double does.

/// A JSON number as a column holds it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Number {
    /// Written without fraction and exponent, and within 64 bits with sign.
    Int(i64),
    /// Anything else; `held` = the double gives the same digits back.
    Float {
        /// The nearest double; infinite where there is none.
        value: f64,
        /// Whether the double, printed with as many significant digits as were sent, is what was sent.
        held: bool,
    },
}

/// Powers of ten that a double holds exactly.
const TENS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];

/// Any decimal of so many significant digits comes back from a double (`f64::DIGITS`).
const DIGITS_ALWAYS_HELD: usize = 15;

/// No double has more significant decimal digits than this, written out exactly.
const DIGITS_EVER_NEEDED: usize = 767;

/// The number that starts at `at` and where it ends; or the place where a digit is missing.
#[inline]
pub(crate) fn parse(bytes: &[u8], at: usize) -> Result<(Number, usize), usize> {
    let negative = bytes.get(at) == Some(&b'-');
    let first = at + usize::from(negative);
    let (mantissa, end) = digits(bytes, first, 0);
    if end == first {
        return Err(first);
    }
    if bytes[first] == b'0' && end > first + 1 {
        return Err(first + 1);
    }
    match bytes.get(end) {
        Some(b'.' | b'e' | b'E') => parse_float(bytes, at, first, end, mantissa),
        _ if mantissa == 0 && negative => Ok((Number::Float { value: -0.0, held: true }, end)),
        // 18 digits cannot overflow 64 bits
        _ if end - first <= 18 => {
            let value = i64::try_from(mantissa).unwrap_or(i64::MAX);
            Ok((Number::Int(if negative { -value } else { value }), end))
        }
        _ => Ok((wide_integer(text(bytes, at, end)), end)),
    }
}

/// Digits from `at` on, appended to `value` (which wraps; callers look at the count of digits), and where they end.
#[inline]
fn digits(bytes: &[u8], mut at: usize, mut value: u64) -> (u64, usize) {
    while let Some(digit) = bytes.get(at).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10) {
        value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
        at += 1;
    }
    (value, at)
}

/// An integer of 19 digits or more. Beyond 64 bits its digits count as lost, even where a double happens to hold them.
fn wide_integer(text: &str) -> Number {
    match text.parse::<i64>() {
        Ok(value) => Number::Int(value),
        Err(_) => Number::Float { value: text.parse().unwrap_or(f64::INFINITY), held: false },
    }
}

fn parse_float(bytes: &[u8], at: usize, first: usize, point: usize, mantissa: u64) -> Result<(Number, usize), usize> {
    let (mut mantissa, mut end, mut fraction) = (mantissa, point, 0);
    if bytes[point] == b'.' {
        (mantissa, end) = digits(bytes, point + 1, mantissa);
        fraction = end - point - 1;
        if fraction == 0 {
            return Err(end);
        }
    }
    let count = point - first + fraction;
    let has_exponent = matches!(bytes.get(end), Some(b'e' | b'E'));
    if has_exponent {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let exponent = end + 1 + sign;
        (_, end) = digits(bytes, exponent, 0);
        if end == exponent {
            return Err(end);
        }
    } else if count <= DIGITS_ALWAYS_HELD {
        // both are exact doubles, so one division rounds correctly
        #[expect(clippy::cast_precision_loss, reason = "at most 15 digits")]
        let value = mantissa as f64 / TENS[fraction];
        return Ok((Number::Float { value: if bytes[at] == b'-' { -value } else { value }, held: true }, end));
    }
    let text = text(bytes, at, end);
    let value: f64 = text.parse().unwrap_or(f64::INFINITY);
    Ok((Number::Float { value, held: is_held(text, value) }, end))
}

fn text(bytes: &[u8], at: usize, end: usize) -> &str {
    std::str::from_utf8(&bytes[at..end]).unwrap_or_default()
}

/// Whether printing `value` with as many significant digits as `text` has gives `text` back: then whoever wrote it had this
/// very double (`%.17g` of many languages) or a decimal short enough for one.
pub(crate) fn is_held(text: &str, value: f64) -> bool {
    let (sent, sent_exponent) = significant(text);
    if sent.is_empty() {
        return value == 0.0;
    }
    if !value.is_finite() || value == 0.0 || sent.len() > DIGITS_EVER_NEEDED {
        return false;
    }
    let (kept, kept_exponent) = significant(&format!("{value:.*e}", sent.len() - 1));
    sent == kept && sent_exponent == kept_exponent
}

/// Significant digits without zeros at either end, and the decimal exponent of the first one.
fn significant(text: &str) -> (Vec<u8>, i64) {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    // an exponent of more digits than i64 has is beyond every double in either direction
    let exponent: i64 = exponent.parse().unwrap_or(if exponent.starts_with('-') { i64::MIN / 2 } else { i64::MAX / 2 });
    let (whole, fraction) =
        mantissa.trim_start_matches('-').split_once('.').unwrap_or((mantissa.trim_start_matches('-'), ""));
    let all: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
    let Some(first) = all.iter().position(|digit| *digit != b'0') else { return (Vec::new(), 0) };
    let last = all.iter().rposition(|digit| *digit != b'0').unwrap_or(first);
    let place = i64::try_from(whole.len()).unwrap_or(i64::MAX) - 1 - i64::try_from(first).unwrap_or(i64::MAX);
    (all[first..=last].to_vec(), exponent.saturating_add(place))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Number) {
        assert_eq!(parse(text.as_bytes(), 0), Ok((expected, text.len())), "{text}");
    }

    #[test]
    fn numbers_are_read_as_written() {
        let held = |value| Number::Float { value, held: true };
        let lost = |value| Number::Float { value, held: false };
        for (text, expected) in [
            ("0", Number::Int(0)),
            ("-0", held(-0.0)),
            ("10", Number::Int(10)),
            ("9223372036854775807", Number::Int(i64::MAX)),
            ("-9223372036854775808", Number::Int(i64::MIN)),
            ("9223372036854775808", lost(9_223_372_036_854_775_808.0)),
            ("123456789012345678901234567890", lost(123_456_789_012_345_678_901_234_567_890.0)),
            ("10.0", held(10.0)),
            ("-10.25", held(-10.25)),
            ("0.1", held(0.1)),
            ("0.10000000000000001", held(0.1)),
            ("0.1000000000000000055511151231257827", held(0.1)),
            ("0.1000000000000000055", lost(0.1)),
            ("3.14159265358979323846", lost(std::f64::consts::PI)),
            ("1e3", held(1000.0)),
            ("1E+22", held(1e22)),
            ("1e-3", held(0.001)),
            ("1e999", lost(f64::INFINITY)),
            ("-1e999", lost(f64::NEG_INFINITY)),
            ("1e-999", lost(0.0)),
            ("1e99999999999999999999", lost(f64::INFINITY)),
            ("0e99999999999999999999", held(0.0)),
            ("1.7976931348623157e308", held(f64::MAX)),
            ("5e-324", held(5e-324)),
            ("0.000000000000000000000000000001", held(1e-30)),
            ("100000000000000000000.0", held(1e20)),
        ] {
            check(text, expected);
        }
    }

    #[test]
    fn missing_digits_are_found_at_their_place() {
        for (text, at) in [("-", 1), ("01", 1), ("1.", 2), ("1.e5", 2), ("1e", 2), ("1e+", 3), ("-x", 1), ("00", 1)] {
            assert_eq!(parse(text.as_bytes(), 0), Err(at), "{text}");
        }
    }
}
