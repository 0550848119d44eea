//! Concurrent control: those exposed to a change against those who are not, in the same minutes.
//!
//! Season, holidays, weather and every other cause hit both groups, so they cancel; what is left is the change. With `k` of
//! the metric and `n` trials in the exposed (E) and control (C) group, before (0) and after (1) the onset, and rates `r = k/n`:
//!
//! `delta = ln(rE1/rE0) - ln(rC1/rC0)`, variance `v = sum of 1/(k + 1/2)`,
//!
//! against "no difference" stands a half-normal prior of width 1 on the harmful side. Source: design, slices B3.
//!
//! # What a trial is
//!
//! A count of successes says nothing by itself: half as many bookings among the exposed can mean that they are half as many. Four
//! bases are used, the first that the raw events give:
//!
//! - [`Basis::Before`]: the groups could be told apart well before the onset (a change that is older than the onset, a selector over
//!   columns that were there before, such as hosts or countries). Their own counts before are the measure, so no trials are needed, and
//!   traffic that disappears is seen for what it is.
//! - [`Basis::Units`]: people (`user.id`) seen in each group since the change. One who met the change once stays in the group, also if
//!   all further events are missing: a drop that removes the events themselves does not remove its own denominator. It also finds
//!   experiments that are evaluated on another page than the one where the metric is counted.
//! - [`Basis::Requests`]: events of each group, where there are no people or the change reaches machines (a new version on some
//!   instances). For ratios the trials are always the events of the metric's own denominator.
//! - [`Basis::Share`]: the announced share, when the events of the groups are the metric itself (then requests are no denominators),
//!   or when far fewer people are seen exposed than were assigned: those who vanished are part of the damage.
//!
//! Counts of one person are not independent: `k` is taken as the `k^2 / sum of k_i^2` independent events it is worth.

use serde::{Deserialize, Serialize};
use statrs::function::erf::erfc;

use super::clamp;

/// Two-sided 95 % of a normal distribution.
const Z_95: f64 = 1.96;
/// Bits from which the wording rests on the control.
pub const SPEAKS_BITS: f64 = 3.0;
/// A change that explains less than this part of the deviation, at the upper end of its interval, is acquitted.
const EXPLAINS_MIN: f64 = 0.5;
/// Below this many events the bits come from the binomial likelihood instead of a normal one.
const FEW_EVENTS: f64 = 10.0;
/// Log drift within an hour between groups that no dice assigned (hosts, countries), standard deviation.
const DRIFT: f64 = 0.05;

/// Sums of one group in one phase.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// The metric: events, or their value for sums.
    pub value: f64,
    /// Sum over people (or events) of their squared part of it.
    pub squares: f64,
    /// What the value is divided by; see [`Basis`].
    pub trials: f64,
}

impl Group {
    /// A group of independent events.
    #[must_use]
    pub fn events(count: f64, trials: f64) -> Self {
        Self { value: count, squares: count, trials }
    }

    /// Independent events the value is worth.
    fn worth(&self) -> f64 {
        if self.squares > 0.0 { self.value * self.value / self.squares } else { 0.0 }
    }

    /// Value of one independent event.
    fn grain(&self) -> Option<f64> {
        (self.value > 0.0 && self.squares > 0.0).then(|| self.squares / self.value)
    }

    /// Log rate, with half an event added so that none is not minus infinity.
    fn log_rate(&self, grain: f64) -> f64 {
        ((self.worth() + 0.5) * self.grain().unwrap_or(grain) / self.trials).ln()
    }

    fn variance(&self) -> f64 {
        1.0 / (self.worth() + 0.5)
    }
}

/// What makes the counts of two groups comparable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// Their own counts before the onset.
    Before,
    /// People seen in each.
    Units,
    /// Events of each, or of the metric's denominator in each.
    Requests,
    /// The announced share.
    Share,
}

/// Exposed and control in the same minutes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Comparison {
    /// Exposed and control before the onset; `None` when the assignment alone makes them comparable.
    pub before: Option<[Group; 2]>,
    /// Exposed and control since.
    pub after: [Group; 2],
    /// What makes them comparable.
    pub basis: Basis,
    /// True when chance assigns (a hash, a load balancer): then nothing else tells the groups apart.
    pub randomised: bool,
}

