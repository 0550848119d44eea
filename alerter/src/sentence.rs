//! The sentence of a page: expected, seen, since when, and the change line it began at.
//!
//! Rules of wording: only what entered the expectation is named as its source; as long as only the clock speaks for a
//! change the sentence says "began at"; without a change near, it says so. Pure: `now` is passed in.

mod number;

use serde::{Deserialize, Serialize};
use store::Timestamp;

use crate::{
    alert::{Alert, Cause, Measured},
    ledger::control::Control,
    off::Recovery,
    rule::Condition,
    suspect::Suspect,
};

/// Onset support wider than this, in minutes, is "about".
const SURE_MINUTES: i64 = 4;
/// Up to this lag the deviation began *at* the line, later it began *after* it.
const AT_MINUTES: f64 = 2.5;

/// A piece of a sentence; pieces that name a change link to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The words, with the spaces that belong between pieces.
    pub text: String,
    /// Id of the change the words name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<String>,
}

impl Part {
    fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), change: None }
    }
}

/// The two sentences as pieces, and what was turned off since.
#[must_use]
pub fn parts(alert: &Alert, now: Timestamp) -> Vec<Part> {
    let mut parts = vec![Part::plain(format!("{}.", lead(alert, now, "We")))];
    parts.extend(beginning(alert, now));
    parts.extend(turned_off(alert, now).map(Part::plain));
    parts
}

/// The two sentences as text.
#[must_use]
pub fn short(alert: &Alert, now: Timestamp) -> String {
    join(&parts(alert, now))
}

/// Everything on-call needs, as one paragraph: the sentence with its sources, then who, how much, and what to do.
#[must_use]
pub fn long(alert: &Alert, now: Timestamp) -> String {
    let begin = sources(alert).map_or_else(|| "We".to_owned(), |sources| format!("According to {sources} we"));
    let mut told = beginning(alert, now);
    told.extend(turned_off(alert, now).map(Part::plain));
    let text = format!("{}.{}", lead(alert, now, &begin), join(&told));
    let details = details(alert);
    if details.is_empty() { text } else { format!("{text} {details}") }
}

/// What follows the sentence: the evidence and who made the change, how much was missed and where, whom to ask, how to
/// turn it off.
#[must_use]
pub fn details(alert: &Alert) -> String {
    let parts =
        [evidence(alert), missed(alert), burnt(alert), children(alert), joined(alert), responsible(alert), off(alert)];
    parts.into_iter().flatten().collect::<Vec<String>>().join(" ")
}

/// A few words for a title: "Bookings: 37 per minute fewer than expected".
#[must_use]
pub fn headline(alert: &Alert, now: Timestamp) -> String {
    if alert.cause == Cause::Silence {
        return format!("{}: nothing of any kind since {}", alert.title, number::clock(alert.onset, now, &alert.zone));
    }
    if let Some((expected, seen)) = alert.expected_share.zip(alert.seen_share) {
        return format!("{}: {} instead of {}", alert.title, number::percent(seen), number::percent(expected));
    }
    if let Some(condition) = &alert.condition {
        return format!("{}{}", breached(alert, condition), of_group(alert));
    }
    let (scale, per) = number::per(alert.expected_per_minute);
    let (_, distance) = number::pair(alert.expected_per_minute * scale, alert.seen_per_minute * scale);
    format!("{}: {distance} per {per} {} than expected", alert.title, less_or_more(alert))
}

/// What a picture says above its chart: "Expected 67, saw 37 fewer since 15:10 CET".
#[must_use]
pub fn caption(alert: &Alert, now: Timestamp) -> String {
    let clock = |time| number::clock(time, now, &alert.zone);
    let when = match alert.resolved_at {
        None => format!("since {}", clock(alert.onset)),
        Some(end) => {
            let (from, to) = (clock(alert.onset), clock(end));
            // The zone is said once.
            let short = from.rsplit_once(' ').map_or(from.as_str(), |(time, _)| time);
            format!("from {short} to {to}")
        }
    };
    if let Some(condition) = &alert.condition {
        return format!("{} {when}", breached(alert, condition));
    }
    if alert.cause == Cause::Silence {
        return format!("Nothing of any kind {when}");
    }
    if let Some((expected, seen)) = alert.expected_share.zip(alert.seen_share) {
        return format!("Expected {}, saw {} {when}", number::percent(expected), number::percent(seen));
    }
    let (scale, per) = number::per(alert.expected_per_minute);
    let (expected, _) = number::pair(alert.expected_per_minute * scale, alert.seen_per_minute * scale);
    let per = if per == "minute" { String::new() } else { format!(" per {per}") };
    let distance = if alert.seen_per_minute > 0.0 { distance(alert) } else { "none".to_owned() };
    format!("Expected {expected}{per}, saw {distance} {when}")
}

