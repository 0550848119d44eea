//! What past incidents teach: how often a change of a kind was the cause, and how long it took to show.
//!
//! Both begin with the design's numbers, worth a few observations, and move with each change that was taken back during an incident
//! and thereby confirmed or refuted: the prior as a Beta-smoothed share, the lag as a smoothed mean.

use std::collections::HashMap;

use crate::change::ChangeKind;

/// Observations the first prior is worth.
const PRIOR_WORTH: f64 = 20.0;
/// Observations the first mean lag is worth.
const LAG_WORTH: f64 = 5.0;
/// Shortest mean lag, in minutes.
const LAG_MIN: f64 = 1.0;

/// One judged change.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lesson {
    /// Its kind.
    pub kind: ChangeKind,
    /// True when taking it back ended the incident.
    pub confirmed: bool,
    /// Minutes from the change to the onset.
    pub lag_minutes: f64,
}

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
    /// Takes one in.
    pub fn learn(&mut self, lesson: Lesson) {
        let seen = self.0.entry(lesson.kind).or_default();
        if lesson.confirmed {
            seen.confirmed += 1.0;
            seen.lags += lesson.lag_minutes.max(0.0);
        } else {
            seen.refuted += 1.0;
        }
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
        let mut lessons = Lessons::default();
        assert_eq!((lessons.prior(ChangeKind::Config), lessons.mean_lag(ChangeKind::Config)), (0.03, 30.0));
        for _ in 0..5 {
            lessons.learn(Lesson { kind: ChangeKind::Config, confirmed: true, lag_minutes: 2.0 });
        }
        assert!((lessons.prior(ChangeKind::Config) - 0.224).abs() < 1e-9);
        assert_eq!(lessons.mean_lag(ChangeKind::Config), 16.0);
        for _ in 0..40 {
            lessons.learn(Lesson { kind: ChangeKind::Config, confirmed: false, lag_minutes: 2.0 });
        }
        assert!(lessons.prior(ChangeKind::Config) < 0.1);
        assert_eq!(lessons.mean_lag(ChangeKind::Config), 16.0, "a refuted change teaches no lag");
        assert_eq!(lessons.prior(ChangeKind::Deploy), 0.05);
    }
}