impl Comparison {
    /// Log of the exposed group's change against the control's, and its variance. `None` when a group is empty.
    #[must_use]
    pub fn log_ratio(&self) -> Option<(f64, f64)> {
        let groups: Vec<&Group> = self.after.iter().chain(self.before.iter().flatten()).collect();
        if groups.iter().any(|group| group.trials <= 0.0) {
            return None;
        }
        let grain = groups.iter().filter_map(|group| group.grain()).fold(0.0, f64::max);
        if grain <= 0.0 {
            return None;
        }
        let rate = |group: &Group| group.log_rate(grain);
        let mut delta = rate(&self.after[0]) - rate(&self.after[1]);
        if let Some([exposed, control]) = &self.before {
            delta -= rate(exposed) - rate(control);
        }
        Some((delta, groups.iter().map(|group| group.variance()).sum::<f64>() + self.drift()))
    }

    fn drift(&self) -> f64 {
        if self.randomised { 0.0 } else { DRIFT * DRIFT }
    }

    /// Bits of "the exposed were harmed" against "no difference", not clamped. `down`: harm is less. `None` when a group is empty.
    #[must_use]
    pub fn bits(&self, down: bool) -> Option<f64> {
        let (delta, variance) = self.log_ratio()?;
        let worth = self.after.map(|group| group.worth());
        if worth.iter().all(|worth| *worth >= FEW_EVENTS) {
            return Some(bits(if down { -delta } else { delta }, variance));
        }
        // The logarithm of a few events is no normal variable, and that of none is minus infinity.
        let own: f64 = self.after.iter().map(Group::variance).sum();
        let offset = ((worth[0] + 0.5) / (worth[1] + 0.5)).ln() - delta;
        Some(few_bits(worth, offset, variance - own, down))
    }

    /// What the exposed would have had, had they moved like the control.
    fn counterfactual(&self) -> f64 {
        let rate = |group: &Group| group.value / group.trials.max(f64::MIN_POSITIVE);
        let [exposed, control] = &self.after;
        let moved = match &self.before {
            Some([exposed, before]) => rate(exposed) * rate(control) / rate(before).max(f64::MIN_POSITIVE),
            None => rate(control),
        };
        moved * exposed.trials
    }
}

/// What the control says of one change, as it is stored and shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Control {
    /// Bits for the change, within ±10; negative: the control moved as much.
    pub bits: f64,
    /// SQL condition of the exposed.
    pub exposed: String,
    /// SQL condition of the control.
    pub control: String,
    /// What makes them comparable.
    pub basis: Basis,
    /// Of the metric among the exposed before the onset.
    pub exposed_before: Option<f64>,
    /// And since.
    pub exposed_after: f64,
    /// Of the metric in the control before the onset.
    pub control_before: Option<f64>,
    /// And since.
    pub control_after: f64,
    /// What the exposed count is divided by: people, requests, or the share; minutes when the basis is `before`.
    pub exposed_trials: f64,
    /// The same of the control.
    pub control_trials: f64,
    /// Change of the exposed over that of the control: 0.3 is 70 % less.
    pub ratio: f64,
    /// Lower end of its 95 % interval.
    pub ratio_low: f64,
    /// Upper end.
    pub ratio_high: f64,
    /// Part of the whole deviation that lies in the exposed group and not in the control; not added to the bits, for it is made of the
    /// same counts.
    pub explanatory_power: Option<f64>,
    /// Upper end of its 95 % interval.
    pub explanatory_power_high: Option<f64>,
}

impl Control {
    /// Judges a comparison. `down`: harm is less. `missing`: expected minus seen of the whole metric since the onset. `None` when a
    /// group is empty.
    #[must_use]
    pub fn judge(compared: &Comparison, exposed: &str, control: &str, down: bool, missing: f64) -> Option<Self> {
        let (delta, variance) = compared.log_ratio()?;
        let spread = Z_95 * variance.sqrt();
        let counterfactual = compared.counterfactual();
        // A deviation that is hardly there cannot be explained.
        let whole = if down { missing } else { -missing };
        let explained = |log_ratio: f64| {
            let part = counterfactual * (1.0 - log_ratio.exp());
            let part = if down { part } else { -part };
            (whole > 0.0).then(|| part / whole)
        };
        let seen = compared.after[0].value / counterfactual.max(f64::MIN_POSITIVE);
        let harm_end = if down { delta - spread } else { delta + spread };
        Some(Self {
            bits: clamp(compared.bits(down)?),
            exposed: exposed.to_owned(),
            control: control.to_owned(),
            basis: compared.basis,
            exposed_before: compared.before.map(|groups| groups[0].value),
            exposed_after: compared.after[0].value,
            control_before: compared.before.map(|groups| groups[1].value),
            control_after: compared.after[1].value,
            exposed_trials: compared.after[0].trials,
            control_trials: compared.after[1].trials,
            ratio: delta.exp(),
            ratio_low: (delta - spread).exp(),
            ratio_high: (delta + spread).exp(),
            explanatory_power: explained(seen.ln()),
            explanatory_power_high: explained(harm_end),
        })
    }

