//! Which change did it: an evidence ledger in bits per candidate, with "unknown cause" always among them.
//!
//! Two lines of the ledger exist here: timing and prior. Concurrent control (exposed against unexposed users in the
//! same minutes) and dose add further terms to [`Suspect::bits`] when they come; until there is control evidence
//! the wording stays "began at". Pure: no clock, no I/O.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    change::{Change, ChangeKind},
    onset::Onset,
};

/// Prior weight of a cause that left no line. Source: design, slices B3.
const UNKNOWN_PRIOR: f64 = 0.3;
/// Minutes over which timing is compared with "any time": a day.
const HORIZON_MINUTES: f64 = 1440.0;
/// Density of a change that came clearly after the onset: a veto, short of impossible.
const AFTER_DENSITY: f64 = 1e-6;
/// A change may be stamped up to this long after what it did, clocks being what they are.
const EARLY_MINUTES: f64 = -1.0;
/// No single line of the ledger weighs more than this many bits.
const BITS_MAX: f64 = 10.0;
/// Changes older than this before the onset are no candidates: the slowest kind has faded to under half a bit by then.
const LOOKBACK_MINUTES: i64 = 180;
/// Changes later than this after the support are no candidates.
const LOOKAHEAD_MINUTES: i64 = 2;
/// Suspects listed at most.
const LISTED_MAX: usize = 8;
/// Suspects below this share are not listed.
const LISTED_SHARE_MIN: f64 = 0.005;
/// A line seen in the data instead of announced stands for the change less surely: first sight can be late, and can be
/// the consequence of something else.
const INFERRED_FACTOR: f64 = 0.5;

/// One candidate with its evidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Suspect {
    /// The change as the API shows it.
    pub change: Value,
    /// Its share of the posterior; all shares and the unknown one sum to 1.
    pub share: f64,
    /// How much likelier this timing is than any time of the day, log2, within ±10.
    pub timing_bits: f64,
    /// Prior weight of its kind.
    pub prior: f64,
    /// "began at" as long as only the clock speaks for it.
    pub wording: String,
    /// How a sentence names it.
    pub phrase: String,
    /// Minutes from the change to the likeliest onset; negative: the change came after.
    pub lag_minutes: f64,
}

/// Candidates, best first, and what is left for a cause without a line.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Ranking {
    /// Best first.
    pub suspects: Vec<Suspect>,
    /// Share of an unknown cause.
    pub unknown_share: f64,
}

/// The suspects a sentence may name: the best one if it beats the unknown cause, and the second one when it is more
/// than half as likely as the best.
#[must_use]
pub fn named(suspects: &[Suspect], unknown_share: f64) -> &[Suspect] {
    let Some(best) = suspects.first().filter(|best| best.share > unknown_share) else { return &[] };
    let close = suspects.get(1).is_some_and(|second| second.share > 0.5 * best.share);
    &suspects[..if close { 2 } else { 1 }]
}

/// Ranks the changes near an onset for a metric of one environment (`None`: the metric covers all of them).
#[must_use]
pub fn rank(onset: &Onset, changes: &[Change], environment: Option<&str>) -> Ranking {
    let earliest = (onset.from - LOOKBACK_MINUTES) * 60_000_000;
    let latest = (onset.to + 1 + LOOKAHEAD_MINUTES) * 60_000_000;
    let mut candidates: Vec<(f64, Suspect)> = changes
        .iter()
        .filter(|change| (earliest..latest).contains(&change.time.0))
        .filter(|change| shares_environment(change, environment))
        .map(|change| {
            let suspect = weigh(onset, change);
            (suspect.prior * suspect.timing_bits.exp2(), suspect)
        })
        .collect();
    let total = UNKNOWN_PRIOR + candidates.iter().map(|(weight, _)| weight).sum::<f64>();
    for (weight, suspect) in &mut candidates {
        suspect.share = *weight / total;
    }
    candidates.sort_by(|a, b| b.0.total_cmp(&a.0));
    let suspects = candidates
        .into_iter()
        .map(|(_, suspect)| suspect)
        .filter(|suspect| suspect.share >= LISTED_SHARE_MIN)
        .take(LISTED_MAX)
        .collect();
    Ranking { suspects, unknown_share: UNKNOWN_PRIOR / total }
}

/// A change of another environment is never a suspect; one without an environment speaks of all.
pub(crate) fn shares_environment(change: &Change, environment: Option<&str>) -> bool {
    match (change.environment.as_deref(), environment) {
        (Some(theirs), Some(ours)) => theirs == ours,
        _ => true,
    }
}

