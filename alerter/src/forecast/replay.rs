//! What the forecasts of past days got wrong: noise, interval, thresholds.

use super::{
    Fitted,
    fit::Past,
    interval::Quantiles,
    noise::{ErrorBlock, Scale, over_dispersion, relative_error},
};
use crate::{
    history::{Minute, Observation},
    live::Live,
    score::Kind,
    threshold::{BlockMaxima, return_period_days},
};

/// Width of the blocks that measure the relative error, in minutes.
const ERROR_BLOCK_MINUTES: i64 = 20;

/// Events such a block should hold.
const ERROR_BLOCK_EVENTS: f64 = 10.0;

/// Longest block that few events are joined to.
const ERROR_BLOCK_MINUTES_MAX: i64 = 360;

/// Replayed days from which a relative error is believed as it is; fewer widen it.
const ERROR_DAYS: f64 = 14.0;

/// One step of the replayed past, in events.
#[derive(Debug, Clone, Copy)]
struct Step {
    minute: Minute,
    hour: usize,
    /// NaN where hidden or without data.
    seen: f64,
    expected: f64,
    exposure: f64,
    /// The local level at the step.
    level: f64,
}

impl Step {
    /// Expectation corrected by the local level.
    fn corrected(&self, kind: Kind) -> f64 {
        let expected = self.expected * self.level;
        if kind == Kind::Ratio { expected.min(self.exposure) } else { expected }
    }
}

impl Past<'_> {
    /// Learns noise, interval and thresholds from the first `replayed` forecast days of `fitted`, each of which was made from
    /// the days before it.
    pub(super) fn learn_from_replay(&self, fitted: &mut Fitted, replayed: usize) {
        let mut steps = self.steps(fitted, replayed);
        let kind = self.settings.kind;
        if self.history.step_minutes() <= super::days::SLOT_MINUTES {
            let total = over_dispersion(
                steps
                    .iter()
                    .map(|step| (step.seen - step.expected, Scale::of(kind, step.expected, step.exposure).variance)),
            );
            fitted.noise.phi = (total - self.basket + 1.0).max(1.0);
        }
        let phi = fitted.noise.phi_total();
        // Two days in ten tell less about the next than 28 of them.
        let widen = 1.0 + 2.0 * (1.0 / replayed as f64 - 1.0 / ERROR_DAYS).max(0.0);
        fitted.noise.c_slow = relative_error(&error_blocks(kind, &steps), phi).map(|c| c * widen);
        fitted.noise.c_fast = fitted.noise.c_slow;
        fitted.quantiles = self.learn_interval(fitted, &steps);
        if self.history.step_minutes() > 1 {
            return;
        }
        self.follow_level(fitted, &mut steps);
        fitted.noise.c_fast = relative_error(&error_blocks(kind, &steps), phi).map(|c| c * widen);
        let mut live = Live::new(steps.first().map_or(0, |step| step.minute));
        let mut maxima = BlockMaxima::default();
        for step in &steps {
            maxima.add(&live.step(fitted, step.minute, self.seen(step)));
        }
        let return_days = return_period_days(self.settings.parent_metrics);
        fitted.thresholds = maxima.thresholds(return_days);
        fitted.allowance = self.settings.budget.and_then(|budget| {
            let minutes = steps.iter().map(|step| (step.minute, self.seen(step)));
            crate::burn::learn(fitted, budget, minutes, return_days)
        });
    }

    fn seen(&self, step: &Step) -> Option<Observation> {
        if step.seen.is_nan() { None } else { self.history.get(step.minute) }
    }

    fn steps(&self, fitted: &Fitted, replayed: usize) -> Vec<Step> {
        let from = self.clock.day_start(fitted.days[0].day).max(self.history.start());
        let to = self.clock.day_start(fitted.days[replayed - 1].day + 1).min(self.history.end());
        let step = self.history.step_minutes();
        let first = (from - self.history.start() + step - 1).div_euclid(step);
        let after = (to - self.history.start()).div_euclid(step);
        let range = usize::try_from(first).unwrap_or(0)..usize::try_from(after).unwrap_or(0);
        range
            .map(|index| {
                let minute = self.history.start() + index as i64 * step;
                let rate: f64 = (minute..minute + step).map(|m| fitted.rate(m)).sum();
                let known = self.history.rate_at(index).filter(|_| !self.hidden[index]);
                let (seen, exposure) = known.unwrap_or((f64::NAN, 0.0));
                let expected = if self.settings.kind == Kind::Ratio { rate / step as f64 * exposure } else { rate };
                Step {
                    minute,
                    hour: self.clock.minute_of_day(minute) / 60,
                    seen: seen / self.unit,
                    expected: expected / self.unit,
                    exposure,
                    level: 1.0,
                }
            })
            .collect()
    }

    /// Runs the local level over the steps.
    fn follow_level(&self, fitted: &Fitted, steps: &mut [Step]) {
        let mut live = Live::new(steps.first().map_or(0, |step| step.minute));
        for step in steps {
            let seen = self.seen(step);
            live.follow(fitted, step.minute, seen);
            step.level = live.level();
        }
    }

    fn learn_interval(&self, fitted: &Fitted, steps: &[Step]) -> Quantiles {
        let step_minutes = self.history.step_minutes();
        Quantiles::learn(step_minutes, self.today, |width| {
            let per_chunk = usize::try_from(width / step_minutes).unwrap_or(1).max(1);
            let residual = |chunk: &[Step]| {
                let total = |of: fn(&Step) -> f64| chunk.iter().map(of).sum::<f64>();
                let (seen, expected) = (total(|step| step.seen), total(|step| step.expected));
                if seen.is_nan() || expected <= 0.0 {
                    return None;
                }
                let (exposure, unit) = (total(|step| step.exposure), self.unit);
                let sigma = fitted.noise.sigma(self.settings.kind, expected * unit, exposure, chunk[0].hour) / unit;
                Some((self.clock.day(chunk[0].minute), (seen - expected) / sigma))
            };
            steps.chunks_exact(per_chunk).filter_map(residual).collect()
        })
    }
}

