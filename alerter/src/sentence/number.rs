//! Numbers, shares and times as a person would say them.

use store::Timestamp;

/// The step a person rounds a number of this size to: three digits above a thousand, whole numbers from ten, one
/// decimal from one, two digits below.
fn step(size: f64) -> f64 {
    let size = size.abs();
    if size >= 1000.0 {
        10f64.powf(size.log10().floor() - 2.0)
    } else if size >= 10.0 {
        1.0
    } else if size >= 1.0 {
        0.1
    } else if size > 0.0 {
        10f64.powf((size.log10().floor() - 1.0).max(-6.0))
    } else {
        1.0
    }
}

fn rounded(number: f64, step: f64) -> f64 {
    (number / step).round() * step
}

/// `67`, `1,240`, `3.4`, `0.12`.
pub(crate) fn plain(number: f64) -> String {
    shown(rounded(number, step(number)), step(number))
}

/// Expected and its distance from seen, rounded alike so that the arithmetic of the reader works out.
pub(crate) fn pair(expected: f64, seen: f64) -> (String, String) {
    let mut unit = step(expected);
    let mut distance = rounded(expected, unit) - rounded(seen, unit);
    if distance.abs() < unit / 2.0 {
        unit = step(expected - seen).min(unit);
        distance = expected - seen;
    }
    (shown(rounded(expected, unit), unit), shown(rounded(distance.abs(), unit), unit))
}

fn shown(number: f64, step: f64) -> String {
    // Steps are powers of ten down to a millionth.
    let decimals = (1..=9).find(|decimals| step >= 10f64.powi(1 - decimals) * 0.99).unwrap_or(9) - 1;
    let decimals = usize::try_from(decimals).unwrap_or(0);
    let text = format!("{number:.decimals$}");
    let (sign, text) = text.strip_prefix('-').map_or(("", text.as_str()), |rest| ("-", rest));
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let fraction = fraction.trim_end_matches('0');
    let mut grouped = String::new();
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if fraction.is_empty() { format!("{sign}{grouped}") } else { format!("{sign}{grouped}.{fraction}") }
}

/// `3.2 %` of a share of 0.032.
pub(crate) fn percent(share: f64) -> String {
    format!("{} %", plain(share * 100.0))
}

/// A rate in the unit of time that gives a number people can picture: factor and word.
pub(crate) fn per(rate_per_minute: f64) -> (f64, &'static str) {
    if rate_per_minute >= 1.0 {
        (1.0, "minute")
    } else if rate_per_minute >= 1.0 / 60.0 {
        (60.0, "hour")
    } else {
        (1440.0, "day")
    }
}

/// `10 minutes`, `3 hours`, `2 days`.
pub(crate) fn duration(minutes: i64) -> String {
    let (count, word) = match minutes {
        ..120 => (minutes.max(0), "minute"),
        120..2880 => ((minutes + 30) / 60, "hour"),
        _ => ((minutes + 720) / 1440, "day"),
    };
    format!("{count} {word}{}", if count == 1 { "" } else { "s" })
}

/// `500 ms`, `2 s`.
pub(crate) fn milliseconds(ms: f64) -> String {
    if ms >= 1000.0 { format!("{} s", plain(ms / 1000.0)) } else { format!("{} ms", plain(ms)) }
}

/// `14:03 CET`, with the day in front when it is not today's.
pub(crate) fn clock(time: Timestamp, now: Timestamp, zone: &str) -> String {
    let zone: chrono_tz::Tz = zone.parse().unwrap_or(chrono_tz::UTC);
    let local =
        |time: Timestamp| chrono::DateTime::from_timestamp_micros(time.0).unwrap_or_default().with_timezone(&zone);
    let (then, today) = (local(time), local(now));
    if then.date_naive() == today.date_naive() {
        then.format("%H:%M %Z").to_string()
    } else {
        then.format("%-d %b %H:%M %Z").to_string()
    }
}

/// `a`, `a and b`, `a, b and c`.
pub(crate) fn list(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_rounded_like_a_person_would() {
        let cases = [
            (67.2, "67"),
            (1237.0, "1,240"),
            (1_234_567.0, "1,230,000"),
            (3.42, "3.4"),
            (3.0, "3"),
            (0.1234, "0.12"),
            (0.0, "0"),
            (999.7, "1,000"),
            (-37.1, "-37"),
        ];
        for (number, expect) in cases {
            assert_eq!(plain(number), expect, "{number}");
        }
    }

    #[test]
    fn expected_minus_the_distance_is_what_was_seen() {
        assert_eq!(pair(67.4, 29.6), ("67".into(), "37".into()));
        assert_eq!(pair(5.04, 1.96), ("5".into(), "3".into()));
        assert_eq!(pair(12_345.0, 6_000.0), ("12,300".into(), "6,300".into()));
    }

    #[test]
    fn durations_and_times() {
        assert_eq!(duration(1), "1 minute");
        assert_eq!(duration(119), "119 minutes");
        assert_eq!(duration(180), "3 hours");
        let onset = Timestamp::from_minutes(29_919_730);
        assert_eq!(clock(onset, onset.plus_seconds(600), "Europe/Amsterdam"), "15:10 CET");
        assert_eq!(clock(onset, onset.plus_seconds(86_400), "UTC"), "20 Nov 14:10 UTC");
    }
}