/// "37 fewer", or "11.6 points more" of a share.
#[must_use]
pub fn distance(alert: &Alert) -> String {
    if alert.condition.is_some() {
        return String::new();
    }
    if let Some((expected, seen)) = alert.expected_share.zip(alert.seen_share) {
        let points = number::plain(((expected - seen).abs() * 1000.0).round() / 10.0);
        return format!("{points} points {}", if seen > expected { "more" } else { "less" });
    }
    let (scale, _) = number::per(alert.expected_per_minute);
    let (_, distance) = number::pair(alert.expected_per_minute * scale, alert.seen_per_minute * scale);
    format!("{distance} {}", less_or_more(alert))
}

fn join(parts: &[Part]) -> String {
    parts.iter().map(|part| part.text.as_str()).collect()
}

/// "We would expect 67 bookings per minute, but see 37 fewer"; in the past once it is over.
fn lead(alert: &Alert, now: Timestamp, begin: &str) -> String {
    if let Some(condition) = &alert.condition {
        return format!("{}{}", breached(alert, condition), of_group(alert));
    }
    let over = alert.resolved_at.is_some();
    let (expect, see) = if over { ("expected", "saw") } else { ("would expect", "see") };
    let (scale, per) = number::per(alert.expected_per_minute);
    let (expected, distance) = number::pair(alert.expected_per_minute * scale, alert.seen_per_minute * scale);
    let unit = &alert.unit;
    if alert.cause == Cause::Silence {
        let since = number::clock(alert.onset, now, &alert.zone);
        let arrived = if over { "nothing of any kind arrived from" } else { "nothing of any kind has arrived since" };
        return format!("{begin} {expect} {expected} {unit} per {per}, but {arrived} {since}{}", until(alert, now));
    }
    if let Some((expected, seen)) = alert.expected_share.zip(alert.seen_share) {
        let (expected, seen) = (number::percent(expected), number::percent(seen));
        if let Some(threshold) = alert.threshold_ms {
            let threshold = number::milliseconds(threshold);
            return format!("{begin} {expect} {expected} of {unit} to take longer than {threshold}, but {see} {seen}");
        }
        let title = mid_sentence(&alert.title);
        return format!("{begin} {expect} {title} to be {expected}, but {see} {seen}");
    }
    if alert.seen_per_minute <= 0.0 {
        return format!("{begin} {expect} {expected} {unit} per {per}, but {see} none");
    }
    format!("{begin} {expect} {expected} {unit} per {per}, but {see} {distance} {}", less_or_more(alert))
}

/// "Payment errors: 73, above 50", as a plain rule found it.
fn breached(alert: &Alert, condition: &Condition) -> String {
    let title = &alert.title;
    let window = number::duration(condition.window_minutes);
    if condition.kind == "absence" {
        let before = number::duration(condition.compare_minutes);
        return format!("{title}: nothing in the last {window}, but something in the {before} before");
    }
    let share = condition.kind != "static";
    let shown = |value: f64| if share { number::percent(value) } else { number::plain(value) };
    let value = condition.value.map_or_else(|| "unknown".to_owned(), shown);
    let unit = if share || alert.unit.is_empty() { String::new() } else { format!(" {}", alert.unit) };
    let side = if condition.above { "above" } else { "below" };
    let bound = condition.bound.map_or_else(String::new, |bound| format!(", {side} {}", shown(bound)));
    let against = match condition.kind.as_str() {
        "rate_of_change" => format!(" against {} ago", number::duration(condition.compare_minutes)),
        _ => String::new(),
    };
    format!("{title}: {value}{unit} in {window}{against}{bound}")
}

fn of_group(alert: &Alert) -> String {
    alert.slice.as_ref().map_or_else(String::new, |group| format!(" for {group}"))
}

/// "Payments and Searches left their expectation with it."
fn joined(alert: &Alert) -> Option<String> {
    let (last, others) = alert.joined.split_last()?;
    let names = if others.is_empty() { last.clone() } else { format!("{} and {last}", others.join(", ")) };
    Some(format!("{names} left their expectation with it."))
}