    /// The control moved as the exposed did: whatever it was, it was not this change.
    #[must_use]
    pub fn acquits(&self) -> bool {
        self.bits < 0.0 && self.explanatory_power_high.is_some_and(|high| high < EXPLAINS_MIN)
    }

    /// The control convicts: the wording may rest on it.
    #[must_use]
    pub fn speaks(&self) -> bool {
        self.bits >= SPEAKS_BITS
    }
}

/// Log2 of the Bayes factor of "harmed" (half-normal of width 1) against "no difference", not clamped. `delta` is positive when the
/// exposed were harmed more than the control.
#[must_use]
pub fn bits(delta: f64, variance: f64) -> f64 {
    let z_squares = delta * delta / variance;
    let tail = delta * (1.0 / (variance * (variance + 1.0))).sqrt();
    let nats = 0.5 * (variance / (variance + 1.0)).ln() + 0.5 * z_squares / (variance + 1.0) + ln_two_phi(tail);
    nats / std::f64::consts::LN_2
}

/// The same Bayes factor from the binomial likelihood of the counts themselves: `worth` events of exposed and control, whose log ratio is
/// `offset` without a difference, known with a variance. Sums over a grid of harms and offsets.
fn few_bits(worth: [f64; 2], offset: f64, variance: f64, down: bool) -> f64 {
    let log_likelihood = |logit: f64| {
        let softplus = |x: f64| if x > 0.0 { x + (-x).exp().ln_1p() } else { x.exp().ln_1p() };
        -worth[0] * softplus(-logit) - worth[1] * softplus(logit)
    };
    let spread = variance.max(0.0).sqrt();
    let marginal = |harm: f64| {
        let shifted = if down { offset - harm } else { offset + harm };
        log_sum((-20_i32..=20).map(|node| {
            let z = f64::from(node) / 5.0;
            log_likelihood(shifted + z * spread) - 0.5 * z * z
        }))
    };
    let steps = 120_i32;
    let width = 6.0 / f64::from(steps);
    let harmed = log_sum((0..steps).map(|step| {
        let harm = (f64::from(step) + 0.5) * width;
        marginal(harm) - 0.5 * harm * harm
    }));
    let scale = (width * 2.0 / (2.0 * std::f64::consts::PI).sqrt()).ln();
    (harmed + scale - marginal(0.0)) / std::f64::consts::LN_2
}

/// `ln(sum of e^x)`.
fn log_sum(terms: impl Iterator<Item = f64> + Clone) -> f64 {
    let most = terms.clone().fold(f64::NEG_INFINITY, f64::max);
    most + terms.map(|term| (term - most).exp()).sum::<f64>().ln()
}