fn weigh(onset: &Onset, change: &Change) -> Suspect {
    let (prior, mean_lag) = kind_prior(change.kind);
    let prior = if change.inferred { prior * INFERRED_FACTOR } else { prior };
    let density: f64 = onset
        .profile
        .iter()
        .map(|(minute, probability)| probability * lag_density(lag_minutes(*minute, change), mean_lag))
        .sum();
    Suspect {
        change: change.json.clone(),
        share: 0.0,
        timing_bits: (density * HORIZON_MINUTES).log2().clamp(-BITS_MAX, BITS_MAX),
        prior,
        wording: "began at".to_owned(),
        phrase: change.phrase(),
        lag_minutes: lag_minutes(onset.minute, change),
    }
}

/// From the change to the start of the minute in which the deviation began.
#[expect(clippy::cast_precision_loss, reason = "a lag of hours in microseconds is exact in an f64")]
fn lag_minutes(minute: i64, change: &Change) -> f64 {
    (minute * 60_000_000 - change.time.0) as f64 / 60_000_000.0
}

/// `e^(-lag/m)/m` from a minute before the change on.
fn lag_density(lag: f64, mean: f64) -> f64 {
    if lag < EARLY_MINUTES { AFTER_DENSITY } else { (-lag.max(0.0) / mean).exp() / mean }
}

/// Prior weight of a kind and how long, in minutes, it takes on average to show. The design gives activations (.02, 5),
/// rollouts (.05, 15) and the lags of schema and config (30); the other priors are ours, until history trains them:
/// a fault injected on purpose is meant to break, announced work often does, a remark is rarely a cause.
fn kind_prior(kind: ChangeKind) -> (f64, f64) {
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
    use serde_json::json;

    use super::*;

    /// 2026-11-20T14:03Z in minutes.
    const ONSET: i64 = 29_919_723;

    fn onset() -> Onset {
        Onset { minute: ONSET, from: ONSET, to: ONSET, log_likelihood: 20.0, profile: vec![(ONSET, 1.0)] }
    }

    fn change(id: &str, kind: &str, minutes_before: i64, environment: Option<&str>) -> Change {
        let time = store::Timestamp::from_minutes(ONSET - minutes_before).to_rfc3339();
        Change::from_json(&json!({"id": id, "kind": kind, "time": time, "environment": environment, "target": id}))
            .unwrap()
    }

    #[test]
    fn timing_and_prior_agree_with_the_worked_example() {
        // Design, slices B3: "timing alone would say 47 / 39 / 11 / 0 %, unknown 3 %".
        let changes = [
            change("13", "experiment", 1, Some("production")),
            change("21", "experiment", 2, Some("production")),
            change("r", "deploy", 23, Some("production")),
            change("30", "experiment", -17, Some("production")),
        ];
        let ranking = rank(&onset(), &changes, Some("production"));
        let shares: Vec<f64> = ranking.suspects.iter().map(|suspect| (suspect.share * 100.0).round()).collect();
        assert_eq!(shares, [48.0, 39.0, 10.0]);
        assert!((ranking.suspects[0].timing_bits - 7.88).abs() < 0.01);
        assert!((ranking.unknown_share - 0.03).abs() < 0.005);
        assert_eq!(named(&ranking.suspects, ranking.unknown_share).len(), 2, "neither stands out by timing alone");
    }

    #[test]
    fn another_environment_is_never_a_suspect() {
        let changes = [change("13", "experiment", 0, Some("staging")), change("7", "deploy", 20, None)];
        let ranking = rank(&onset(), &changes, Some("production"));
        assert_eq!(ranking.suspects.len(), 1);
        assert_eq!(ranking.suspects[0].change["id"], "7");
    }

    #[test]
    fn without_a_change_near_the_cause_is_unknown() {
        assert_eq!(rank(&onset(), &[], Some("production")), Ranking { suspects: Vec::new(), unknown_share: 1.0 });
        let old = [change("old", "experiment", 60, Some("production"))];
        let ranking = rank(&onset(), &old, Some("production"));
        assert!(named(&ranking.suspects, ranking.unknown_share).is_empty(), "{ranking:?}");
        assert!(ranking.unknown_share > 0.9);
    }

    #[test]
    fn an_announced_line_beats_an_inferred_one() {
        let mut inferred = change("a", "experiment", 0, None);
        inferred.inferred = true;
        let ranking = rank(&onset(), &[inferred, change("b", "experiment", 0, None)], None);
        assert_eq!(ranking.suspects[0].change["id"], "b");
        assert!((ranking.suspects.iter().map(|s| s.share).sum::<f64>() + ranking.unknown_share - 1.0).abs() < 1e-9);
    }
}
