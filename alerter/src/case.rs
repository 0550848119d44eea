//! An incident as a case to learn from: what happened in which order, the picture, the evidence, what people decided. Pure.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value;
use store::Timestamp;

use crate::{
    alert::{Alert, Cause, Transition, TransitionKind},
    change::Change,
    notify::Links,
    sentence,
};

/// Minutes before the onset whose changes are part of the case.
pub(crate) const CHANGES_MINUTES: i64 = 60;

/// Everything a case is made of.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) alert: Alert,
    pub(crate) transitions: Vec<Transition>,
    /// `notifications` of the API.
    pub(crate) notifications: Vec<Value>,
    /// Events of `system.off_actions`.
    pub(crate) offs: Vec<Value>,
    /// Changes of its environment from an hour before the onset to the end.
    pub(crate) changes: Vec<Change>,
}

/// One line of the timeline.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Entry {
    /// RFC 3339.
    pub(crate) time: String,
    /// `change`, `onset`, `alert`, `notification`, `off`.
    pub(crate) what: &'static str,
    pub(crate) text: String,
}

impl Case {
    /// What happened, in order.
    pub(crate) fn timeline(&self) -> Vec<Entry> {
        let alert = &self.alert;
        let mut entries: Vec<Entry> = Vec::new();
        let mut add = |time: String, what, text: String| entries.push(Entry { time, what, text });
        for change in &self.changes {
            let by = change.text("actor").map_or_else(String::new, |actor| format!(", by {actor}"));
            let kind = change.text("kind").unwrap_or_default();
            let seen = if change.inferred { ", seen in the data" } else { "" };
            let title = change.text("title").unwrap_or(&change.id);
            add(change.time.to_rfc3339(), "change", format!("{title} ({kind}{by}{seen})"));
        }
        let began = match alert.cause {
            // What its window shows may have begun anywhere in it.
            Cause::Rule => format!("it began here at the earliest, at {} at the latest", clock(alert.onset_to)),
            _ => "it began (likeliest minute)".to_owned(),
        };
        add(alert.onset.to_rfc3339(), "onset", began);
        for transition in &self.transitions {
            add(transition.time.to_rfc3339(), "alert", told(transition));
        }
        for one in &self.notifications {
            let text = |key: &str| one.get(key).and_then(Value::as_str);
            let Some(time) = text("delivered_at") else { continue };
            let (channel, kind) = (text("channel").unwrap_or_default(), text("type").unwrap_or_default());
            add(time.to_owned(), "notification", format!("{channel} was told ({kind})"));
        }
        for off in &self.offs {
            let text = |key: &str| off.get(key).and_then(Value::as_str).unwrap_or_default();
            let call = [text("method"), text("url"), text("body")].join(" ");
            let by =
                [text("actor"), text("key"), "somebody"].into_iter().find(|name| !name.is_empty()).unwrap_or_default();
            let status =
                off.get("status").map_or_else(|| text("answer").to_owned(), |status| format!("answered {status}"));
            let line = match text("type") {
                "started" => format!("{by} pressed: {}", call.trim_end()),
                _ => format!("{}: {status}", call.trim_end()),
            };
            add(text("time").to_owned(), "off", line);
        }
        entries.sort();
        entries
    }

    /// The case as Markdown. `picture` is where its picture lies: an address, or a file beside it.
    pub(crate) fn markdown(&self, links: &Links, picture: Option<&str>, now: Timestamp) -> String {
        let alert = &self.alert;
        let mut text = format!("# {}\n\n", line(&sentence::headline(alert, now)));
        let mut add = |part: String| {
            text.push_str(&part);
            text.push_str("\n\n");
        };
        add(line(&sentence::long(alert, now)));
        if let Some(picture) = picture {
            add(format!("![{}]({picture})", line(&sentence::caption(alert, now))));
        }
        add(self.facts());
        add(format!("## Timeline\n\n{}", self.timeline_table()));
        add(format!("## Evidence\n\n{}", self.evidence()));
        add(format!("## Decisions\n\n{}", self.decisions()));
        add(format!("## Links\n\n{}", self.link_list(links)));
        text.truncate(text.trim_end().len());
        text.push('\n');
        text
    }