fn less_or_more(alert: &Alert) -> &'static str {
    match (alert.seen_per_minute > alert.expected_per_minute, alert.measured) {
        (true, _) => "more",
        (false, Measured::Count) => "fewer",
        (false, _) => "less",
    }
}

fn until(alert: &Alert, now: Timestamp) -> String {
    alert.resolved_at.map_or_else(String::new, |end| format!(" until {}", number::clock(end, now, &alert.zone)))
}

/// "Error rate" -> "error rate", "SQL time" stays.
fn mid_sentence(title: &str) -> String {
    let mut letters = title.chars();
    match (letters.next(), letters.next()) {
        (Some(first), Some(second)) if second.is_lowercase() => {
            first.to_lowercase().chain(std::iter::once(second)).chain(letters).collect()
        }
        _ => title.to_owned(),
    }
}

/// " That began 10 minutes ago at the yellow activation line of experiment 13."
fn beginning(alert: &Alert, now: Timestamp) -> Vec<Part> {
    let sure = alert.onset_to.minutes() - alert.onset_from.minutes() <= SURE_MINUTES;
    let named = alert.named_suspects();
    let when = if alert.resolved_at.is_some() {
        let comma = if named.is_empty() { "" } else { "," };
        let at = if sure { "at" } else { "around" };
        format!("{at} {}{comma}", number::clock(alert.onset, now, &alert.zone))
    } else {
        let about = if sure { "" } else { "about " };
        format!("{about}{} ago", number::duration(now.minutes() - alert.onset.minutes()))
    };
    let ended = alert.resolved_at.map_or_else(String::new, |end| {
        format!(", and ended after {}", number::duration(end.minutes() - alert.onset.minutes()))
    });
    if named.is_empty() {
        return vec![Part::plain(format!(" That began {when}, no change near{ended}."))];
    }
    let mut parts = vec![Part::plain(format!(" That began {when} "))];
    for (i, suspect) in named.iter().enumerate() {
        let text = format!("{}{} ", if i > 0 { ", or " } else { "" }, place(suspect));
        match parts.last_mut() {
            Some(last) if last.change.is_none() => last.text.push_str(&text),
            _ => parts.push(Part::plain(text)),
        }
        let id = suspect.change.get("id").and_then(serde_json::Value::as_str).map(str::to_owned);
        let (article, name) = suspect.phrase.split_once(' ').unwrap_or(("", &suspect.phrase));
        if let (Some(last), "the") = (parts.last_mut(), article) {
            last.text.push_str("the ");
            parts.push(Part { text: name.to_owned(), change: id });
        } else {
            parts.push(Part { text: suspect.phrase.clone(), change: id });
        }
    }
    parts.push(Part::plain(format!("{ended}.")));
    parts
}

#[expect(clippy::cast_possible_truncation, reason = "a lag of minutes")]
fn place(suspect: &Suspect) -> String {
    if suspect.lag_minutes > AT_MINUTES {
        format!("{} after", number::duration(suspect.lag_minutes.round() as i64))
    } else {
        "at".to_owned()
    }
}

/// "observed growth and data from last week and last month".
fn sources(alert: &Alert) -> Option<String> {
    let growth = alert.sources.iter().any(|source| source == "growth");
    let data: Vec<String> = alert.sources.iter().filter(|source| *source != "growth").cloned().collect();
    match (growth, data.is_empty()) {
        (true, true) => Some("observed growth".to_owned()),
        (true, false) => Some(format!("observed growth and data from {}", number::list(&data))),
        (false, false) => Some(format!("data from {}", number::list(&data))),
        (false, true) => None,
    }
}

/// "By timing alone that change gets 81 %, a cause without a line 12 %. Activated by j.doe."
fn evidence(alert: &Alert) -> Option<String> {
    let best = alert.named_suspects().first()?;
    let text = |key: &str| best.change.get(key).and_then(serde_json::Value::as_str).filter(|text| !text.is_empty());
    let whole = |share: f64| number::percent((share * 100.0).round() / 100.0);
    let compared = best.control.as_ref().filter(|_| best.by_control()).map(compared);
    let mut line = format!(
        "By {} that change gets {}, a cause without a line {}{}.",
        if compared.is_some() { "concurrent control" } else { "timing alone" },
        whole(best.share),
        whole(alert.unknown_share),
        compared.unwrap_or_default(),
    );
    let verb = match text("kind") {
        Some("experiment" | "flag") => "Activated",
        Some("deploy") => "Deployed",
        Some("chaos") => "Injected",
        _ => "Made",
    };
    if let Some(actor) = text("actor") {
        line.push_str(&format!(" {verb} by {actor}."));
    }
    if let Some(owner) = text("owner") {
        line.push_str(&format!(" That change is owned by {owner}."));
    }
    Some(line)
}