/// `ln(2 Phi(x))`, also far out where `Phi` itself is no double any more.
fn ln_two_phi(x: f64) -> f64 {
    if x > -20.0 {
        erfc(-x / std::f64::consts::SQRT_2).ln()
    } else {
        // Mills' ratio: Phi(x) ~ phi(x) / -x.
        -0.5 * x * x - (-x).ln() - 0.5 * (2.0 * std::f64::consts::PI).ln() + std::f64::consts::LN_2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(before: Option<[(f64, f64); 2]>, after: [(f64, f64); 2]) -> Comparison {
        let group = |(count, trials): (f64, f64)| Group::events(count, trials);
        Comparison {
            before: before.map(|groups| groups.map(group)),
            after: after.map(group),
            basis: Basis::Requests,
            randomised: true,
        }
    }

    #[test]
    fn the_worked_example_of_the_design() {
        // Errors: exposed 24 of 6,000 before and 40 of 1,000 after, control 216 of 54,000 and 36 of 9,000.
        let harmed = compared(Some([(24.0, 6_000.0), (216.0, 54_000.0)]), [(40.0, 1_000.0), (36.0, 9_000.0)]);
        let (delta, variance) = harmed.log_ratio().unwrap();
        assert!((delta - 2.28).abs() < 0.005 && (delta / variance.sqrt() - 7.3).abs() < 0.05, "{delta} {variance}");
        assert!((bits(delta, variance) - 34.4).abs() < 0.05);
        let control = Control::judge(&harmed, "e", "c", false, -36.0).unwrap();
        assert_eq!(control.bits, 10.0, "clamped");
        assert!((control.explanatory_power.unwrap() - 1.0).abs() < 0.01, "{control:?}");
        assert!(control.speaks() && !control.acquits());
        // Another experiment on half of the traffic: both sides 38 of 5,000.
        let equal = compared(None, [(38.0, 5_000.0), (38.0, 5_000.0)]);
        let (delta, variance) = equal.log_ratio().unwrap();
        assert!(delta.abs() < 1e-12);
        let with_before = compared(Some([(120.0, 30_000.0), (120.0, 30_000.0)]), [(38.0, 5_000.0), (38.0, 5_000.0)]);
        let control = Control::judge(&with_before, "e", "c", false, -36.0).unwrap();
        assert!((control.bits + 2.0).abs() < 0.15 && control.bits < bits(delta, variance) + 0.6, "{control:?}");
    }

    #[test]
    fn an_equal_move_acquits_and_more_counts_acquit_more() {
        let equal = |n: f64| compared(None, [(0.7 * n, n), (0.7 * n, n)]);
        let judged = |n: f64| Control::judge(&equal(n), "e", "c", true, 0.6 * n).unwrap();
        assert!(judged(1_000.0).acquits() && judged(10_000.0).bits < judged(1_000.0).bits);
        assert!(!judged(8.0).acquits(), "a handful of events acquits nobody");
        let better = Control::judge(&compared(None, [(900.0, 1e3), (600.0, 1e3)]), "e", "c", true, 500.0).unwrap();
        assert!(better.bits < judged(1_000.0).bits && better.bits >= -10.0, "{better:?}");
    }

    #[test]
    fn what_vanishes_wholly_is_seen_and_an_empty_group_is_no_control() {
        let gone = compared(None, [(0.0, 500.0), (60.0, 500.0)]);
        let control = Control::judge(&gone, "e", "c", true, 60.0).unwrap();
        assert!(control.bits > 9.0 && control.ratio < 0.02, "{control:?}");
        assert!(Control::judge(&compared(None, [(0.0, 0.0), (60.0, 500.0)]), "e", "c", true, 60.0).is_none());
        assert!(Control::judge(&compared(None, [(0.0, 10.0), (0.0, 10.0)]), "e", "c", true, 60.0).is_none());
    }

    #[test]
    fn few_events_weigh_as_many_do() {
        let both = |n: f64, ratio: f64| {
            let compared = compared(None, [(n * ratio, 1e3), (n, 1e3)]);
            let (delta, variance) = compared.log_ratio().unwrap();
            let worth = compared.after.map(|group| group.worth());
            let offset = ((worth[0] + 0.5) / (worth[1] + 0.5)).ln() - delta;
            (bits(-delta, variance), few_bits(worth, offset, 0.0, true))
        };
        for (n, ratio) in [(200.0, 0.5), (200.0, 1.0), (50.0, 0.7)] {
            let (normal, exact) = both(n, ratio);
            assert!((normal - exact).abs() < 1.5, "{n} {ratio}: {normal} {exact}");
        }
    }

    #[test]
    fn a_few_heavy_people_are_worth_few_events() {
        let heavy = |squares: f64| Comparison {
            after: [Group { value: 50.0, squares, trials: 1e3 }, Group { value: 100.0, squares: 100.0, trials: 1e3 }],
            ..compared(None, [(1.0, 1.0), (1.0, 1.0)])
        };
        let (delta, narrow) = heavy(50.0).log_ratio().unwrap();
        let (_, wide) = heavy(500.0).log_ratio().unwrap();
        assert!(wide > 5.0 * narrow && (delta + std::f64::consts::LN_2).abs() < 0.02);
    }

    #[test]
    fn far_out_the_bits_stay_finite() {
        for delta in [-300.0, -20.0, -1.0, 0.0, 1.0, 20.0, 300.0] {
            for variance in [1e-6, 0.01, 4.0] {
                assert!(bits(delta, variance).is_finite(), "{delta} {variance}");
            }
        }
        assert!((ln_two_phi(-19.99) - ln_two_phi(-20.01)).abs() < 0.5);
    }
}
