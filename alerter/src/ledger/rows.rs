//! The ledger as rows of `system.suspect_changes`.

use serde_json::{Value, json};
use store::Timestamp;

use crate::{
    alert::{Alert, Transition},
    history::Minute,
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

/// Rows for the suspects that a switching-off confirmed or refuted with this transition.
pub(crate) fn judged(transition: &Transition) -> Vec<Value> {
    let (alert, now) = (&transition.alert, transition.time);
    let told = |suspect: &Suspect| {
        let mut offs = alert.off_actions.iter().filter(|action| action.judged_at == Some(now));
        suspect.outcome.is_some() && offs.any(|action| action.change == suspect.id())
    };
    let suspects = alert.suspects.iter().enumerate().filter(|(_, suspect)| told(suspect));
    let judged = suspects.map(|(at, suspect)| {
        let mut row = row(alert, Some(at + 1), suspect, now.minutes());
        // Beside what the minute says.
        row["id"] = json!(format!("{}/{}/judged/{}", alert.id, suspect.id(), transition.number));
        row
    });
    judged.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        alert::{TransitionKind, sample},
        off::Recovery,
    };

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
    fn a_switching_off_that_was_judged_is_a_row_of_its_suspect() {
        let mut transition = sample::transition(TransitionKind::OffJudged);
        transition.alert.off_actions = vec![sample::off_action()];
        assert!(judged(&transition).is_empty(), "nothing is told yet");
        transition.alert.settle_off(Recovery::Recovered, transition.time);
        let rows = judged(&transition);
        assert_eq!((rows.len(), &rows[0]["change_id"], &rows[0]["outcome"]), (1, &json!("01J1"), &json!("confirmed")));
        transition.time = transition.time.plus_seconds(60);
        assert!(judged(&transition).is_empty(), "it was told before");
    }
}