/// ": those exposed to it have 71 % less than the others in the same minutes (63 % to 78 %)"
fn compared(control: &Control) -> String {
    let whole = |change: f64| number::percent((change * 100.0).round() / 100.0);
    let (change, low, high) = if control.ratio < 1.0 {
        (1.0 - control.ratio, 1.0 - control.ratio_high, 1.0 - control.ratio_low)
    } else {
        (control.ratio - 1.0, control.ratio_low - 1.0, control.ratio_high - 1.0)
    };
    let word = if control.ratio < 1.0 { "less" } else { "more" };
    format!(
        ": those exposed to it have {} {word} than the others in the same minutes ({} to {})",
        whole(change),
        whole(low.max(0.0)),
        whole(high)
    )
}

/// "Missed so far: 371 bookings (318 to 424), 18 % of the error budget of 28 days."
fn missed(alert: &Alert) -> Option<String> {
    if alert.cause == Cause::Rule {
        return None;
    }
    let so_far = if alert.is_open() { " so far" } else { "" };
    let unit = &alert.unit;
    let budget = alert
        .budget_share
        .filter(|share| *share > 0.0)
        .map_or_else(String::new, |share| format!(", {} of the error budget of 28 days", number::percent(share)));
    if alert.cause == Cause::Silence {
        return Some(format!("Missed{so_far}: unknown, up to {} {unit}{budget}.", number::plain(alert.unknown_up_to)));
    }
    let (word, missed, low, high) = if alert.missed >= 0.0 {
        ("Missed", alert.missed, alert.missed_low, alert.missed_high)
    } else {
        ("Too many", -alert.missed, -alert.missed_high, -alert.missed_low)
    };
    (missed >= 0.5).then(|| {
        format!(
            "{word}{so_far}: {} {unit} ({} to {}){budget}.",
            number::plain(missed),
            number::plain(low.max(0.0)),
            number::plain(high)
        )
    })
}

/// "No drop was deep enough to page, but 5.3 % of the error budget of 28 days went in 6 hours, where 5 % pages."
fn burnt(alert: &Alert) -> Option<String> {
    let burn = alert.burn?;
    Some(format!(
        "No deviation was deep enough to page, but {} of the error budget of 28 days went in {}, where {} pages.",
        number::percent(burn.spent),
        number::duration(burn.window_minutes),
        number::percent(burn.limit)
    ))
}

/// "Most of it: country=NL 62 %, country=DE 24 %."
fn children(alert: &Alert) -> Option<String> {
    let top: Vec<String> = alert
        .children
        .iter()
        .filter(|child| child.share >= 0.1)
        .take(3)
        .map(|child| format!("{} {}", child.slice, number::percent((child.share * 100.0).round() / 100.0)))
        .collect();
    (!top.is_empty()).then(|| format!("By slice: {}.", top.join(", ")))
}

fn responsible(alert: &Alert) -> Option<String> {
    alert.owner.as_ref().map(|owner| format!("The metric is owned by {owner}."))
}

/// "Turn it off: POST https://…", as long as nobody did.
fn off(alert: &Alert) -> Option<String> {
    let call = alert.off().filter(|_| alert.is_open())?;
    let is_off = alert.offs_since_onset().any(|action| action.change == call.change);
    (!is_off).then(|| format!("Turn it off: {} {}", call.method, call.url))
}

/// " j.doe turned off “experiment 13 → 80 %” at 15:24 CET: recovered after off.", for each that was turned off.
fn turned_off(alert: &Alert, now: Timestamp) -> impl Iterator<Item = String> {
    alert.offs_since_onset().map(move |action| {
        let when = number::clock(action.at, now, &alert.zone);
        let outcome = action.outcome.map_or("not known yet whether that helped", Recovery::words);
        format!(" {} turned off \u{201c}{}\u{201d} at {when}: {outcome}.", action.by(), action.title)
    })
}

#[cfg(test)]
#[path = "sentence_tests.rs"]
mod tests;
