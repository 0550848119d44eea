//! Times as clients spell them: RFC 3339, or a count since 1970 in s, ms, µs or ns, told apart by magnitude.
//!
//! Stored are microseconds UTC; finer digits are cut off. The spelling is kept too, so that an event comes back as it was
//! sent: one `Spelling` per dataset, and the sent value itself for the rows that differ.

use std::fmt::Write as _;

use super::number::Number;
use crate::Timestamp;

/// How a time was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spelling {
    /// RFC 3339 in capitals with `T`.
    Rfc3339 {
        /// Digits behind the second, 0 to 9.
        digits: u8,
        /// Minutes east of UTC; `None` is `Z`.
        offset: Option<i16>,
    },
    /// Whole units since 1970, of this many to the second: 1, 1,000, 1,000,000 or 1,000,000,000.
    Whole(u32),
    /// The same with a fraction.
    Fraction(u32),
}

/// A time that was understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parsed {
    pub time: Timestamp,
    /// The spelling that, applied to `time`, gives what was sent; `None` if none does.
    pub spelling: Option<Spelling>,
}

const US_PER_DAY: i64 = 86_400_000_000;

/// 0001-01-01T00:00:00Z, the first date that Delta readers agree on.
const YEAR_ONE_US: i64 = -62_135_596_800_000_000;

impl Spelling {
    /// The JSON text of a time spelled so.
    pub(crate) fn render(self, time: Timestamp) -> String {
        match self {
            Self::Rfc3339 { digits, offset } => render_rfc3339(time, digits, offset),
            Self::Whole(per_second) => whole_units(time, per_second).to_string(),
            Self::Fraction(per_second) => format!("{:?}", fraction_units(time, per_second)),
        }
    }

    /// As persisted in the catalog: `rfc3339:3:Z`, `rfc3339:0:120`, `whole:1000`, `fraction:1`.
    pub(crate) fn to_code(self) -> String {
        match self {
            Self::Rfc3339 { digits, offset: None } => format!("rfc3339:{digits}:Z"),
            Self::Rfc3339 { digits, offset: Some(minutes) } => format!("rfc3339:{digits}:{minutes}"),
            Self::Whole(per_second) => format!("whole:{per_second}"),
            Self::Fraction(per_second) => format!("fraction:{per_second}"),
        }
    }

    /// The inverse of `to_code`.
    pub(crate) fn from_code(code: &str) -> Option<Self> {
        let (name, rest) = code.split_once(':')?;
        match name {
            "whole" => rest.parse().ok().map(Self::Whole),
            "fraction" => rest.parse().ok().map(Self::Fraction),
            "rfc3339" => {
                let (digits, offset) = rest.split_once(':')?;
                let digits = digits.parse().ok().filter(|digits| *digits <= 9)?;
                let offset = if offset == "Z" { None } else { Some(offset.parse().ok()?) };
                Some(Self::Rfc3339 { digits, offset })
            }
            _ => None,
        }
    }
}

fn whole_units(time: Timestamp, per_second: u32) -> i64 {
    match i64::from(per_second) {
        per_second @ 0..=1_000_000 => time.0.div_euclid(1_000_000 / per_second.max(1)),
        per_second => time.0.saturating_mul(per_second / 1_000_000),
    }
}

#[expect(clippy::cast_precision_loss, reason = "compared with the double that was sent")]
fn fraction_units(time: Timestamp, per_second: u32) -> f64 {
    let us_per_unit = 1e6 / f64::from(per_second.max(1));
    time.0 as f64 / us_per_unit
}

