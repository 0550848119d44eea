//! Burn of the error budget: a deviation too shallow for the gate that still spends the allowed loss of 28 days too fast.
//!
//! Two windows, an hour and six, against the day-ahead expectation. The budget takes the place of the gate: a window pages
//! when it lost more than its limit of the budget, while the loss still goes on, and its score passes what the replayed past
//! exceeds once in the return period. Without the last, noise alone would spend 2 % of a small budget in many an hour.

use serde::{Deserialize, Serialize};

use crate::{
    forecast::Fitted,
    history::{History, Minute, Observation},
    score::{Breach, Direction, Spread, WindowSum, window_score},
    threshold::tail_quantile,
};

/// Days an error budget covers.
pub const BUDGET_DAYS: i64 = 28;

/// The windows, in minutes.
pub const BURN_WINDOWS: [i64; 2] = [60, 360];

/// Parts of the budget whose loss in one of [`BURN_WINDOWS`] pages unless said: the customary pair for a budget of four weeks.
pub const BURN_LIMITS: [f64; 2] = [0.02, 0.05];

/// Burn is looked at once in so many minutes.
const EVERY_MINUTES: i64 = 5;

/// The last part of a window that must go on losing: one in so many.
const LASTING_PART: i64 = 6;

/// Replayed maxima are taken over blocks of this many minutes.
const BLOCK_MINUTES: i64 = 360;

/// A level shift is known when its first day is over, and forecast right from the second.
const SHIFT_MINUTES: i64 = 2 * crate::history::DAY_MINUTES;

/// Least score, as for all windows.
const THRESHOLD_MIN: f64 = 3.3;

/// What may be lost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Budget {
    /// Share of 28 days' expected amount that may be lost.
    pub share: f64,
    /// Part of the budget (1 = all of it) whose loss within each of [`BURN_WINDOWS`] pages; 0 = that window never pages.
    pub limits: [f64; 2],
}

/// A budget as a fit knows it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Allowance {
    /// What may be lost in 28 days, in units of the value (for shares of bad events: events).
    pub allowed: f64,
    /// Score past which each window pages.
    pub thresholds: [f64; 2],
}

/// What a window spent of the budget.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Burn {
    /// Length of the window.
    pub window_minutes: i64,
    /// Part of the budget of 28 days that it spent, 1 = all of it.
    pub spent: f64,
    /// The part that pages.
    pub limit: f64,
    /// Expected in the window, a day ahead.
    pub expected: f64,
    /// Seen in it.
    pub seen: f64,
    /// Score of the loss.
    pub z: f64,
    /// Score past which it pages.
    pub threshold: f64,
    /// The last sixth of the window loses at least at half the pace of the whole.
    pub lasting: bool,
}

impl Burn {
    /// How far past its limit and its threshold, 1 = just reached both; 0 when the loss is over.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        if self.lasting { (self.spent / self.limit).min(self.z / self.threshold) } else { 0.0 }
    }

    /// The breach that it is; `None` below its limit or its threshold.
    #[must_use]
    pub fn breach(&self, direction: Direction) -> Option<Breach> {
        (self.ratio() >= 1.0).then(|| Breach {
            direction: harmful(direction),
            window_minutes: usize::try_from(self.window_minutes).unwrap_or_default(),
            z: self.z,
            threshold: self.threshold,
            seen: self.seen,
            expected: self.expected,
        })
    }
}

/// The direction in which a budget is spent.
fn harmful(direction: Direction) -> Direction {
    if direction == Direction::Up { Direction::Up } else { Direction::Down }
}

/// One minute as a window sums it.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    sum: WindowSum,
    /// Sum of the expectations times the relative error of their hour.
    error: f64,
}

impl Sum {
    fn add(&mut self, fitted: &Fitted, minute: Minute, seen: &Observation) {
        let expected = fitted.expected(minute, seen);
        self.sum.minutes += 1;
        self.sum.value += seen.value;
        self.sum.expected += expected;
        self.sum.exposure += seen.exposure;
        self.sum.variance += seen.variance;
        self.error += expected * fitted.noise().c_slow[fitted.local_hour(minute)].hypot(fitted.c_min(minute));
    }

    /// What was lost, and its score; negative when more came than expected.
    fn loss(&self, fitted: &Fitted) -> (f64, f64) {
        let noise = fitted.noise();
        let c = if self.sum.expected > 0.0 { self.error / self.sum.expected } else { 0.0 };
        let spread = Spread { phi: noise.phi_total(), c, unit: noise.unit };
        let z = window_score(fitted.settings().kind, &self.sum, spread);
        let sign = if fitted.settings().direction == Direction::Up { -1.0 } else { 1.0 };
        (sign * (self.sum.expected - self.sum.value), -sign * z)
    }
}