    fn facts(&self) -> String {
        let alert = &self.alert;
        let over = alert.resolved_at.map_or_else(|| "not over".to_owned(), utc);
        // A plain rule expects nothing.
        let forecast = |text: String| if alert.cause == Cause::Rule { String::new() } else { text };
        let budget = alert.budget_share.map_or_else(String::new, |share| format!("{:.1} % of 28 days", share * 100.0));
        let rows = [
            ("Incident", alert.id.clone()),
            ("Metric", alert.metric.clone()),
            ("Slice", alert.slice.clone().unwrap_or_default()),
            ("Environment", alert.environment.clone().unwrap_or_default()),
            ("Owner", alert.owner.clone().unwrap_or_default()),
            (
                "Began",
                format!("{} (between {} and {})", utc(alert.onset), clock(alert.onset_from), clock(alert.onset_to)),
            ),
            ("Paged", utc(alert.paged_at)),
            ("Ended", over),
            (
                "Expected, seen per minute",
                forecast(format!("{:.1}, {:.1}", alert.expected_per_minute, alert.seen_per_minute)),
            ),
            ("Expected from", alert.sources.join(", ")),
            (
                "Missed (95 % interval)",
                forecast(format!("{:.0} ({:.0} to {:.0})", alert.missed, alert.missed_low, alert.missed_high)),
            ),
            ("Error budget", budget),
        ];
        let rows = rows.into_iter().filter(|(_, value)| !value.is_empty());
        table(&["", ""], rows.map(|(name, value)| vec![name.to_owned(), value]))
    }

    fn timeline_table(&self) -> String {
        table(
            &["time (UTC)", "what", ""],
            self.timeline().into_iter().map(|one| vec![to_seconds(&one.time), one.what.to_owned(), one.text]),
        )
    }

    /// A row per suspect, with every line of its ledger that is counted in bits.
    fn evidence(&self) -> String {
        let ledgers: Vec<Value> =
            self.alert.suspects.iter().map(|suspect| serde_json::to_value(suspect).unwrap_or_default()).collect();
        let mut bits: Vec<String> = Vec::new();
        for (key, value) in ledgers.iter().filter_map(Value::as_object).flatten() {
            // A line without evidence on anybody says nothing.
            if key.ends_with("_bits") && !bits.contains(key) && value.as_f64() != Some(0.0) {
                bits.push(key.clone());
            }
        }
        let mut head = vec!["suspect", "share"];
        let names: Vec<String> = bits.iter().map(|key| format!("{}, bits", key.trim_end_matches("_bits"))).collect();
        head.extend(names.iter().map(String::as_str));
        let cell = |ledger: &Value, key: &String| {
            ledger[key].as_f64().map_or_else(String::new, |value| format!("{value:+.1}"))
        };
        let row = |(suspect, ledger): (&crate::suspect::Suspect, &Value)| {
            let title = suspect.change["title"].as_str().unwrap_or(&suspect.phrase).to_owned();
            let mut row = vec![title, format!("{:.1} %", suspect.share * 100.0)];
            row.extend(bits.iter().map(|key| cell(ledger, key)));
            row
        };
        let mut rows: Vec<Vec<String>> = self.alert.suspects.iter().zip(&ledgers).map(row).collect();
        rows.push(vec!["unknown cause".to_owned(), format!("{:.1} %", self.alert.unknown_share * 100.0)]);
        table(&head, rows.into_iter())
    }

    fn decisions(&self) -> String {
        let alert = &self.alert;
        let note = |text: &Option<String>| text.as_ref().map_or_else(String::new, |text| format!(": {}", line(text)));
        let mut lines: Vec<String> = Vec::new();
        if let Some(at) = alert.acknowledged_at {
            let by = alert.acknowledged_by.as_deref().unwrap_or("somebody");
            lines.push(format!("- Acknowledged by {} at {}{}", line(by), utc(at), note(&alert.acknowledge_note)));
        }
        for action in &alert.off_actions {
            let outcome = action.outcome.map_or("not known yet whether that helped", crate::off::Recovery::words);
            let (by, title, at) = (line(action.by()), line(&action.title), utc(action.at));
            lines.push(format!("- {by} turned off {title} at {at}{}: {outcome}", note(&action.reason)));
        }
        if let Some(feedback) = &alert.feedback {
            let verdict = if feedback.verdict { "a true alert" } else { "a false alert" };
            let by = feedback.actor.as_deref().unwrap_or("somebody");
            lines.push(format!("- Judged {verdict} by {} at {}{}", line(by), utc(feedback.at), note(&feedback.note)));
        }
        if lines.is_empty() { "None is recorded.".to_owned() } else { lines.join("\n") }
    }

    fn link_list(&self, links: &Links) -> String {
        let mut lines = vec![format!("- [Incident]({})", links.console(&self.alert.id))];
        if let Some(runbook) = &self.alert.runbook {
            lines.push(format!("- [Runbook](<{}>)", line(runbook)));
        }
        for suspect in &self.alert.suspects {
            let text = |key: &str| suspect.change[key].as_str().map(line);
            if let Some(url) = text("url") {
                lines.push(format!("- [{}](<{url}>)", text("title").unwrap_or_else(|| "Change".to_owned())));
            }
        }
        lines.join("\n")
    }
}

/// `2026-11-20 14:10 UTC`.
fn utc(time: Timestamp) -> String {
    let text = time.to_rfc3339();
    format!("{} UTC", text.get(..16).unwrap_or(&text).replace('T', " "))
}

