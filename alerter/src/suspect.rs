//! Which change did it: an evidence ledger in bits per candidate, with "unknown cause" always among them.
//!
//! The share of a change is its prior weight times two to the power of its bits (timing, control, dose, reversal), over the sum of
//! all candidates and the unknown cause. Until the concurrent control speaks for it, the wording stays "began at". Pure: no clock,
//! no I/O. The lines of the ledger are in [`crate::ledger`]. Source: design, slices B3.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    change::Change,
    ledger::{BITS_MAX, Evidence, control::Control, reversal::Outcome},
    onset::Onset,
};

/// Prior weight of a cause that left no line. Source: design, slices B3.
pub const UNKNOWN_PRIOR: f64 = 0.3;
/// Minutes over which timing is compared with "any time": a day.
const HORIZON_MINUTES: f64 = 1440.0;
/// Density of a change that came clearly after the onset: a veto, short of impossible.
const AFTER_DENSITY: f64 = 1e-6;
/// A change may be stamped up to this long after what it did, clocks being what they are.
const EARLY_MINUTES: f64 = -1.0;
/// Changes older than this before the onset are no candidates: the slowest kind has faded to under half a bit by then.
const LOOKBACK_MINUTES: i64 = 180;
/// Changes later than this after the support are no candidates.
const LOOKAHEAD_MINUTES: i64 = 2;
/// Suspects listed at most.
const LISTED_MAX: usize = 12;
/// Suspects below this share are listed only with a control that says why.
const LISTED_SHARE_MIN: f64 = 0.005;
/// A line seen in the data instead of announced stands for the change less surely: first sight can be late, and can be
/// the consequence of something else.
const INFERRED_FACTOR: f64 = 0.5;
/// A change that only the clock speaks for is near when it lies at most this long before the first plausible minute.
const NEAR_MINUTES: i64 = 10;

/// Wording while only the clock speaks for a change.
pub const BEGAN_AT: &str = "began at";
/// Wording once the exposed and the control tell it.
pub const BY_CONTROL: &str = "by concurrent control";

/// What the ledger says of a change in a word.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// There is a control, and it does not acquit.
    #[serde(rename = "suspect")]
    Suspect,
    /// Those who were not exposed moved as much.
    #[serde(rename = "acquitted")]
    Acquitted,
    /// Nobody was left unexposed, or the events do not tell who was exposed.
    #[default]
    #[serde(rename = "no control")]
    NoControl,
}

/// One candidate with its evidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Suspect {
    /// The change as the API shows it.
    pub change: Value,
    /// Its share of the posterior; all shares and the unknown one sum to 1.
    pub share: f64,
    /// How much likelier this timing is than any time of the day, log2, within ±10.
    pub timing_bits: f64,
    /// Exposed against control in the same minutes; 0 without a control.
    #[serde(default)]
    pub control_bits: f64,
    /// The deviation follows the exposed share; 0 with fewer than three levels.
    #[serde(default)]
    pub dose_bits: f64,
    /// It ended when the change was taken back; 0 as long as it was not.
    #[serde(default)]
    pub reversal_bits: f64,
    /// Log2 of the prior weight over that of an unknown cause. All bits together are the odds against it.
    #[serde(default)]
    pub prior_bits: f64,
    /// Prior weight of its kind.
    pub prior: f64,
    /// What the ledger says in a word.
    #[serde(default)]
    pub verdict: Verdict,
    /// The counts behind `control_bits`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<Control>,
    /// `confirmed` or `refuted` once it was taken back and the answer is clear.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// [`BEGAN_AT`] as long as only the clock speaks for it, then [`BY_CONTROL`].
    pub wording: String,
    /// How a sentence names it.
    pub phrase: String,
    /// Minutes from the change to the likeliest onset; negative: the change came after.
    pub lag_minutes: f64,
    /// It lies close enough before the onset to be named by its timing alone.
    #[serde(default = "yes")]
    pub near: bool,
}

fn yes() -> bool {
    true
}

impl Suspect {
    /// Id of the change.
    #[must_use]
    pub fn id(&self) -> &str {
        self.change.get("id").and_then(Value::as_str).unwrap_or_default()
    }

    /// A sentence may name it: nothing acquits it, and it is near or the control speaks for it.
    fn may_be_named(&self) -> bool {
        self.verdict != Verdict::Acquitted && (self.near || self.by_control())
    }

    /// The wording may rest on the concurrent control.
    #[must_use]
    pub fn by_control(&self) -> bool {
        self.wording == BY_CONTROL
    }
}

/// Candidates, best first, and what is left for a cause without a line.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Ranking {
    /// Best first.
    pub suspects: Vec<Suspect>,
    /// Share of an unknown cause.
    pub unknown_share: f64,
}