/// A JSON number as a time. `None` if it is beyond the years a timestamp can hold.
pub(crate) fn from_number(number: Number) -> Option<Parsed> {
    match number {
        Number::Int(value) => {
            let per_second = units_per_second(value.unsigned_abs());
            let time = match i64::from(per_second) {
                ns @ 1_000_000_000 => value.div_euclid(ns / 1_000_000),
                unit => value.checked_mul(1_000_000 / unit)?,
            };
            let spelling = Spelling::Whole(per_second);
            let whole = whole_units(Timestamp(time), per_second) == value;
            Some(Parsed { time: Timestamp(time), spelling: whole.then_some(spelling) })
        }
        Number::Float { value, held } => {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "saturates, and is not negative"
            )]
            let per_second = units_per_second(value.abs() as u64);
            // the nearest microsecond: a double of seconds stands within 0.2 µs of the decimal that was meant
            let us = (value * (1e6 / f64::from(per_second))).round();
            if us.is_nan() || us.abs() >= 9e18 {
                return None;
            }
            #[expect(clippy::cast_possible_truncation, reason = "a whole number within the range, by the check above")]
            let time = Timestamp(us as i64);
            let same = held && fraction_units(time, per_second).to_bits() == value.to_bits();
            Some(Parsed { time, spelling: same.then_some(Spelling::Fraction(per_second)) })
        }
    }
}

/// Magnitude decides: below 1e11 seconds (year 5138), below 1e14 ms, below 1e17 µs, else ns.
fn units_per_second(magnitude: u64) -> u32 {
    match magnitude {
        0..100_000_000_000 => 1,
        100_000_000_000..100_000_000_000_000 => 1_000,
        100_000_000_000_000..100_000_000_000_000_000 => 1_000_000,
        _ => 1_000_000_000,
    }
}

/// A string as a time: RFC 3339, or a whole number in quotes.
pub(crate) fn from_text(text: &str) -> Option<Parsed> {
    let bytes = text.as_bytes();
    let is_number = (1..=19).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_digit);
    if is_number {
        let value = text.parse().ok()?;
        return from_number(Number::Int(value)).map(|parsed| Parsed { spelling: None, ..parsed });
    }
    parse_rfc3339(bytes)
}