/// `14:10`.
fn clock(time: Timestamp) -> String {
    let text = time.to_rfc3339();
    text.get(11..16).unwrap_or(&text).to_owned()
}

/// `2026-11-20 14:10:27` of an RFC 3339 time.
fn to_seconds(time: &str) -> String {
    time.get(..19).unwrap_or(time).replace('T', " ")
}

/// What a transition did, in words.
fn told(transition: &Transition) -> String {
    let alert = &transition.alert;
    match transition.kind {
        TransitionKind::Triggered | TransitionKind::Retriggered => {
            let told = transition.notify && !alert.channels.is_empty();
            let heard = if told { "paged" } else { "opened, nobody told" };
            format!("{heard}: {}", sentence::short(alert, transition.time))
        }
        TransitionKind::Updated => format!("better known: {}", sentence::short(alert, transition.time)),
        TransitionKind::Acknowledged => {
            let note = alert.acknowledge_note.as_ref().map_or_else(String::new, |note| format!(": {note}"));
            format!("acknowledged by {}{note}", alert.acknowledged_by.as_deref().unwrap_or("somebody"))
        }
        TransitionKind::Resolved => "over".to_owned(),
        TransitionKind::Feedback => match &alert.feedback {
            Some(feedback) => format!("judged {}", if feedback.verdict { "true" } else { "false" }),
            None => "judged".to_owned(),
        },
        TransitionKind::TurnedOff => match alert.off_actions.last() {
            Some(action) => format!("{} turned off {}", action.by(), action.title),
            None => "a change was turned off".to_owned(),
        },
        TransitionKind::OffJudged => {
            let outcome = alert.off_actions.iter().rev().find_map(|action| action.outcome);
            outcome.map_or("judged", crate::off::Recovery::words).to_owned()
        }
    }
}

/// A text of somebody's on one line, without what Markdown would read as more than text.
fn line(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\n' | '\r' | '\t' => clean.push(' '),
            '|' | '<' | '>' | '[' | ']' | '`' | '*' | '\\' => {
                clean.push('\\');
                clean.push(letter);
            }
            other => clean.push(other),
        }
    }
    clean
}

fn table(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut text = format!("| {} |\n|{}\n", head.join(" | "), "---|".repeat(head.len()));
    for row in rows {
        let cells: Vec<String> =
            row.iter().map(|cell| line(cell)).chain(std::iter::repeat(String::new())).take(head.len()).collect();
        let written = writeln!(text, "| {} |", cells.join(" | "));
        debug_assert!(written.is_ok(), "writing to a String cannot fail");
    }
    text.truncate(text.trim_end().len());
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::sample;

    fn case() -> Case {
        let mut alert = sample::alert();
        alert.off_actions = vec![crate::off::OffAction {
            outcome: Some(crate::off::Recovery::Recovered),
            reason: Some("broken | <checkout>".into()),
            ..sample::off_action()
        }];
        let mut trigger = sample::transition(TransitionKind::Triggered);
        trigger.time = sample::minute(2);
        let judged = Transition {
            alert: alert.clone(),
            time: sample::minute(17),
            ..sample::transition(TransitionKind::OffJudged)
        };
        let change = serde_json::json!({"id": "01J1", "kind": "experiment", "title": "experiment 13", "actor": "j.doe",
            "time": sample::minute(0).to_rfc3339()});
        Case {
            alert,
            transitions: vec![judged, trigger],
            notifications: vec![serde_json::json!({"channel": "oncall", "type": "trigger",
                "delivered_at": sample::minute(3).to_rfc3339()})],
            offs: Vec::new(),
            changes: vec![Change::from_json(&change).unwrap()],
        }
    }

    #[test]
    fn the_timeline_is_in_order() {
        let what: Vec<&str> = case().timeline().iter().map(|entry| entry.what).collect();
        assert_eq!(what, ["change", "onset", "alert", "notification", "alert"]);
    }

    #[test]
    fn a_case_has_all_its_parts_and_nobody_elses_markup() {
        let links = Links::new("https://yellowline.example", &[]);
        let text = case().markdown(&links, Some("case.png"), sample::minute(20));
        for part in [
            "# Bookings: 37 per minute fewer than expected\n",
            "![Expected 67, saw 37 fewer since 15:10 CET](case.png)",
            "| Missed (95 % interval) | 371 (318 to 424) |",
            "## Timeline",
            "| 2026-11-20 14:10:00 | change | experiment 13 (experiment, by j.doe) |",
            "## Evidence",
            "| experiment 13 \u{2192} 80 % | 81.0 % |",
            "| unknown cause | 12.0 % |",
            "- a.turing turned off experiment 13 \u{2192} 80 % at 2026-11-20 14:24 UTC: broken \\| \\<checkout\\>: recovered after off",
            "- [Incident](https://yellowline.example/alerts/bookings-20261120T1410)",
        ] {
            assert!(text.contains(part), "{part}\nnot in\n{text}");
        }
    }
}
