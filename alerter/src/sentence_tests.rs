use super::*;
use crate::alert::sample::{alert, minute, suspect};

fn check(change: impl FnOnce(&mut Alert), expect: &str) {
    let mut alert = alert();
    change(&mut alert);
    assert_eq!(short(&alert, minute(10)), expect);
    assert_eq!(join(&parts(&alert, minute(10))), expect);
}

#[test]
fn the_sentence() {
    check(
        |_| {},
        "We would expect 67 bookings per minute, but see 37 fewer. That began 10 minutes ago at the yellow activation \
         line of experiment 13.",
    );
}

#[test]
fn the_change_is_a_link() {
    let parts = parts(&alert(), minute(10));
    assert_eq!(parts[2], Part { text: "yellow activation line of experiment 13".into(), change: Some("01J1".into()) });
    assert!(parts[1].text.ends_with(" at the "));
}

#[test]
fn the_long_form_names_only_the_sources_that_entered() {
    let text = long(&alert(), minute(10));
    assert_eq!(
        text,
        "According to observed growth and data from last week we would expect 67 bookings per minute, but see 37 fewer. \
         That began 10 minutes ago at the yellow activation line of experiment 13. By timing alone that change \
         gets 81 %, a cause without a line 12 %. Activated by j.doe. That change is owned by search-team. Missed so far: 371 bookings (318 to 424), 18 % of the error budget of 28 days. By slice: \
         country=NL 62 %, country=DE 24 %. The metric is owned by checkout-team. Turn it off: POST \
         https://flags.example/13/off"
    );
    let mut three = alert();
    three.sources = vec!["last week".into(), "last month".into(), "last year".into()];
    assert!(
        long(&three, minute(10)).starts_with("According to data from last week, last month and last year we would")
    );
    three.sources.clear();
    assert!(long(&three, minute(10)).starts_with("We would expect"));
}

#[test]
fn without_a_change_near_it_says_so() {
    let expect = "We would expect 67 bookings per minute, but see 37 fewer. That began 10 minutes ago, no change near.";
    check(|alert| alert.suspects.clear(), expect);
    check(|alert| alert.unknown_share = 0.9, expect);
}

#[test]
fn a_second_plausible_change_is_named_too() {
    check(
        |alert| alert.suspects.push(suspect("01J2", "the deploy line of web 2.1", 0.5, 7.0)),
        "We would expect 67 bookings per minute, but see 37 fewer. That began 10 minutes ago at the yellow activation \
         line of experiment 13, or 7 minutes after the deploy line of web 2.1.",
    );
}

#[test]
fn rises_sums_shares_and_latency_have_their_own_words() {
    check(
        |alert| (alert.seen_per_minute, alert.suspects) = (112.0, Vec::new()),
        "We would expect 67 bookings per minute, but see 45 more. That began 10 minutes ago, no change near.",
    );
    check(
        |alert| {
            (alert.measured, alert.unit, alert.suspects) = (Measured::Sum, "euros".into(), Vec::new());
            (alert.expected_per_minute, alert.seen_per_minute) = (5432.0, 2511.0);
        },
        "We would expect 5,430 euros per minute, but see 2,920 less. That began 10 minutes ago, no change near.",
    );
    check(
        |alert| {
            (alert.measured, alert.title, alert.suspects) = (Measured::Ratio, "Error rate".into(), Vec::new());
            (alert.expected_share, alert.seen_share) = (Some(0.0042), Some(0.12));
        },
        "We would expect error rate to be 0.42 %, but see 12 %. That began 10 minutes ago, no change near.",
    );
    check(
        |alert| {
            (alert.measured, alert.unit, alert.suspects) = (Measured::Latency, "requests".into(), Vec::new());
            (alert.expected_share, alert.seen_share, alert.threshold_ms) = (Some(0.021), Some(0.14), Some(500.0));
        },
        "We would expect 2.1 % of requests to take longer than 500 ms, but see 14 %. That began 10 minutes ago, no \
         change near.",
    );
}