fn parse_rfc3339(bytes: &[u8]) -> Option<Parsed> {
    let head = bytes.first_chunk::<19>()?;
    let separators = [head[4], head[7], head[13], head[16]];
    if separators != *b"--::" || !matches!(head[10], b'T' | b't' | b' ') {
        return None;
    }
    let year = two(head[0], head[1])? * 100 + two(head[2], head[3])?;
    let (month, day) = (two(head[5], head[6])?, two(head[8], head[9])?);
    let (hour, minute, second) = (two(head[11], head[12])?, two(head[14], head[15])?, two(head[17], head[18])?);
    let is_valid = (1..=12).contains(&month)
        && (1..=days_in_month(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    if !is_valid {
        return None;
    }
    let fraction_end = 19 + fraction_length(&bytes[19..])?;
    let fraction = &bytes[19..fraction_end];
    let offset = parse_offset(&bytes[fraction_end..])?;
    let seconds =
        days_from_civil(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second - offset.minutes * 60;
    let (us, digits) = microseconds(fraction);
    let spelling = match (digits, i16::try_from(offset.minutes)) {
        (Some(digits), Ok(minutes)) if head[10] == b'T' && offset.plain && second < 60 => {
            Some(Spelling::Rfc3339 { digits, offset: (!offset.zulu).then_some(minutes) })
        }
        _ => None,
    };
    Some(Parsed { time: Timestamp(seconds * 1_000_000 + us), spelling })
}

fn two(tens: u8, ones: u8) -> Option<i64> {
    (tens.is_ascii_digit() && ones.is_ascii_digit()).then(|| i64::from(tens - b'0') * 10 + i64::from(ones - b'0'))
}

/// Bytes of `.digits` at the start; `None` for a point without digits.
fn fraction_length(bytes: &[u8]) -> Option<usize> {
    if bytes.first() != Some(&b'.') {
        return Some(0);
    }
    let digits = bytes[1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    (digits > 0).then_some(digits + 1)
}

/// Microseconds of `.digits`, cut off; and the number of digits, if they can be written again from the microseconds.
fn microseconds(fraction: &[u8]) -> (i64, Option<u8>) {
    let digits = fraction.get(1..).unwrap_or_default();
    let place = |at: usize| digits.get(at).map_or(0, |digit| i64::from(digit - b'0'));
    let us = (0..6).fold(0, |value, at| value * 10 + place(at));
    let kept = digits.len() <= 9 && digits.iter().skip(6).all(|digit| *digit == b'0');
    (us, u8::try_from(digits.len()).ok().filter(|_| kept))
}

struct Offset {
    minutes: i64,
    zulu: bool,
    /// False for `z` and `-00:00`, which rendering does not give back.
    plain: bool,
}

fn parse_offset(bytes: &[u8]) -> Option<Offset> {
    match bytes {
        [b'Z'] => Some(Offset { minutes: 0, zulu: true, plain: true }),
        [b'z'] => Some(Offset { minutes: 0, zulu: true, plain: false }),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (two(*h1, *h2)?, two(*m1, *m2)?);
            let total = hours * 60 + minutes;
            let is_valid = hours < 24 && minutes < 60;
            let plain = *sign == b'+' || total > 0;
            is_valid.then_some(Offset { minutes: if *sign == b'-' { -total } else { total }, zulu: false, plain })
        }
        _ => None,
    }
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar (years counted from March, eras of 400 years).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn render_rfc3339(time: Timestamp, digits: u8, offset: Option<i16>) -> String {
    let local = time.0 + i64::from(offset.unwrap_or(0)) * 60_000_000;
    let date = chrono::DateTime::from_timestamp_micros(local).unwrap_or_default();
    let mut text = format!("\"{}", date.format("%Y-%m-%dT%H:%M:%S"));
    if digits > 0 {
        let nanoseconds = format!("{:09}", local.rem_euclid(1_000_000) * 1_000);
        text.push('.');
        text.push_str(&nanoseconds[..usize::from(digits.min(9))]);
    }
    match offset {
        None => text.push('Z'),
        Some(minutes) => {
            let sign = if minutes < 0 { '-' } else { '+' };
            let minutes = minutes.unsigned_abs();
            // writing to a String cannot fail
            let _written = write!(text, "{sign}{:02}:{:02}", minutes / 60, minutes % 60);
        }
    }
    text.push('"');
    text
}

/// Why a time is not taken, as it stands in `time_error`; `None` if it is within the bounds.
pub(crate) fn out_of_bounds(
    time: Timestamp,
    received_at: Timestamp,
    past_days: Option<i64>,
    ahead_days: i64,
) -> Option<String> {
    let distance = time.0.saturating_sub(received_at.0);
    if distance > ahead_days.saturating_mul(US_PER_DAY) {
        return Some(format!("more than {ahead_days} days after received_at"));
    }
    if time.0 < YEAR_ONE_US {
        return Some("before the year 1".to_owned());
    }
    let past_days = past_days?;
    let too_old = distance < past_days.saturating_mul(US_PER_DAY).saturating_neg();
    too_old.then(|| format!("more than {past_days} days before received_at"))
}

/// `time_error` of a value that is no time at all.
pub(crate) const NOT_A_TIME: &str = "neither RFC 3339 nor a number since 1970";

#[cfg(test)]
mod tests {
    use super::*;

    fn us(text: &str) -> i64 {
        Timestamp::parse_rfc3339(text).unwrap().0
    }

    fn check(parsed: Option<Parsed>, time: Option<i64>, sent: Option<&str>) {
        assert_eq!(parsed.map(|parsed| parsed.time.0), time, "{parsed:?}");
        let rendered = parsed.and_then(|parsed| Some(parsed.spelling?.render(parsed.time)));
        assert_eq!(rendered.as_deref(), sent);
    }

    #[test]
    fn rfc3339_is_read_and_written_again() {
        for text in [
            "2026-11-20T14:10:00Z",
            "2026-11-20T14:10:00.5Z",
            "2026-11-20T14:10:00.123Z",
            "2026-11-20T14:10:00.123456Z",
            "2026-11-20T14:10:00.123456000Z",
            "2026-11-20T14:10:00+02:00",
            "2026-11-20T00:10:00.250-11:30",
            "2024-02-29T23:59:59Z",
            "1969-12-31T23:59:59.999Z",
            "0001-01-01T00:00:00+00:00",
        ] {
            check(from_text(text), Some(us(text)), Some(&format!("\"{text}\"")));
        }
    }

    #[test]
    fn unusual_spellings_give_the_time_only() {
        for text in [
            "2026-11-20 14:10:00Z",
            "2026-11-20t14:10:00z",
            "2026-11-20T14:10:00.123456789Z",
            "2026-11-20T14:10:00-00:00",
        ] {
            check(from_text(text), Some(us(&text.to_uppercase().replace(' ', "T"))), None);
        }
        check(from_text("2016-12-31T23:59:60Z"), Some(us("2017-01-01T00:00:00Z")), None);
        check(from_text("1763647800123"), Some(1_763_647_800_123_000), None);
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "now",
            "2026-11-20",
            "2026-11-20T14:10:00",
            "2026-13-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-11-20T24:00:00Z",
            "2026-11-20T14:10:00.Z",
            "2026-11-20T14:10:00Z ",
            "2026-11-20T14:10:00+2:00",
            "2026-11-20T14:10:00+24:00",
            "é026-11-20T14:10:00Z",
        ] {
            check(from_text(text), None, None);
        }
    }

    #[test]
    fn epochs_are_told_apart_by_magnitude() {
        let int = |value| from_number(Number::Int(value));
        check(int(1_763_647_800), Some(1_763_647_800_000_000), Some("1763647800"));
        check(int(1_763_647_800_123), Some(1_763_647_800_123_000), Some("1763647800123"));
        check(int(1_763_647_800_123_456), Some(1_763_647_800_123_456), Some("1763647800123456"));
        check(int(1_763_647_800_123_456_000), Some(1_763_647_800_123_456), Some("1763647800123456000"));
        check(int(1_763_647_800_123_456_789), Some(1_763_647_800_123_456), None);
        check(int(-1), Some(-1_000_000), Some("-1"));
        check(int(99_999_999_999), Some(99_999_999_999_000_000), Some("99999999999"));
        check(int(100_000_000_000), Some(100_000_000_000_000), Some("100000000000"));
        let float = |value| from_number(Number::Float { value, held: true });
        check(float(1_763_647_800.123), Some(1_763_647_800_123_000), Some("1763647800.123"));
        check(float(1_763_647_800_123.5), Some(1_763_647_800_123_500), Some("1763647800123.5"));
        check(from_number(Number::Float { value: f64::INFINITY, held: false }), None, None);
    }

    #[test]
    fn spellings_survive_persistence() {
        for spelling in [
            Spelling::Rfc3339 { digits: 3, offset: None },
            Spelling::Rfc3339 { digits: 0, offset: Some(-570) },
            Spelling::Whole(1_000),
            Spelling::Fraction(1),
        ] {
            assert_eq!(Spelling::from_code(&spelling.to_code()), Some(spelling));
        }
        assert_eq!(Spelling::from_code("rfc3339:12:Z"), None);
    }

    #[test]
    fn bounds_are_days_around_the_receipt() {
        let now = Timestamp(us("2026-11-20T14:10:00Z"));
        let at = |days: i64| Timestamp(now.0 + days * US_PER_DAY);
        assert_eq!(out_of_bounds(at(-400), now, Some(400), 1), None);
        assert_eq!(
            out_of_bounds(Timestamp(at(-400).0 - 1), now, Some(400), 1).as_deref(),
            Some("more than 400 days before received_at")
        );
        assert_eq!(out_of_bounds(at(-4_000), now, None, 1), None);
        assert_eq!(
            out_of_bounds(Timestamp(at(1).0 + 1), now, None, 1).as_deref(),
            Some("more than 1 days after received_at")
        );
    }
}