/// The suspects a sentence may name: the best one if it beats the unknown cause, and the second one when it is more than half as
/// likely as the best. An acquitted change is never named, and one that only the clock speaks for only when it is near.
#[must_use]
pub fn named(suspects: &[Suspect], unknown_share: f64) -> &[Suspect] {
    let nameable = |suspect: &&Suspect| suspect.share > unknown_share && suspect.may_be_named();
    let Some(best) = suspects.first().filter(nameable) else { return &[] };
    let close = |second: &Suspect| second.share > 0.5 * best.share && second.may_be_named();
    &suspects[..if suspects.get(1).is_some_and(close) { 2 } else { 1 }]
}

/// True for changes an onset may be blamed on: their time, and the environment of the metric (`None`: it covers all of them).
#[must_use]
pub fn is_candidate(onset: &Onset, change: &Change, environment: Option<&str>) -> bool {
    let earliest = (onset.from - LOOKBACK_MINUTES) * 60_000_000;
    let latest = (onset.to + 1 + LOOKAHEAD_MINUTES) * 60_000_000;
    (earliest..latest).contains(&change.time.0) && shares_environment(change, environment)
}

/// Ranks the changes near an onset for a metric of one environment (`None`: the metric covers all of them).
#[must_use]
pub fn rank(onset: &Onset, changes: &[Change], environment: Option<&str>, evidence: &Evidence) -> Ranking {
    let near = changes.iter().filter(|change| is_candidate(onset, change, environment));
    let mut suspects: Vec<Suspect> = near.map(|change| weigh(onset, change, evidence)).collect();
    let unknown_share = reweigh(&mut suspects);
    suspects.retain(|suspect| suspect.share >= LISTED_SHARE_MIN || suspect.control.is_some());
    suspects.truncate(LISTED_MAX);
    Ranking { suspects, unknown_share }
}

/// Sets the shares anew after bits changed; returns that of an unknown cause.
pub(crate) fn reweigh(suspects: &mut [Suspect]) -> f64 {
    let weight = |suspect: &Suspect| UNKNOWN_PRIOR * bits(suspect).exp2();
    let total = UNKNOWN_PRIOR + suspects.iter().map(weight).sum::<f64>();
    for suspect in suspects.iter_mut() {
        suspect.share = weight(suspect) / total;
    }
    let order = |suspect: &Suspect| (suspect.verdict == Verdict::Acquitted, -suspect.share);
    suspects.sort_by(|a, b| order(a).partial_cmp(&order(b)).unwrap_or(std::cmp::Ordering::Equal));
    UNKNOWN_PRIOR / total
}

/// All lines of the ledger: log2 of the odds against an unknown cause.
fn bits(suspect: &Suspect) -> f64 {
    suspect.prior_bits + suspect.timing_bits + suspect.control_bits + suspect.dose_bits + suspect.reversal_bits
}

/// A change of another environment is never a suspect; one without an environment speaks of all.
pub(crate) fn shares_environment(change: &Change, environment: Option<&str>) -> bool {
    match (change.environment.as_deref(), environment) {
        (Some(theirs), Some(ours)) => theirs == ours,
        _ => true,
    }
}

fn weigh(onset: &Onset, change: &Change, evidence: &Evidence) -> Suspect {
    let prior = evidence.lessons.prior(change.kind) * if change.inferred { INFERRED_FACTOR } else { 1.0 };
    let mean_lag = evidence.lessons.mean_lag(change.kind);
    let density: f64 = onset
        .profile
        .iter()
        .map(|(minute, probability)| probability * lag_density(lag_minutes(*minute, change), mean_lag))
        .sum();
    let control = evidence.controls.get(&change.id).cloned();
    let verdict = match &control {
        None => Verdict::NoControl,
        Some(control) if control.acquits() => Verdict::Acquitted,
        Some(_) => Verdict::Suspect,
    };
    let reversal = evidence.reversals.get(&change.id).cloned().unwrap_or_default();
    Suspect {
        change: change.json.clone(),
        share: 0.0,
        timing_bits: (density * HORIZON_MINUTES).log2().clamp(-BITS_MAX, BITS_MAX),
        control_bits: control.as_ref().map_or(0.0, |control| control.bits),
        dose_bits: evidence.doses.get(&change.id).copied().unwrap_or(0.0),
        reversal_bits: reversal.bits,
        prior_bits: (prior / UNKNOWN_PRIOR).log2(),
        prior,
        verdict,
        wording: if control.as_ref().is_some_and(Control::speaks) { BY_CONTROL } else { BEGAN_AT }.to_owned(),
        control,
        outcome: reversal.outcome,
        phrase: change.phrase(),
        lag_minutes: lag_minutes(onset.minute, change),
        near: onset.from - change.time.minutes() <= NEAR_MINUTES,
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

#[cfg(test)]
#[path = "suspect_tests.rs"]
mod tests;