#[test]
fn low_rates_are_told_per_hour_and_an_outage_is_none() {
    check(
        |alert| (alert.expected_per_minute, alert.seen_per_minute, alert.suspects) = (0.2, 0.0, Vec::new()),
        "We would expect 12 bookings per hour, but see none. That began 10 minutes ago, no change near.",
    );
}

#[test]
fn silence_says_nothing_of_any_kind() {
    check(
        |alert| (alert.cause, alert.seen_per_minute, alert.suspects) = (Cause::Silence, 0.0, Vec::new()),
        "We would expect 67 bookings per minute, but nothing of any kind has arrived since 15:10 CET. That began 10 \
         minutes ago, no change near.",
    );
    let mut silent = alert();
    (silent.cause, silent.unknown_up_to) = (Cause::Silence, 670.0);
    assert!(long(&silent, minute(10)).contains("Missed so far: unknown, up to 670 bookings, 18 % of the"));
}

#[test]
fn once_over_it_is_told_in_the_past() {
    check(
        |alert| alert.resolved_at = Some(minute(49)),
        "We expected 67 bookings per minute, but saw 37 fewer. That began at 15:10 CET, at the yellow activation line \
         of experiment 13, and ended after 49 minutes.",
    );
}

#[test]
fn what_was_turned_off_and_whether_that_helped_is_told() {
    let off = |outcome| vec![crate::off::OffAction { outcome, ..crate::alert::sample::off_action() }];
    let told = |alert: &mut Alert, outcome| alert.off_actions = off(outcome);
    let begin = "We would expect 67 bookings per minute, but see 37 fewer. That began 10 minutes ago at the yellow activation \
                 line of experiment 13. a.turing turned off \u{201c}experiment 13 \u{2192} 80 %\u{201d} at 15:24 CET: ";
    check(|alert| told(alert, None), &format!("{begin}not known yet whether that helped."));
    check(|alert| told(alert, Some(Recovery::NotRecovered)), &format!("{begin}not recovered after off."));
    check(
        |alert| {
            (alert.resolved_at, alert.state) = (Some(minute(49)), crate::alert::State::Resolved);
            told(alert, Some(Recovery::Recovered));
        },
        "We expected 67 bookings per minute, but saw 37 fewer. That began at 15:10 CET, at the yellow activation line of \
         experiment 13, and ended after 49 minutes. a.turing turned off \u{201c}experiment 13 \u{2192} 80 %\u{201d} at 15:24 CET: \
         recovered after off.",
    );
    let mut pressed = alert();
    pressed.off_actions = off(None);
    assert!(long(&alert(), minute(10)).contains("Turn it off: POST"));
    assert!(!long(&pressed, minute(10)).contains("Turn it off"), "it is off already");
    pressed.onset = minute(15);
    assert!(!short(&pressed, minute(20)).contains("turned off"), "it was turned off before this began");
}

#[test]
fn an_unsure_onset_is_about() {
    check(
        |alert| (alert.onset_from, alert.suspects) = (minute(-20), Vec::new()),
        "We would expect 67 bookings per minute, but see 37 fewer. That began about 10 minutes ago, no change near.",
    );
}

#[test]
fn the_control_is_told_with_its_interval() {
    use crate::ledger::control::{Basis, Comparison, Control, Group};
    let compared = Comparison {
        before: None,
        after: [Group::events(30.0, 500.0), Group::events(100.0, 500.0)],
        basis: Basis::Units,
        randomised: true,
    };
    let mut alert = alert();
    alert.suspects[0].control = Control::judge(&compared, "e", "c", true, 70.0);
    assert!(long(&alert, minute(10)).contains("By timing alone"), "the wording follows the ledger");
    alert.suspects[0].wording = crate::suspect::BY_CONTROL.into();
    let text = long(&alert, minute(10));
    let expect = "By concurrent control that change gets 81 %, a cause without a line 12 %: those exposed to it have 70 % less than the \
                  others in the same minutes (54 % to 80 %).";
    assert!(text.contains(expect), "{text}");
}