/// What the windows that end with `minute` spent, the one furthest past its limit; masked minutes are left out, and windows of
/// which less than half was seen. `None` without a budget, before the series pages, and but every five minutes.
#[must_use]
pub fn burn(fitted: &Fitted, history: &History, minute: Minute) -> Option<Burn> {
    let budget = fitted.settings().budget?;
    let allowance = fitted.allowance().filter(|_| fitted.pages() && is_due(minute))?;
    let mut from = minute + 1 - BURN_WINDOWS[1];
    // The first day of a new normal was forecast at the old level: it spent nothing.
    if history.shifts().iter().any(|shift| *shift > minute - SHIFT_MINUTES) {
        from = from.max(fitted.day_start(minute));
    }
    let masks: Vec<(Minute, Minute)> =
        history.masks().iter().filter(|mask| mask.to > from).map(|mask| (mask.from, mask.to)).collect();
    let mut sums = [Sum::default(); 2];
    let mut last = [Sum::default(); 2];
    for at in from..=minute {
        let hidden = masks.iter().any(|(from, to)| (*from..*to).contains(&at));
        let Some(seen) = history.get(at).filter(|_| !hidden) else { continue };
        for (window, length) in BURN_WINDOWS.iter().enumerate() {
            if at > minute - length {
                sums[window].add(fitted, at, &seen);
            }
            if at > minute - length / LASTING_PART {
                last[window].add(fitted, at, &seen);
            }
        }
    }
    let windows = (0..2).filter_map(|window| {
        let (sum, length) = (sums[window].sum, BURN_WINDOWS[window]);
        let limit = budget.limits[window];
        if limit <= 0.0 || sum.minutes * 2 < usize::try_from(length).unwrap_or_default() {
            return None;
        }
        let ((lost, z), (lost_last, _)) = (sums[window].loss(fitted), last[window].loss(fitted));
        let pace = lost * last[window].sum.expected / sum.expected.max(f64::MIN_POSITIVE);
        Some(Burn {
            window_minutes: length,
            spent: lost / allowance.allowed,
            limit,
            expected: sum.expected,
            seen: sum.value,
            z,
            threshold: allowance.thresholds[window],
            lasting: lost > 0.0 && lost_last >= pace / 2.0,
        })
    });
    windows.max_by(|a, b| a.ratio().total_cmp(&b.ratio()))
}

/// True for the minutes at which burn is looked at.
#[must_use]
pub fn is_due(minute: Minute) -> bool {
    (minute + 1).rem_euclid(EVERY_MINUTES) == 0
}

/// Learns what may be lost and the scores that page, from the minutes of the replayed past (`None`: hidden or no data).
pub(crate) fn learn(
    fitted: &Fitted,
    budget: Budget,
    minutes: impl Iterator<Item = (Minute, Option<Observation>)>,
    return_days: f64,
) -> Option<Allowance> {
    let bad_events =
        fitted.settings().kind == crate::score::Kind::Ratio && fitted.settings().direction == Direction::Up;
    let mut running = vec![Sum::default()];
    let (mut first, mut total, mut known) = (None, 0.0, 0_i64);
    for (minute, seen) in minutes {
        first.get_or_insert(minute);
        let mut next = running.last().copied().unwrap_or_default();
        if let Some(seen) = seen {
            next.add(fitted, minute, &seen);
            total += if bad_events { seen.exposure } else { seen.value };
            known += 1;
        }
        running.push(next);
    }
    let (first, length) = (first?, running.len() - 1);
    let allowed = budget.share * total / known as f64 * (BUDGET_DAYS * crate::history::DAY_MINUTES) as f64;
    if known < crate::history::DAY_MINUTES || allowed <= 0.0 {
        return None;
    }
    let thresholds = BURN_WINDOWS.map(|window| {
        let width = usize::try_from(window).unwrap_or_default();
        let mut maxima: Vec<f64> = vec![0.0; length / usize::try_from(BLOCK_MINUTES).unwrap_or(1) + 1];
        let ends = (width..=length).filter(|end| is_due(first + *end as i64 - 1));
        for end in ends {
            let sum = difference(&running[end], &running[end - width]);
            if sum.sum.minutes * 2 >= width {
                let block = &mut maxima[(end - 1) / usize::try_from(BLOCK_MINUTES).unwrap_or(1)];
                *block = block.max(sum.loss(fitted).1);
            }
        }
        let blocks_a_day = (crate::history::DAY_MINUTES / BLOCK_MINUTES) as f64;
        tail_quantile(&mut maxima, return_days * blocks_a_day).max(THRESHOLD_MIN)
    });
    Some(Allowance { allowed, thresholds })
}

fn difference(after: &Sum, before: &Sum) -> Sum {
    Sum {
        sum: WindowSum {
            minutes: after.sum.minutes - before.sum.minutes,
            value: after.sum.value - before.sum.value,
            expected: after.sum.expected - before.sum.expected,
            exposure: after.sum.exposure - before.sum.exposure,
            variance: after.sum.variance - before.sum.variance,
        },
        error: after.error - before.error,
    }
}

#[cfg(test)]
mod tests;
