//! What past incidents teach: how often a change of a kind was the cause, and how long it took to show.
//!
//! Both begin with the design's numbers, worth a few observations, and move with each change that was taken back during an incident
//! and thereby confirmed or refuted: the prior as a Beta-smoothed share, the lag as a smoothed mean. The incidents themselves are the
//! only memory: what was learnt is counted anew from their suspects.

use std::collections::HashMap;

use super::reversal::Outcome;
use crate::{change::ChangeKind, suspect::Suspect};

/// Observations the first prior is worth.
const PRIOR_WORTH: f64 = 20.0;
/// Observations the first mean lag is worth.
const LAG_WORTH: f64 = 5.0;
/// Shortest mean lag, in minutes.
const LAG_MIN: f64 = 1.0;

#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    confirmed: f64,
    refuted: f64,
    lags: f64,
}

/// What is known of the kinds.
#[derive(Debug, Clone, Default)]
pub struct Lessons(HashMap<ChangeKind, Seen>);

impl Lessons {
    /// Counts the suspects that were taken back.
    pub fn of<'a>(suspects: impl Iterator<Item = &'a Suspect>) -> Self {
        let mut lessons = Self::default();
        for (suspect, outcome) in suspects.filter_map(|suspect| Some((suspect, suspect.outcome?))) {
            let kind = suspect.change.get("kind").and_then(|kind| serde_json::from_value(kind.clone()).ok());
            let Some(kind) = kind else { continue };
            let seen: &mut Seen = lessons.0.entry(kind).or_default();
            match outcome {
                Outcome::Confirmed => {
                    seen.confirmed += 1.0;
                    seen.lags += suspect.lag_minutes.max(0.0);
                }
                Outcome::Refuted => seen.refuted += 1.0,
            }
        }
        lessons
    }

    /// Prior weight of a kind, beside [`crate::suspect::UNKNOWN_PRIOR`] of a cause without a line.
    #[must_use]
    pub fn prior(&self, kind: ChangeKind) -> f64 {
        let (first, _) = first(kind);
        let seen = self.0.get(&kind).copied().unwrap_or_default();
        (first * PRIOR_WORTH + seen.confirmed) / (PRIOR_WORTH + seen.confirmed + seen.refuted)
    }

    /// Mean minutes until a change of a kind shows.
    #[must_use]
    pub fn mean_lag(&self, kind: ChangeKind) -> f64 {
        let (_, first) = first(kind);
        let seen = self.0.get(&kind).copied().unwrap_or_default();
        ((first * LAG_WORTH + seen.lags) / (LAG_WORTH + seen.confirmed)).max(LAG_MIN)
    }
}

/// Prior weight and mean lag before anything was learnt. The design gives activations (.02, 5), rollouts (.05, 15) and the lags of
/// schema and config (30); the other priors are ours: a fault injected on purpose is meant to break, announced work often does, a
/// remark is rarely a cause.
fn first(kind: ChangeKind) -> (f64, f64) {
    match kind {
        ChangeKind::Experiment | ChangeKind::Flag => (0.02, 5.0),
        ChangeKind::Deploy => (0.05, 15.0),
        ChangeKind::Config | ChangeKind::Schema => (0.03, 30.0),
        ChangeKind::Chaos => (0.1, 5.0),
        ChangeKind::Maintenance => (0.05, 15.0),
        ChangeKind::Note => (0.005, 30.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confirmed_and_refuted_changes_move_prior_and_lag() {
        let suspect = |outcome| Suspect {
            outcome,
            lag_minutes: 2.0,
            change: serde_json::json!({"id": "c", "kind": "config"}),
            ..crate::alert::sample::suspect("c", "the config change line of pay.timeout", 0.5, 1.0)
        };
        let of = |confirmed: usize, refuted: usize| {
            let mut suspects = vec![suspect(Some(Outcome::Confirmed)); confirmed];
            suspects.extend(vec![suspect(Some(Outcome::Refuted)); refuted]);
            suspects.push(suspect(None));
            Lessons::of(suspects.iter())
        };
        let known = |lessons: &Lessons| (lessons.prior(ChangeKind::Config), lessons.mean_lag(ChangeKind::Config));
        assert_eq!(known(&of(0, 0)), (0.03, 30.0), "what was not taken back teaches nothing");
        let (prior, lag) = known(&of(5, 0));
        assert!((prior - 0.224).abs() < 1e-9 && (lag - 16.0).abs() < 1e-9, "{prior} {lag}");
        let (prior, lag) = known(&of(5, 40));
        assert!(prior < 0.1 && (lag - 16.0).abs() < 1e-9, "a refuted change teaches no lag: {prior} {lag}");
        assert_eq!(of(5, 40).prior(ChangeKind::Deploy), 0.05);
    }
}