/// Sums steps to blocks of [`ERROR_BLOCK_MINUTES`] (or one step, if longer) with every step seen, and joins them until
/// they hold [`ERROR_BLOCK_EVENTS`]: of fewer, chance hides any error of the expectation.
fn error_blocks(kind: Kind, steps: &[Step]) -> Vec<ErrorBlock> {
    let mut blocks = Vec::new();
    let mut open: Option<Sum> = None;
    let id = |step: &Step| step.minute.div_euclid(ERROR_BLOCK_MINUTES);
    for group in steps.chunk_by(|a, b| id(a) == id(b)) {
        let mut sum = open.take().unwrap_or(Sum { first: group[0], seen: 0.0, expected: 0.0, exposure: 0.0 });
        sum.seen += group.iter().map(|step| step.seen).sum::<f64>();
        sum.expected += group.iter().map(|step| step.corrected(kind)).sum::<f64>();
        sum.exposure += group.iter().map(|step| step.exposure).sum::<f64>();
        let last = group[group.len() - 1];
        let minutes = last.minute - sum.first.minute;
        if sum.seen.is_nan() || minutes > ERROR_BLOCK_MINUTES_MAX {
            continue;
        }
        let scale = Scale::of(kind, sum.expected, sum.exposure);
        if scale.variance < ERROR_BLOCK_EVENTS && minutes + ERROR_BLOCK_MINUTES <= ERROR_BLOCK_MINUTES_MAX {
            open = Some(sum);
        } else {
            let hours = usize::try_from(minutes / 60).unwrap_or(0);
            blocks.push(ErrorBlock { hour: sum.first.hour, hours, residual: sum.seen - sum.expected, scale });
        }
    }
    blocks
}

/// An error block in the making.
struct Sum {
    first: Step,
    seen: f64,
    expected: f64,
    exposure: f64,
}
