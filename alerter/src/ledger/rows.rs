//! The ledger as rows of `system.suspect_changes`.

use serde_json::{Value, json};
use store::Timestamp;

use crate::{
    alert::Alert,
    change::ChangeKind,
    history::Minute,
    ledger::lessons::{Lesson, Lessons},
    suspect::Suspect,
};

/// Rows for what an incident says of its candidates at a minute; `before` is what it said last. Candidates that are no longer listed
/// get a last row without a rank. Their ids say what they hold, so that a repeated one is the same event.
pub(crate) fn rows(alert: &Alert, before: &[Suspect], minute: Minute) -> Vec<Value> {
    let listed = |id: &str| alert.suspects.iter().any(|suspect| suspect.id() == id);
    let gone = before.iter().filter(|suspect| !listed(suspect.id())).map(|suspect| (None, suspect));
    let now = alert.suspects.iter().enumerate().map(|(at, suspect)| (Some(at + 1), suspect));
    now.chain(gone).map(|(rank, suspect)| row(alert, rank, suspect, minute)).collect()
}

fn row(alert: &Alert, rank: Option<usize>, suspect: &Suspect, minute: Minute) -> Value {
    let change = |key: &str| suspect.change.get(key).cloned().unwrap_or(Value::Null);
    let mut row = json!({
        "id": format!("{}/{}/{minute}", alert.id, suspect.id()),
        "time": Timestamp::from_minutes(minute).to_rfc3339(),
        "alert_id": alert.id, "change_id": suspect.id(), "revision": minute, "metric": alert.metric,
        "environment": alert.environment, "kind": change("kind"), "title": change("title"), "rank": rank,
        "share": if rank.is_some() { suspect.share } else { 0.0 },
        "unknown_share": alert.unknown_share, "timing_bits": suspect.timing_bits, "control_bits": suspect.control_bits,
        "dose_bits": suspect.dose_bits, "prior_bits": suspect.prior_bits, "reversal_bits": suspect.reversal_bits,
        "prior": suspect.prior, "lag_minutes": suspect.lag_minutes, "verdict": suspect.verdict,
        "wording": suspect.wording, "phrase": suspect.phrase, "outcome": suspect.outcome,
    });
    if let (Some(row), Some(Value::Object(mut control))) =
        (row.as_object_mut(), suspect.control.as_ref().and_then(|control| serde_json::to_value(control).ok()))
    {
        // Told in full by `control_bits`.
        control.remove("bits");
        row.extend(control);
    }
    row
}

/// What the rows stored so far teach: the last word on each change that was taken back.
pub(crate) fn lessons(rows: &[Value]) -> Lessons {
    let mut last: std::collections::BTreeMap<(&str, &str), (i64, Lesson)> = std::collections::BTreeMap::new();
    for row in rows {
        let text = |key: &str| row.get(key).and_then(Value::as_str);
        let kind = row.get("kind").and_then(|kind| serde_json::from_value::<ChangeKind>(kind.clone()).ok());
        let (Some(alert), Some(change), Some(kind)) = (text("alert_id"), text("change_id"), kind) else { continue };
        let confirmed = match text("outcome") {
            Some("confirmed") => true,
            Some("refuted") => false,
            _ => continue,
        };
        let lag_minutes = row.get("lag_minutes").and_then(Value::as_f64).unwrap_or(0.0);
        let revision = row.get("revision").and_then(Value::as_i64).unwrap_or(0);
        let known = last.get(&(alert, change)).map(|(revision, _)| *revision);
        if known.is_none_or(|known| revision >= known) {
            last.insert((alert, change), (revision, Lesson { kind, confirmed, lag_minutes }));
        }
    }
    let mut lessons = Lessons::default();
    last.into_values().for_each(|(_, lesson)| lessons.learn(lesson));
    lessons
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::sample;

    #[test]
    fn a_row_per_candidate_and_a_last_one_for_who_left() {
        let alert = sample::alert();
        let before = [sample::suspect("gone", "the deploy line of web 2.1", 0.4, 7.0)];
        let rows = rows(&alert, &before, 42);
        assert_eq!((rows.len(), &rows[0]["rank"], &rows[0]["change_id"]), (2, &json!(1), &json!("01J1")));
        assert_eq!((&rows[1]["rank"], &rows[1]["share"]), (&Value::Null, &json!(0.0)));
        assert_eq!(rows[0]["verdict"], "no control");
    }

    #[test]
    fn the_last_word_on_a_change_is_the_lesson() {
        let row = |revision: i64, outcome: Option<&str>| {
            json!({"alert_id": "a", "change_id": "c", "revision": revision, "kind": "config", "outcome": outcome,
                   "lag_minutes": 0.0})
        };
        let prior = |rows: &[Value]| lessons(rows).prior(ChangeKind::Config);
        assert_eq!(prior(&[row(1, None)]), 0.03);
        let changed = [row(1, Some("refuted")), row(2, Some("confirmed"))];
        assert!((prior(&changed) - 1.6 / 21.0).abs() < 1e-9, "{}", prior(&changed));
    }
}
