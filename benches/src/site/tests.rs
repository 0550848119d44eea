use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::*;
use crate::{rates::Rates, story::Story};

const NOW: i64 = 1_795_184_404_000_000; // 2026-11-20 14:20:04 UTC
const MINUTE: i64 = 60_000_000;

fn rates() -> Rates {
    Rates::with_rate_at(3, NOW / MINUTE, 67.0)
}

fn story() -> Story {
    let mut story = Story::past(3, NOW - 3 * 1440 * MINUTE, NOW - 80 * MINUTE);
    story.busy_hour(NOW);
    story.activate(NOW, None);
    story
}

/// All events of the visits ending in `minutes`, and the bytes they took.
fn events(profile: Profile, minutes: std::ops::Range<i64>) -> (Vec<Value>, usize) {
    let (site, rates, story) = (Site::new(3, profile), rates(), story());
    let mut traffic = Traffic::between(&site, &rates, minutes.start, minutes.end);
    let mut out = Vec::new();
    while traffic.write_until(&story, i64::MAX, 1_000, &mut out).events > 0 {}
    let text = String::from_utf8(out).unwrap();
    (text.lines().map(|line| serde_json::from_str(line).expect(line)).collect(), text.len())
}

fn flatten<'a>(prefix: &str, value: &'a Value, into: &mut BTreeMap<String, &'a Value>) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                flatten(&name, value, into);
            }
        }
        _ => {
            into.insert(prefix.to_owned(), value);
        }
    }
}

fn columns(events: &[Value]) -> BTreeSet<String> {
    events
        .iter()
        .flat_map(|event| {
            let mut cells = BTreeMap::new();
            flatten("", event, &mut cells);
            cells.into_keys().collect::<Vec<_>>()
        })
        .collect()
}

fn text<'a>(event: &'a Value, pointer: &str) -> &'a str {
    event.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

#[test]
fn wide_events_have_281_columns_and_about_2_kb() {
    let (events, bytes) = events(Profile::Wide, NOW / MINUTE - 120..NOW / MINUTE - 114);
    let columns = columns(&events);
    let (experiments, others): (Vec<_>, Vec<_>) = columns.iter().partition(|name| name.starts_with("experiments."));
    assert_eq!((experiments.len(), others.len()), (200, 81), "{others:?}");
    let mean = bytes / events.len();
    assert!((1_950..2_300).contains(&mean), "{mean} bytes per event");
}

#[test]
fn live_events_have_43_columns_and_about_08_kb() {
    let (events, bytes) = events(Profile::Live, NOW / MINUTE - 10..NOW / MINUTE + 6);
    let columns = columns(&events);
    assert_eq!(columns.len(), 43, "{columns:?}");
    let mean = bytes / events.len();
    assert!((650..900).contains(&mean), "{mean} bytes per event");
}

#[test]
fn payments_with_status_200_are_exactly_the_bookings_of_the_rate_model() {
    let minutes = NOW / MINUTE - 200..NOW / MINUTE - 190;
    let (events, _) = events(Profile::Live, minutes.clone());
    let mut booked: BTreeMap<(i64, &str), u32> = BTreeMap::new();
    for event in events.iter().filter(|event| text(event, "/route") == "/checkout/pay" && event["status"] == 200) {
        let time = chrono::DateTime::parse_from_rfc3339(text(event, "/time")).unwrap();
        if text(event, "/environment") == "production" {
            *booked.entry((time.timestamp() / 60, text(event, "/country"))).or_default() += 1;
        }
    }
    for minute in minutes {
        let expected = rates().at(minute);
        for (market, count) in crate::markets::MARKETS.iter().zip(expected.bookings) {
            assert_eq!(
                booked.get(&(minute, market.country)).copied().unwrap_or(0),
                count,
                "{minute} {}",
                market.country
            );
        }
    }
}

#[test]
fn traffic_has_the_volume_and_the_mix_of_a_demo() {
    let (events, _) = events(Profile::Live, NOW / MINUTE - 60..NOW / MINUTE - 30);
    let per_second = events.len() as f64 / 1_800.0;
    assert!((15.0..30.0).contains(&per_second), "{per_second} events per second");
    let share = |pointer: &str, value: &str| {
        events.iter().filter(|event| text(event, pointer) == value).count() as f64 / events.len() as f64
    };
    assert!(share("/route", "/search") > 0.3 && share("/route", "/hotel/:id") > 0.15);
    let staging = share("/environment", "staging");
    assert!((0.002..0.02).contains(&staging), "{staging}");
    assert!(share("/service/name", "payments") > 0.04 && share("/service/name", "api") > 0.05);
    let failed = events.iter().filter(|event| event["status"].as_i64() >= Some(500)).count();
    assert!((failed as f64) < 0.005 * events.len() as f64, "{failed}");
    let times: Vec<_> = events.iter().filter(|e| text(e, "/service/name") == "web").map(|e| text(e, "/time")).collect();
    assert!(times.is_sorted());
}

#[test]
fn variant_b_breaks_most_payments_after_the_activation_and_only_in_production() {
    let (events, _) = events(Profile::Live, NOW / MINUTE - 10..NOW / MINUTE + 10);
    let activation = "2026-11-20T14:20:04";
    let pay = |event: &&Value| text(event, "/route") == "/checkout/pay";
    let failed = |event: &&Value| event["status"] == 500;
    for event in events.iter().filter(pay).filter(failed) {
        assert_eq!(text(event, "/experiments/13"), "B");
        assert_eq!(text(event, "/environment"), "production");
        assert!(text(event, "/time") >= activation);
        assert_eq!(text(event, "/messages/0/template"), "payment form not ready: {field} missing");
    }
    let made = |from: i64| {
        let expected: u32 = (from..from + 9).map(|minute| rates().at(minute).total()).sum();
        let seen = events
            .iter()
            .filter(pay)
            .filter(|event| event["booking"]["made"] == true && text(event, "/environment") == "production")
            .filter(|event| {
                let minute = chrono::DateTime::parse_from_rfc3339(text(event, "/time")).unwrap().timestamp() / 60;
                (from..from + 9).contains(&minute)
            })
            .count();
        seen as f64 / f64::from(expected)
    };
    assert!((made(NOW / MINUTE - 10) - 1.0).abs() < 1e-9);
    let left = made(NOW / MINUTE + 1);
    assert!((0.39..0.51).contains(&left), "{left} of the bookings are left");
}

#[test]
fn a_seed_repeats_its_bytes() {
    let bytes = |seed| {
        let (site, rates, story) = (Site::new(seed, Profile::Wide), Rates::new(seed, 30.0, NOW / MINUTE), story());
        let mut out = Vec::new();
        Traffic::from(&site, &rates, NOW / MINUTE).write_until(&story, i64::MAX, 500, &mut out);
        out
    };
    assert_eq!(bytes(1), bytes(1));
    assert_ne!(bytes(1), bytes(2));
}

#[test]
fn events_vary_and_no_ids_repeat() {
    let (events, _) = events(Profile::Wide, NOW / MINUTE - 30..NOW / MINUTE - 25);
    let distinct = |pointer: &str| {
        events.iter().filter_map(|event| event.pointer(pointer)).map(Value::to_string).collect::<BTreeSet<_>>().len()
    };
    assert_eq!(distinct("/span_id"), events.len());
    assert!(distinct("/user/id") > 500 && distinct("/hotel/id") > 500);
    assert!(distinct("/duration_ms") > events.len() * 9 / 10);
}
